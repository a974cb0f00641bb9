"""All that a run of the benchmark has measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.machine import Machine
from benchmarks.readers import Reading
from benchmarks.recorders import Recorder
from benchmarks.recording import LongRun, Outcome, Run


@dataclass(frozen=True, slots=True)
class Results:
    """What was measured on one machine.

    Attributes:
        machine: it.
        recorders: what the recorders came to.
        long_run: wcap recording for long; None if it cannot record here.
        readers: what the readers came to.
    """

    machine: Machine
    recorders: Sequence[Outcome]
    long_run: LongRun | None
    readers: Sequence[Reading]

    def runs(self, recorder: Recorder) -> list[Run]:
        """Return a recorder's runs; none if it is absent or failed."""
        return next((one.runs for one in self.recorders if one.name == recorder.name), [])

    def reading(self, name: str) -> Reading | None:
        """Return what a reader came to; None if it is absent or failed."""
        return next((one for one in self.readers if one.name == name and one.seconds), None)
