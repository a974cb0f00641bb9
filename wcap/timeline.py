"""Counts over time in a bounded number of cells, whatever time they span.

It starts with cells of a millisecond. When those would become too many, ten of them become one,
so nobody has to know the span before the first event is added.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

_FINEST_NS = 1_000_000
_MOST_CELLS = 10_000

Counts = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]


@dataclass(slots=True)
class Timeline:
    """Events, and bytes written, in equal spans of time.

    Cell ``i`` lasts ``width_ns`` and starts ``(first + i) * width_ns`` after the origin. Bytes are
    float64: exact up to 2**53, and whatever results a capture claims, their sum does not overflow.
    """

    width_ns: int = _FINEST_NS
    first: int = 0
    events: Counts = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    written: Sums = field(default_factory=lambda: np.zeros(0, dtype=np.float64))

    def add(self, since_ns: Counts, written: Counts | Sums) -> None:
        """Add events: nanoseconds since the origin, never decreasing, and bytes written.

        Where those may come to 2**53 or more, they are float64.
        """
        earliest, latest = int(since_ns[0]), int(since_ns[-1])
        self._make_room(earliest, latest)
        cells = np.arange(earliest // self.width_ns, latest // self.width_ns + 1)
        starts = np.searchsorted(since_ns, cells * self.width_ns)
        starts[0] = 0
        events = np.diff(starts, append=len(since_ns))
        used = np.flatnonzero(events > 0)
        places = cells[used] - self.first
        self.events[places] += events[used]
        self.written[places] += np.add.reduceat(written, starts[used])

    def include(self, other: Timeline) -> None:
        """Add what another has counted from the same origin; it is used up."""
        if not len(other.events):
            return
        while other.width_ns < self.width_ns:
            other._widen(10)
        last = other.first + len(other.events) - 1
        self._make_room(other.first * other.width_ns, last * other.width_ns)
        while other.width_ns < self.width_ns:
            other._widen(10)
        place = slice(other.first - self.first, other.first - self.first + len(other.events))
        self.events[place] += other.events
        self.written[place] += other.written

    def coarser(self, most: int) -> Timeline:
        """Return it in at most ``most`` cells (2 or more), of 1, 2 or 5 times a power of ten."""
        last = self.first + len(self.events) - 1
        for factor in (step * 10**power for power in count() for step in (1, 2, 5)):
            if last // factor - self.first // factor < most:
                break
        coarse = Timeline(self.width_ns, self.first, self.events, self.written)
        coarse._widen(factor)
        return coarse

    def _make_room(self, earliest: int, latest: int) -> None:
        if not len(self.events):
            self.first = earliest // self.width_ns
        while True:
            first = min(self.first, earliest // self.width_ns)
            end = max(self.first + len(self.events), latest // self.width_ns + 1)
            if end - first <= _MOST_CELLS:
                break
            self._widen(10)
        self._pad(self.first - first, end - self.first - len(self.events))

    def _widen(self, factor: int) -> None:
        self._pad(self.first % factor, -(self.first + len(self.events)) % factor)
        self.events = self.events.reshape(-1, factor).sum(axis=1)
        self.written = self.written.reshape(-1, factor).sum(axis=1)
        self.width_ns *= factor
        self.first //= factor

    def _pad(self, before: int, after: int) -> None:
        if before or after:
            self.events = _padded(self.events, before, after)
            self.written = _padded(self.written, before, after)
            self.first -= before


def _padded(values: npt.NDArray[Any], before: int, after: int) -> npt.NDArray[Any]:
    padded = np.zeros(before + len(values) + after, dtype=values.dtype)
    padded[before : before + len(values)] = values
    return padded
