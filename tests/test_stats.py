from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import STARTED_NS, batch_of, write, write_capture

import wcap
from wcap.batch import EventBatch
from wcap.events import UNKNOWN_TARGET, EventFlag, Process, Target
from wcap.filters import Filter
from wcap.stats import GROUPINGS, OCTAVES, Tally, collect, octaves, ranked
from wcap.timeline import Timeline

NO_RESULT = (EventFlag.UNFINISHED, EventFlag.RESULT_LOST, EventFlag.UNSENT)
TARGETS = (
    UNKNOWN_TARGET,
    Target("file", "/a"),
    Target("file", "/a", from_proc=True),
    Target("file", "/b"),
    Target("pipe", inode=7),
)
HUGE = (1 << 64) - 1

events = st.builds(
    write,
    st.binary(max_size=20),
    after_ns=st.integers(0, 5_000_000_000),
    pid=st.integers(1, 4),
    tid=st.integers(1, 6) | st.just(4_000_000),
    comm=st.sampled_from(["a", "b", "c"]),
    leader=st.sampled_from(["a", "z"]),
    fd=st.sampled_from([-1, 0, 1, 2, 70_000, 2**31 - 1]),
    count=st.integers(20, 100) | st.sampled_from([2**32, 2**63, HUGE]),
    returned=st.integers(-40, 100),
    duration_ns=st.integers(0, 1 << 40),
    flags=st.sampled_from([EventFlag(0), *EventFlag]),
    syscall=st.sampled_from(["write", "writev"]),
    target=st.sampled_from(TARGETS),
)


def in_batches(rows, size):
    """Make batches of at most ``size`` events, in time order."""
    rows = sorted(rows, key=lambda row: row["time_ns"])
    return [batch_of(*rows[start : start + size]) for start in range(0, len(rows), size)]


def key_of(row, by):
    process = row["process"]
    owner = (process.pid, process.leader, process.start_ns)
    return {
        "process": (owner,),
        "comm": (row["comm"],),
        "fd": (owner, row["fd"]),
        "syscall": (row["syscall"],),
        "tid": (owner, row["tid"], row["comm"]),
        "target": (row["target"].name,),
        "kind": (row["target"].kind,),
        "host": (None,),
    }[by]


def tallied(rows):
    """Sum up events one by one, as anyone would."""
    tally = Tally()
    for row in rows:
        known = not any(row["flags"] & flag for flag in NO_RESULT)
        tally.add(
            1,
            row["count"],
            row["captured"],
            max(row["returned"], 0) if known else 0,
            int(known and row["returned"] < 0),
        )
    return tally


@given(st.lists(events, min_size=1, max_size=40), st.integers(1, 40))
def test_every_sum_is_what_adding_up_event_by_event_gives(rows, size):
    stats = collect(in_batches(rows, size), by=list(GROUPINGS), origin_ns=STARTED_NS)

    assert stats.total == tallied(rows)
    for by, groups in stats.groups.items():
        expected = {}
        for row in rows:
            expected.setdefault(key_of(row, by), []).append(row)
        assert groups == {key: tallied(members) for key, members in expected.items()}


@pytest.mark.parametrize("least", [0, (1 << 40) + (1 << 15)])
def test_sums_are_right_where_sizes_are_alike_and_events_many(least):
    rows = [
        write(b"", fd=number % 700, after_ns=0, count=least + number % 120, returned=number % 120)
        for number in range(6300)
    ]
    stats = collect([batch_of(*rows).select(np.tile(np.arange(6300), 15))], by=["fd"])

    assert stats.total.events == 15 * 6300
    assert stats.total.asked == 15 * sum(row["count"] for row in rows)
    sizes = Counter(row["count"].bit_length() for row in rows)
    assert stats.sizes.tolist() == [15 * sizes[octave] for octave in range(OCTAVES)]
    for fd in (0, 1, 699):
        ((asked, written),) = (
            (tally.asked, tally.written)
            for key, tally in stats.groups["fd"].items()
            if key[1] == fd
        )
        mine = [row for row in rows if row["fd"] == fd]
        assert asked == 15 * sum(row["count"] for row in mine)
        assert written == 15 * sum(row["returned"] for row in mine)


