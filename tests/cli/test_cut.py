from __future__ import annotations

import json

import pytest
from support import HEADER, batch_of, write, write_capture

from wcap.cli import main
from wcap.cli.rewriting import parse_events
from wcap.errors import FilterError


@pytest.fixture
def path(tmp_path):
    events = [write(b"%d\n" % number, after_ns=number, fd=number % 3) for number in range(9)]
    return write_capture(tmp_path / "run.wcap", batch_of(*events))


def shown(capsys, path, *options):
    main(["show", "--json", str(path), *options])
    return [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]


def test_cut_writes_what_show_prints_with_the_same_filter(path, tmp_path, capsys):
    made = tmp_path / "cut.wcap"

    assert main(["cut", str(path), "--fd", "!0", "-o", str(made)]) == 0

    assert capsys.readouterr() == ("", f"wcap: 6 of 9 events kept: {made}\n")
    assert shown(capsys, made) == shown(capsys, path, "--fd", "!0")


def test_info_says_what_was_done_but_not_what_was_excluded(path, tmp_path, capsys):
    made = tmp_path / "cut.wcap"
    main(["cut", str(path), "--comm", "!secret", "--events", "2-4", "-o", str(made)])

    assert main(["info", str(made)]) == 0

    out = capsys.readouterr().out
    assert "rewritten         cut by wcap 0.1.0: comm '!…'; events 2-4\n" in out
    assert "not kept          6 events that are left out\n" in out
    assert out.endswith("complete: 3 events of 1 CPU, none lost, 6 left out on purpose\n")
    assert b"secret" not in made.read_bytes()


def test_verify_finds_nothing_and_recover_marks_nothing_in_a_cut(path, tmp_path, capsys):
    made, again = tmp_path / "cut.wcap", tmp_path / "again.wcap"
    main(["cut", str(path), "--fd", "1", "-o", str(made)])

    assert main(["verify", str(made)]) == 0
    assert main(["recover", str(made), "-o", str(again)]) == 0
    assert main(["verify", str(again)]) == 0
    capsys.readouterr()

    assert shown(capsys, again) == shown(capsys, made)


def test_the_capture_that_is_read_is_never_replaced(path, capsys):
    before = path.read_bytes()

    assert main(["cut", str(path), "-o", str(path), "--force"]) == 2

    assert "this is the capture itself" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_an_existing_file_is_not_replaced_unasked(path, tmp_path, capsys):
    there = tmp_path / "there.wcap"
    there.write_text("mine")

    assert main(["cut", str(path), "-o", str(there)]) == 1

    assert there.read_text() == "mine"
    assert main(["cut", str(path), "-o", str(there), "--force"]) == 0


@pytest.mark.parametrize(
    ("given", "meant"),
    [("100-199", (100, 199)), ("7", (7, 7)), ("5-", (5, None)), ("-3", (1, 3))],
)
def test_ranges_of_events(given, meant):
    assert parse_events(given) == meant


@pytest.mark.parametrize("given", ["", "-", "0", "3-2", "a", "1-2-3", "9" * 30])
def test_what_is_no_range_is_refused(given):
    with pytest.raises(FilterError, match=r"^--events: a range"):
        parse_events(given)


def test_the_facts_of_the_header_stay(path, tmp_path, capsys):
    made = tmp_path / "cut.wcap"
    main(["cut", str(path), "--fd", "7", "-o", str(made)])

    main(["info", "--json", str(made)])

    found = json.loads(capsys.readouterr().out)
    assert (found["events"], found["complete"], found["left_out"]) == (0, True, 9)
    assert found["header"]["host"] == HEADER.host
