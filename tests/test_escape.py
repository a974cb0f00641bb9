import pytest

from wcap import escape
from wcap.escape import escape_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("client-tcp", "client-tcp"),
        ("größe 日本", "größe 日本"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x7f\x00", "\\x7f\\x00"),
        ("\x9b2J", "\\u009b2J"),
        ("evil\u202egpj.exe", "evil\\u202egpj.exe"),
        ("\u2028\u200b", "\\u2028\\u200b"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), "\\xff\\xfe"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_what_could_steer_a_terminal_is_written_out(text, shown):
    assert escape_text(text) == shown


def test_escaped_text_is_told_from_text_that_looks_escaped():
    assert escape_text("\\x1b") == "\\\\x1b"
    assert escape_text("\x1b") == "\\x1b"


def test_what_is_remembered_changes_nothing_and_is_bounded():
    for _ in range(2):
        for code in range(0x110000):
            character = chr(code)
            shown = escape_text(character)
            if character.isprintable() and character != "\\":
                assert shown == character
            else:
                assert shown.startswith("\\")
                assert shown.isprintable()
    several = "".join(map(chr, range(0, 0x110000, 97)))
    assert escape_text(several) == "".join(map(escape_text, several))
    assert len(escape._ESCAPES) < 5000
