"""Several captures in order of time, as if they were one.

Each recording keeps CPU numbers of its own: the one that was merged at CPU 8 has its CPU 0 there as
CPU 8. So sequences, gaps, results and END stay what they are, and an event tells which recording
it is of. Times are tied to the wall clock by each recording's own anchor, and counted on the clock
of the one that began first. Memory holds one chunk of each recording.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from wcap.chunk_summary import Summary
from wcap.errors import FormatError, UsageError
from wcap.events import Gap
from wcap.fields import MAX_UINT32
from wcap.filters import Filter
from wcap.readable import EVERYTHING, ErrorMode, Piece, Readable
from wcap.reader import Capture
from wcap.rewrite.batches import joined
from wcap.rewrite.cutting import Kept, Watch, copy, rewriting
from wcap.rewrite.origins import Shift, first_clock, merged_end, merged_header
from wcap.rewrite.recordings import Recording, recordings_of
from wcap.writer import Target

# What streams of pieces hold.
Item = Piece | Summary | Gap


class Merged(Readable):
    """Captures read as one.

    Args:
        captures: files, not pipes, opened with ``errors="salvage"``; they are closed with this one.
        errors: as for `open_capture`.

    Raises:
        UsageError: they do not go together.

    Attributes:
        missing_parts: what is missing between the parts of recordings, in words.
        elsewhere: what recordings have before and after the parts that are given, in words.
    """

    def __init__(self, captures: list[Capture], *, errors: ErrorMode = "strict") -> None:
        names = [capture.name for capture in captures]
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        super().__init__(names[0] + others, errors)
        self._captures = captures
        self._recordings = recordings_of(captures)
        self.missing_parts = [what for one in self._recordings for what in one.missing_parts]
        self.elsewhere = [what for one in self._recordings for what in one.elsewhere]
        self.version = max(capture.version for capture in captures)
        headers = [one.header for one in self._recordings]
        ends = [one.end for one in self._recordings]
        clock = first_clock(headers)
        self._shifts: list[Shift] = []
        first_cpu = self._recordings[0].lowest
        for recording in self._recordings:
            delta_ns = recording.header.clock.offset_ns - clock.offset_ns
            self._shifts.append(Shift(first_cpu - recording.lowest, delta_ns))
            first_cpu += recording.cpus - recording.lowest
        if first_cpu > MAX_UINT32 + 1:
            raise UsageError("these captures have more CPU numbers than one can hold")
        self.header = merged_header(headers, self._shifts, [one.cpus for one in self._recordings])
        self._hosts = self.header.hosts
        self.gaps = sorted(
            (shift.gap(gap) for one, shift in self._both() for gap in one.gaps),
            key=lambda gap: gap.last_ns,
        )
        self.end = merged_end(ends, headers, self._shifts)
        self.indexed = all(capture.indexed for capture in captures)
        self.earlier_results = self._results("earlier_results")

    def _both(self) -> Iterator[tuple[Recording, Shift]]:
        return zip(self._recordings, self._shifts, strict=True)

    @property
    def damage(self) -> list[FormatError]:
        """What was found wrong so far, with the name of the capture."""
        return [
            type(error)(f"{capture.name}: {error.reason}", error.offset)
            for capture in self._captures
            for error in capture.damage
        ]

    @damage.setter
    def damage(self, found: list[FormatError]) -> None:
        """Nothing is damaged but the captures."""

    @property
    def position(self) -> int:
        """How far all captures are read, in bytes."""
        return sum(capture.position for capture in self._captures)

    @position.setter
    def position(self, place: int) -> None:
        """The captures know it."""

    @property
    def size(self) -> int | None:
        """The size of all captures in bytes."""
        return sum(capture.size or 0 for capture in self._captures)

    @property
    def growing(self) -> bool:
        """Whether a recorder still writes to one of them."""
        return any(capture.growing for capture in self._captures)

    @property
    def late_results(self) -> Mapping[tuple[int, int], tuple[int, int]]:
        """Results written after their event's chunk; batches have them in place."""
        return self._results("late_results")

    def _results(self, kind: str) -> dict[tuple[int, int], tuple[int, int]]:
        return {
            (cpu + shift.first_cpu, number): result
            for one, shift in self._both()
            for (cpu, number), result in getattr(one, kind).items()
        }

    def summaries(self) -> Iterator[Summary]:
        """Yield what each chunk of each capture holds, one recording after the other.

        Raises:
            FormatError: as `batches` does.
        """
        for one, shift in self._both():
            for capture in one.captures:
                yield from map(shift.summary, capture.summaries())
        self._raise_damage()

    def stream(self, where: Filter = EVERYTHING) -> Iterator[Item]:
        """Yield the events that may match piece by piece, and gaps before the events after them.

        A summary stands in place of events that cannot match.
        """
        yield from self.gaps
        streams = [self._shifted(one, shift, where) for one, shift in self._both()]
        yield from interleaved(streams)

    def _shifted(self, one: Recording, shift: Shift, where: Filter) -> Iterator[Item]:
        volumes = (
            interleaved([_without_gaps(capture, where) for capture in volume], by_number=True)
            for volume in one.volumes
        )
        for found in chain.from_iterable(volumes):
            if isinstance(found, Summary):
                yield shift.summary(found)
            elif isinstance(found, Piece):
                yield shift.piece(found, self._hosts)

    def close(self) -> None:
        """Close all captures."""
        for capture in self._captures:
            capture.close()


