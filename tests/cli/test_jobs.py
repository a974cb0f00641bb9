"""What several processes print is what one prints: output, messages and exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from support import STARTED_NS, batch_of, write, write_capture

from wcap import reader, stats, workers
from wcap.cli import main
from wcap.events import EventFlag, Gap

pytestmark = pytest.mark.skipif(not workers.available, reason="needs fork")

COMMANDS = (
    ["show"],
    ["show", "--json"],
    ["show", "--hex"],
    ["show", "--text"],
    ["show", "--time", "delta"],
    ["show", "--fd", "2"],
    ["show", "-n", "70"],
    ["show", "--json", "-n", "33"],  # three whole chunks
    ["show", "-n", "0"],
    ["show", "--fd", "2", "-n", "20"],
    ["stats"],
    ["stats", "--json", "--by", "tid", "--by", "fd"],
    ["stats", "--grep", "line 1"],
    ["export", "--csv"],
    ["export", "--jsonl", "--errors"],
    ["export", "--csv", "-n", "70"],
    ["export", "--csv", "-n", "1000"],
)


def batches(count=9):
    """Make batches that differ, each of which becomes a chunk."""
    number = 0
    for which in range(count):
        rows = []
        for _ in range(10 + which):
            number += 1
            rows.append(
                write(
                    b"line %d\n" % number,
                    after_ns=number * 400_000_000,
                    pid=100 + which % 3,
                    fd=1 + number % 4,
                    returned=-32 if number % 7 == 0 else None,
                    duration_ns=1 << number % 40,
                    flags=EventFlag.RESULT_LOST if number % 11 == 0 else EventFlag(0),
                )
                | {"sequence": number}
            )
        yield batch_of(*rows)


GAPS = [
    Gap(1, 1, 4, 4, STARTED_NS, STARTED_NS + 100, "buffer-full"),
    Gap(1, 5, 6, 2, STARTED_NS + 10_100_000_000, STARTED_NS + 10_200_000_000, "buffer-full"),
    Gap(1, 7, 7, 1, STARTED_NS + 10_200_000_000, STARTED_NS + 10_200_000_001, "buffer-full"),
    Gap(1, 8, 9, 2, STARTED_NS + 990_000_000_000, STARTED_NS + 999_000_000_000, "buffer-full"),
]


def written(path, gaps=()):
    return write_capture(path, *batches(), gaps=gaps)


def outcome(capfdbinary, *argv):
    return (main([*map(str, argv)]), *capfdbinary.readouterr())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("gaps", [[], GAPS], ids=["whole", "gaps"])
def test_the_outcome_is_that_of_one_process(command, gaps, tmp_path, capfdbinary):
    path = written(tmp_path / "run.wcap", gaps)
    alone = outcome(capfdbinary, *command, path)
    assert alone[0] == (3 if gaps else 0)
    for jobs in (0, 2, 3, 40):
        assert outcome(capfdbinary, *command, path, "--jobs", jobs) == alone


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_damaged_capture_is_told_of_as_by_one_process(command, tmp_path, capfdbinary):
    path = written(tmp_path / "run.wcap", GAPS)
    whole = path.read_bytes()
    with reader.open_capture(path) as capture:
        places = [place.entry.offset for place in capture._chunks]
    spoiled = [
        whole[: places[4] + 100] + b"\xff" + whole[places[4] + 101 :],  # a chunk
        whole[: places[6]],  # no index
        whole[: places[3]] + whole[places[5] :],  # chunks gone: the index is wrong
        whole[: places[3]] + whole[places[5] : places[6]] + whole[places[4] :],
        whole[:-3],
    ]
    for data in spoiled:
        path.write_bytes(data)
        alone = outcome(capfdbinary, *command, path)
        for jobs in (2, 3):
            assert outcome(capfdbinary, *command, path, "--jobs", jobs) == alone


def test_a_pipe_and_several_captures_are_read_by_one_process(tmp_path, capfdbinary):
    path, other = written(tmp_path / "run.wcap"), written(tmp_path / "other.wcap")
    for command in (["show"], ["stats"], ["export", "--csv"]):
        alone = outcome(capfdbinary, *command, path, other)
        assert outcome(capfdbinary, *command, path, other, "--jobs", "2") == alone


def test_more_groups_than_are_told_apart_are_summed_up_as_by_one_process(
    tmp_path, capfdbinary, monkeypatch
):
    monkeypatch.setattr(stats, "MOST_GROUPS", 5)
    path = written(tmp_path / "run.wcap")
    alone = outcome(capfdbinary, "stats", path)
    assert b"too many to be told apart" in alone[1]
    assert outcome(capfdbinary, "stats", path, "--jobs", "2") == alone


def test_messages_come_in_order_and_wait_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(workers, "_MOST_WAITING", 1000)

    def work(number):
        for message in range(50):
            yield message % 5, bytes([number, message]) * 50_000

    with workers.Workers(3, work) as several:
        for number in (2, 0, 1):
            for message in range(50):
                expected = message % 5, bytes([number, message]) * 50_000
                assert several.next_of(number) == expected


def test_what_a_process_fails_with_is_raised_in_its_place():
    def work(number):
        yield 1, b"before"
        raise ValueError("what went wrong")

    with workers.Workers(2, work) as several:
        assert several.next_of(1) == (1, b"before")
        with pytest.raises(ValueError, match="what went wrong"):
            several.next_of(1)


def test_a_process_that_is_killed_is_told_of():
    def work(number):
        yield 0, str(os.getpid()).encode()
        os.kill(os.getpid(), signal.SIGKILL)

    with workers.Workers(1, work) as several:
        several.next_of(0)
        with pytest.raises(ChildProcessError, match="was killed"):
            several.next_of(0)


def test_none_is_left_behind_when_the_rest_is_not_wanted():
    def work(number):
        while True:
            yield 0, str(os.getpid()).encode()

    with workers.Workers(2, work) as several:
        children = [int(several.next_of(number)[1]) for number in (0, 1)]
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def run_into_pipe(path):
    """Start a command that prints more than a pipe holds, and whose chunks are many."""
    return subprocess.Popen(
        [sys.executable, "-m", "wcap", "export", "--jsonl", path, "--jobs", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture
def large(tmp_path):
    rows = [
        write(b"x" * 2000, after_ns=number, fd=number % 4) | {"sequence": number + 1}
        for number in range(400)
    ]
    pieces = [batch_of(*rows[start : start + 50]) for start in range(0, 400, 50)]
    return write_capture(tmp_path / "large.wcap", *pieces)


def test_nobody_reads_any_more_and_the_end_is_quiet(large):
    with run_into_pipe(large) as process:
        process.stdout.read(100)
        process.stdout.close()
        assert process.wait(60) == 0
        assert process.stderr.read() == b""


def test_ctrl_c_ends_all_of_them(large):
    with run_into_pipe(large) as process:
        process.stdout.read(100)
        process.send_signal(signal.SIGINT)
        # What was written before stays in the pipe; that it ends shows that no child holds it.
        process.stdout.read()
        assert process.wait(60) == 130
        assert process.stderr.read() == b""