@given(st.lists(events, min_size=1, max_size=40), st.integers(1, 40))
def test_counts_besides_the_sums_are_right_too(rows, size):
    stats = collect(in_batches(rows, size), origin_ns=STARTED_NS)

    known = [row for row in rows if not any(row["flags"] & flag for flag in NO_RESULT)]
    assert stats.without_result == len(rows) - len(known)
    assert stats.short == sum(0 <= row["returned"] != row["count"] for row in known)
    assert stats.truncated == sum(row["flags"] == EventFlag.TRUNCATED for row in rows)
    assert stats.unreadable == sum(row["flags"] == EventFlag.UNREADABLE for row in rows)
    assert stats.errors == Counter(-row["returned"] for row in known if row["returned"] < 0)
    sizes = Counter(row["count"].bit_length() for row in rows)
    assert stats.payload_lost == sum(row["flags"] == EventFlag.PAYLOAD_LOST for row in rows)
    assert stats.without_payload == sum(row["flags"] == EventFlag.NO_PAYLOAD for row in rows)
    timed = [row for row in known if row["flags"] != EventFlag.AT_EXIT]
    durations = Counter(row["duration_ns"].bit_length() for row in timed)
    assert stats.sizes.tolist() == [sizes[octave] for octave in range(OCTAVES)]
    assert stats.durations.tolist() == [durations[octave] for octave in range(OCTAVES)]
    times = [row["time_ns"] for row in rows]
    assert (stats.first_ns, stats.last_ns) == (min(times), max(times))
    assert stats.timeline.events.sum() == len(rows)
    assert stats.timeline.written.sum() == stats.total.written


@pytest.mark.parametrize("shift", [0, 20])
@given(numbers=st.lists(st.integers(0, HUGE) | st.integers(0, 100), min_size=1))
def test_an_octave_is_the_number_of_bits(numbers, shift):
    column = np.array(numbers, dtype=np.uint64) >> np.uint64(shift)

    counted = Counter(number.bit_length() for number in column.tolist())

    assert octaves(column).tolist() == [counted[octave] for octave in range(OCTAVES)]


@pytest.mark.parametrize("power", range(1, 64))
def test_no_power_of_two_is_counted_in_a_neighbouring_octave(power):
    numbers = np.array([(1 << power) - 1, 1 << power, 1 << 63], dtype=np.uint64)

    counted = octaves(numbers)

    assert counted[power] == 1
    assert counted[power + 1] == (2 if power == 63 else 1)


def test_without_events_all_is_zero():
    stats = collect([])

    assert stats.total == Tally()
    assert stats.first_ns is None
    assert not octaves(np.zeros(0, dtype=np.uint64)).any()


def test_the_same_pid_of_another_process_is_another_group():
    first, second = write(), write()
    first["process"] = Process(100, "hello", leader="hello", start_ns=1)
    second["process"] = Process(100, "hello", leader="hello", start_ns=2)

    groups = collect([batch_of(first), batch_of(second)]).groups["process"]

    assert sorted(groups) == [((100, "hello", 1),), ((100, "hello", 2),)]


def test_a_process_without_a_known_leader_is_named_by_its_comm():
    row = write()
    row["process"] = Process(100, "worker")

    groups = collect([batch_of(row)]).groups["process"]

    assert list(groups) == [((100, "worker", None),)]


def test_targets_of_one_name_are_one_group_and_all_unknown_ones_another():
    batch = batch_of(*[write(target=target) for target in TARGETS])

    groups = collect([batch], by=["target", "kind"]).groups

    assert {key: tally.events for key, tally in groups["target"].items()} == {
        (None,): 1, ("/a",): 2, ("/b",): 1, ("pipe:[7]",): 1,
    }  # fmt: skip
    assert {key: tally.events for key, tally in groups["kind"].items()} == {
        (None,): 1, ("file",): 3, ("pipe",): 1,
    }  # fmt: skip