def _without_gaps(capture: Capture, where: Filter) -> Iterator[Item]:
    return (found for found in capture.stream(where) if not isinstance(found, Gap))


def interleaved(streams: list[Iterator[Item]], *, by_number: bool = False) -> Iterator[Item]:
    """Yield the events of several streams in order of time, as far as each is in order.

    Pieces that lie apart are handed on as they are. Of events at the same time, those of one stream
    stay in their order, before those of later streams; with ``by_number``, where all are of one
    recording, those of one CPU are put in the order of their numbers.
    """
    if len(streams) == 1:
        yield from streams[0]
        return
    heads: dict[int, Piece] = {}
    waiting = list(range(len(streams)))
    while waiting or heads:
        for place in waiting:
            for found in streams[place]:
                if isinstance(found, Piece):
                    heads[place] = found
                    break
                yield found
        if not heads:
            return
        until_ns = min(int(piece.batch.time_ns[-1]) for piece in heads.values())
        taken = {
            place: int(np.searchsorted(piece.batch.time_ns, until_ns, side="right"))
            for place, piece in sorted(heads.items())
        }
        taken = {place: rows for place, rows in taken.items() if rows}
        yield _together([_first(heads[place], rows) for place, rows in taken.items()], by_number)
        waiting = []
        for place, rows in taken.items():
            rest = heads.pop(place).batch
            if rows < len(rest):
                heads[place] = Piece(rest.select(slice(rows, None)))
            else:
                waiting.append(place)


def _first(piece: Piece, rows: int) -> Piece:
    batch = piece.batch
    return piece if rows == len(batch) else Piece(batch.select(slice(0, rows)))


def _together(pieces: list[Piece], by_number: bool) -> Piece:
    if len(pieces) == 1:
        return pieces[0]
    batches = [piece.batch for piece in pieces]
    columns: list[Any] = [
        np.concatenate([batch.column(name) for batch in batches])
        for name in (("sequence", "cpu", "time_ns") if by_number else ("time_ns",))
    ]
    return Piece(joined(batches, np.lexsort(columns)))


def merge(
    source: Merged,
    target: Target,
    *,
    asked: Mapping[str, Any] | None = None,
    watch: Watch = iter,
    salt: int | None = None,
) -> Kept:
    """Write captures as one, in order of time.

    Args:
        source: the captures.
        target: anything with ``write``.
        asked: what the header is to say that was asked for.
        watch: wraps what is read, to show how far it is.
        salt: of the new capture; random unless a reproducible one is wanted.

    Raises:
        FormatError: one breaks the format where it is looked at.
        OSError: the target refused.
    """
    return copy(source, target, rewriting("merge", asked or {}), watch=watch, salt=salt)
