"""Runs the writer under each recorder in turn, and for a long time under wcap."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.launch import (
    MeasurementError,
    cpu_ns,
    ended_children_ns,
    launched,
    memory_bytes,
)
from benchmarks.recorders import WCAP_RECORD, Recorder

# How long a recorder may take to start, to record a round, and to finish.
_PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Run:
    """The writer's run under one recorder.

    Attributes:
        writes: made.
        elapsed_ns: that they took.
        kept: writes that the recorder has; None where nothing records.
        lost: events that it says it lost; None if it does not say.
        output_bytes: what it stored.
        recorder_ns: CPU time that it used from the first write until it ended, if that is known.
    """

    writes: int
    elapsed_ns: int
    kept: int | None = None
    lost: int | None = None
    output_bytes: int | None = None
    recorder_ns: int | None = None

    @property
    def ns_a_write(self) -> float:
        """Nanoseconds that a write took the writer."""
        return self.elapsed_ns / self.writes

    @property
    def recorder_ns_an_event(self) -> float | None:
        """CPU time that the recorder used for each event that it kept, in nanoseconds."""
        return self.recorder_ns / self.kept if self.recorder_ns is not None and self.kept else None

    @property
    def bytes_an_event(self) -> float | None:
        """Bytes stored for each event kept."""
        return self.output_bytes / self.kept if self.output_bytes and self.kept else None


@dataclass(slots=True)
class Outcome:
    """What one recorder came to in all rounds; ``problem`` says why there are none."""

    name: str
    runs: list[Run] = field(default_factory=list)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class LongRun:
    """wcap recording for long: the run, and its memory in bytes, looked at evenly."""

    run: Run
    memory_bytes: list[int]


def compile_writer(folder: Path) -> Path:
    """Compile the writer into a folder.

    Raises:
        MeasurementError: there is no C compiler, or it fails.
    """
    source, program = Path(__file__).with_name("writer.c"), folder / "writer"
    compiler = ["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(program), str(source)]
    try:
        subprocess.run(compiler, check=True)
    except FileNotFoundError:
        raise MeasurementError("cc not found: the writer is in C; install gcc or clang") from None
    except subprocess.CalledProcessError:
        raise MeasurementError(f"cc cannot compile {source.name}") from None
    return program


def in_turn(
    recorders: Sequence[Recorder],
    writer: Path,
    *,
    rounds: int,
    writes: int,
    say: Callable[[str], None],
) -> list[Outcome]:
    """Let the recorders record the writer one after the other, several times.

    Args:
        recorders: who is compared.
        writer: the compiled workload.
        rounds: how often each has its turn.
        writes: that a recorder of share 1 is given.
        say: is told what is going on.
    """
    outcomes = [Outcome(recorder.name, problem=absence(recorder)) for recorder in recorders]
    for number in range(1, rounds + 1):
        for recorder, outcome in zip(recorders, outcomes, strict=True):
            if outcome.problem is not None:
                continue
            say(f"round {number} of {rounds}: {recorder.name}")
            output = writer.with_name("output")
            try:
                outcome.runs.append(record(recorder, writer, output, int(writes * recorder.share)))
            except MeasurementError as error:
                outcome.problem, outcome.runs = f"failed: {error}", []
            finally:
                output.unlink(missing_ok=True)
    return outcomes


def for_long(writer: Path, seconds: int) -> LongRun:
    """Record the writer with wcap for some seconds, and watch the recorder's memory.

    Raises:
        MeasurementError: recording failed.
    """
    samples: list[int] = []
    output = writer.with_name("output")
    try:
        run = record(
            WCAP_RECORD,
            writer,
            output,
            seconds=seconds,
            sample=lambda pid: samples.append(memory_bytes(pid)),
        )
    finally:
        output.unlink(missing_ok=True)
    return LongRun(run, samples)


def absence(recorder: Recorder) -> str | None:
    """Say that a recorder's program is not installed; return None when it is."""
    if recorder.tool is None or shutil.which(recorder.tool):
        return None
    return f"absent: no {recorder.tool} on this machine"


def record(
    recorder: Recorder,
    writer: Path,
    output: Path,
    writes: int = 0,
    *,
    seconds: int = 0,
    sample: Callable[[int], None] | None = None,
) -> Run:
    """Let one recorder record one run of the writer.

    Args:
        recorder: who records.
        writer: the compiled workload.
        output: where what is recorded goes.
        writes: after which the writer ends; 0 for no limit.
        seconds: after which it ends; 0 for no limit.
        sample: called with the recorder's process id several times a second.

    Raises:
        MeasurementError: recorder or writer failed.
    """
    command = recorder.command(output, [str(writer), str(writes), str(seconds)])
    before_ns = ended_children_ns()
    with launched(command, _PATIENCE_SECONDS + seconds) as process:
        process.await_writer()
        starting_ns = cpu_ns(process.pid)
        report = process.let_write(sample)
        said = process.finish()
    used_ns = ended_children_ns() - before_ns
    made, elapsed_ns, writer_us = (int(word) for word in report.split())
    if recorder.kept is None:
        return Run(made, elapsed_ns)
    kept = recorder.kept(output, said)
    return Run(
        made,
        elapsed_ns,
        kept=kept.events,
        lost=kept.lost,
        output_bytes=output.stat().st_size,
        recorder_ns=used_ns - starting_ns - writer_us * 1_000 if recorder.waits else None,
    )
