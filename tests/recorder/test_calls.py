from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from recorder.rawrecords import enter, extra_of, leave, reread, sent, span_of

from wcap.recorder.calls import joined_enters, joined_exits, some_enters, some_exits
from wcap.recorder.records import Decoder

# What a call has of its own, if it has: an offset, a source, a message's number and address.
extras = st.builds(
    extra_of,
    offset=st.integers(-9, 2**40),
    source_fd=st.integers(-1, 9),
    source=st.integers(0, 9),
    message=st.integers(0, 9),
    address=st.binary(max_size=9),
)
# Calls and ends, with a number of their own as time; None stands for the end of a span.
calls = st.tuples(st.just("enter"), st.binary(max_size=9), st.just(b"") | st.just(b"") | extras)
ends = st.tuples(st.sampled_from(["leave", "reread", "sent"]), st.binary(max_size=9))
histories = st.lists(st.one_of(calls, calls, ends, st.none(), st.none()), max_size=25)


def raw_of(place, step, at_exit):
    if step[0] == "enter":
        facts = {"time_ns": place, "sequence": place + 1, "tid": place % 3 + 1, "extra": step[2]}
        return enter(step[1], **facts, returned=place * 3 if at_exit else None)
    if step[0] == "leave":
        return leave(place, time_ns=place)
    if step[0] == "reread":
        return reread(step[1], place, time_ns=place)
    return sent(list(step[1]), place, time_ns=place)


def decoded(spans, at_exit):
    decoder = Decoder(at_exit=at_exit)
    return [decoder.decode(span_of(*records)) for records in spans]


def split(history, at_exit):
    """Return the records of a history: of each span, and of all in one span."""
    spans = [[]]
    for place, step in enumerate(history):
        if step is None:
            spans.append([])
        else:
            spans[-1].append(raw_of(place, step, at_exit))
    return spans, [[record for records in spans for record in records]]


def rows_of(enters):
    """Return calls as plain values, row by row."""
    if enters is None:
        return []
    stops = np.cumsum(enters.captured)
    rows = []
    for row, stop in enumerate(stops.tolist()):
        one = [enters.payload[stop - int(enters.captured[row]) : stop]]
        names = ("order", "time_ns", "pid_tgid", "cpu", "syscall", "sequence", "count", "fd")
        one += [int(getattr(enters, name)[row]) for name in (*names, "flags", "comm0", "comm1")]
        one.append(None if enters.returned is None else int(enters.returned[row]))
        more = enters.details
        for name in ("offset", "source_fd", "source", "message"):
            one.append(0 if more is None else int(getattr(more, name)[row]))
        one.append(b"" if more is None else more.addresses.get(row, b""))
        rows.append(tuple(one))
    return rows


def ends_of(exits):
    """Return ends as plain values, row by row."""
    if exits is None:
        return []
    names = ("order", "time_ns", "pid_tgid", "returned")
    return [
        (
            *(int(getattr(exits, name)[row]) for name in names),
            exits.reread.get(row),
            exits.sent.get(row),
        )
        for row in range(len(exits.order))
    ]


@given(histories, st.booleans())
def test_calls_of_several_spans_joined_are_those_of_one_span_with_all_that_some_have(
    history, at_exit
):
    spans, whole = split(history, at_exit)

    parts, [one] = decoded(spans, at_exit), decoded(whole, at_exit)

    enters = joined_enters([part.enters for part in parts])
    assert rows_of(enters) == rows_of(one.enters)
    assert ends_of(joined_exits([part.exits for part in parts])) == ends_of(one.exits)
    if enters.details is not None:
        found = enters.details
        kinds = [found.offset.dtype, found.source_fd.dtype, found.source.dtype]
        assert kinds == [np.int64, np.int32, np.uint32]


@given(histories, st.booleans(), st.data())
def test_rows_taken_are_those_rows_with_all_that_some_have(history, at_exit, data):
    [whole] = decoded(split(history, at_exit)[1], at_exit)

    def some_of(length):
        drawn = data.draw(st.sets(st.integers(0, length - 1))) if length else ()
        return np.array(sorted(drawn), dtype=np.int64)

    rows = some_of(len(whole.enters.order))
    expected = rows_of(whole.enters)
    assert rows_of(some_enters(whole.enters, rows)) == [expected[row] for row in rows]
    rows = some_of(len(whole.exits.order))
    expected = ends_of(whole.exits)
    assert ends_of(some_exits(whole.exits, rows)) == [expected[row] for row in rows]


def test_no_parts_join_to_none():
    assert joined_enters([]) is None
    assert joined_exits([]) is None
