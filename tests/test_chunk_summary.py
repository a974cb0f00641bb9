from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from strategies import TIMES, batches
from support import CLOCK, STARTED_NS, batch_of, write

from wcap.chunk_summary import decode_summary, encode_summary
from wcap.errors import CorruptionError
from wcap.events import Event, EventFlag, Target
from wcap.summarising import summarise


@settings(deadline=None, max_examples=40)
@given(batches())
def test_a_summary_is_true_and_comes_back(batch):
    """SPEC W9"""
    summary = summarise(batch, CLOCK)
    events = list(batch)
    results = [event.returned for event in events if event.returned is not None]
    count = {
        flag: sum(flag in event.flags for event in events)
        for flag in (
            EventFlag.TRUNCATED,
            EventFlag.UNREADABLE,
            EventFlag.UNFINISHED,
            EventFlag.RESULT_LOST,
            EventFlag.PAYLOAD_LOST,
        )
    }

    assert decode_summary(msgpack.unpackb(msgpack.packb(encode_summary(summary)))) == summary
    assert summary.events == len(events)
    assert summary.first_ns + CLOCK.offset_ns == events[0].time_ns
    assert summary.last_ns + CLOCK.offset_ns == events[-1].time_ns
    assert summary.captured == sum(event.captured for event in events)
    assert summary.written == sum(value for value in results if value > 0) % 2**64
    assert summary.failed == sum(value < 0 for value in results)
    assert list(count.values()) == [
        summary.truncated,
        summary.unreadable,
        summary.unfinished,
        summary.results_lost,
        summary.payload_lost,
    ]
    assert summary.pids == {event.pid for event in events}
    assert summary.tids == {event.tid for event in events}
    assert summary.fds == {event.fd for event in events}
    assert summary.calls == {event.syscall for event in events}
    pointed = {event.target for event in events} | {event.source for event in events} - {None}
    names = {target.name for target in pointed} - {None}
    assert summary.targets == (names or None)
    assert summary.kinds == ({target.kind for target in pointed} - {None} or None)
    leaders = {batch.processes[row].leader for row in batch.process.tolist()} - {None}
    assert summary.comms == {event.comm for event in events} | leaders
    assert {cpu for cpu, *_ in summary.sequences} == {event.cpu for event in events}
    for cpu, first, last, number in summary.sequences:
        mine = [event.sequence for event in events if event.cpu == cpu]
        assert (first, last, number) == (min(mine), max(mine), len(mine))
    assert summary.unseen == sum(map(is_unseen, events))


UNREADABLE = EventFlag.UNREADABLE


def is_unseen(event: Event) -> bool:
    """Follow section 5.5 of SPEC.md to the letter."""
    if UNREADABLE not in event.flags:
        return False
    if event.flags & (EventFlag.NO_PAYLOAD | EventFlag.UNSENT):
        return False
    return event.returned is None or event.returned > event.captured


@pytest.mark.parametrize(
    ("facts", "unseen"),
    [
        ({"returned": 9}, 1),
        ({"returned": 4}, 1),
        ({"returned": 3}, 0),
        ({"returned": 0}, 0),
        ({"returned": -14}, 0),
        ({"returned": 9, "flags": EventFlag(0)}, 0),
        ({"returned": 9, "flags": EventFlag.TRUNCATED}, 0),
        ({"returned": 9, "flags": UNREADABLE | EventFlag.TRUNCATED}, 1),
        ({"returned": 0, "flags": UNREADABLE | EventFlag.UNFINISHED}, 1),
        ({"returned": 0, "flags": UNREADABLE | EventFlag.RESULT_LOST}, 1),
        ({"returned": 0, "flags": UNREADABLE | EventFlag.UNSENT}, 0),
        ({"returned": 9, "flags": EventFlag.NO_PAYLOAD}, 0),
        ({"returned": 9, "flags": UNREADABLE | EventFlag.NO_PAYLOAD}, 0),
        ({"returned": 9, "flags": EventFlag.PAYLOAD_LOST}, 0),
    ],
)
def test_unseen_is_what_the_kernel_could_read_and_the_recorder_could_not(facts, unseen):
    event = write(b"abc", count=9, **{"flags": UNREADABLE, **facts})
    assert summarise(batch_of(event), CLOCK).unseen == unseen


