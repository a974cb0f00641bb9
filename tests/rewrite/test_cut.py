"""A capture that is cut down has what was asked for, nothing else, and the proof of it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rewritesupport import (
    ADDRESSES,
    FILTERS,
    TARGETS,
    WHO,
    events_of,
    everything_in,
    facts_of,
    findings,
    gaps_of,
    opened,
    recorded,
)

from wcap.errors import FormatError
from wcap.filters import Filter
from wcap.format import RECOVERED
from wcap.rewrite import cut

ROOT = Path(__file__).parents[2]
PATHS = sorted([*ROOT.glob("samples/*.wcap"), *ROOT.glob("samples/vectors/*/*.wcap")])


def cut_of(data: bytes, *, pipe: bool = False, **how) -> bytes:
    target = io.BytesIO()
    with opened(data, pipe=pipe) as capture:
        cut(capture, target, salt=0, **how)
    return target.getvalue()


# A capture is made and read many times in each example.
SLOWLY = settings(deadline=None, max_examples=30)
# Of a damaged one, a pipe finds other frames whole than an index may tell of.
READ = [
    (path, pipe) for path in PATHS for pipe in (False, True)[: 1 + ("damaged" not in str(path))]
]


@pytest.mark.parametrize(("path", "pipe"), READ, ids=lambda value: getattr(value, "stem", value))
def test_cut_of_everything_is_the_capture_event_for_event(path, pipe):
    data = path.read_bytes()
    try:
        expected = events_of(data)
        made = cut_of(data, pipe=pipe)
    except FormatError:
        return  # what is not read to its end is not cut to its end either

    assert events_of(made) == expected
    if not findings(data):
        assert findings(made) == []


@SLOWLY
@given(recorded(), st.booleans())
def test_cut_of_everything_keeps_every_fact(made, pipe):
    data = made.data

    whole = cut_of(data, pipe=pipe)

    assert events_of(whole) == events_of(data)
    assert gaps_of(whole) == gaps_of(data)
    assert findings(whole) == []
    before, after = facts_of(data), facts_of(whole)
    assert after.end == before.end
    assert (after.complete, after.left_out) == (before.complete, 0)
    assert [done.what for done in after.header.rewritten] == ["cut"]


@SLOWLY
@given(recorded(), FILTERS)
def test_cut_by_a_filter_has_what_show_prints_with_it(made, where):
    data = made.data

    kept = cut_of(data, where=where)

    assert events_of(kept) == events_of(data, where)
    assert [(gap.cpu, gap.first_sequence) for gap in gaps_of(kept)] == [
        (gap.cpu, gap.first_sequence) for gap in gaps_of(data) if where.may_miss(gap)
    ]
    assert findings(kept) == []


@SLOWLY
@given(recorded(), FILTERS, st.booleans())
def test_what_is_left_out_is_counted_so_that_the_accounts_still_prove_the_rest(made, where, pipe):
    data = made.data

    kept = cut_of(data, where=where, pipe=pipe)

    facts = facts_of(kept)
    assert facts.holes == []
    assert facts.discrepancies == {}
    assert facts.left_out == facts.expected - facts.events - facts.lost
    # What may be missing of it is what was lost while recording.
    assert facts.complete == (not facts.gaps and not facts.end.bypassed)


@SLOWLY
@given(recorded(), FILTERS, st.booleans())
def test_nothing_of_what_is_left_out_stands_in_the_bytes(made, where, pipe):
    kept = cut_of(made.data, where=where, pipe=pipe)

    there = everything_in(kept)
    events = events_of(kept)
    bypassed = facts_of(kept).end.bypassed
    names = {event["comm"] for event in events} | {found.comm for found in bypassed}
    places = {event[key] for event in events for key in ("target", "source")}
    for _, name in WHO:
        assert (name.encode() in there) == (name in names)
    for target in TARGETS:
        assert (target.path.encode() in there) == (target.path in places)
    for address in ADDRESSES:
        assert (address.encode() in there) == (address in {event["address"] for event in events})
    whose = {pid for gap in gaps_of(kept) for pid, _ in gap.processes}
    if where.pids is not None:
        assert whose <= where.pids
    if where.comms is not None:
        assert whose == set()


@SLOWLY
@given(recorded(), FILTERS, st.integers(1, 20), st.integers(0, 10))
def test_a_range_of_events_counts_those_that_match(made, where, first, more):
    data = made.data

    kept = cut_of(data, where=where, events=(first, first + more))

    matching = events_of(data, where)
    assert events_of(kept) == matching[first - 1 : first + more]
    assert findings(kept) == []
    facts = facts_of(kept)
    assert (facts.holes, facts.discrepancies) == ([], {})


@SLOWLY
@given(recorded(), FILTERS, FILTERS)
def test_cut_again_is_cut_by_both(made, one, other):
    data = made.data

    kept = cut_of(cut_of(data, where=one), where=other)

    assert events_of(kept) == [event for event in events_of(data, one)
                               if event in events_of(data, other)]  # fmt: skip
    assert findings(kept) == []
    facts = facts_of(kept)
    assert (facts.holes, facts.discrepancies) == ([], {})
    assert len(facts.header.rewritten) == 2


@SLOWLY
@given(recorded(ended=False), FILTERS)
def test_a_capture_without_end_stays_incomplete(made, where):
    kept = cut_of(made.data, where=where)

    facts = facts_of(kept)
    assert facts.end.reason == RECOVERED
    assert not facts.complete
    assert (facts.holes, facts.discrepancies) == ([], {})
    assert findings(kept) == []


def test_late_results_go_on_to_a_pipe_for_what_is_kept_and_nothing_else():
    data = (ROOT / "samples/vectors/valid/late-result.wcap").read_bytes()

    assert events_of(cut_of(data, pipe=True)) == events_of(data)
    none = cut_of(data, pipe=True, where=Filter(pids=frozenset({1})))
    assert events_of(none) == []
    with opened(none) as capture:
        assert capture.late_results == {}