def test_what_a_call_without_a_payload_wrote_counts_as_written_and_not_as_captured():
    stats = collect([batch_of(write(b"", count=9, returned=7, flags=EventFlag.NO_PAYLOAD))])

    assert stats.total == Tally(events=1, asked=9, captured=0, written=7)


def test_groups_are_ranked_by_bytes_then_by_events():
    groups = {
        ("idle",): Tally(events=1),
        ("busy",): Tally(events=5),
        ("heavy",): Tally(events=1, written=9),
    }

    assert [key for key, _ in ranked(groups)] == [("heavy",), ("busy",), ("idle",)]


def test_payloads_and_columns_that_nobody_asked_for_stay_undecoded():
    sound = batch_of(write(), write(fd=2))
    wanted = {"time_ns", "process", "fd", "syscall", "count", "captured", "returned"}
    wanted |= {"duration_ns", "flags"}

    class Watched(dict):
        def __getitem__(self, name):
            assert name in wanted, name
            return sound.column(name)

    def payload():
        raise AssertionError("a payload was decoded")

    tables = {name: getattr(sound, name) for name in ("processes", "comms", "syscalls")}
    stats = collect([EventBatch(2, Watched(), payload, **tables)])

    assert stats.total.events == 2


def test_a_filter_on_columns_reads_no_payload(tmp_path, monkeypatch):
    path = write_capture(tmp_path / "x.wcap", batch_of(write(fd=1), write(b"twenty", fd=2)))
    monkeypatch.setattr("wcap.chunks.Chunk._payload", lambda *_: pytest.fail("payload decoded"))

    with wcap.open(path) as capture:
        stats = collect(capture.batches(Filter(fds=frozenset({2}))))

    assert stats.total.captured == 6


def test_times_that_go_back_lose_no_event():
    rows = [write(after_ns=after) for after in (5_000_000_000, 0, 9_000_000_000, 1)]

    stats = collect([batch_of(*rows)], origin_ns=STARTED_NS)

    assert stats.timeline.events.sum() == 4


@given(st.lists(st.lists(st.integers(-(10**13), 10**13), min_size=1, max_size=5), min_size=1))
def test_a_timeline_puts_every_event_where_it_belongs(batches):
    line = Timeline()
    for times in batches:
        column = np.array(sorted(times), dtype=np.int64)
        line.add(column, np.ones(len(column), dtype=np.int64))

    everything = [time for times in batches for time in times]
    for part in (line, line.coarser(20)):
        cells = Counter(time // part.width_ns - part.first for time in everything)
        assert part.events.tolist() == [cells[cell] for cell in range(len(part.events))]
        assert part.written.tolist() == part.events.tolist()
    assert len(line.events) <= 10_000
    assert len(line.coarser(20).events) <= 20
    assert str(line.coarser(20).width_ns).rstrip("0") in ("1", "2", "5")


def test_groups_beyond_the_most_that_are_told_apart_are_summed_up_together(monkeypatch):
    monkeypatch.setattr("wcap.stats.MOST_GROUPS", 2)
    rows = [write(b"x" * n, fd=n, after_ns=n) for n in (1, 2, 3, 4, 1)]

    found = collect(in_batches(rows, 2), by=["fd", "syscall"])

    assert [key[1] for key in found.groups["fd"]] == [1, 2]
    assert found.groups["fd"][next(iter(found.groups["fd"]))].events == 2
    assert found.others == {"fd": Tally(2, 7, 7, 7, 0)}
    assert found.total.events == 5


def test_results_below_every_error_of_linux_are_counted_together():
    rows = [write(returned=-number, after_ns=number) for number in (1, 4095, 4096, 1 << 40)]

    assert collect([batch_of(*rows)]).errors == {1: 1, 4095: 1, 4096: 2}
