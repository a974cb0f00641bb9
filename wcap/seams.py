"""Where a recording can be cut in two: what is ready to be written, chunk by chunk.

Between two slices every CPU's numbers are accounted for: up to here by events and gaps before,
and none of them after. So a file may end and another begin there, and both prove themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from wcap.batch import EventBatch
from wcap.events import Gap
from wcap.format import Clock, FrameType, encode_gaps
from wcap.writer import CHUNK_EVENTS, CHUNK_PAYLOAD, EncodedChunk, encode_chunks, encode_results

# Of a file or a memory of limited size, a chunk takes this part at most, so that little is left
# unused at its end; an event without payload takes some ten bytes or more.
_CHUNKS = 8
_LEAST_PAYLOAD = 4 << 10
_EVENT_BYTES = 16
_LEAST_EVENTS = 64


@dataclass(frozen=True, slots=True)
class Cut:
    """What is ready to be written: gaps first, then late results, then the events."""

    batch: EventBatch | None = None
    gaps: list[Gap] = field(default_factory=list)
    results: list[tuple[int, int, int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Slice:
    """Frames that belong together: late results, gaps, and the chunk behind them.

    Attributes:
        others: the frames before the chunk, as type and body.
        chunk: the events; None where gaps or results come without any.
        lost, lost_on: events lost, by cause and by CPU, as the gaps tell.
        reached: the last number of each CPU in these events and gaps.
    """

    others: tuple[tuple[FrameType, bytes], ...] = ()
    chunk: EncodedChunk | None = None
    lost: dict[str, int] = field(default_factory=dict)
    lost_on: dict[int, int] = field(default_factory=dict)
    reached: dict[int, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes of the bodies."""
        chunk = 0 if self.chunk is None else len(self.chunk.body)
        return chunk + sum(len(body) for _, body in self.others)


def slices(
    cut: Cut, clock: Clock, *, limit: int | None = None, boundaries: Sequence[int] = ()
) -> Iterator[Slice]:
    """Yield what is ready, in slices.

    Args:
        cut: what is ready.
        clock: the capture's.
        limit: size of what the slices go into, in bytes; they are made small enough to fill it.
        boundaries: no slice has events from both before and after one of these moments (wall
            clock, ascending).

    Raises:
        LimitError: one event exceeds what a chunk may hold.
    """
    results = tuple((FrameType.RESULTS, body) for body in encode_results(cut.results))
    pending = list(cut.gaps)
    for chunk in _chunks(cut.batch, clock, limit, boundaries):
        assert cut.batch is not None
        reached = reached_in(chunk.batch)
        gaps, pending = divided(pending, cut.batch, reached)
        yield _slice(results, gaps, clock, chunk, reached)
        results = ()
    if results or pending:
        yield _slice(results, pending, clock, None, {})


def _chunks(
    batch: EventBatch | None, clock: Clock, limit: int | None, boundaries: Sequence[int]
) -> Iterator[EncodedChunk]:
    if batch is None:
        return
    events, payload = CHUNK_EVENTS, CHUNK_PAYLOAD
    if limit is not None:
        payload = min(payload, max(limit // _CHUNKS, _LEAST_PAYLOAD))
        events = min(events, max(limit // (_CHUNKS * _EVENT_BYTES), _LEAST_EVENTS))
    rows = np.searchsorted(batch.time_ns, np.array(boundaries, dtype=np.int64)).tolist()
    for start, end in pairwise([0, *rows, len(batch)]):
        piece = batch if end - start == len(batch) else batch.select(slice(start, end))
        yield from encode_chunks(piece, clock, most_events=events, most_payload=payload)


def _slice(
    results: tuple[tuple[FrameType, bytes], ...],
    gaps: list[Gap],
    clock: Clock,
    chunk: EncodedChunk | None,
    reached: dict[int, int],
) -> Slice:
    lost: dict[str, int] = {}
    lost_on: dict[int, int] = {}
    for gap in gaps:
        lost_on[gap.cpu] = lost_on.get(gap.cpu, 0) + gap.count
        lost[gap.cause] = lost.get(gap.cause, 0) + gap.count
        reached[gap.cpu] = max(reached.get(gap.cpu, 0), gap.last_sequence)
    told = ((FrameType.GAPS, encode_gaps(gaps, clock)),) if gaps else ()
    return Slice((*results, *told), chunk, lost, lost_on, reached)


def reached_in(batch: EventBatch) -> dict[int, int]:
    """Return the highest number of each CPU among events."""
    cpus, numbers = batch.cpu, batch.sequence
    return {cpu: int(numbers[cpus == cpu].max()) for cpu in np.unique(cpus).tolist()}


def divided(
    gaps: list[Gap], batch: EventBatch, reached: dict[int, int]
) -> tuple[list[Gap], list[Gap]]:
    """Divide gaps into those up to the numbers reached, and those beyond.

    One that was merged out of several holes may lie on both sides. All of its numbers that were
    not lost are in the batch, so how many were lost on each side can be counted; whose they were
    is not known then.
    """
    now: list[Gap] = []
    later: list[Gap] = []
    for gap in gaps:
        last = reached.get(gap.cpu, 0)
        if gap.last_sequence <= last:
            now.append(gap)
        elif gap.first_sequence > last:
            later.append(gap)
        else:
            mine = batch.cpu == gap.cpu
            numbers, times = batch.sequence[mine], batch.time_ns[mine]
            before, after = _halves(gap, numbers, times, last)
            now += [before] * (before.count > 0)
            later += [after] * (after.count > 0)
    return now, later


def _halves(
    gap: Gap, numbers: npt.NDArray[np.int64], times: npt.NDArray[np.int64], last: int
) -> tuple[Gap, Gap]:
    """Divide a gap behind the event with the number ``last``, which lies inside it."""
    there = np.count_nonzero((numbers >= gap.first_sequence) & (numbers <= last))
    lost = last - gap.first_sequence + 1 - int(there)
    moment = int(times[int(np.flatnonzero(numbers == last)[0])])
    before = replace(gap, last_sequence=last, count=lost, last_ns=moment, processes=())
    after = replace(
        gap, first_sequence=last + 1, count=gap.count - lost, first_ns=moment, processes=()
    )
    return before, after
