from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder.cutting import CLOCK, HOUR, OFFSET_NS, cut_of, make_assembler, result_of
from recorder.machine import FIRST_PID, SKEW, Machine, steps
from recorder.onebyone import OneByOne
from recorder.rawrecords import (
    ADDRESS,
    OFFSET,
    bypass,
    enter,
    extra_of,
    leave,
    process,
    reread,
    sent,
    span_of,
    target,
)

from wcap.events import Bypass, EventFlag
from wcap.recorder import assemble
from wcap.recorder.assemble import HELD_EVENTS, UNFINISHED_AFTER_NS
from wcap.recorder.joining import SENDMMSG


class Run:
    """The assembler and the rules applied one by one, given the same records."""

    def __init__(self, held_events, *, at_exit=False):
        self.machine = Machine(at_exit=at_exit)
        self.assembler = make_assembler(at_exit=at_exit)
        self.reference = OneByOne(CLOCK.clock_ns, OFFSET_NS, held_events, at_exit=at_exit)
        self.seen = []
        self.lost = []
        self.latest_ns = 0

    def step(self, step):
        if isinstance(step, dict):
            self.machine.write(**step)
        elif isinstance(step, str):
            self.feed(keep=step == "feed all but one")
        elif len(step) == 3:
            self.machine.execute(*step)
        else:
            self.cut(most=step[0], lag=step[1])

    def feed(self, *, keep=0):
        records = self.machine.transport[: len(self.machine.transport) - keep]
        del self.machine.transport[: len(records)]
        self.assembler.feed(span_of(*(record.raw() for record in records)))
        self.reference.feed(records)

    def cut(self, *, most=None, lag=SKEW, last=False):
        self.feed()
        if any(write.message is not None for write in self.reference.waiting):
            most = None  # which ends a recording: the rest of a call's messages is not asked for
        now = self.machine.now
        cut = self.assembler.cut(now, now - lag, last=last, most=most)
        expected = self.reference.cut(now, now - lag, last=last, most=most)
        assert sorted(cut.results) == sorted(expected.results)
        assert sorted(cut.gaps, key=repr) == sorted(expected.gaps, key=repr)
        assert [gap.last_ns for gap in cut.gaps] == sorted(gap.last_ns for gap in cut.gaps)
        assert (cut.batch is None) == (not expected.rows)
        self.lost += cut.gaps
        if cut.batch is not None:
            self._compare(cut.batch, expected.rows)

    def _compare(self, batch, rows):
        events = list(batch)
        assert len(events) == len(batch) == len(rows)
        same = ("time_ns", "cpu", "sequence", "tid", "comm", "syscall", "fd", "count", "flags")
        more = ("target", "offset", "source_fd", "source", "address")
        for event, row, place in zip(events, rows, batch.process.tolist(), strict=True):
            assert batch.processes[place] == row.process
            for name in same + more:
                assert getattr(event, name) == getattr(row, name), name
            assert event.data == row.payload
            assert result_of(event) == row.result
        assert batch.captured.tolist() == [len(row.payload) for row in rows]
        assert batch.joined() == b"".join(row.payload for row in rows)
        times = [self.latest_ns, *batch.time_ns.tolist()]
        assert times == sorted(times)
        self.latest_ns = times[-1]
        self.seen += [(event.cpu, event.sequence) for event in events]


@settings(max_examples=400, deadline=None)
@given(steps, st.sampled_from([HELD_EVENTS, 2]), st.booleans())
def test_whatever_happens_the_columns_are_what_record_by_record_would_give(
    steps, held_events, at_exit
):
    run = Run(held_events, at_exit=at_exit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "HELD_EVENTS", held_events)
        for step in steps:
            run.step(step)
        run.cut(last=True)
    machine, now = run.machine, run.machine.now + 1
    finish = run.assembler.finish(machine.sequences, now)

    assert finish == sorted(run.reference.finish(machine.sequences, now), key=lambda gap: gap.cpu)
    recorded = [(write.cpu, write.sequence) for write in machine.recorded]
    assert sorted(run.seen) == sorted(recorded)
    missing = [
        (gap.cpu, number)
        for gap in run.lost + finish
        for number in range(gap.first_sequence, gap.last_sequence + 1)
    ]
    everything = [(cpu, n + 1) for cpu, last in machine.sequences.items() for n in range(last)]
    assert sorted(recorded + missing) == sorted(everything)
    assert run.assembler.waiting == run.assembler.waiting_bytes == 0


