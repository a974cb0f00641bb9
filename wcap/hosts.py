"""Which machine a CPU number belongs to: several, where recordings were merged."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Hosts:
    """Names of machines, and from which CPU number on each has the numbers; ascending from 0.

    A name is None where it is not known.
    """

    names: tuple[str | None, ...] = (None,)
    first_cpus: tuple[int, ...] = (0,)

    @property
    def several(self) -> bool:
        """Whether events may be of more than one machine."""
        return len({name for name in self.names if name is not None}) > 1

    def of(self, cpu: int) -> str | None:
        """Return the name of the machine that a CPU number belongs to."""
        return self.names[bisect_right(self.first_cpus, cpu) - 1]

    def positions(self, cpu: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Return for each CPU number the position of its machine's name."""
        import numpy as np

        if len(self.names) == 1:
            return np.zeros(len(cpu), dtype=np.intp)
        return np.searchsorted(np.array(self.first_cpus, dtype=np.int64), cpu, side="right") - 1


UNKNOWN_HOSTS = Hosts()
