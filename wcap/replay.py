"""Batches in, the bytes that were written out again, at the times when they were written.

Only what the kernel took is played: a write that failed gives nothing, a short one as much as it
wrote. Bytes that calls without a payload moved leave a hole, which is told.
Each write is due at the start plus its own offset, so waiting late once delays nothing after it.
The clock and the output are arguments.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wcap.batch import Column, EventBatch
from wcap.events import EventFlag

# time.sleep() refuses what the system cannot count; a longer pause is made of several.
_LONGEST_SLEEP = 3600.0


class Output(Protocol):
    """Where a replay goes: any binary file whose writes are not held back."""

    def write(self, data: bytes, /) -> object:
        """Write all of the bytes."""


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock: ``now`` in nanoseconds from anywhere, ``sleep`` in seconds."""

    now: Callable[[], int] = time.monotonic_ns
    sleep: Callable[[float], None] = time.sleep


@dataclass(slots=True)
class Replayed:
    """What a replay played, and what it could not.

    ``writes`` and ``bytes`` were played. ``missing`` bytes were written but not captured, and
    ``moved`` ones by calls whose payload is never captured. Of ``unknown`` writes the result is
    not known; all that was captured of them was played.
    """

    writes: int = 0
    bytes: int = 0
    missing: int = 0
    moved: int = 0
    unknown: int = 0

    @property
    def complete(self) -> bool:
        """Whether all was played that the kernel took, as far as events were recorded."""
        return not (self.missing or self.moved or self.unknown)


def replay(
    batches: Iterable[EventBatch],
    output: Output,
    *,
    speed: float = 1.0,
    max_idle_ns: int | None = None,
    delay: bool = True,
    clock: Clock = Clock(),
) -> Replayed:
    """Write payloads again with the pauses between them; the first comes at once.

    Args:
        batches: the events, in time order.
        output: gets the payloads as they were.
        speed: how many times as fast.
        max_idle_ns: the longest pause, as the viewer sees it.
        delay: whether to pause at all.
        clock: tells the time and waits.
    """
    played = Replayed()
    schedule = _Schedule(speed, max_idle_ns, clock) if delay else None
    for batch in batches:
        taken = _taken(batch)
        _account(played, batch, taken)
        rows = np.flatnonzero(taken)
        if len(rows) == 0:
            continue
        pieces = _pieces(batch, rows, taken[rows])
        if schedule is None:
            output.write(b"".join(pieces))
        else:
            _play(pieces, batch.time_ns[rows].tolist(), output, schedule)
    return played


def _taken(batch: EventBatch) -> Column:
    """Return how many of each event's captured bytes the kernel took."""
    captured = batch.captured.astype(np.int64)
    taken = np.where(batch.has_result, np.clip(batch.returned, 0, captured), captured)
    taken[_flagged(batch, EventFlag.UNSENT)] = 0
    return taken


def _flagged(batch: EventBatch, flag: EventFlag) -> Column:
    flagged: Column = (batch.flags & np.uint32(flag)) != 0
    return flagged


def _account(played: Replayed, batch: EventBatch, taken: Column) -> None:
    known = batch.has_result
    played.writes += int(np.count_nonzero(taken))
    played.bytes += int(taken.sum())
    short = batch.returned - taken
    absent, moved = known & (short > 0), _flagged(batch, EventFlag.NO_PAYLOAD)
    played.missing += sum(short[absent & ~moved].tolist())  # Python's integers cannot overflow
    played.moved += sum(short[absent & moved].tolist())
    played.unknown += int(np.count_nonzero(~known & ~_flagged(batch, EventFlag.UNSENT)))


def _pieces(batch: EventBatch, rows: Column, taken: Column) -> list[bytes]:
    data = batch.data
    starts = batch.bounds[0][rows]
    ends = starts + taken
    return [data[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _play(pieces: list[bytes], times: list[int], output: Output, schedule: _Schedule) -> None:
    """Write the pieces, those that are due together in one go."""
    ready: list[bytes] = []
    for piece, time_ns in zip(pieces, times, strict=True):
        due = schedule.due(time_ns)
        if ready and due > schedule.clock.now():
            output.write(b"".join(ready))
            ready.clear()
        schedule.wait(due)
        ready.append(piece)
    output.write(b"".join(ready))


class _Schedule:
    """When each write is due; the first one starts it."""

    def __init__(self, speed: float, max_idle_ns: int | None, clock: Clock) -> None:
        self.clock = clock
        self._speed = speed
        # As long in the recording as `max_idle_ns` is for the viewer.
        self._max_gap = None if max_idle_ns is None else max_idle_ns * speed
        self._start = 0
        self._previous: int | None = None
        self._offset = 0.0

    def due(self, time_ns: int) -> int:
        """Return when a write of this time is due, on the clock; times never decrease."""
        if self._previous is None:
            self._start = self.clock.now()
        else:
            gap = max(0, time_ns - self._previous)
            self._offset += gap if self._max_gap is None else min(gap, self._max_gap)
        self._previous = time_ns
        return self._start + round(self._offset / self._speed)

    def wait(self, due: int) -> None:
        """Sleep until a time on the clock."""
        while (left := due - self.clock.now()) > 0:
            self.clock.sleep(min(left / 1e9, _LONGEST_SLEEP))
