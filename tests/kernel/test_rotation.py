"""Recordings in several files: each proves itself, and nothing is lost or doubled between them."""

from __future__ import annotations

import stat
import time

import pytest
from kernel.support import assert_seamless, python, record

import wcap
from wcap.summary import examine

pytestmark = pytest.mark.kernel

WRITES = 30_011
# Two processes at once, each of which numbers what it writes.
TWO_WRITERS = f"""
other = os.fork()
for n in range({WRITES}):
    os.write(null, b"%d %d" % (bool(other), n))
if other:
    os.waitpid(other, 0)
"""
SLOW = """
for n in range({count}):
    os.write(null, b"%d" % n)
    time.sleep(0.1)
"""


def test_two_writers_flat_out_lose_and_double_nothing_at_the_seams_of_many_parts(tmp_path):
    options = ("-C", "64K", "--lossless", "-e", "write")

    done = record(*options, "--", *python(TWO_WRITERS), output=tmp_path / "run.wcap")

    paths = sorted(tmp_path.glob("run-*.wcap"))
    assert done.status == 0, done.said
    assert f"{len(paths)} parts, the last {paths[-1]}" in done.said[-1]
    assert len(paths) > 5
    assert all(path.stat().st_size <= 64 << 10 for path in paths)
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    events = assert_seamless(paths)
    written = [event.data for event in events if event.fd > 2 and b" " in event.data]
    expected = [b"%d %d" % (who, n) for who in (0, 1) for n in range(WRITES)]
    assert sorted(written) == sorted(expected)
    with wcap.open(paths[0]) as first, wcap.open(paths[-1]) as last:
        assert (first.header.part, last.header.part) == (1, len(paths))
        assert (first.end.reason, last.end.reason) == ("rotation", "command")
        assert last.end.exit_status == 0


def test_what_is_lost_and_what_is_recorded_add_up_over_all_parts(tmp_path):
    options = ("-C", "64K", "-B", "64K", "-s", "64", "-e", "write")

    done = record(*options, "--", *python(TWO_WRITERS), output=tmp_path / "run.wcap")

    paths = sorted(tmp_path.glob("run-*.wcap"))
    assert (done.status, len(paths) > 1) == (3, True), done.said
    reached, recorded, lost = {}, 0, 0
    for path in paths:
        with wcap.open(path) as capture:
            assert capture.header.after == reached
            recorded += sum(map(len, capture.batches()))
            lost += sum(gap.count for gap in capture.gaps)
            reached = {cpu: n for cpu, n in capture.end.sequences.items() if n}
            facts = examine(capture)
        assert (facts.holes, facts.discrepancies, facts.uncounted) == ([], {}, 0)
        assert sum(facts.end.lost.values()) == facts.lost
    assert lost > 0
    assert recorded + lost >= 2 * WRITES  # and what Python writes as it starts
    assert recorded + lost == sum(reached.values())


def test_a_ring_of_files_keeps_the_newest(tmp_path):
    options = ("-C", "64K", "-W", "3", "--lossless", "-e", "write")

    done = record(*options, "--", *python(TWO_WRITERS), output=tmp_path / "run.wcap")

    paths = sorted(tmp_path.iterdir())
    assert done.status == 0, done.said
    assert [path.name for path in paths] == ["run-1.wcap", "run-2.wcap", "run-3.wcap"]
    with_parts = {}
    for path in paths:
        with wcap.open(path) as capture:
            with_parts[capture.header.part] = path
    newest = sorted(with_parts)
    assert newest == list(range(newest[-1] - 2, newest[-1] + 1))
    assert newest[0] > 1
    with wcap.open(with_parts[newest[0]]) as oldest:
        after = oldest.header.after
    assert_seamless([with_parts[part] for part in newest], first=after)


def test_with_a_time_parts_are_named_after_it_and_end_after_so_many(tmp_path):
    output = tmp_path / "run-%H%M%S.wcap"
    workload = SLOW.format(count=53)

    done = record("-G", "1", "-W", "2", "--", *python(workload), output=output)

    paths = sorted(tmp_path.iterdir())
    assert done.status == 0, done.said
    assert len(paths) == 2
    events = assert_seamless(paths)
    written = [event for event in events if event.data.isdigit()]
    assert [int(event.data) for event in written] == list(range(len(written)))
    assert 12 < len(written) < 53
    with wcap.open(paths[0]) as first, wcap.open(paths[1]) as last:
        began = time.localtime(first.header.started_ns // 1_000_000_000)
        assert paths[0].name == time.strftime("run-%H%M%S.wcap", began)
        seam_ns = first.header.started_ns + 1_000_000_000
        assert max(event.time_ns for event in first) < seam_ns
        assert min(event.time_ns for event in last) >= seam_ns
        assert last.end.reason == "parts"


def test_a_late_result_is_in_the_part_that_is_open(tmp_path):
    workload = """
reading, writing = os.pipe()
capacity = len(b"x" * 65536)
if os.fork() == 0:
    os.write(writing, bytes(capacity + 1))
    os._exit(0)
for n in range(28):
    time.sleep(0.1)
    os.write(null, b"%d" % n)
os.read(reading, capacity)
os.wait()
"""

    done = record("-G", "1", "--", *python(workload), output=tmp_path / "run.wcap")

    paths = sorted(tmp_path.iterdir())
    assert done.status == 0, done.said
    events = assert_seamless(paths)
    [blocked] = [event for event in events if event.count == 65537]
    assert blocked.flags & wcap.EventFlag.UNFINISHED
    results = {}
    for path in paths[1:]:
        with wcap.open(path) as later:
            results |= later.earlier_results
            assert later.late_results == {}
    [(event, (returned, duration_ns))] = results.items()
    assert (event, returned) == ((blocked.cpu, blocked.sequence), 65537)
    assert duration_ns > 2_000_000_000
