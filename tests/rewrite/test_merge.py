"""Captures that are merged have every event of each, and tell which is of which."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from bytesupport import written
from hypothesis import given
from hypothesis import strategies as st
from rewritesupport import (
    FILTERS,
    OTHER,
    SLOWLY,
    events_of,
    facts_of,
    findings,
    gaps_of,
    in_order,
    merged,
    moved,
    opened,
    recorded,
)
from support import CLOCK, HEADER, STARTED_NS, batch_of, write

from wcap.errors import UsageError
from wcap.events import MISSING_PART, EventFlag, Process
from wcap.filters import Filter
from wcap.format import Clock, End
from wcap.rewrite import Merged, cut


def as_told(event, *, first_cpu=0):
    return {**event, "cpu": event["cpu"] + first_cpu}


@SLOWLY
@given(recorded(), recorded())
def test_merged_captures_have_every_event_of_each_with_its_time_and_host(one, other):
    first, second = one.data, moved(other).data

    both = merged(first, second)

    origins = facts_of(both).header.origins
    assert [origin.header.host for origin in origins] == ["testhost", "other"]
    expected = events_of(first) + [
        as_told(event, first_cpu=origins[1].first_cpu) for event in events_of(second)
    ]
    found = events_of(both)
    assert in_order(found) == in_order(expected)
    assert [event["time_ns"] for event in found] == sorted(event["time_ns"] for event in found)
    assert {event["host"] for event in found} <= {"testhost", "other"}
    assert len(gaps_of(both)) == len(gaps_of(first)) + len(gaps_of(second))
    assert findings(both) == []


@SLOWLY
@given(recorded(), recorded())
def test_the_accounts_of_merged_captures_hold(one, other):
    first, second = one.data, moved(other).data

    facts = facts_of(merged(first, second))

    assert (facts.holes, facts.discrepancies, facts.left_out) == ([], {}, 0)
    assert facts.complete == (facts_of(first).complete and facts_of(second).complete)
    assert [end.reason for end in facts.end.origins] == ["signal", "signal"]


@SLOWLY
@given(recorded(), recorded(), recorded())
def test_merging_what_was_merged_is_merging_all_at_once(one, two, three):
    third = replace(OTHER, host="third", boot_id="third")
    captures = one.data, moved(two).data, moved(three, third).data

    again = merged(merged(*captures[:2]), captures[2])

    at_once = merged(*captures)
    assert in_order(events_of(again)) == in_order(events_of(at_once))
    before, after = facts_of(at_once).header, facts_of(again).header
    assert [(o.first_cpu, o.cpus, o.header.host) for o in after.origins] == [
        (o.first_cpu, o.cpus, o.header.host) for o in before.origins
    ]
    assert findings(again) == []


@SLOWLY
@given(recorded(), recorded(), FILTERS)
def test_captures_read_as_one_are_what_merging_them_gives(one, other, where):
    first, second = one.data, moved(other).data

    with Merged([opened(first), opened(second)], errors="salvage") as source:
        events = [event for batch in source.batches(where) for event in batch]
        summed = sum(summary.events for summary in source.summaries())

    with opened(merged(first, second)) as capture:
        assert events == [event for batch in capture.batches(where) for event in batch]
        assert summed == sum(summary.events for summary in capture.summaries())


@SLOWLY
@given(recorded(), recorded(), st.sampled_from(["testhost", "other"]), st.booleans())
def test_a_host_that_is_cut_away_leaves_nothing(one, other, host, without):
    both = merged(one.data, moved(other).data)
    named = Filter(hosts=frozenset({host}))
    where = Filter(without=(named,)) if without else named
    target = io.BytesIO()
    with opened(both) as capture:
        cut(capture, target, where=where, salt=0)

    kept = target.getvalue()
    wanted = {"testhost", "other"} - {host} if without else {host}
    gone = {"testhost": b"6f1c3b5e-0000", "other": b"another"}[
        ({"testhost", "other"} - wanted).pop()
    ]
    assert events_of(kept) == [event for event in events_of(both) if event["host"] in wanted]
    assert gone not in kept
    facts = facts_of(kept)
    left = facts.events or facts.gaps or facts.end.bypassed
    assert {origin.header.host for origin in facts.header.origins} == (wanted if left else set())
    assert findings(kept) == []
    assert (facts.holes, facts.discrepancies, facts.left_out) == ([], {}, 0)


def test_the_start_of_a_process_is_the_same_moment_on_the_clock_of_the_first():
    batch = batch_of(write())
    batch.processes = [Process(100, "hello", start_ns=OTHER.clock.clock_ns)]
    second = written(
        batch, End("signal", OTHER.clock.clock_ns + 9, STARTED_NS, {0: 1}), header=OTHER
    )
    first = written(End("signal", CLOCK.clock_ns + 9, STARTED_NS + 9), header=HEADER)

    with opened(merged(first, second)) as capture:
        (found,) = capture.batches()
        start_ns = found.processes[0].start_ns
        assert start_ns is not None
        assert start_ns + capture.header.clock.offset_ns == STARTED_NS - 50


def test_the_clock_is_that_of_the_recording_that_began_first_whatever_was_given_first():
    """The machine of the first argument was booted after the other recording had begun."""
    hour = 3600 * 10**9
    early = replace(HEADER, clock=Clock("monotonic", 9 * hour, STARTED_NS - 2 * hour))
    late = replace(OTHER, clock=Clock("boottime", 10**9, STARTED_NS))
    first = written(batch_of(write(b"late")), End("signal", 2 * 10**9, STARTED_NS + 10**9, {0: 1}),
                    header=late)  # fmt: skip
    before = batch_of(write(b"early", after_ns=-hour))
    second = written(before, End("signal", 11 * hour, STARTED_NS, {0: 1}), header=early)

    both = merged(first, second)

    facts = facts_of(both)
    assert facts.header.clock == early.clock
    assert [(e["text"], e["time_ns"] - STARTED_NS, e["cpu"]) for e in events_of(both)] == [
        ("early", -hour, 1), ("late", 0, 0),
    ]  # fmt: skip
    assert facts.end.wall_ns == STARTED_NS + 10**9
    assert findings(both) == []


def part(number, batch, reached, after=None, steps=(), **facts):
    begun = int(batch.time_ns[0])
    clock = Clock(CLOCK.name, begun - CLOCK.offset_ns, begun)
    header = replace(HEADER, part=number, after=after or {}, clock=clock)
    end = {"reason": "rotation", "clock_ns": clock.clock_ns + 100, "wall_ns": begun + 100} | facts
    return written(batch, *steps, End(sequences=reached, **end), header=header)


def parts():
    one = batch_of(write(b"1"), write(b"2", cpu=1, flags=EventFlag.UNFINISHED))
    two = batch_of(write(b"3", after_ns=200), first_sequence=2)
    three = batch_of(write(b"4", after_ns=400), first_sequence=3)
    return [
        part(1, one, {0: 1, 1: 1}),
        part(2, two, {0: 2, 1: 1}, {0: 1, 1: 1}, [[(1, 1, -32, 7)]]),
        part(3, three, {0: 3, 1: 1}, {0: 2, 1: 1}, reason="signal"),
    ]


def test_parts_of_one_recording_join_whatever_their_order():
    first, second, third = parts()

    whole = merged(third, first, second)

    facts = facts_of(whole)
    assert [event["text"] for event in events_of(whole)] == ["1", "2", "3", "4"]
    assert (facts.complete, facts.header.origins, facts.header.part) == (True, (), None)
    assert facts.end.reason == "signal"
    assert findings(whole) == []


def test_a_result_in_a_later_part_completes_its_event():
    event = events_of(merged(*parts()))[1]

    assert (event["returned"], event["duration_ns"], event["flags"]) == (-32, 7, [])


def test_a_part_that_is_missing_is_a_gap():
    first, _, third = parts()

    whole = merged(first, third)

    (gap,) = gaps_of(whole)
    assert (gap.cause, gap.cpu, gap.first_sequence, gap.count) == (MISSING_PART, 0, 2, 1)
    assert findings(whole) == []
    assert not facts_of(whole).complete
    with Merged([opened(first), opened(third)]) as source:
        assert source.missing_parts == ["capture: 1 events between part 1 and part 3 are missing"]


def test_the_gap_of_a_missing_part_spans_from_event_to_event_of_its_cpu():
    """SPEC W18: before it CPU 1 had an event, after it none; CPU 2 none before."""
    one = batch_of(write(after_ns=10), write(after_ns=20), write(after_ns=15, cpu=1))
    three = batch_of(write(after_ns=400), write(after_ns=500, cpu=2), first_sequence=9)
    whole = merged(
        part(1, one, {0: 2, 1: 1}),
        part(3, three, {0: 9, 1: 5, 2: 9}, {0: 8, 1: 5, 2: 8}, reason="signal"),
    )

    assert [(gap.cpu, gap.count, gap.first_ns - STARTED_NS, gap.last_ns - STARTED_NS)
            for gap in sorted(gaps_of(whole), key=lambda gap: gap.cpu)] == [
        (0, 6, 20, 400), (1, 4, 15, 500), (2, 8, 10, 500),
    ]  # fmt: skip
    assert findings(whole) == []


def one_of_many(header=HEADER):
    batches = [batch_of(write(b"%d" % n, after_ns=n, pid=n % 2), first_sequence=n)
               for n in range(1, 9)]  # fmt: skip
    end = End("signal", CLOCK.clock_ns + 900, STARTED_NS + 900, {0: 8})
    return written(*batches, end, header=header)


def cut_down(data, where):
    target = io.BytesIO()
    with opened(data) as capture:
        cut(capture, target, where=where, salt=0)
    return target.getvalue()


@pytest.mark.parametrize(
    "other",
    [
        one_of_many(),
        one_of_many(replace(HEADER, warnings=("w",))),
        cut_down(one_of_many(), Filter(pids=frozenset({1}))),
        merged(one_of_many(), one_of_many(OTHER)),
        merged(one_of_many(OTHER), cut_down(one_of_many(), Filter(pids=frozenset({0})))),
    ],
    ids=["itself", "other warnings", "a cut", "a merge", "a merge of a cut"],
)
def test_no_event_is_taken_twice(other):
    """SPEC W17: a copy, a cut beside its whole, a merge that has it already."""
    for captures in ([one_of_many(), other], [other, one_of_many()]):
        with pytest.raises(UsageError, match=r"both have event [12] of CPU 0 of one recording"):
            merged(*captures)


def test_cuts_of_one_recording_that_share_no_event_are_merged():
    """SPEC W17: what does not stand twice is not refused."""
    halves = [cut_down(one_of_many(), Filter(pids=frozenset({pid}))) for pid in (0, 1)]

    assert [e["text"] for e in events_of(merged(*halves))] == [*map(str, range(1, 9))]


def test_events_of_one_recording_stay_in_their_order():
    """SPEC W16: of two at the same time, that of CPU 1 stood first."""
    batch = batch_of(write(b"1", cpu=1), write(b"2", cpu=0), write(b"3", cpu=1))
    first = written(batch, End("signal", CLOCK.clock_ns, STARTED_NS, {0: 1, 1: 2}), header=HEADER)
    second = written(batch, End("signal", OTHER.clock.clock_ns + 99, STARTED_NS + 49,
                                {0: 1, 1: 2}), header=OTHER)  # fmt: skip

    texts = [(event["text"], event["host"]) for event in events_of(merged(first, second))]

    assert [text for text, host in texts if host == "testhost"] == ["1", "2", "3"]
    assert [text for text, host in texts if host == "other"] == ["1", "2", "3"]


def test_a_part_that_stands_twice_is_refused():
    first, second, _ = parts()

    with pytest.raises(UsageError, match="part 2 does not go on where part 2 ended"):
        Merged([opened(first), opened(second), opened(second)])
