from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from support import HEADER, batch_of, no_file_larger_than, write, write_capture

from wcap.cli import main


@pytest.fixture
def path(tmp_path):
    events = [
        write(b"%d\n" % number, after_ns=number * 10**9, pid=100 + number % 2)
        for number in range(6)
    ]
    return write_capture(tmp_path / "run.wcap", batch_of(*events))


def shown(capsys, *paths):
    capsys.readouterr()
    main(["show", "--json", *map(str, paths)])
    return [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]


def test_split_by_time_writes_parts_that_are_read_as_one(path, tmp_path, capsys):
    assert main(["split", str(path), "--time", "2s", "-o", str(tmp_path / "part.wcap")]) == 0

    assert capsys.readouterr().err == f"wcap: 3 parts, the last one is {tmp_path}/part-0003.wcap\n"
    parts = sorted(tmp_path.glob("part-*.wcap"))
    assert [shown(capsys, part) for part in parts] == [
        ["0\n", "1\n"], ["2\n", "3\n"], ["4\n", "5\n"],
    ]  # fmt: skip
    assert shown(capsys, tmp_path / "part-*.wcap") == shown(capsys, path)


def test_split_by_process_names_files_after_process_ids(path, tmp_path, capsys):
    assert main(["split", str(path), "--process", "-o", str(tmp_path / "by.wcap")]) == 0

    assert capsys.readouterr().err == (
        f"wcap: 3 events of process 100: {tmp_path}/by-100.wcap\n"
        f"wcap: 3 events of process 101: {tmp_path}/by-101.wcap\n"
    )
    assert shown(capsys, tmp_path / "by-101.wcap") == ["1\n", "3\n", "5\n"]
    assert main(["verify", *map(str, tmp_path.glob("by-*.wcap"))]) == 0


@pytest.mark.parametrize(
    ("host", "label"),
    [("../../etc/x\x1b[2J", "etc-x-2J"), ("web1.example", "web1-example"), ("…", "unknown"),
     ("a" * 300, "a" * 40), (None, "unknown")],
)  # fmt: skip
def test_nothing_of_a_host_name_but_letters_and_digits_becomes_a_file_name(
    host, label, tmp_path, capsys
):
    header = replace(HEADER, host=host)
    path = write_capture(tmp_path / "run.wcap", batch_of(write()), header=header)
    made = tmp_path / "made"
    made.mkdir()

    assert main(["split", str(path), "--host", "-o", str(made / "by.wcap")]) == 0

    assert [name.name for name in made.iterdir()] == [f"by-{label}.wcap"]
    assert capsys.readouterr().err.rstrip("\n").isprintable()


def test_the_capture_that_is_read_is_never_replaced(path, tmp_path, capsys):
    numbered = path.rename(tmp_path / "run-0001.wcap")
    before = numbered.read_bytes()

    arguments = ["--size", "1M", "--force", "-o", str(tmp_path / "run.wcap")]
    assert main(["split", str(numbered), *arguments]) == 2

    assert "names files as the capture that is read is named" in capsys.readouterr().err
    assert numbered.read_bytes() == before


def test_existing_files_are_not_replaced_unasked(path, tmp_path):
    there = tmp_path / "by-100.wcap"
    there.write_text("mine")

    assert main(["split", str(path), "--process", "-o", str(tmp_path / "by.wcap")]) == 1

    assert there.read_text() == "mine"


@pytest.fixture
def growing(tmp_path):
    """A capture whose second part, by time, is much larger than its first."""
    events = [write(b"little"), write(os.urandom(20_000), after_ns=10**9)]
    return write_capture(tmp_path / "run.wcap", batch_of(*events))


def test_the_part_that_there_is_no_room_for_is_named_and_those_before_are_whole(
    growing, tmp_path, capsys
):
    with no_file_larger_than(8000):
        status = main(["split", str(growing), "--time", "1s", "-o", str(tmp_path / "part.wcap")])

    first, second = sorted(tmp_path.glob("part-*.wcap"))
    assert (status, capsys.readouterr().err) == (1, f"wcap: {second}: File too large\n")
    assert shown(capsys, first) == ["little"]
    assert main(["verify", str(first)]) == 0
    assert shown(capsys, second) == []


def test_a_part_that_there_is_no_room_to_begin_is_removed(growing, tmp_path, capsys):
    with no_file_larger_than(20):
        status = main(["split", str(growing), "--time", "1s", "-o", str(tmp_path / "part.wcap")])

    named = tmp_path / "part-0001.wcap"
    assert (status, capsys.readouterr().err) == (1, f"wcap: {named}: File too large\n")
    assert list(tmp_path.iterdir()) == [growing]


@pytest.mark.parametrize("options", [[], ["--process", "--host"], ["--size", "0"]])
def test_one_way_to_split_is_asked_for(path, tmp_path, options):
    assert main(["split", str(path), *options, "-o", str(tmp_path / "by.wcap")]) == 2