def test_a_write_under_way_is_waited_for_and_holds_back_what_came_after_it():
    assembler = make_assembler()
    raw = [
        enter(b"before", tid=1, time_ns=HOUR - 9),
        leave(6, tid=1, time_ns=HOUR - 8),
        enter(b"slow", tid=2, time_ns=HOUR - 7, sequence=2),
        enter(b"after", tid=1, time_ns=HOUR - 6, sequence=3),
        leave(5, tid=1, time_ns=HOUR - 5),
    ]

    first = cut_of(*raw, assembler=assembler)
    assert list(first.batch.payloads()) == [b"before"]
    assert (assembler.waiting, assembler.waiting_bytes) == (2, 9)

    second = cut_of(leave(4, tid=2, time_ns=HOUR), assembler=assembler)
    assert [result_of(event) for event in second.batch] == [(4, 7), (5, 1)]
    assert (assembler.waiting, assembler.waiting_bytes) == (0, 0)


def test_a_write_that_takes_too_long_is_handed_on_and_its_result_follows_once():
    assembler = make_assembler()
    began = HOUR - UNFINISHED_AFTER_NS - 1

    first = cut_of(enter(b"slow", cpu=2, sequence=1, time_ns=began), assembler=assembler)
    assert [event.flags for event in first.batch] == [EventFlag.UNFINISHED]
    assert first.results == []

    second = cut_of(leave(4, time_ns=HOUR), assembler=assembler)
    assert (second.batch, second.results) == (None, [(2, 1, 4, HOUR - began)])

    third = cut_of(leave(4, time_ns=HOUR), assembler=assembler)
    assert (third.batch, third.results) == (None, [])


def test_patience_ends_after_a_second_and_not_before():
    assembler = make_assembler()
    assembler.feed(span_of(enter(b"slow", time_ns=10)))

    assert assembler.cut(10 + UNFINISHED_AFTER_NS, HOUR).batch is None
    assert len(assembler.cut(11 + UNFINISHED_AFTER_NS, HOUR).batch) == 1


def unfinished(assembler):
    """Hand on a write of thread 100 that has not ended."""
    cut = cut_of(enter(b"slow", time_ns=1), assembler=assembler)
    assert [event.flags for event in cut.batch] == [EventFlag.UNFINISHED]


def test_an_end_after_the_threads_next_write_is_not_the_late_result_of_the_one_before():
    assembler = make_assembler()
    unfinished(assembler)

    cut = cut_of(
        enter(b"b", time_ns=2, sequence=2),
        leave(1, time_ns=3),
        leave(77, time_ns=4),  # of a write whose beginning was lost
        assembler=assembler,
    )

    assert cut.results == []
    assert [result_of(event) for event in cut.batch] == [(1, 1)]


def test_a_late_result_arrives_together_with_the_threads_next_write():
    assembler = make_assembler()
    unfinished(assembler)

    cut = cut_of(
        leave(4, time_ns=5), enter(b"b", time_ns=6, sequence=2), leave(1, time_ns=9),
        assembler=assembler,
    )  # fmt: skip

    assert cut.results == [(0, 1, 4, 4)]
    assert [result_of(event) for event in cut.batch] == [(1, 3)]


def test_too_many_writes_are_not_held_back_for_one_that_is_under_way(monkeypatch):
    monkeypatch.setattr(assemble, "HELD_EVENTS", 3)
    others = [
        raw
        for n in range(3)
        for raw in (
            enter(tid=2, time_ns=HOUR - 8 + n, sequence=n + 2),
            leave(tid=2, time_ns=HOUR - 8 + n),
        )
    ]
    slow = enter(b"slow", tid=1, time_ns=HOUR - 9)

    assert cut_of(slow, *others[:4]).batch is None
    assert cut_of(slow, *others).batch.flags.tolist() == [EventFlag.UNFINISHED, 0, 0, 0]


@pytest.mark.parametrize("at", ["enter", "exit"])
def test_too_many_bytes_are_not_held_back_for_one_that_is_under_way(at, monkeypatch):
    monkeypatch.setattr(assemble, "HELD_BYTES", 15)
    slow = enter(tid=1, time_ns=HOUR - 9)

    def cut_with(payload):
        time = {"tid": 2, "time_ns": HOUR - 8}
        if at == "enter":
            return cut_of(slow, enter(payload, **time, sequence=2), leave(**time))
        return cut_of(slow, enter(**time, sequence=2, unreadable=True), reread(payload, **time))

    assert cut_with(b"x" * 15).batch is None
    assert len(cut_with(b"x" * 16).batch) == 2


