"""Runs a workload under each recorder in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from benchmarks.figures import median_ratio
from benchmarks.launch import MeasurementError, launched
from benchmarks.processes import Memory, Watch, below_of, cpu_ns, ended_children_ns
from benchmarks.recorders import BARE, FLOOR, Recorder
from benchmarks.workload import Report, Workload

# How long a recorder may take to start, to record a round, and to finish.
PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Run:
    """The workload's run under one recorder.

    Attributes:
        writes: made.
        elapsed_ns: that they took, from the first to the last.
        threads_ns: that each thread took for its own, added up.
        cpu_ns: CPU time that the threads took of it.
        kept: writes that the recorder has; None where nothing records.
        lost: events that it says it lost; None if it does not say.
        output_bytes: what it stored; None if it stores nothing of a write.
        recorder_ns: CPU time that it used from the first write until it ended.
        memory: of the recorder.
    """

    writes: int
    elapsed_ns: int
    threads_ns: int
    cpu_ns: int
    kept: int | None = None
    lost: int | None = None
    output_bytes: int | None = None
    recorder_ns: int | None = None
    memory: Memory | None = None

    @property
    def ns_a_write(self) -> float:
        """Nanoseconds that a write took the thread that made it."""
        return self.threads_ns / self.writes

    @property
    def cpu_ns_a_write(self) -> float:
        """Nanoseconds of CPU time that a write took it."""
        return self.cpu_ns / self.writes

    @property
    def missing(self) -> int:
        """Writes that the recorder does not have, by what it has or by what it says."""
        return max(self.writes - (self.kept or 0), self.lost or 0)

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


@dataclass(slots=True)
class Comparison:
    """What recorders of one workload came to, each with as many runs as there were rounds."""

    workload: Workload
    outcomes: list[Outcome]

    def runs(self, recorder: Recorder) -> list[Run]:
        """Return a recorder's runs; none if it is absent or failed."""
        return next((one.runs for one in self.outcomes if one.name == recorder.name), [])

    def added_ns(self, name: str) -> list[float]:
        """Return what a recorder added to a write in each round, in nanoseconds; maybe nothing."""
        return self._above_bare(name, lambda run: run.ns_a_write)

    def added_cpu_ns(self, name: str) -> list[float]:
        """Return the same of the writer's CPU time, which others on the machine disturb less."""
        return self._above_bare(name, lambda run: run.cpu_ns_a_write)

    def times_floor(self, name: str, floor: Recorder = FLOOR) -> float | None:
        """Return what a recorder adds to the writer's CPU time, in relation to what the floor adds.

        It is the median of the rounds' ratios; None where one of the two is not there, or the
        floor adds nothing.
        """
        added, least = self.added_cpu_ns(name), self.added_cpu_ns(floor.name)
        if not added or not least or min(least) <= 0:
            return None
        return median_ratio(added, least)

    def _above_bare(self, name: str, cost: Callable[[Run], float]) -> list[float]:
        runs = next((one.runs for one in self.outcomes if one.name == name), [])
        bare = self.runs(BARE)
        pairs = zip(runs, bare, strict=True) if runs and bare else ()
        return [cost(run) - cost(other) for run, other in pairs]


def in_turn(
    workload: Workload,
    recorders: Sequence[Recorder],
    writer: Path,
    *,
    rounds: int,
    writes: int,
    say: Callable[[str], None],
) -> Comparison:
    """Let the recorders record the workload one after the other, several times.

    Args:
        workload: what is recorded.
        recorders: who is compared.
        writer: the compiled workload.
        rounds: how often each has its turn.
        writes: that a recorder of share 1 is given.
        say: is told what is going on.
    """
    outcomes = [Outcome(recorder.name, problem=recorder.absence) for recorder in recorders]
    for number in range(1, rounds + 1):
        say(f"{described(workload)}: round {number} of {rounds}")
        for recorder, outcome in zip(recorders, outcomes, strict=True):
            if outcome.problem is not None:
                continue
            calls = max(int(writes * recorder.share), workload.threads)
            try:
                outcome.runs.append(record(recorder, workload, writer, calls))
            except MeasurementError as error:
                outcome.problem, outcome.runs = f"failed: {error}", []
    return Comparison(workload, outcomes)


def record(
    recorder: Recorder,
    workload: Workload,
    writer: Path,
    writes: int = 0,
    *,
    seconds: float = 0,
    watch: Callable[[Watch], None] | None = None,
    output: Path | None = None,
) -> Run:
    """Let one recorder record one run of the workload.

    Args:
        recorder: who records.
        workload: what is recorded.
        writer: the compiled workload.
        writes: after which the writer ends; 0 for no limit.
        seconds: after which it ends; 0 for no limit.
        watch: is given what was seen of the recorder's memory, when it has ended.
        output: where what is recorded stays; it is removed unless this is given.

    Raises:
        MeasurementError: recorder or writer failed.
    """
    place = writer.with_name("output") if output is None else output
    try:
        return _record(recorder, workload, writer, place, writes, seconds, watch)
    finally:
        if output is None:
            place.unlink(missing_ok=True)


def _record(
    recorder: Recorder,
    workload: Workload,
    writer: Path,
    output: Path,
    writes: int,
    seconds: float,
    watch: Callable[[Watch], None] | None,
) -> Run:
    command = recorder.command(output, workload.command(writer, writes, seconds))
    before_ns = ended_children_ns()
    with launched(command, PATIENCE_SECONDS + 2 * seconds) as process:
        seen = Watch(process.pid)
        with seen.going():
            seen.workload = process.await_workload()
            starting_ns = cpu_ns(below_of(process.pid, seen.workload))
            report = Report.parse(process.open_gate())
            seen.look(fully=True)
        said = process.finish()
    used_ns = ended_children_ns() - before_ns - starting_ns
    if watch is not None:
        watch(seen)
    if recorder is BARE:
        return _run(report)
    kept = None if recorder.kept is None else recorder.kept(output, said)
    return replace(
        _run(report),
        kept=None if kept is None else kept.events,
        lost=None if kept is None else kept.lost,
        output_bytes=output.stat().st_size if recorder.stores else None,
        recorder_ns=used_ns - report.cpu_ns * recorder.waits,
        memory=seen.summed_up,
    )


def _run(report: Report) -> Run:
    return Run(report.calls, report.elapsed_ns, report.threads_ns, report.threads_cpu_ns)


def described(workload: Workload) -> str:
    """Say in words what a workload is."""
    if workload.call != "write":
        return f"{workload.call}, flat out"
    writers = "one writer" if workload.threads == 1 else f"{workload.threads} writers"
    sinks = {"null": "/dev/null", "tcp": "TCP on loopback"}
    sink = sinks.get(workload.sink, f"a {workload.sink}")
    return f"{writers} of {workload.size:,} bytes to {sink}"
