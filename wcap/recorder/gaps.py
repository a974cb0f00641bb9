"""What is missing: holes in each CPU's sequence numbers, and whose events they were.

The kernel side puts down whose events it lost, as runs of numbers; only so many, so of many short
runs the oldest are unknown.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wcap.events import Gap
from wcap.format import Clock

# More holes than this of one CPU in one batch are written as fewer, wider gaps.
MAX_GAPS = 64

# (first number, last number, pid)
Run = tuple[int, int, int]


class _Place(NamedTuple):
    """An event among those of its CPU; its time is on the capture's clock."""

    sequence: int
    time_ns: int


class GapFinder:
    """Follows each CPU's numbers.

    Args:
        clock: the capture's; its start is when recording began.
        cause_of: says why a CPU loses events.
        losers_of: returns the runs of lost events of a CPU, as far as they are known.
    """

    def __init__(
        self,
        clock: Clock,
        cause_of: Callable[[int], str],
        losers_of: Callable[[int], Sequence[Run]] = lambda cpu: (),
    ) -> None:
        self._clock = clock
        self._cause_of = cause_of
        self._losers_of = losers_of
        self._last: dict[int, _Place] = {}

    def last_ns(self, cpu: int) -> int:
        """Return the time of a CPU's latest event, on the capture's clock; 0 if it had none."""
        return self._last[cpu].time_ns if cpu in self._last else 0

    def recorded(self) -> dict[int, int]:
        """Return the last sequence number handed on, by CPU."""
        return {cpu: last.sequence for cpu, last in self._last.items()}

    def find(
        self, cpus: npt.NDArray[Any], sequences: npt.NDArray[Any], times: npt.NDArray[Any]
    ) -> list[Gap]:
        """Return what is missing between these events, which come after all before, and those."""
        gaps: list[Gap] = []
        for cpu in np.unique(cpus).tolist():
            mine = cpus == cpu
            gaps += self._of_cpu(cpu, sequences[mine], times[mine])
        return sorted(gaps, key=lambda gap: gap.last_ns)

    def finish(self, sequences: Mapping[int, int], now_ns: int) -> list[Gap]:
        """Return what was lost after the last event of each CPU.

        Args:
            sequences: how many events each CPU has seen.
            now_ns: the capture's clock now.
        """
        gaps = []
        for cpu, seen in sorted(sequences.items()):
            before = self._before(cpu)
            if seen > before.sequence:
                missing = seen - before.sequence
                end = _Place(seen + 1, now_ns)
                gaps += self._gaps(cpu, [(before, end, missing)])
        return gaps

    def _before(self, cpu: int) -> _Place:
        return self._last.get(cpu, _Place(0, self._clock.clock_ns))

    def _of_cpu(self, cpu: int, numbers: npt.NDArray[Any], moments: npt.NDArray[Any]) -> list[Gap]:
        before = self._before(cpu)
        steps = np.diff(numbers, prepend=before.sequence)
        holes = np.flatnonzero(steps != 1)
        self._last[cpu] = _Place(int(numbers[-1]), int(moments[-1]))
        if not len(holes):
            return []
        around = []
        for group in np.array_split(holes, MAX_GAPS) if len(holes) > MAX_GAPS else holes:
            first, last = np.atleast_1d(group)[[0, -1]].tolist()
            missing = int((steps[first : last + 1] - 1).sum())
            if first:
                before = _Place(int(numbers[first - 1]), int(moments[first - 1]))
            around.append((before, _Place(int(numbers[last]), int(moments[last])), missing))
        return self._gaps(cpu, around)

    def _gaps(self, cpu: int, around: Sequence[tuple[_Place, _Place, int]]) -> list[Gap]:
        """Return gaps of a CPU, of each of which the events around it and its size are given."""
        cause, offset = self._cause_of(cpu), self._clock.offset_ns
        runs = sorted(self._losers_of(cpu))
        gaps = []
        for before, after, missing in around:
            first, last = before.sequence + 1, after.sequence - 1
            times = (before.time_ns + offset, after.time_ns + offset)
            gaps.append(Gap(cpu, first, last, missing, *times, cause, _losers(runs, first, last)))
        return gaps


def _losers(runs: Sequence[Run], first: int, last: int) -> tuple[tuple[int, int], ...]:
    """Return whose events these numbers were, as (pid, events), from runs in ascending order."""
    losers: Counter[int] = Counter()
    for begin, end, pid in runs[bisect_left(runs, first, key=lambda run: run[1]) :]:
        if begin > last:
            break
        losers[pid] += min(end, last) - max(begin, first) + 1
    return tuple(losers.most_common())
