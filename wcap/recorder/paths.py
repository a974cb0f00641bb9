"""Leaving out what goes to targets that are not wanted, when only their paths can tell.

The kernel side describes a target when it is first written to. Whether its path matches is found
out here, and the kernel side is told to ignore it; what it sent by then is left out. Events are
numbered anew on each CPU, as the kernel side does not number what it leaves out either.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.events import UNKNOWN_TARGET, Target
from wcap.recorder.calls import Enters, some_enters
from wcap.recorder.gaps import Run
from wcap.recorder.targets import TargetTable

# As many verdicts are kept as the kernel side knows targets, several times over.
_VERDICTS = 1 << 17
# As many holes of a CPU are remembered as the kernel side remembers runs of lost events.
_HOLES = 4096


class PathChooser:
    """Decides by target.

    Args:
        wants: tells whether what goes to a target is recorded.
        ignore: called with the number of a target that is not, 0 for those that are not known.
        targets: that have been described.
    """

    def __init__(
        self,
        wants: Callable[[Target], bool],
        ignore: Callable[[int], None],
        targets: TargetTable,
    ) -> None:
        self._wants = lru_cache(_VERDICTS)(wants)
        self._ignore = ignore
        self._targets = targets
        self._left_out: Counter[int] = Counter()
        self._last: Counter[int] = Counter()
        # By CPU, of each hole: the kernel's number behind it, and how many were left out before.
        self._holes: dict[int, list[tuple[int, int]]] = {}
        self.see(0, UNKNOWN_TARGET)

    def see(self, number: int, target: Target) -> None:
        """Take in a description."""
        if not self._wants(target):
            self._ignore(number)

    def keep(self, enters: Enters) -> Enters:
        """Return the calls that are wanted, numbered anew; they must come in order on each CPU."""
        distinct, codes = np.unique(enters.target, return_inverse=True)
        verdicts = [self._wants(self._targets.get(number)) for number in distinct.tolist()]
        wanted = np.array(verdicts, dtype=np.bool_)[codes]
        sequence = enters.sequence.copy()
        for cpu in np.unique(enters.cpu).tolist():
            mine = np.flatnonzero(enters.cpu == cpu)
            left_out = self._left_out[cpu] + np.cumsum(~wanted[mine])
            self._note_holes(cpu, enters.sequence[mine], left_out)
            sequence[mine] -= left_out
            self._left_out[cpu] = int(left_out[-1])
        return some_enters(replace(enters, sequence=sequence), np.flatnonzero(wanted))

    def _note_holes(self, cpu: int, numbers: npt.NDArray[Any], left_out: npt.NDArray[Any]) -> None:
        holes = self._holes.setdefault(cpu, [])
        before = self._left_out[cpu]
        for place in np.flatnonzero(np.diff(numbers, prepend=self._last[cpu]) != 1).tolist():
            holes.append((int(numbers[place]), int(left_out[place - 1]) if place else before))
        del holes[:-_HOLES]
        self._last[cpu] = int(numbers[-1])

    def losers(self, cpu: int, runs: Sequence[Run]) -> list[Run]:
        """Return runs of lost events, given by the kernel side's numbers, by those of `keep`."""
        holes = self._holes.get(cpu, [])
        anew = []
        for first, last, pid in runs:
            place = bisect_left(holes, (first, 0))
            left_out = holes[place][1] if place < len(holes) else self._left_out[cpu]
            anew.append((first - left_out, last - left_out, pid))
        return anew

    def numbered(self, sequences: Mapping[int, int]) -> dict[int, int]:
        """Return each CPU's last number as `keep` numbers events."""
        anew = {cpu: last - self._left_out[cpu] for cpu, last in sequences.items()}
        return {cpu: last for cpu, last in anew.items() if last}
