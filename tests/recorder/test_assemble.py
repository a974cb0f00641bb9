from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder.onebyone import SNAPLEN, End, OneByOne, Seen, Write
from recorder.rawrecords import enter, leave, process, reread, span_of

from wcap.events import EventFlag, Gap, Process
from wcap.format import Clock
from wcap.recorder import assemble, gaps
from wcap.recorder.assemble import HELD_EVENTS, UNFINISHED_AFTER_NS, Assembler
from wcap.recorder.gaps import MAX_GAPS

CLOCK = Clock("boottime", 1_000_000, 1_767_323_045_000_000_000)
OFFSET = CLOCK.offset_ns
# Times of records may be this much older than those that came before them.
SKEW = 100
# No process has such a number: /proc knows nothing of it.
FIRST_PID = 5_000_000
THREADS = [(FIRST_PID, FIRST_PID), (FIRST_PID, FIRST_PID + 1), (FIRST_PID + 2, FIRST_PID + 2)]
CPUS = 3
MEMORY = bytes(range(64))
HOUR = 3600 * 10**9


def make_assembler(cause_of=lambda cpu: "full"):
    return Assembler(CLOCK, cause_of)


def result_of(event):
    return None if event.returned is None else (event.returned, event.duration_ns)


class Machine:
    """Threads that write on CPUs; some of their records are lost."""

    def __init__(self):
        self.now = CLOCK.clock_ns
        self.transport = []
        self.recorded = []
        self.sequences = {}
        self._times = dict.fromkeys(range(CPUS), 0)
        self._writing = {}

    def _moment(self, cpu, after, skew):
        """Let time pass; return the time on a CPU, whose clock may lag but never goes back."""
        self.now += after
        self._times[cpu] = max(self._times[cpu], self.now - skew)
        return self._times[cpu]

    def write(self, thread, cpu, after, skew, lost, **facts):
        """Let a thread begin a write, or end the one that it is in."""
        pid, tid = THREADS[thread]
        of = {"pid": pid, "tid": tid, "cpu": cpu, "time_ns": self._moment(cpu, after, skew)}
        began = self._writing.pop(tid, None)
        if began is None:
            record = self._begin(of, **facts)
            if not lost:
                self.recorded.append(record)
        else:
            record = self._end(began, of, **facts)
        if not lost:
            self.transport.append(record)

    def _begin(self, of, *, size, beyond, unreadable, comm, **_):
        self.sequences[of["cpu"]] = sequence = self.sequences.get(of["cpu"], 0) + 1
        write = Write(
            **of,
            sequence=sequence,
            count=size + beyond if size >= SNAPLEN else size,
            comm=comm,
            memory=MEMORY[sequence % 16 :][:size],
            unreadable=unreadable,
            fd=sequence % 5 - 1,
        )
        self._writing[of["tid"]] = write
        return write

    def _end(self, began, of, *, returned, again, **_):
        if not began.unreadable or again == "no":
            return End(**of, returned=returned)
        payload = {"whole": began.memory[:SNAPLEN], "part": began.memory[:3], "failed": b""}[again]
        return End(**of, returned=returned, payload=payload, failed=again != "whole")

    def execute(self, thread, comm, known):
        """Let a process be seen for the first time, or call exec, which takes its time."""
        self.now += SKEW + 1
        pid, _ = THREADS[thread]
        start = len(self.transport)
        facts = {"leader": comm + "!", "ppid": 1, "start_ns": start, "cgroup": "/"} if known else {}
        self.transport.append(Seen(Process(pid, comm, uid=7, gid=8, **facts)))


writes = st.fixed_dictionaries(
    {
        "thread": st.integers(0, len(THREADS) - 1),
        "cpu": st.integers(0, CPUS - 1),
        "after": st.sampled_from([0, 1, 60, 1000, 400_000_000, 1_200_000_000]),
        "skew": st.integers(0, SKEW),
        "lost": st.sampled_from([False, False, False, True]),
        "size": st.sampled_from([0, 1, 5, 5, 5, SNAPLEN - 1, SNAPLEN, SNAPLEN + 1]),
        "beyond": st.sampled_from([0, 0, 9, 2**63]),
        "unreadable": st.sampled_from([False, False, True]),
        "comm": st.sampled_from([b"a", b"longer-than-8", b"longer-than-9"]),
        "returned": st.sampled_from([5, 0, -32, -512, 2**40]),
        "again": st.sampled_from(["whole", "part", "failed", "no"]),
    }
)
executes = st.tuples(st.integers(0, len(THREADS) - 1), st.sampled_from(["x", "y"]), st.booleans())
feeds = st.just("feed")
cuts = st.tuples(st.sampled_from([None, None, 0, 1, 3]), st.sampled_from([SKEW, 2000]))
steps = st.lists(st.one_of(writes, writes, writes, executes, feeds, cuts), max_size=70)