def test_bytes_read_at_exit_count_as_waiting():
    assembler = make_assembler()
    raw = [
        enter(tid=1, time_ns=HOUR - 9, unreadable=True),
        reread(b"x" * 10, tid=1, time_ns=HOUR - 8),
        enter(b"yy", tid=2, time_ns=HOUR - 7, sequence=2),
    ]

    assembler.feed(span_of(*raw))
    assert assembler.waiting_bytes == 12

    assembler.cut(HOUR, 0)
    assert (assembler.waiting, assembler.waiting_bytes) == (2, 12)
    assembler.cut(HOUR, HOUR)
    assert (assembler.waiting, assembler.waiting_bytes) == (1, 2)


def test_only_the_first_of_most_events_are_handed_on_and_the_rest_waits():
    assembler = make_assembler()
    raw = [
        record
        for n in range(5)
        for record in (enter(b"%d" % n, time_ns=n, sequence=n + 1), leave(time_ns=n))
    ]

    first = cut_of(*raw, assembler=assembler, most=2)
    assert list(first.batch.payloads()) == [b"0", b"1"]
    assert assembler.recorded() == {0: 2}
    assert assembler.waiting == 3

    rest = cut_of(assembler=assembler, last=True)
    assert list(rest.batch.payloads()) == [b"2", b"3", b"4"]


def test_events_of_several_cpus_come_out_in_order_of_time():
    cut = cut_of(
        enter(b"second", tid=1, cpu=1, time_ns=20),
        enter(b"third", tid=2, cpu=1, time_ns=20, sequence=2),
        enter(b"first", tid=3, cpu=0, time_ns=19),
        last=True,
    )

    assert list(cut.batch.payloads()) == [b"first", b"second", b"third"]
    assert cut.batch.time_ns.tolist() == [19 + OFFSET_NS, 20 + OFFSET_NS, 20 + OFFSET_NS]


def test_events_of_one_cpu_at_one_moment_keep_their_order():
    later = enter(cpu=1, tid=99, time_ns=50)
    at_once = [enter(tid=n + 1, time_ns=40, sequence=n + 1) for n in range(100)]

    cut = cut_of(later, *at_once, last=True)

    assert cut.batch.sequence.tolist() == [*range(1, 101), 1]
    assert cut.gaps == []


def test_writes_that_wait_keep_their_ends_though_the_clocks_of_two_cpus_differ():
    assembler = make_assembler()
    raw = [
        enter(b"first", cpu=0, time_ns=20),
        leave(1, cpu=0, time_ns=22),
        enter(b"second", cpu=1, time_ns=15),
        leave(2, cpu=1, time_ns=18),
    ]

    assert cut_of(*raw, settled=10, assembler=assembler).batch is None
    cut = cut_of(assembler=assembler, last=True)

    assert list(cut.batch.payloads()) == [b"second", b"first"]
    assert [result_of(event) for event in cut.batch] == [(2, 3), (1, 2)]


def test_a_clock_that_goes_back_a_little_is_no_gap_and_keeps_the_order_of_its_cpu():
    assembler = make_assembler()

    two = enter(b"a", sequence=1, time_ns=10), enter(b"b", sequence=2, time_ns=9)
    first = cut_of(*two, assembler=assembler, last=True)
    then = cut_of(enter(b"c", sequence=3, time_ns=8), assembler=assembler, last=True)

    events = [*first.batch, *then.batch]
    assert [event.data for event in events] == [b"a", b"b", b"c"]
    assert {event.time_ns for event in events} == {10 + OFFSET_NS}
    assert first.gaps == then.gaps == []


def test_exec_within_a_batch_changes_the_process_of_what_follows():
    pid = FIRST_PID
    cut = cut_of(
        process(pid, comm=b"sh", leader=b"sh", start_ns=1),
        enter(b"1", pid=pid, time_ns=1, comm=b"sh"),
        process(pid, comm=b"ls", leader=b"ls", start_ns=1),
        enter(b"2", pid=pid, time_ns=2, sequence=2, comm=b"ls"),
        last=True,
    )

    leaders = [cut.batch.processes[place].leader for place in cut.batch.process.tolist()]
    assert leaders == ["sh", "ls"]
    assert [event.comm for event in cut.batch] == ["sh", "ls"]


def test_a_write_that_waits_keeps_the_process_that_it_came_from():
    pid, assembler = FIRST_PID, make_assembler()
    raw = [
        process(pid, leader=b"one"),
        enter(b"1", pid=pid, time_ns=1),
        leave(pid=pid, time_ns=2),
        enter(b"2", pid=pid, time_ns=8, sequence=2),
        leave(pid=pid, time_ns=9),
        *(process(pid, leader=leader) for leader in (b"two", b"three", b"four")),
    ]

    first = cut_of(*raw, settled=5, assembler=assembler)
    second = cut_of(assembler=assembler)

    for cut in (first, second):
        assert len(cut.batch) == 1
        assert cut.batch.processes[cut.batch.process[0]].leader == "one"


