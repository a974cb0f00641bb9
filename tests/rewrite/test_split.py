"""A capture that is split has every event in one piece, and merging them makes it whole again."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import replace

import pytest
from bytesupport import written
from hypothesis import given
from hypothesis import strategies as st
from rewritesupport import (
    OTHER,
    SLOWLY,
    WHO,
    events_of,
    everything_in,
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

from wcap.filters import Filter
from wcap.format import End
from wcap.rewrite import cut, shares, split_in_parts, split_side_by_side
from wcap.rotation import PartLimits

LIMITS = st.one_of(
    st.integers(1, 4000).map(lambda size: PartLimits(size=size)),
    st.integers(1, 200).map(lambda period_ns: PartLimits(period_ns=period_ns)),
)


class Files:
    """Parts in memory."""

    def __init__(self):
        self.made = []

    def open(self, part, started_ns):
        stream = io.BytesIO()
        stream.close = lambda: None
        self.made.append(stream)
        return stream

    @property
    def last(self):
        return "last"


def parts_of(data: bytes, limits: PartLimits) -> list[bytes]:
    files = Files()
    with opened(data) as capture:
        number = split_in_parts(capture, files, limits, asked={"size": 1})
    assert number == len(files.made)
    return [stream.getvalue() for stream in files.made]


def pieces_of(data: bytes, *, by_process: bool) -> dict:
    made = {}

    @contextmanager
    def files(share):
        made[share] = io.BytesIO()
        yield made[share]

    with opened(data) as capture:
        found = shares(capture, by_process=by_process)
        kept = dict(split_side_by_side(capture, found, files, asked={"by": "process"}))
    assert {share: one.events for share, one in kept.items()} == {
        share: len(events_of(stream.getvalue())) for share, stream in made.items()
    }
    return {share: stream.getvalue() for share, stream in made.items()}


def as_recorded(data: bytes):
    facts = facts_of(data)
    end = facts.end
    return (
        [(gap.cpu, gap.first_sequence, gap.count, gap.cause) for gap in gaps_of(data)],
        facts.complete,
        dict(end.lost),
        dict(end.left_out),
        dict(end.sequences),
        end.reason,
        set(end.bypassed),
        replace(facts.header, rewritten=()),
    )


@SLOWLY
@given(recorded(), LIMITS)
def test_parts_by_size_or_time_follow_each_other_and_each_proves_itself(made, limits):
    data = made.data

    parts = parts_of(data, limits)

    assert [event for part in parts for event in events_of(part)] == events_of(data)
    for number, part in enumerate(parts, 1):
        assert findings(part) == []
        facts = facts_of(part)
        assert facts.header.part == number
        assert (facts.holes, facts.discrepancies, facts.left_out) == ([], {}, 0)


@SLOWLY
@given(recorded(), LIMITS, st.randoms())
def test_merging_the_parts_is_the_capture_again(made, limits, random):
    data = made.data
    parts = parts_of(data, limits)
    random.shuffle(parts)

    whole = merged(*parts) if len(parts) > 1 else parts[0]

    assert in_order(events_of(whole)) == in_order(events_of(data))
    assert findings(whole) == []
    before, after = as_recorded(data), as_recorded(whole)
    assert after[:7] == before[:7]
    if len(parts) > 1:
        assert after[7] == before[7]


@SLOWLY
@given(recorded(), LIMITS, st.sampled_from(WHO))
def test_parts_of_a_cut_know_what_was_left_out_of_each(made, limits, who):
    target = io.BytesIO()
    with opened(made.data) as capture:
        cut(capture, target, where=Filter(pids=frozenset({who[0]})))
    data = target.getvalue()

    parts = parts_of(data, limits)

    for part in parts:
        assert findings(part) == []
        facts = facts_of(part)
        assert (facts.holes, facts.discrepancies) == ([], {})
    assert sum(facts_of(part).left_out for part in parts) == facts_of(data).left_out


@SLOWLY
@given(recorded())
def test_each_process_has_a_file_with_nothing_of_the_others(made):
    data = made.data

    pieces = pieces_of(data, by_process=True)

    for share, piece in pieces.items():
        assert events_of(piece) == [e for e in events_of(data) if e["pid"] == share.pid]
        assert findings(piece) == []
        facts = facts_of(piece)
        assert (facts.holes, facts.discrepancies) == ([], {})
        there = everything_in(piece)
        others = [name for pid, name in WHO if pid != share.pid]
        assert not any(name.encode() in there for name in others)


@SLOWLY
@given(recorded())
def test_merging_the_files_of_processes_is_the_capture_again(made):
    data = made.data
    pieces = [*pieces_of(data, by_process=True).values()]
    if len(pieces) < 2:
        return

    whole = merged(*pieces)

    assert in_order(events_of(whole)) == in_order(events_of(data))
    assert findings(whole) == []
    assert as_recorded(whole) == as_recorded(data)


@SLOWLY
@given(recorded(), recorded())
def test_each_host_has_a_file_and_merging_them_is_the_capture_again(one, other):
    both = merged(one.data, moved(other).data)

    pieces = pieces_of(both, by_process=False)

    for share, piece in pieces.items():
        assert events_of(piece) == [e for e in events_of(both) if e["host"] == share.host]
        assert findings(piece) == []
        assert facts_of(piece).left_out == 0
    if len(pieces) == 2:
        assert in_order(events_of(merged(*pieces.values()))) == in_order(events_of(both))


def test_the_processes_of_several_hosts_are_apart():
    batch = batch_of(write())
    first = written(batch, End("signal", CLOCK.clock_ns + 9, STARTED_NS + 9, {0: 1}), header=HEADER)
    end = End("signal", OTHER.clock.clock_ns + 9, STARTED_NS, {0: 1})
    both = merged(first, written(batch, end, header=OTHER))

    found = pieces_of(both, by_process=True)

    assert [(share.host, share.pid) for share in found] == [("testhost", 100), ("other", 100)]


@pytest.mark.parametrize("size", [3000, 10_000])
def test_parts_are_no_larger_than_asked_for(size):
    events = [write(bytes([n % 251] * 90), after_ns=n, fd=n % 7) for n in range(3000)]
    end = End("signal", CLOCK.clock_ns + 9999, STARTED_NS + 9999, {0: 3000})
    data = written(batch_of(*events), end, header=HEADER)

    parts = parts_of(data, PartLimits(size=size))

    assert len(parts) > 1
    assert max(map(len, parts)) <= size
