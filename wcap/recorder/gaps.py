"""What is missing: holes in each CPU's sequence numbers, and whose events they were.

The kernel side puts down whose events it lost, as runs of numbers; only so many, so of many short
runs the oldest are unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.events import Gap
from wcap.format import Clock

# More holes than this of one CPU in one batch are written as fewer, wider gaps.
MAX_GAPS = 64

# (first number, last number, pid)
Run = tuple[int, int, int]


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
        losers_of: Callable[[int], Iterable[Run]] = lambda cpu: (),
    ) -> None:
        self._clock = clock
        self._cause_of = cause_of
        self._losers_of = losers_of
        self._last: dict[int, tuple[int, int]] = {}

    def last_ns(self, cpu: int) -> int:
        """Return the time of a CPU's latest event, on the capture's clock; 0 if it had none."""
        return self._last.get(cpu, (0, 0))[1]

    def recorded(self) -> dict[int, int]:
        """Return the last sequence number handed on, by CPU."""
        return {cpu: sequence for cpu, (sequence, _) in self._last.items()}

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
            before, before_ns = self._last.get(cpu, (0, self._clock.clock_ns))
            if seen > before:
                runs = list(self._losers_of(cpu))
                gaps.append(
                    self._gap(cpu, before + 1, seen, seen - before, before_ns, now_ns, runs)
                )
        return gaps

    def _of_cpu(self, cpu: int, numbers: npt.NDArray[Any], moments: npt.NDArray[Any]) -> list[Gap]:
        before, before_ns = self._last.get(cpu, (0, self._clock.clock_ns))
        steps = np.diff(numbers, prepend=before)
        holes = np.flatnonzero(steps != 1)
        self._last[cpu] = (int(numbers[-1]), int(moments[-1]))
        if not len(holes):
            return []
        runs = list(self._losers_of(cpu))
        gaps = []
        for group in np.array_split(holes, MAX_GAPS) if len(holes) > MAX_GAPS else holes:
            first, last = np.atleast_1d(group)[[0, -1]].tolist()
            missing = int((steps[first : last + 1] - 1).sum())
            after = int(numbers[first - 1]) if first else before
            after_ns = int(moments[first - 1]) if first else before_ns
            end, end_ns = int(numbers[last]) - 1, int(moments[last])
            gaps.append(self._gap(cpu, after + 1, end, missing, after_ns, end_ns, runs))
        return gaps

    def _gap(
        self,
        cpu: int,
        first: int,
        last: int,
        count: int,
        first_ns: int,
        last_ns: int,
        runs: Iterable[Run],
    ) -> Gap:
        offset = self._clock.offset_ns
        losers: Counter[int] = Counter()
        for begin, end, pid in runs:
            if (events := min(end, last) - max(begin, first) + 1) > 0:
                losers[pid] += events
        return Gap(
            cpu,
            first,
            last,
            count,
            first_ns + offset,
            last_ns + offset,
            self._cause_of(cpu),
            tuple(losers.most_common()),
        )
