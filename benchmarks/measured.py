"""All that a run of the benchmark has measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.applications import Application
from benchmarks.bystanders import Bystanders
from benchmarks.endurance import LongRun
from benchmarks.machine import Machine
from benchmarks.readers import Reading
from benchmarks.recording import Comparison


@dataclass(slots=True)
class Results:
    """What was measured on one machine; a part that was left out is empty.

    Attributes:
        machine: it.
        quick: whether the runs were short.
        recorders: every recorder of one workload; None if left out.
        sizes: some recorders of other sizes, numbers of writers and descriptors.
        long_runs: wcap recording for long.
        bystanders: those who are not recorded; None if left out.
        applications: real programs under recorders.
        readers: what the readers came to.
        problems: parts that could not be measured, and why.
    """

    machine: Machine
    quick: bool = False
    recorders: Comparison | None = None
    sizes: list[Comparison] = field(default_factory=list)
    long_runs: list[LongRun] = field(default_factory=list)
    bystanders: Bystanders | None = None
    applications: list[Application] = field(default_factory=list)
    readers: list[Reading] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def reading(self, name: str) -> Reading | None:
        """Return what a reader came to; None if it is absent or failed."""
        found = (one for one in self.readers if one.name == name)
        return next((one for one in found if one.seconds and not one.problem), None)
