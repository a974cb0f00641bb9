"""A recording in several files: a new part when one is large enough, or its time is over.

Each part is a whole capture. It is told which number each CPU had given before it, so it proves
its own completeness; no event is in two parts, or in none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import BinaryIO, Protocol

from wcap.batch import EventBatch
from wcap.errors import naming_file
from wcap.events import BUFFER_FULL
from wcap.format import Clock, End, FrameType, Header
from wcap.seams import Cut, Slice, slices
from wcap.writer import CaptureWriter

# What END, the index and the footer take of a part besides the summaries of its chunks, and the
# envelopes of the frames that are written with a chunk.
_CLOSING_BYTES = 2 << 10


@dataclass(frozen=True, slots=True)
class PartLimits:
    """When a part is over.

    Attributes:
        size: it would have more bytes than this.
        period_ns: it is so old; later parts begin whole periods after the first.
        count: there are no more parts than this, if they go by time.
    """

    size: int | None = None
    period_ns: int | None = None
    count: int | None = None


class PartFiles(Protocol):
    """Where parts go."""

    def open(self, part: int, started_ns: int) -> BinaryIO:
        """Open the file of a part; its time begins at this wall time."""

    @property
    def last(self) -> str:
        """The name of the file opened last."""

    def discard(self) -> None:
        """Remove the file opened last; the one before it is the last again."""


def begin_part(files: PartFiles, stream: BinaryIO, header: Header) -> CaptureWriter:
    """Begin a capture in the file opened last; one that cannot be begun is closed and removed.

    Raises:
        OSError: it could not; ``filename`` is its name.
    """
    try:
        with naming_file(files.last):
            return CaptureWriter(stream, header)
    except BaseException:
        stream.close()
        files.discard()
        raise


class Rotation:
    """Writes a recording as one capture after the other.

    Args:
        header: of the first part.
        stream: of the first part, the file opened last.
        files: opens the others.
        limits: when a part is over.
        end_now: says how the recording stands, for the end of a part that is not the last.
        begins_ns: when the first event was, if that may be long after the start (wall clock).
        left_out: how many numbers of each CPU were left out on purpose before.

    Raises:
        OSError: the first part could not be begun; ``filename`` is its name.
    """

    def __init__(
        self,
        header: Header,
        stream: BinaryIO,
        files: PartFiles,
        limits: PartLimits,
        end_now: Callable[[], End],
        *,
        begins_ns: int | None = None,
        left_out: Mapping[int, int] = MappingProxyType({}),
    ) -> None:
        self._header = header
        self._clock = header.clock
        self._files = files
        self._limits = limits
        self._end_now = end_now
        self._reached: dict[int, int] = dict(header.after)
        self._left_out = dict(left_out)
        self._told_results: Counter[str] = Counter()
        self._period = 0
        if begins_ns is not None and limits.period_ns is not None:
            self._period = self._period_of(begins_ns)
        self.parts = 0
        self.events = 0
        self.payload_bytes = 0
        with naming_file(files.last):
            writer = CaptureWriter(stream, replace(header, part=1))
        self._go_on(stream, writer)

    def take(self, cut: Cut) -> None:
        """Write what is ready, to the open part and to as many others as it takes.

        Raises:
            OSError: a part could not be made or written, and ``filename`` says which; all before
                is whole, and what could not be begun is removed.
        """
        boundaries = [] if cut.batch is None else self._boundaries(cut.batch)
        for part in slices(cut, self._clock, limit=self._limits.size, boundaries=boundaries):
            if part.chunk is not None:
                self._rotate_before(part)
            with naming_file(self._name):
                self._write(part)

    def close(self, end: End) -> None:
        """Write the end of the last part.

        Raises:
            OSError: it could not be written; ``filename`` says which part that is.
        """
        lost_results = end.lost_results
        if self.parts > 1:
            lost_results = self._results_told(end, Counter(end.lost_results) - self._told_results)
        whole = replace(
            end,
            lost=None if end.lost is None else dict(self._lost),
            lost_results=lost_results,
            left_out=self._left_out_until(end.sequences),
        )
        with naming_file(self._name):
            self._writer.close(whole)

    def _boundaries(self, batch: EventBatch) -> list[int]:
        """Return the moments inside a batch at which periods begin, wall clock."""
        period = self._limits.period_ns
        if period is None or not len(batch):
            return []
        last = self._period_of(int(batch.time_ns[-1]))
        started = self._clock.wall_ns
        first = self._period_of(int(batch.time_ns[0]))
        return [started + number * period for number in range(first + 1, last + 1)]

    def _period_of(self, time_ns: int) -> int:
        assert self._limits.period_ns is not None
        number = max(0, time_ns - self._clock.wall_ns) // self._limits.period_ns
        return number if self._limits.count is None else min(number, self._limits.count - 1)

    def _rotate_before(self, part: Slice) -> None:
        assert part.chunk is not None
        period, size = self._limits.period_ns, self._limits.size
        first_ns = int(part.chunk.batch.time_ns[0])
        if period is not None and (number := self._period_of(first_ns)) > self._period:
            self._period = number
            # A file that is still empty belongs to the period that it is named after.
            self._next(first_ns, self._clock.wall_ns + number * period)
            return
        if size is None or not self._chunks:
            return
        closing = self._closing_bytes + len(repr(part.chunk.summary))
        if self._writer.size + part.size + closing > size:
            period_start = 0 if period is None else self._period * period
            named_ns = first_ns if period is None else self._clock.wall_ns + period_start
            self._next(first_ns, named_ns)

    def _next(self, first_ns: int, named_ns: int) -> None:
        end = self._end_now()
        end = replace(
            end,
            sequences=dict(self._reached),
            lost=None if end.lost is None else dict(self._lost),
            lost_results=self._results_told(end, self._lost_results),
            left_out=self._left_out_until(self._reached),
        )
        clock = Clock(self._clock.name, first_ns - self._clock.offset_ns, first_ns)
        header = replace(self._header, clock=clock, part=self.parts + 1, after=dict(self._reached))
        # The old part can be closed even if there is no new one.
        stream = self._files.open(header.part or 1, named_ns)
        writer = begin_part(self._files, stream, header)
        try:
            with naming_file(self._name):
                self._writer.close(end)
        except BaseException:
            stream.close()
            self._files.discard()
            raise
        self._told_results += self._lost_results
        self._stream.close()
        self._go_on(stream, writer)

    def _results_told(self, end: End, results: Counter[str]) -> dict[str, int] | None:
        """Return the results lost in a part; None where nothing tells which part lacks them."""
        known = end.lost_results is not None and {*end.lost_results} <= {BUFFER_FULL}
        return dict(results) if known else None

    def _left_out_until(self, reached: Mapping[int, int]) -> dict[int, int]:
        """Tell which of the numbers left out before lie in the open part."""
        found = {}
        for cpu, left in self._left_out.items():
            absent = reached.get(cpu, 0) - self._after.get(cpu, 0) - self._accounted[cpu]
            if (count := min(left, absent)) > 0:
                found[cpu] = count
        for cpu, count in found.items():
            self._left_out[cpu] -= count
        return found

    def _go_on(self, stream: BinaryIO, writer: CaptureWriter) -> None:
        self._writer = writer
        self._stream = stream
        self._name = self._files.last
        self._after = dict(self._reached)
        self._accounted: Counter[int] = Counter()
        self._lost: Counter[str] = Counter()
        self._lost_results: Counter[str] = Counter()
        self._chunks = 0
        self._closing_bytes = _CLOSING_BYTES
        self.parts += 1

    def _write(self, part: Slice) -> None:
        for kind, body in part.others:
            self._writer.write_frame(kind, body)
        chunk = part.chunk
        if chunk is not None:
            self._writer.write_frame(FrameType.EVENTS, chunk.body, chunk.summary)
            self._chunks += 1
            self._closing_bytes += len(repr(chunk.summary))
            if missing := chunk.summary["results_lost"]:
                self._lost_results[BUFFER_FULL] += missing
            for cpu, _, _, events in chunk.summary["sequences"]:
                self._accounted[cpu] += events
            self.events += len(chunk.batch)
            self.payload_bytes += chunk.summary["captured"]
        self._lost.update(part.lost)
        self._accounted.update(part.lost_on)
        raise_to(self._reached, part.reached)


def raise_to(numbers: dict[int, int], others: Mapping[int, int]) -> None:
    """Raise numbers of CPUs to others that are higher."""
    for cpu, number in others.items():
        numbers[cpu] = max(numbers.get(cpu, 0), number)
