"""Times the commands that read captures, and perf script beside them, from start to end.

Each is a whole command as a user gives it, its start-up included, with its output thrown away.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.launch import MeasurementError, last_line
from benchmarks.made import make_capture
from benchmarks.recorders import PERF_RECORD, WCAP, WCAP_RECORD, Recorder
from benchmarks.recording import absence, record

# The goals for stats and info are set for a capture of this many events, start-up included.
MADE_EVENTS = 10_000_000
_PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Reader:
    """A command to be timed.

    Attributes:
        name: as the table calls it.
        command: the command line.
        amount: what it handles, in ``unit``; None where only its time matters.
        unit: events, lines or rows.
        problem: why it cannot be run, if so.
    """

    name: str
    command: list[str]
    amount: int | None = None
    unit: str = ""
    problem: str | None = None


@dataclass(slots=True)
class Reading:
    """How long a reader took in each round; ``problem`` says why there is nothing."""

    name: str
    amount: int | None
    unit: str
    seconds: list[float] = field(default_factory=list)
    problem: str | None = None

    @property
    def rates(self) -> list[float]:
        """What it handled in a second, in each round."""
        return [self.amount / seconds for seconds in self.seconds] if self.amount else []


def prepare(folder: Path, writer: Path, lines: int) -> list[Reader]:
    """Make the files to read, and say which commands read them.

    Args:
        folder: where the files go.
        writer: the workload that is recorded.
        lines: to be printed by each command that prints.
    """
    made, capture, samples = folder / "made.wcap", folder / "show.wcap", folder / "perf.data"
    make_capture(made, MADE_EVENTS)
    wcap_problem = _recorded(WCAP_RECORD, writer, capture, lines)
    perf_problem = _recorded(PERF_RECORD, writer, samples, lines // 2)  # a write is two samples
    perf_script = ["perf", "script", "-i", str(samples)]
    printed = None if perf_problem else _lines(perf_script)
    export = [*WCAP, "export", str(made), "-n", str(lines)]
    return [
        Reader("wcap --help", [*WCAP, "--help"]),
        Reader("wcap info", [*WCAP, "info", str(made)]),
        Reader("wcap stats", [*WCAP, "stats", str(made)], MADE_EVENTS, "events"),
        Reader("wcap show", [*WCAP, "show", str(capture)], lines, "lines", wcap_problem),
        Reader("perf script", perf_script, printed, "lines", perf_problem),
        Reader("wcap export --csv", [*export, "--csv"], lines, "rows"),
        Reader("wcap export --jsonl", [*export, "--jsonl"], lines, "rows"),
    ]


def time_readers(
    readers: Sequence[Reader], *, rounds: int, say: Callable[[str], None]
) -> list[Reading]:
    """Time the readers one after the other, several times.

    Raises:
        MeasurementError: a reader failed.
    """
    readings = [
        Reading(reader.name, reader.amount, reader.unit, problem=reader.problem)
        for reader in readers
    ]
    for number in range(1, rounds + 1):
        say(f"reading, round {number} of {rounds}")
        for reader, reading in zip(readers, readings, strict=True):
            if reader.problem is None:
                reading.seconds.append(_time(reader.command))
    return readings


def _recorded(recorder: Recorder, writer: Path, output: Path, writes: int) -> str | None:
    """Make a recording to read; return why that cannot be done, or None."""
    problem = absence(recorder)
    if problem is None:
        try:
            record(recorder, writer, output, writes)
        except MeasurementError as error:
            problem = f"failed: {error}"
    return problem


def _lines(command: Sequence[str]) -> int:
    """Count the lines that a command prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        return sum(1 for _ in process.stdout)


def _time(command: Sequence[str]) -> float:
    """Run a command and return how many seconds it took."""
    started = time.perf_counter()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=_PATIENCE_SECONDS,
        check=False,
    )
    seconds = time.perf_counter() - started
    if done.returncode != 0:
        reason = last_line(done.stderr.decode(errors="replace"))
        raise MeasurementError(f"{' '.join(command)} returned {done.returncode}: {reason}")
    return seconds
