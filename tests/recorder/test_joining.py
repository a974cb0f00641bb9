from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from recorder.cutting import cut_of, make_assembler, result_of
from recorder.rawrecords import enter, extra_of, leave, reread, sent, span_of

from wcap.events import EventFlag
from wcap.recorder.joining import SENDMMSG, join
from wcap.recorder.records import Decoder


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


def test_an_end_whose_beginning_was_not_recorded_is_dropped():
    cut = cut_of(leave(5, tid=7), reread(b"late", 4, tid=8), last=True)

    assert (cut.batch, cut.gaps, cut.results) == (None, [], [])


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


def message(number, *, time_ns, sequence, tid=1):
    """Make the record of a message of a sendmmsg."""
    extra = extra_of(message=number)
    return enter(b"m", syscall=SENDMMSG, time_ns=time_ns, sequence=sequence, tid=tid, extra=extra)


def joined(*raw):
    """Return of each call the position of its end, "lost" or "under way"."""
    decoded = Decoder().decode(span_of(*raw))
    exits = decoded.exits if len(decoded.exits.order) else None
    found = join(decoded.enters, exits)
    pairs = zip(found.ends.tolist(), found.lost.tolist(), strict=True)
    return [end if end >= 0 else "lost" if lost else "under way" for end, lost in pairs]


def test_messages_of_one_call_share_its_end():
    found = joined(
        *(message(n, time_ns=5, sequence=n + 1) for n in range(3)),
        sent([1, 1, 1], 3, tid=1, time_ns=9),
    )

    assert found == [0, 0, 0]


def test_messages_of_a_call_whose_end_was_lost_do_not_take_that_of_the_next_call():
    found = joined(
        *(message(n, time_ns=5, sequence=n + 1) for n in range(3)),
        enter(b"next", tid=1, time_ns=7, sequence=4),
        leave(4, tid=1, time_ns=9),
    )

    assert found == ["lost", "lost", "lost", 0]


def test_messages_of_two_calls_are_told_apart_by_time_and_by_number():
    by_time = joined(
        message(0, time_ns=5, sequence=1),
        message(1, time_ns=6, sequence=2),  # of the next call, whose first was lost
        sent([1, 1], 2, tid=1, time_ns=9),
    )
    by_number = joined(
        message(0, time_ns=5, sequence=1),
        message(0, time_ns=5, sequence=2),
        sent([1], 1, tid=1, time_ns=9),
    )

    assert by_time == by_number == ["lost", 0]


def test_messages_under_way_are_all_under_way():
    assert joined(*(message(n, time_ns=5, sequence=n + 1) for n in range(2))) == ["under way"] * 2


def test_messages_of_two_threads_that_take_turns_each_have_their_own_end():
    found = joined(
        message(0, time_ns=5, sequence=1, tid=1),
        message(0, time_ns=5, sequence=1, tid=2),
        message(1, time_ns=5, sequence=2, tid=1),
        message(1, time_ns=5, sequence=2, tid=2),
        sent([1, 1], 2, tid=2, time_ns=8),
        sent([1, 1], 2, tid=1, time_ns=9),
    )

    assert found == [1, 0, 1, 0]


threads = st.integers(1, 3)
histories = st.lists(
    st.tuples(st.sampled_from(["call", "call", "message", "end", "end"]), threads), max_size=40
)


@given(histories)
def test_each_end_belongs_to_the_call_that_its_thread_was_in(history):
    """A thread's messages come at one time, and anything else of it at another."""
    raw, calls, ends, inside = [], [], 0, {}
    for place, (what, tid) in enumerate(history):
        group = inside.get(tid)
        if what == "end":
            raw.append(leave(tid=tid, time_ns=place))
            for row in group[1] if group else ():
                calls[row] = ends
            inside.pop(tid, None)
            ends += 1
            continue
        if what == "message" and group and group[0] is not None:
            time_ns, rows = group
        else:
            for row in group[1] if group else ():
                calls[row] = "lost"
            time_ns, rows = (place if what == "message" else None), []
            inside[tid] = (time_ns, rows)
        if what == "message":
            facts = {"time_ns": time_ns, "sequence": place + 1, "tid": tid}
            raw.append(message(len(rows), **facts))
        else:
            raw.append(enter(tid=tid, time_ns=place, sequence=place + 1))
        rows.append(len(calls))
        calls.append("under way")

    if calls:
        assert joined(*raw) == calls