class Run:
    """The assembler and the rules applied one by one, given the same records."""

    def __init__(self, held_events):
        self.machine = Machine()
        self.assembler = make_assembler()
        self.reference = OneByOne(CLOCK.clock_ns, OFFSET, held_events)
        self.seen = []
        self.lost = []
        self.latest_ns = 0

    def step(self, step):
        if isinstance(step, dict):
            self.machine.write(**step)
        elif step == "feed":
            self.feed()
        elif len(step) == 3:
            self.machine.execute(*step)
        else:
            self.cut(most=step[0], lag=step[1])

    def feed(self):
        records, self.machine.transport = self.machine.transport, []
        self.assembler.feed(span_of(*(record.raw() for record in records)))
        self.reference.feed(records)

    def cut(self, *, most=None, lag=SKEW, last=False):
        self.feed()
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
        for event, row, place in zip(events, rows, batch.process.tolist(), strict=True):
            assert batch.processes[place] == row.process
            for name in ("time_ns", "cpu", "sequence", "tid", "comm", "fd", "count", "flags"):
                assert getattr(event, name) == getattr(row, name), name
            assert event.data == row.payload
            assert result_of(event) == row.result
            assert event.syscall == "write"
        assert batch.captured.tolist() == [len(row.payload) for row in rows]
        assert batch.joined() == b"".join(row.payload for row in rows)
        times = [self.latest_ns, *batch.time_ns.tolist()]
        assert times == sorted(times)
        self.latest_ns = times[-1]
        self.seen += [(event.cpu, event.sequence) for event in events]


@settings(max_examples=300, deadline=None)
@given(steps, st.sampled_from([HELD_EVENTS, 2]))
def test_whatever_happens_the_columns_are_what_record_by_record_would_give(steps, held_events):
    run = Run(held_events)
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


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4), st.integers(0, 60))
def test_many_holes_become_few_gaps_that_count_the_same_events(kept, most_gaps, middle):
    assembler, told = make_assembler(), []
    writes = [
        enter(b"x", sequence=place + 1, time_ns=CLOCK.clock_ns + 10 * place)
        for place, keep in enumerate(kept)
        if keep
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps, "MAX_GAPS", most_gaps)
        for part in (writes[:middle], writes[middle:]):
            assembler.feed(span_of(*part))
            found = assembler.cut(HOUR, HOUR, last=True).gaps
            assert len(found) <= most_gaps
            told += found
    told += assembler.finish({0: len(kept)}, CLOCK.clock_ns + 10_000)

    lost = [place + 1 for place, keep in enumerate(kept) if not keep]
    assert sum(gap.count for gap in told) == len(lost)
    for number in lost:
        around = [gap for gap in told if gap.first_sequence <= number <= gap.last_sequence]
        assert len(around) == 1
        moment = CLOCK.clock_ns + 10 * (number - 1) + OFFSET
        assert around[0].first_ns <= moment <= around[0].last_ns
    for gap in told:
        covered = range(gap.first_sequence, gap.last_sequence + 1)
        assert gap.count == sum(number in covered for number in lost)
        assert gap.first_sequence in lost
        assert gap.last_sequence in lost


def cut_of(*raw, now=HOUR, settled=HOUR, assembler=None, **options):
    """Feed records and cut; what began before ``settled`` is taken for settled."""
    assembler = assembler or make_assembler()
    assembler.feed(span_of(*raw))
    return assembler.cut(now, settled, **options)


def test_a_write_gets_the_result_of_its_own_end():
    cut = cut_of(
        enter(b"a", tid=101, time_ns=10),
        enter(b"b", tid=102, time_ns=20, sequence=2),
        leave(1, tid=102, time_ns=25),
        leave(-32, tid=101, time_ns=40),
    )

    assert [result_of(event) for event in cut.batch] == [(-32, 30), (1, 5)]
    assert cut.batch.flags.tolist() == [0, 0]


def test_a_write_whose_thread_wrote_again_has_lost_its_result():
    cut = cut_of(enter(b"a", time_ns=1), enter(b"b", time_ns=2, sequence=2), leave(1, time_ns=3))

    assert [event.flags for event in cut.batch] == [EventFlag.RESULT_LOST, EventFlag(0)]
    assert [result_of(event) for event in cut.batch] == [None, (1, 1)]


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


def test_an_end_whose_beginning_was_not_recorded_is_dropped():
    cut = cut_of(leave(5, tid=7), reread(b"late", 4, tid=8), last=True)

    assert (cut.batch, cut.gaps, cut.results) == (None, [], [])


