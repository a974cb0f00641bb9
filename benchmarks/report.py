"""The results as a table for people and as JSON for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.figures import Spread, growth
from benchmarks.goals import Goal, judge
from benchmarks.machine import Machine
from benchmarks.readers import Reading
from benchmarks.recorders import BARE
from benchmarks.recording import LongRun, Outcome
from benchmarks.results import Results

_MIB = 1 << 20
# When more processes than this wanted a core before the run, they disturbed it.
_QUIET_LOAD = 0.5
_VERDICTS = {True: "reached", False: "MISSED", None: "not measured"}


def as_text(results: Results) -> str:
    """Lay the results out as a table."""
    lines = [
        *_machine(results.machine),
        "",
        "One writer of 64 bytes to /dev/null, flat out: medians of the rounds (lowest to highest)",
        *_recorders(results),
        *_long_run(results.long_run),
        "",
        "Readers, from start to end: medians of the rounds (lowest to highest)",
        *_readers(results.readers),
        "",
        "Goals",
        *_goals(judge(results)),
    ]
    return "\n".join(lines) + "\n"


def as_json(results: Results) -> dict[str, Any]:
    """Turn the results into what JSON can hold: every round, and the verdicts."""
    return {**asdict(results), "goals": [asdict(goal) for goal in judge(results)]}


def columns(rows: Sequence[Sequence[str]], align: str) -> Iterator[str]:
    """Lay out rows of cells below each other, indented.

    Args:
        rows: of as many cells as ``align`` has characters.
        align: ``<`` or ``>`` for each column: to its left or to its right.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, align, widths, strict=True)
        yield "  " + "  ".join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip()


def _machine(machine: Machine) -> Iterator[str]:
    memory = f"{machine.memory_bytes / (1 << 30):.0f} GiB"
    yield f"{machine.processor}, {machine.cores} cores, {memory}, Linux {machine.kernel}"
    yield ", ".join(f"{name} {version}" for name, version in machine.versions.items())
    if machine.load > _QUIET_LOAD:
        yield f"Others were using the machine (load {machine.load:.1f}): when quiet, it is faster."


def _recorders(results: Results) -> Iterator[str]:
    bare = [run.ns_a_write for run in results.runs(BARE)]
    bare_ns = statistics.median(bare) if bare else None
    titles = ["", "ns a write", "", "times", "recorded", "recorder µs/event", "bytes/event"]
    measured = [one for one in results.recorders if one.runs]
    yield from columns([titles, *(_recorder(one, bare_ns) for one in measured)], "<>>>>>>")
    yield from (f"  {one.name}: {one.problem}" for one in results.recorders if not one.runs)


def _recorder(outcome: Outcome, bare_ns: float | None) -> list[str]:
    runs = outcome.runs
    cost = Spread.of([run.ns_a_write for run in runs])
    shares = [None if run.kept is None else 100 * run.kept / run.writes for run in runs]
    times = [run.recorder_ns_an_event and run.recorder_ns_an_event / 1_000 for run in runs]
    return [
        outcome.name,
        f"{cost.median:,.0f}",
        f"({cost.lowest:,.0f} to {cost.highest:,.0f})",
        "" if bare_ns is None else f"{cost.median / bare_ns:,.1f}",
        _median(shares, "{:.0f} %"),
        _median(times, "{:.2f}"),
        _median([run.bytes_an_event for run in runs], "{:.1f}"),
    ]


def _median(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(statistics.median(known)) if known else ""


def _long_run(long_run: LongRun | None) -> Iterator[str]:
    if long_run is None:
        return
    run, samples = long_run.run, long_run.memory_bytes
    yield (
        f"  wcap record for {run.elapsed_ns / 1e9:.0f} s: {run.writes:,} writes, {run.kept:,} "
        f"recorded, {run.recorder_ns_an_event or 0:,.0f} ns of CPU time each"
    )
    yield (
        f"  its memory: {samples[-1] / _MIB:.0f} MiB at the end, {max(samples) / _MIB:.0f} at "
        f"most, grown by {100 * growth(samples) - 100:.1f} % from its second to its last quarter"
    )


def _readers(readings: Sequence[Reading]) -> Iterator[str]:
    measured = [reading for reading in readings if reading.seconds]
    yield from columns([_reader(reading) for reading in measured], "<>>>")
    yield from (f"  {one.name}: {one.problem}" for one in readings if not one.seconds)


def _reader(reading: Reading) -> list[str]:
    time = Spread.of(reading.seconds)
    rate = f"{statistics.median(reading.rates):,.0f} {reading.unit}/s" if reading.rates else ""
    return [
        reading.name,
        f"{time.median:.2f} s",
        f"({time.lowest:.2f} to {time.highest:.2f})",
        rate,
    ]


def _goals(goals: Sequence[Goal]) -> Iterator[str]:
    rows = [[_VERDICTS[goal.reached], goal.what, goal.limit, goal.found or ""] for goal in goals]
    yield from columns(rows, "<<<>")