def test_a_summary_lists_no_more_than_256_values():
    def fds(number: int) -> Any:
        return summarise(batch_of(*(write(fd=fd) for fd in range(number))), CLOCK).fds

    assert fds(256) == frozenset(range(256))
    assert fds(257) is None
    many = batch_of(*(write(fd=fd, comm=f"{fd}", tid=1, pid=1) for fd in range(257)))
    assert {"fds", "comms"}.isdisjoint(encode_summary(summarise(many, CLOCK)))


def test_a_summary_names_no_more_than_64_targets_and_8_kib_of_names():
    def names(number: int, size: int) -> Any:
        paths = [f"/{n:0{size - 1}}" for n in range(number)]
        some = batch_of(*(write(target=Target("file", path)) for path in paths))
        summary = summarise(some, CLOCK)
        assert summary.kinds == {"file"}
        return summary.targets

    assert len(names(64, 128)) == 64
    assert names(65, 16) is None
    assert names(64, 129) is None
    assert len(names(63, 129)) == 63


def test_a_summary_names_sources_too_and_nothing_that_is_not_known():
    known, unknown = Target("pipe", inode=7), Target(path="/no/kind")
    both = summarise(batch_of(write(source=known), write(target=unknown)), CLOCK)
    neither = summarise(batch_of(write(), write(target=unknown)), CLOCK)

    assert (both.targets, both.kinds) == ({"pipe:[7]"}, {"pipe"})
    assert (neither.targets, neither.kinds) == (None, None)
    assert {"targets", "kinds", "payload_lost"}.isdisjoint(encode_summary(neither))


BAD_SUMMARY = [
    ("events", 0),
    ("events", -1),
    ("events", None),
    ("events", "2"),
    ("first_ns", None),
    ("first_ns", 2**63),
    ("captured", -1),
    ("written", -1),
    ("failed", 3),
    ("truncated", -1),
    ("unreadable", 2**40),
    ("unseen", None),
    ("unseen", 3),
    ("unfinished", "0"),
    ("results_lost", True),
    ("sequences", None),
    ("sequences", [[0, 1]]),
    ("sequences", [[0, 1, 2]]),
    ("sequences", [[0, 1, 2, "2"]]),
    ("sequences", [[0, -1, 2, 2]]),
    ("sequences", [[0, 1, 2, 1]]),
    ("sequences", [[0, 1, 2, 2], [1, 1, 1, 1]]),
    ("sequences", []),
    ("sequences", [5]),
    ("pids", ["100"]),
    ("pids", [[]]),
    ("tids", 5),
    ("fds", [1.5]),
    ("comms", ["text"]),
    ("calls", [b"raw"]),
    ("payload_lost", 3),
    ("payload_lost", -1),
    ("payload_lost", True),
    ("targets", ["text"]),
    ("targets", 5),
    ("kinds", [b"raw"]),
]


@pytest.mark.parametrize(("name", "value"), BAD_SUMMARY)
def test_a_summary_that_breaks_a_rule_is_refused(name, value):
    told = encode_summary(summarise(batch_of(write(), write()), CLOCK))
    with pytest.raises(CorruptionError):
        decode_summary({**told, name: value})


@given(TIMES)
def test_times_are_stored_on_the_clock_of_the_capture(time_ns):
    one = {**write(), "time_ns": time_ns}
    summary = summarise(batch_of(one), CLOCK)
    assert summary.first_ns == summary.last_ns == time_ns - STARTED_NS + CLOCK.clock_ns