def test_the_latest_time_is_that_of_any_write_fed():
    assembler = make_assembler()

    assembler.feed(span_of(enter(time_ns=9), enter(time_ns=4), leave(time_ns=50)))

    assert assembler.latest_ns == 9


def message(number, **facts):
    return enter(
        b"m", syscall=SENDMMSG, sequence=number + 1, extra=extra_of(message=number), **facts
    )


def test_the_late_end_of_several_messages_brings_the_result_of_each_that_was_sent():
    assembler = make_assembler()
    first = cut_of(*(message(n, time_ns=1) for n in range(3)), assembler=assembler)
    assert [event.flags for event in first.batch] == [EventFlag.UNFINISHED] * 3

    second = cut_of(sent([7, 8], 2, time_ns=5), assembler=assembler)

    assert second.results == [(0, 1, 7, 4), (0, 2, 8, 4)]
    assert cut_of(leave(1, time_ns=6), assembler=assembler).results == []


def test_the_late_error_of_several_messages_is_the_firsts():
    assembler = make_assembler()
    cut_of(*(message(n, time_ns=1) for n in range(3)), assembler=assembler)

    assert cut_of(sent([], -32, time_ns=5), assembler=assembler).results == [(0, 1, -32, 4)]


def test_a_late_end_that_tells_nothing_of_messages_is_no_result_of_theirs():
    assembler = make_assembler()
    cut_of(message(0, time_ns=1), assembler=assembler)

    assert cut_of(leave(1, time_ns=5), assembler=assembler).results == []


def test_threads_that_were_killed_in_their_call_are_not_awaited_for_ever(monkeypatch):
    monkeypatch.setattr(assemble, "AWAITED_THREADS", 3)
    assembler = make_assembler()
    for tid in range(1, 7):
        began = {"tid": tid, "time_ns": tid, "sequence": tid}
        assert len(cut_of(enter(b"x", **began), assembler=assembler).batch) == 1

    ends = [leave(1, tid=tid, time_ns=10) for tid in range(1, 7)]

    assert [event for _, event, *_ in cut_of(*ends, assembler=assembler).results] == [4, 5, 6]


def test_ends_and_calls_fed_one_by_one_leave_nothing_behind():
    assembler = make_assembler()
    for number in range(1, 50):
        moment = 10 * number
        cut_of(enter(b"x", sequence=number, time_ns=moment), assembler=assembler, settled=moment)
        cut_of(leave(1, time_ns=moment + 1), assembler=assembler)

    assert (assembler.waiting, assembler.waiting_bytes) == (0, 0)
    assert assembler._enters == assembler._exits == []
    assert assembler._open == {}


def test_what_writes_past_the_tracepoints_is_told_at_once():
    told = []
    assembler = make_assembler(bypassed=told.append)

    assembler.feed(span_of(bypass(1, pid=7), enter(b"x"), bypass(2, pid=8)))

    assert told == [Bypass(7, "hello", "io_uring"), Bypass(8, "hello", "compat")]


def test_a_target_is_known_to_events_that_were_fed_before_its_description():
    assembler = make_assembler()
    assembler.feed(span_of(enter(b"x", target=5)))

    cut = cut_of(target(5, path=b"x\0"), assembler=assembler, last=True)

    assert [event.target.path for event in cut.batch] == ["/x"]


def test_offsets_and_addresses_of_events_that_wait_are_theirs_in_later_cuts():
    assembler = make_assembler()
    offset, address = extra_of(offset=77), extra_of(address=b"\1\0/s")
    spans = [
        [enter(b"a", time_ns=1, sequence=1), leave(time_ns=2)],
        [enter(b"b", time_ns=3, sequence=2, flags=OFFSET, extra=offset), leave(time_ns=4)],
        [enter(b"c", time_ns=5, sequence=3), leave(time_ns=6)],
        [enter(b"d", time_ns=7, sequence=4, flags=ADDRESS, extra=address), leave(time_ns=8)],
    ]
    for records in spans:
        assembler.feed(span_of(*records))

    cuts = [assembler.cut(HOUR, settled) for settled in (2, 4, 6, 8)]

    events = [event for cut in cuts for event in cut.batch]
    assert [event.data for event in events] == [b"a", b"b", b"c", b"d"]
    assert [event.offset for event in events] == [None, 77, None, None]
    assert [event.address for event in events] == [None, None, None, "/s"]
