"""wcap recording for long what others write flat out: what it loses, and its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import growth
from benchmarks.launch import MeasurementError
from benchmarks.processes import Watch
from benchmarks.recorders import WCAP_LOSSLESS, WCAP_RECORD, Recorder
from benchmarks.recording import Run, described, record
from benchmarks.workload import Workload

# All are captured whole with the default settings.
SIZES = (64, 255, 4096)
# Of the memory's samples so many are kept: enough to see whether it grows.
_MOST_SAMPLES = 120


@dataclass(frozen=True, slots=True)
class Case:
    """A recording to be made: of what, by whom, and for how many seconds."""

    workload: Workload
    recorder: Recorder
    seconds: float


@dataclass(frozen=True, slots=True)
class LongRun:
    """A recording that was made, or why it was not.

    Attributes:
        workload: that was recorded.
        recorder: its name.
        run: what came of it; None if it failed.
        memory_bytes: of the recorder, without the buffer, looked at evenly.
        problem: why there is no run.
    """

    workload: Workload
    recorder: str
    run: Run | None
    memory_bytes: list[int]
    problem: str | None = None

    @property
    def grown(self) -> float | None:
        """The memory of the last quarter in relation to that of the second; None if too few."""
        return growth(self.memory_bytes) if len(self.memory_bytes) >= 4 else None


def cases(alone: float, together: float, lossless: float) -> list[Case]:
    """Return the recordings to be made, each for so many seconds.

    Args:
        alone: one writer.
        together: two writers.
        lossless: one or two writers that are stopped rather than lost.
    """
    return [
        *(Case(Workload(size), WCAP_RECORD, alone) for size in SIZES),
        *(Case(Workload(size, threads=2), WCAP_RECORD, together) for size in SIZES),
        *(
            Case(Workload(size, threads=threads), WCAP_LOSSLESS, lossless)
            for threads in (1, 2)
            for size in SIZES
        ),
    ]


def for_long(to_do: Sequence[Case], writer: Path, say: Callable[[str], None]) -> list[LongRun]:
    """Make the recordings one after the other; a refusal ends up in its place."""
    return [_one(case, writer, say) for case in to_do]


def _one(case: Case, writer: Path, say: Callable[[str], None]) -> LongRun:
    say(f"{case.recorder.name} of {described(case.workload)} for {case.seconds:g} s")
    seen: list[Watch] = []
    try:
        run = record(case.recorder, case.workload, writer, seconds=case.seconds, watch=seen.append)
    except MeasurementError as error:
        return LongRun(case.workload, case.recorder.name, None, [], f"failed: {error}")
    # What is looked at before the buffer is there belongs to the start.
    samples = [sample.own for sample in seen[0].samples if sample.buffer]
    thinned = samples[:: max(1, len(samples) // _MOST_SAMPLES)]
    return LongRun(case.workload, case.recorder.name, run, thinned)
