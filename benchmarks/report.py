"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import recording_report
from benchmarks.applications import Application, Work
from benchmarks.figures import Spread
from benchmarks.goal import Goal
from benchmarks.goals import judge
from benchmarks.machine import Machine
from benchmarks.measured import Results
from benchmarks.readers import Reading
from benchmarks.recorders import BARE
from benchmarks.tables import columns, middle

_MIB = 1 << 20
# When more processes than this wanted a core before the run, they disturbed it.
_QUIET_LOAD = 0.5
_VERDICTS = {True: "reached", False: "MISSED", None: "not measured"}


def as_text(results: Results) -> str:
    """Lay the results out as tables."""
    sections = [
        _machine(results.machine, results.quick),
        recording_report.recorders(results.recorders) if results.recorders else (),
        recording_report.sizes(results.sizes) if results.sizes else (),
        recording_report.long_runs(results.long_runs) if results.long_runs else (),
        recording_report.bystanders(results.bystanders) if results.bystanders else (),
        _applications(results.applications) if results.applications else (),
        _readers(results.readers) if results.readers else (),
        results.problems,
        _goals(judge(results)),
    ]
    return "\n\n".join("\n".join(lines) for section in sections if (lines := [*section])) + "\n"


def as_json(results: Results) -> dict[str, Any]:
    """Turn the results into what JSON can hold: every round, and the verdicts."""
    return {**asdict(results), "goals": [asdict(goal) for goal in judge(results)]}


def _machine(machine: Machine, quick: bool) -> Iterator[str]:
    memory = f"{machine.memory_bytes / (1 << 30):.0f} GiB"
    yield f"{machine.processor}, {machine.cores} cores, {memory}, Linux {machine.kernel}"
    yield ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    yield f"{machine.date}, load {machine.load:.1f}"
    if machine.load > _QUIET_LOAD:
        yield "Others were using the machine: when quiet, it is faster."
    if quick:
        yield "These were short runs: starting and ending weighs more than in a full one."


def _applications(rows: Sequence[Application]) -> Iterator[str]:
    yield "Real programs: medians of the rounds; bytes are for each request, or of all it does"
    titles = ["", "", "", "times slower", "events", "lost", "bytes", "zstd -3", "payload zstd -3"]
    table, before = [titles], ""
    for row in rows:
        if row.works:
            table.append([row.program if row.program != before else "", *_application(row, rows)])
            before = row.program
    yield from columns(table, "<<" + ">" * (len(titles) - 2))
    problems = [(one.program, one.recorder, one.problem) for one in rows if one.problem]
    yield from (f"  {program}, {recorder}: {problem}" for program, recorder, problem in problems)


def _application(row: Application, rows: Sequence[Application]) -> list[str]:
    bare = next(one for one in rows if (one.program, one.recorder) == (row.program, BARE.name))
    seconds = statistics.median(work.seconds for work in row.works)
    slower = ""
    if bare.works and row is not bare:
        slower = f"{seconds / statistics.median(work.seconds for work in bare.works):.2f}"
    return [
        row.recorder,
        f"{1 / seconds:,.0f} requests/s" if row.asked else f"{seconds:.2f} s",
        slower,
        middle(row.works, lambda work: work.events, "{:,.0f}"),
        middle(row.works, lambda work: work.lost, "{:,.0f}"),
        *(_bytes(row, name) for name in ("output_bytes", "packed_bytes", "payload_bytes")),
    ]


def _bytes(row: Application, name: str) -> str:
    def size(work: Work) -> float | None:
        found: int | None = getattr(work, name)
        return None if found is None else found / work.requests

    return middle(row.works, size, "{:,.1f}" if row.asked else "{:,.0f}")


def _readers(readings: Sequence[Reading]) -> Iterator[str]:
    yield "Readers, from start to end: medians of the rounds (lowest to highest)"
    titles = ["", "", "", "CPU", "a second of CPU", "peak MiB"]
    measured = [reading for reading in readings if reading.seconds and not reading.problem]
    yield from columns([titles, *(_reader(reading) for reading in measured)], "<>>>>>")
    yield from (f"  {one.name}: {one.problem}" for one in readings if one.problem)


def _reader(reading: Reading) -> list[str]:
    time = Spread.of(reading.seconds)
    rate = f"{statistics.median(reading.rates):,.0f} {reading.unit}" if reading.rates else ""
    return [
        reading.name,
        f"{time.median:.2f} s",
        f"({time.lowest:.2f} to {time.highest:.2f})",
        middle(reading.cpu_seconds, lambda seconds: seconds, "{:.2f} s"),
        rate,
        middle(reading.peak_bytes, lambda peak: peak / _MIB, "{:.0f}"),
    ]


def _goals(goals: Sequence[Goal]) -> Iterator[str]:
    yield "Goals"
    rows = [[_VERDICTS[goal.reached], goal.what, goal.limit, goal.found or ""] for goal in goals]
    yield from columns(rows, "<<<>")
