"""Leaving out what goes to targets that are not wanted, when only their paths can tell.

The kernel side describes a target when it is first written to. Whether its path matches is found
out here, and the kernel side is told to ignore it; what it sent by then is left out. Events are
numbered anew on each CPU, as the kernel side does not number what it leaves out either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache

import numpy as np

from wcap.events import UNKNOWN_TARGET, Target
from wcap.recorder.records import Enters, some_enters
from wcap.recorder.targets import TargetTable

# As many verdicts are kept as the kernel side knows targets, several times over.
_VERDICTS = 1 << 17


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
            sequence[mine] -= self._left_out[cpu] + np.cumsum(~wanted[mine])
            self._left_out[cpu] += int(np.count_nonzero(~wanted[mine]))
        return some_enters(replace(enters, sequence=sequence), np.flatnonzero(wanted))

    def numbered(self, sequences: Mapping[int, int]) -> dict[int, int]:
        """Return each CPU's last number as `keep` numbers events."""
        anew = {cpu: last - self._left_out[cpu] for cpu, last in sequences.items()}
        return {cpu: last for cpu, last in anew.items() if last}
