"""A capture that is cut down has what was asked for, nothing else, and the proof of it."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from bytesupport import written
from hypothesis import given, settings
from hypothesis import strategies as st
from rewritesupport import (
    ADDRESSES,
    FILTERS,
    OTHER,
    TARGETS,
    WHO,
    events_of,
    everything_in,
    facts_of,
    findings,
    gaps_of,
    merged,
    opened,
    recorded,
)
from support import CLOCK, HEADER, STARTED_NS, batch_of, write

from wcap.errors import FormatError
from wcap.events import Gap
from wcap.filters import Filter
from wcap.format import RECOVERED, Clock, End
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


def two_hosts() -> bytes:
    """Return a merge of two recordings that have no fact in common; the other began first."""
    header = replace(
        OTHER,
        host="host-of-b",
        boot_id="boot-of-b",
        command=("command-of-b",),
        filters={"given": ["filter-of-b"]},
        warnings=("warning-at-start-of-b",),
        kernel={"release": "kernel-of-b"},
        syscalls=("syscall-of-b",),
        clock=Clock("boottime", 0x7B7B7B7B7B7B, STARTED_NS - 10**9),
    )
    end = End("signal", 0x7D7D7D7D7D7D, STARTED_NS + 10**12,
              {0: 0x7A7A7A + 1}, {"cause-of-b": 0x7A7A7A}, {"results-of-b": 2},
              warnings=("warning-at-end-of-b",))  # fmt: skip
    lost = Gap(0, 2, 0x7A7A7A + 1, 0x7A7A7A, STARTED_NS + 50, STARTED_NS + 60, "cause-of-b")
    batch = batch_of(write(b"payload-of-b", after_ns=10, pid=7777, comm="comm-of-b"))
    return written(batch, [lost], end, header=header)


def one_host() -> bytes:
    events = [write(b"of a", after_ns=200, pid=1), write(b"more", after_ns=300, pid=2)]
    end = End("signal", CLOCK.clock_ns + 900, STARTED_NS + 900, {0: 2})
    return written(batch_of(*events), end, header=HEADER)


# The last three are the bytes of numbers.
DISTINCTIVE = [b"-of-b", b"zzz", b"{{{", b"}}}"]
WITHOUT_B = [
    {"where": Filter(hosts=frozenset({"testhost"}))},
    {"where": Filter(without=(Filter(hosts=frozenset({"host-of-b"})),))},
    {"where": Filter(since_ns=STARTED_NS + 100)},
    {"where": Filter(since_ns=STARTED_NS + 100, pids=frozenset({1}))},
    {"events": (2, 2)},
]


@pytest.mark.parametrize("how", WITHOUT_B, ids=str)
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("pipe", [False, True])
def test_an_origin_of_which_nothing_is_kept_leaves_no_byte(how, first, pipe):
    """Neither a name nor a number of it, nor the clock of its machine."""
    given = [one_host(), two_hosts()]
    both = merged(*(given if first == 0 else given[::-1]))
    assert all(found in everything_in(both) or found in both for found in DISTINCTIVE)

    kept = cut_of(both, pipe=pipe, **how)

    there = kept + everything_in(kept)
    assert [found for found in DISTINCTIVE if found in there] == []
    facts = facts_of(kept)
    assert [origin.header.host for origin in facts.header.origins] == ["testhost"]
    assert facts.header.clock == CLOCK
    assert [done.what for done in facts.header.rewritten] == ["merge", "cut"]
    assert [event["text"] for event in events_of(kept)] == [
        event["text"] for event in events_of(both) if event["text"] in ("of a", "more")
    ][: facts.events]
    assert (facts.end.wall_ns, facts.complete) == (STARTED_NS + 900, True)
    assert findings(kept) == []


@pytest.mark.parametrize("pipe", [False, True])
def test_an_origin_stays_where_a_gap_may_hide_what_is_asked_for(pipe):
    """A gap after the only event of the other machine."""
    both = merged(one_host(), two_hosts())

    kept = cut_of(both, pipe=pipe, where=Filter(since_ns=STARTED_NS + 55))

    hosts = [origin.header.host for origin in facts_of(kept).header.origins]
    assert hosts == ["testhost", "host-of-b"]
    assert [gap.cause for gap in gaps_of(kept)] == ["cause-of-b"]
    assert b"warning-at" not in everything_in(kept)
    assert not facts_of(kept).complete
    assert findings(kept) == []


def test_nothing_kept_is_nothing_told():
    """Then there is no time left to be told either."""
    kept = cut_of(merged(one_host(), two_hosts()), where=Filter(hosts=frozenset({"nobody"})))

    there = kept + everything_in(kept)
    assert [found for found in (*DISTINCTIVE, b"testhost") if found in there] == []
    assert (events_of(kept), facts_of(kept).header.origins, findings(kept)) == ([], (), [])


def test_late_results_go_on_to_a_pipe_for_what_is_kept_and_nothing_else():
    data = (ROOT / "samples/vectors/valid/late-result.wcap").read_bytes()

    assert events_of(cut_of(data, pipe=True)) == events_of(data)
    none = cut_of(data, pipe=True, where=Filter(pids=frozenset({1})))
    assert events_of(none) == []
    with opened(none) as capture:
        assert capture.late_results == {}
