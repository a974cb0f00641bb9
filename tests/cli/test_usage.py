from __future__ import annotations

import pytest
from support import batch_of, write, write_capture

from wcap.cli import main


@pytest.mark.parametrize(
    ("argv", "named", "page"),
    [
        (["nonsense"], "'nonsense'", "wcap --help"),
        (["--nonsense"], "--nonsense", "wcap --help"),
        (["show", "--nonsense"], "--nonsense", "wcap show --help"),
        (["recover", "-o", "x", "a", "b"], "(b)", "wcap recover --help"),
        (["show", "a", "--limit"], "--limit", "wcap --help"),
        (["show", "a", "--limit", "-1"], "--limit", "wcap show --help"),
        (["show", "a", "--style", "\x1b[2J"], "\\x1b[2J", "wcap show --help"),
        (["stats", "a", "--top", "0"], "--top", "wcap stats --help"),
        (["record", "-a", "-n", "0"], "--count", "wcap record --help"),
    ],
)
def test_a_command_line_that_does_not_parse_is_one_line_and_status_2(argv, named, page, capsys):
    assert main(argv) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("wcap: ")
    assert err.count("\n") == 1
    assert named in err
    assert err.endswith(f"; see {page}\n")


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["record", "-a", "-s", "much"], "--snaplen"),
        (["record", "-a", "-B", "much"], "--buffer"),
        (["record", "-a", "--duration", "long"], "--duration"),
        (["record", "-a", "--duration", "0"], "--duration"),
        (["replay", "samples/hello.wcap", "--max-idle", "long"], "--max-idle"),
        (["show", "samples/hello.wcap", "--since", "late"], "--since"),
        (["show", "samples/hello.wcap", "--until", "late"], "--until"),
    ],
)
def test_what_is_wrong_with_a_value_names_its_option(argv, option, capsys):
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith(f"wcap: {option}: ")


def test_without_a_word_the_help_is_shown(capsys):
    assert main([]) == 2
    assert "Usage: wcap" in "".join(capsys.readouterr())


def test_help_and_version_are_asked_for_and_no_error(capsys):
    assert main(["show", "--help"]) == 0
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.endswith("wcap 0.1.0\n")


@pytest.mark.parametrize("command", ["show", "stats", "info", "verify"])
@pytest.mark.parametrize("rest", [b"", b"no frame of a capture"], ids=["whole", "damaged"])
def test_a_command_does_the_same_whether_or_not_there_are_options_to_parse(
    command, rest, tmp_path, capsys
):
    path = tmp_path / "run.wcap"
    write_capture(path, batch_of(write()))
    path.write_bytes(path.read_bytes() + rest)
    plain = main([command, str(path)]), *capsys.readouterr()
    assert plain == (main([command, "--", str(path)]), *capsys.readouterr())
    assert plain[0] == (3 if rest else 0)
