"""What is lost, and the proof that nothing else is: two writers flat out, each on its own CPU."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest
from kernel.support import Puppet, python, record

from wcap.cli import main
from wcap.events import EventFlag

pytestmark = pytest.mark.kernel

WRITES = 100_003
CPUS = sorted(os.sched_getaffinity(0))[:2]
# Every write differs in length from the one before, so that results tell whose they are.
WORKLOAD = f"""
os.sched_setaffinity(0, [CPU])
for n in range({WRITES}):
    os.write(null, b"%d" % n + bytes(n % 101))
"""


def record_two_writers(*options, output):
    with (
        Puppet(f"CPU = {CPUS[0]}\n{WORKLOAD}") as one,
        Puppet(f"CPU = {CPUS[-1]}\n{WORKLOAD}") as two,
    ):

        def write():
            one.go()
            two.go()
            assert (one.process.wait(), two.process.wait()) == (0, 0)

        return record("-p", f"{one.pid},{two.pid}", *options, output=output, during=write)


def column(recorded, name, cpu=None):
    """Return a column of all events, or of those of one CPU."""
    batches = recorded.batches
    if cpu is not None:
        batches = [batch.select(batch.cpu == cpu) for batch in batches]
    return np.concatenate([getattr(batch, name) for batch in batches])


@pytest.fixture(scope="module", params=["ring", "perf"])
def lossless(request, tmp_path_factory):
    output = tmp_path_factory.mktemp(request.param) / "run.wcap"
    return record_two_writers("--transport", request.param, output=output)


@pytest.fixture(scope="module", params=["ring", "perf"])
def lossy(request, tmp_path_factory):
    output = tmp_path_factory.mktemp(request.param) / "run.wcap"
    return record_two_writers("--transport", request.param, "-B", "64K", output=output)


def test_two_writers_flat_out_are_recorded_in_full(lossless):
    assert (lossless.status, lossless.gaps, lossless.end.lost) == (0, [], {})
    assert lossless.count == 2 * WRITES
    expected = [b"%d" % n + bytes(n % 101) for n in range(WRITES)]
    for tid in np.unique(column(lossless, "tid")):
        mine = [batch.select(batch.tid == tid) for batch in lossless.batches]
        assert [payload for batch in mine for payload in batch.payloads()] == expected


def test_events_of_all_cpus_are_in_one_order_of_time(lossless):
    times = column(lossless, "time_ns")
    changes = np.count_nonzero(np.diff(column(lossless, "tid").astype(np.int64)))

    assert len(lossless.batches) > 1
    assert bool((times[1:] >= times[:-1]).all())
    assert changes > 101


def test_every_write_is_recorded_or_counted_as_lost(lossy):
    assert lossy.status == 3
    assert 0 < lossy.count < 2 * WRITES
    lost = 2 * WRITES - lossy.count
    assert f" {lost:,} events lost, " in lossy.said[-1]
    assert sum(lossy.end.lost.values()) == lost
    for cpu in CPUS:
        recorded = len(column(lossy, "sequence", cpu))
        gone = sum(gap.count for gap in lossy.gaps if gap.cpu == cpu)
        assert recorded + gone == lossy.end.sequences[cpu] == 2 * WRITES // len(CPUS)


def test_every_hole_is_covered_by_a_gap_between_the_events_on_its_sides(lossy):
    for cpu in CPUS:
        numbers = column(lossy, "sequence", cpu)
        times = column(lossy, "time_ns", cpu)
        covered = 0
        for gap in (gap for gap in lossy.gaps if gap.cpu == cpu):
            before, after = np.searchsorted(numbers, [gap.first_sequence, gap.last_sequence])
            present = after - before
            assert gap.count == gap.last_sequence - gap.first_sequence + 1 - present
            covered += gap.count
            if before > 0:
                assert gap.first_ns == times[before - 1]
            if after < len(times):
                assert gap.last_ns == times[after]
        holes = lossy.end.sequences[cpu] - len(numbers)
        assert covered == holes


def test_a_result_is_that_of_its_write_or_told_to_be_lost(lossy):
    flags, count = column(lossy, "flags"), column(lossy, "count").astype(np.int64)
    known = flags == 0

    assert bool((column(lossy, "returned")[known] == count[known]).all())
    assert int(np.count_nonzero(known)) > 1009
    # Of a thread's last write it cannot be told whether it ended.
    lost, unfinished = (
        np.count_nonzero(flags & np.uint32(flag))
        for flag in (EventFlag.RESULT_LOST, EventFlag.UNFINISHED)
    )
    assert unfinished <= 2
    assert lost <= sum(lossy.end.lost_results.values()) <= lost + unfinished


def test_a_reader_tells_of_losses_too(lossy, capsys):
    assert main(["show", str(lossy.path)]) == 3
    assert "lost" in capsys.readouterr().out
    assert main(["info", str(lossy.path)]) == 3
    assert "incomplete" in capsys.readouterr().out


def test_the_end_of_a_call_left_out_is_never_taken_for_one_that_was_lost(tmp_path):
    """A thread blocks in calls that are left out, and its place is taken by whoever it wakes."""
    code = f"""
os.sched_setaffinity(0, [{CPUS[0]}])
os.dup2(null, 77)
reading, writing = os.pipe()
libc.fcntl(writing, 1031, 4096)  # F_SETPIPE_SZ
if os.fork() == 0:
    os.close(writing)
    while os.read(reading, 4096):
        os.write(null, b'r')
    os._exit(0)
os.close(reading)
for n in range(20011):
    for _ in range(20):
        os.write(77, bytes(n % 101))
    os.write(writing, bytes(4096))
    os.write(writing, bytes(4096))
"""

    lossy = record("-B", "64K", "--fd", "77", "--", *python(code), output=tmp_path / "run.wcap")

    flags, count = column(lossy, "flags"), column(lossy, "count").astype(np.int64)
    known = flags == 0
    assert lossy.end.lost_results
    assert bool((column(lossy, "returned")[known] == count[known]).all())
    assert int(np.count_nonzero(known)) > 1009


def test_a_recording_that_must_not_lose_anything_ends_at_the_first_loss(tmp_path):
    endless = python("while True: os.write(null, bytes(4096))")

    stopped = record("-B", "64K", "--fail-on-loss", "--", *endless, output=tmp_path / "run.wcap")

    assert (stopped.status, stopped.end.reason) == (3, "loss")
    assert stopped.end.exit_status == -signal.SIGTERM
    assert sum(gap.count for gap in stopped.gaps) == sum(stopped.end.lost.values()) > 0


def test_a_recording_that_loses_nothing_is_not_ended(tmp_path):
    some = python("for n in range(1009): os.write(null, b'x')")

    whole = record("--fail-on-loss", "--", *some, output=tmp_path / "run.wcap")

    assert (whole.status, whole.end.reason, whole.count) == (0, "command", 1009)