@pytest.mark.parametrize(
    ("payload", "failed", "count", "flags"),
    [
        (b"all", False, 3, EventFlag.READ_AT_EXIT),
        (b"x" * SNAPLEN, False, 99, EventFlag.READ_AT_EXIT | EventFlag.TRUNCATED),
        (b"par", True, 9, EventFlag.READ_AT_EXIT | EventFlag.UNREADABLE),
        (b"", True, 9, EventFlag.UNREADABLE),
    ],
    ids=["whole", "up to snaplen", "in part", "not at all"],
)
def test_what_could_not_be_read_at_first_is_what_was_read_at_exit(payload, failed, count, flags):
    cut = cut_of(
        enter(b"before", tid=1, time_ns=1, sequence=1),
        enter(tid=2, time_ns=2, sequence=2, count=count, unreadable=True),
        enter(b"after", tid=3, time_ns=3, sequence=3),
        reread(payload, 9, failed=failed, tid=2, time_ns=4),
        last=True,
    )

    assert list(cut.batch.payloads()) == [b"before", payload, b"after"]
    assert cut.batch.captured.tolist() == [6, len(payload), 5]
    assert list(cut.batch)[1].flags == flags
    assert result_of(list(cut.batch)[1]) == (9, 2)


def test_a_payload_that_was_read_is_never_replaced_by_that_of_another_write():
    cut = cut_of(
        enter(b"mine", time_ns=1),
        reread(b"of a write whose beginning was lost", 9, time_ns=2),
    )

    assert list(cut.batch.payloads()) == [b"mine"]
    assert cut.batch.flags.tolist() == [0]


def test_what_was_never_read_is_flagged_and_never_taken_for_empty():
    cut = cut_of(enter(count=5, unreadable=True), leave(5, time_ns=1))

    assert [event.flags for event in cut.batch] == [EventFlag.UNREADABLE]
    assert cut.batch.count.tolist() == [5]


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
    assert cut.batch.time_ns.tolist() == [19 + OFFSET, 20 + OFFSET, 20 + OFFSET]


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


def test_lost_events_become_a_gap_between_their_neighbours_with_the_cpus_own_cause():
    assembler = make_assembler(cause_of=lambda cpu: f"cause {cpu}")

    cut = cut_of(
        enter(cpu=3, sequence=3, time_ns=70),
        enter(cpu=3, sequence=7, time_ns=90),
        assembler=assembler,
        last=True,
    )

    start = CLOCK.wall_ns
    assert cut.gaps == [
        Gap(3, 1, 2, 2, start, 70 + OFFSET, "cause 3"),
        Gap(3, 4, 6, 3, 70 + OFFSET, 90 + OFFSET, "cause 3"),
    ]
    assert assembler.finish({3: 9, 4: 2}, 100) == [
        Gap(3, 8, 9, 2, 90 + OFFSET, 100 + OFFSET, "cause 3"),
        Gap(4, 1, 2, 2, start, 100 + OFFSET, "cause 4"),
    ]


def test_a_clock_that_goes_back_a_little_is_no_gap_and_keeps_the_order_of_its_cpu():
    assembler = make_assembler()

    two = enter(b"a", sequence=1, time_ns=10), enter(b"b", sequence=2, time_ns=9)
    first = cut_of(*two, assembler=assembler, last=True)
    then = cut_of(enter(b"c", sequence=3, time_ns=8), assembler=assembler, last=True)

    events = [*first.batch, *then.batch]
    assert [event.data for event in events] == [b"a", b"b", b"c"]
    assert {event.time_ns for event in events} == {10 + OFFSET}
    assert first.gaps == then.gaps == []


def test_nothing_lost_is_no_gap():
    assembler = make_assembler()

    cut = cut_of(enter(sequence=1), enter(sequence=2, time_ns=1), assembler=assembler, last=True)

    assert cut.gaps == []
    assert assembler.finish({0: 2}, HOUR) == []


def test_gaps_of_one_batch_are_limited():
    every_other = [enter(sequence=2 * n + 2, time_ns=n) for n in range(10 * MAX_GAPS)]

    cut = cut_of(*every_other, last=True)

    assert len(cut.gaps) == MAX_GAPS
    assert sum(gap.count for gap in cut.gaps) == 10 * MAX_GAPS


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


def test_joining_survives_the_count_of_records_passing_32_bits():
    assembler = make_assembler()
    assembler._decoder._order = 2**32 - 3

    cut = cut_of(
        enter(b"a", tid=1, time_ns=1, sequence=1),
        enter(b"b", tid=2, time_ns=2, sequence=2),
        leave(1, tid=2, time_ns=3),
        leave(2, tid=1, time_ns=4),
        enter(b"c", tid=1, time_ns=5, sequence=3),
        leave(3, tid=1, time_ns=6),
        assembler=assembler,
    )

    assert [result_of(event) for event in cut.batch] == [(2, 3), (1, 1), (3, 1)]
