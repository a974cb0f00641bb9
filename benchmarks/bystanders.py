"""What those pay whom wcap does not record: idle machines, other writers, other calls.

wcap is attached beside the workload here, not above it, and told to record threads that there
are none of. Empty probes on the same tracepoint are what the kernel charges for any.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import median_ratio
from benchmarks.launch import Launched, MeasurementError, launched
from benchmarks.processes import below_of, cpu_ns
from benchmarks.recorders import BARE, EMPTY, WCAP
from benchmarks.recording import PATIENCE_SECONDS, Comparison, Outcome, Run, record
from benchmarks.workload import Workload

_RECORDING = "wcap: recording "
# No thread, process or file has these.
NOBODY = "wcap -c, of another name"
_ATTACHED = {
    NOBODY: ("-c", "no-such-name"),
    "wcap -u, of another user": ("-u", "4294967000"),
    "wcap -P, of another path": ("-a", "-P", "/no/such/path"),
}


@dataclass(slots=True)
class Bystanders:
    """What was measured of those who are not recorded.

    Attributes:
        ready_seconds: from wcap's start until it says that it records, each time.
        idle_share: CPU time of wcap with nobody to record, of one core; None if not measured.
        comparisons: of a writer, and of getppid, under probes that do not record it.
        problem: why something is missing.
    """

    ready_seconds: list[float] = field(default_factory=list)
    idle_share: float | None = None
    comparisons: list[Comparison] = field(default_factory=list)
    problem: str | None = None


def measure(
    writer: Path, *, rounds: int, calls: int, seconds: float, say: Callable[[str], None]
) -> Bystanders:
    """Measure all of it.

    Args:
        writer: the compiled workload.
        rounds: of each.
        calls: that the workload makes in a round.
        seconds: for which wcap is idle.
        say: is told what is going on.
    """
    found = Bystanders()
    try:
        say(f"starting wcap {rounds} times, then leaving it idle for {seconds:g} s")
        for number in range(rounds):
            with attached(_ATTACHED[NOBODY], writer.with_name("output")) as (process, ready):
                found.ready_seconds.append(ready)
                if number == rounds - 1:
                    found.idle_share = _idle(process.pid, seconds)
        for call in ("write", "getppid"):
            say(f"{call} by those who are not recorded")
            found.comparisons.append(_compare(Workload(call=call), writer, rounds, calls))
    except MeasurementError as error:
        found.problem = f"failed: {error}"
    return found


@contextlib.contextmanager
def attached(options: Sequence[str], output: Path) -> Iterator[tuple[Launched, float]]:
    """Keep wcap recording until the block ends.

    Args:
        options: whom it records.
        output: where to; the file is removed.

    Yields:
        The recorder, and the seconds that it took until it recorded.

    Raises:
        MeasurementError: it does not record.
    """
    started = time.perf_counter()
    command = [*WCAP, "record", *options, "-o", str(output), "--force"]
    with launched(command, 2 * PATIENCE_SECONDS) as process:
        process.await_words(_RECORDING, PATIENCE_SECONDS)
        try:
            yield process, time.perf_counter() - started
            process.interrupt()
            process.finish()
        finally:
            output.unlink(missing_ok=True)


def over_empty(comparison: Comparison, name: str) -> float | None:
    """Return a call's CPU time under wcap in relation to that under empty probes, or None."""
    ours = next((one.runs for one in comparison.outcomes if one.name == name), [])
    empty = comparison.runs(EMPTY)
    if not ours or not empty:
        return None
    return median_ratio([run.cpu_ns_a_write for run in ours], [run.cpu_ns_a_write for run in empty])


def filters() -> tuple[str, ...]:
    """Return the names of those that do not record the writer."""
    return tuple(_ATTACHED)


def _idle(pid: int, seconds: float) -> float:
    """Return the share of a core that a recorder uses, from a second after its start on."""
    time.sleep(min(1, seconds))
    started, before = time.perf_counter(), cpu_ns(below_of(pid))
    time.sleep(seconds)
    used = cpu_ns(below_of(pid)) - before
    return used / 1e9 / (time.perf_counter() - started)


def _compare(workload: Workload, writer: Path, rounds: int, calls: int) -> Comparison:
    outcomes = [Outcome(BARE.name), Outcome(EMPTY.name, problem=EMPTY.absence)]
    outcomes += [Outcome(name) for name in _ATTACHED]
    for _ in range(rounds):
        for outcome in outcomes:
            if outcome.problem is None:
                outcome.runs.append(_run(outcome.name, workload, writer, calls))
    return Comparison(workload, outcomes)


def _run(name: str, workload: Workload, writer: Path, calls: int) -> Run:
    if name == EMPTY.name:
        return record(EMPTY, workload, writer, calls)
    if name == BARE.name:
        return record(BARE, workload, writer, calls)
    with attached(_ATTACHED[name], writer.with_name("beside")):
        return record(BARE, workload, writer, calls)


def median_ready(found: Bystanders) -> float | None:
    """Return how many seconds it typically takes until wcap records."""
    return statistics.median(found.ready_seconds) if found.ready_seconds else None
