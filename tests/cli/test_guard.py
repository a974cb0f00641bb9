from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wcap.cli.guard import TerminalGuard


def shown(*writes: bytes, encoding: str = "utf-8") -> bytes:
    terminal = io.BytesIO()
    guard = TerminalGuard(terminal, encoding)
    for data in writes:
        guard.write(data)
    guard.close()
    return terminal.getvalue()


@pytest.mark.parametrize(
    "text",
    ["plain\r\n\ttext\n", "héllo 日本 \u00a0 \U0001f469\u200d\U0001f52c", "50%\r51%\r", "C:\\dir"],
)
def test_text_and_line_ends_pass(text):
    assert shown(text.encode()) == text.encode()


def test_colours_pass_and_are_reset_at_the_end():
    assert shown(b"\x1b[1;31mred\x1b[m") == b"\x1b[1;31mred\x1b[m\x1b[0m"


@pytest.mark.parametrize(
    ("sent", "seen"),
    [
        (b"\x1b[2J", b"\\x1b[2J"),
        (b"\x1b]0;title\x07", b"\\x1b]0;title\\x07"),
        (b"\x1b[6n", b"\\x1b[6n"),
        (b"\x1bc", b"\\x1bc"),
        (b"\x1b[?1049h", b"\\x1b[?1049h"),
        (b"\x1b[" + b"1;" * 40 + b"m", b"\\x1b[" + b"1;" * 40 + b"m"),
        (b"a\bb\x7f\0", b"a\\x08b\\x7f\\x00"),
        (b"\x9b2J\xff", b"\\x9b2J\\xff"),
        ("\x9b2J\u202e\u2066\u2028\u200f".encode(), b"\\u009b2J\\u202e\\u2066\\u2028\\u200f"),
    ],
)
def test_everything_else_is_shown_as_an_escape(sent, seen):
    assert shown(sent) == seen


def test_characters_and_colours_may_be_spread_over_writes():
    whole = "é日\x1b[38;5;196m\U0001f600".encode()

    assert shown(*(whole[i : i + 1] for i in range(len(whole)))) == whole + b"\x1b[0m"


@pytest.mark.parametrize(
    ("sent", "seen"),
    [(b"a\x1b", b"a\\x1b"), (b"a\x1b[31", b"a\\x1b[31"), (b"a\xe6\x97", b"a\\xe6\\x97")],
)
def test_what_was_begun_and_not_finished_is_shown_at_the_end(sent, seen):
    assert shown(sent) == seen


def test_an_escape_that_begins_nothing_is_not_held_back():
    terminal = io.BytesIO()
    guard = TerminalGuard(terminal)

    guard.write(b"\x1b[31")
    guard.write(b"K done")

    assert terminal.getvalue() == b"\\x1b[31K done"


def test_what_the_terminal_cannot_show_is_escaped():
    assert shown("é日".encode(), encoding="latin-1") == b"\xe9\\u65e5"


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\x1b", b"[", b"31m", b"\x1b[0m"])))
def test_nothing_but_line_ends_tabs_and_colours_can_act_on_a_terminal(writes):
    text = shown(*writes).decode()

    rest = "".join(text.split("\x1b["))
    assert all(character not in "\x00\x07\x08\x1b\x7f\x9b\u202e" for character in rest)
    assert all(part.lstrip("0123456789;:").startswith("m") for part in text.split("\x1b[")[1:])
