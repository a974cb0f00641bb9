"""Times the commands that read captures, and perf script beside them, from start to end.

Each is a whole command as a user gives it, its start-up included, with its output thrown away.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from benchmarks.launch import MeasurementError, last_line
from benchmarks.recorders import PERF_RECORD, WCAP, WCAP_RECORD, Recorder
from benchmarks.recording import record
from benchmarks.workload import Workload

MADE_EVENTS = 10_000_000
# Of noise: some 1.2 GB.
LARGE_EVENTS = 1_200_000
# Of lines, for several processes: so that start-up, which none can help, does not count for much.
MANY_EVENTS = 40_000_000
_PATIENCE_SECONDS = 120
_KIB = 1024
_NOWHERE = "no such words anywhere"
# The process that writes in one chunk of a hundred: `RARE_PID` of `benchmarks.made`, which this
# does not import because numpy would come along and count as every reader's memory.
_RARE_PID = "1008"

# What tells the readers of the large file, and of that of many events, from those of the other.
LARGE = ", 1 GB"
MANY = ", 40 M events"


class Names:
    """What the readers are called; ``LARGE`` or ``MANY`` is put behind those of such a file."""

    version = "wcap --version"
    info = "wcap info"
    stats = "wcap stats"
    stats_jobs = "wcap stats --jobs 2"
    scan = "wcap show -g, nothing found"
    filter = "the same, -p of 1 chunk in 100"
    show = "wcap show"
    csv = "wcap export --csv"
    csv_jobs = "wcap export --csv --jobs 2"
    jsonl = "wcap export --jsonl"


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
    """What a reader took in each round; ``problem`` says why there is nothing.

    Attributes:
        seconds: from start to end.
        cpu_seconds: of the command and its children, which others on the machine disturb least.
        peak_bytes: the most that one process of it had in memory.
    """

    name: str
    amount: int | None
    unit: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_bytes: list[int] = field(default_factory=list)
    problem: str | None = None

    @property
    def rates(self) -> list[float]:
        """What it handled in a second of CPU time, in each round."""
        return [self.amount / seconds for seconds in self.cpu_seconds] if self.amount else []


def prepare(folder: Path, writer: Path | None, lines: int, *, large: bool) -> list[Reader]:
    """Make the files to read, and say which commands read them.

    Args:
        folder: where the files go.
        writer: the workload that is recorded; None if there is none.
        lines: to be printed by each command that prints.
        large: whether a file of more than 1 GB and one of many events are read too.
    """
    made = folder / "made.wcap"
    _make("lines", MADE_EVENTS, made)
    readers = [
        Reader(Names.version, [*WCAP, "--version"]),
        Reader("wcap --help", [*WCAP, "--help"]),
        *_of_file(made, "", MADE_EVENTS, lines),
        *_beside_perf(folder, writer, lines),
    ]
    if large:
        noise = folder / "noise.wcap"
        _make("noise", LARGE_EVENTS, noise)
        readers += _of_file(noise, LARGE, LARGE_EVENTS, max(lines // 100, 1))
        many = folder / "many.wcap"
        _make("lines", MANY_EVENTS, many)
        readers += _side_by_side(many, MANY, MANY_EVENTS, 4 * lines)
    return readers


def time_readers(
    readers: Sequence[Reader], *, rounds: int, say: Callable[[str], None]
) -> list[Reading]:
    """Time the readers one after the other, several times; a failure ends up in its place."""
    readings = [
        Reading(reader.name, reader.amount, reader.unit, problem=reader.problem)
        for reader in readers
    ]
    for number in range(1, rounds + 1):
        say(f"reading, round {number} of {rounds}")
        for reader, reading in zip(readers, readings, strict=True):
            if reading.problem is None:
                try:
                    _time(reader.command, reading)
                except MeasurementError as error:
                    reading.problem = f"failed: {error}"
    return readings


def _of_file(capture: Path, note: str, events: int, lines: int) -> list[Reader]:
    """Return the commands that read one made capture; ``note`` tells its readers apart."""
    path = str(capture)
    stats, export = [*WCAP, "stats", path], [*WCAP, "export", path, "-n", str(lines)]
    search = [*WCAP, "show", path, "--grep", _NOWHERE]
    rows = (lines, "rows")
    readers = [
        Reader(Names.info, [*WCAP, "info", path]),
        Reader(Names.stats, stats, events, "events"),
        Reader(Names.scan, search, events, "events"),
        Reader(Names.filter, [*search, "-p", _RARE_PID]),
        Reader(Names.show, [*WCAP, "show", path, "-n", str(lines)], lines, "lines"),
        Reader(Names.csv, [*export, "--csv"], *rows),
        Reader(Names.jsonl, [*export, "--jsonl"], *rows),
    ]
    return [replace(reader, name=reader.name + note) for reader in readers]


def _side_by_side(capture: Path, note: str, events: int, rows: int) -> list[Reader]:
    """Return the commands that read a made capture alone, and by two processes."""
    path, jobs = str(capture), ["--jobs", "2"]
    stats = [*WCAP, "stats", path]
    export = [*WCAP, "export", path, "--csv", "-n", str(rows)]
    return [
        Reader(Names.stats + note, stats, events, "events"),
        Reader(Names.stats_jobs + note, [*stats, *jobs], events, "events"),
        Reader(Names.csv + note, export, rows, "rows"),
        Reader(Names.csv_jobs + note, [*export, *jobs], rows, "rows"),
    ]


def _beside_perf(folder: Path, writer: Path | None, lines: int) -> list[Reader]:
    """Record the same with wcap and perf, and return what prints it."""
    capture, samples = folder / "show.wcap", folder / "perf.data"
    script = ["perf", "script", "-i", str(samples)]
    wcap_problem = _recorded(WCAP_RECORD, writer, capture, lines)
    perf_problem = _recorded(PERF_RECORD, writer, samples, lines // 2)  # a write is two samples
    printed = None if perf_problem else _lines(script)
    show = [*WCAP, "show", str(capture)]
    return [
        Reader("wcap show, of a recording", show, lines, "lines", wcap_problem),
        Reader("perf script", script, printed, "lines", perf_problem),
    ]


def _make(shape: str, events: int, path: Path) -> None:
    making = [sys.executable, "-m", "benchmarks.made", shape, str(events), str(path)]
    if subprocess.run(making, check=False).returncode != 0:
        raise MeasurementError(f"no capture of {shape} could be made")


def _recorded(recorder: Recorder, writer: Path | None, output: Path, writes: int) -> str | None:
    """Make a recording to read; return why that cannot be done, or None."""
    if writer is None:
        return "failed: there is no writer to record"
    if recorder.absence is not None:
        return recorder.absence
    try:
        record(recorder, Workload(), writer, writes, output=output)
    except MeasurementError as error:
        return f"failed: {error}"
    return None


def _lines(command: Sequence[str]) -> int:
    """Count the lines that a command prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        return sum(1 for _ in process.stdout)


def _time(command: Sequence[str], reading: Reading) -> None:
    """Run a command, and add what it took.

    Raises:
        MeasurementError: it failed, or did not end in time.
    """
    with tempfile.TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        watchdog = threading.Timer(_PATIENCE_SECONDS, process.kill)
        watchdog.start()
        _, status, usage = os.wait4(process.pid, 0)
        watchdog.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
        if process.returncode != 0:
            raise MeasurementError(_said(errors) or f"it returned {process.returncode}")
    reading.seconds.append(seconds)
    reading.cpu_seconds.append(usage.ru_utime + usage.ru_stime)
    reading.peak_bytes.append(usage.ru_maxrss * _KIB)


def _said(errors: IO[bytes]) -> str:
    errors.seek(0)
    return last_line(errors.read().decode(errors="replace"))
