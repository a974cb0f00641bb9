"""What recording costs, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.bystanders import Bystanders, median_ready, over_empty
from benchmarks.endurance import LongRun
from benchmarks.figures import Spread
from benchmarks.recorders import BARE, EMPTY
from benchmarks.recording import Comparison, Outcome, Run, described
from benchmarks.tables import columns, middle, optional

_MIB = 1 << 20
_ROUNDS = "medians of the rounds (lowest to highest)"


def recorders(compared: Comparison) -> Iterator[str]:
    """Show every recorder of one workload."""
    yield f"Recorders of {described(compared.workload)}, flat out: {_ROUNDS}"
    titles = ["", "ns a write", "", "added", "CPU added", "to counting", "kept", "µs/event"]
    titles += ["peak MiB", "at end", "buffer", "bytes/event"]
    measured = [one for one in compared.outcomes if one.runs]
    rows = [titles, *(_recorder(compared, one) for one in measured)]
    yield from columns(rows, "<" + ">" * (len(titles) - 1))
    yield from _problems(compared.outcomes)


def sizes(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Show some recorders of other workloads."""
    yield "Sizes, writers and where to: medians of the rounds"
    titles = ["", "", "ns a write", "CPU added", "to counting", "kept", "µs/event", "bytes/event"]
    rows = [titles]
    for compared in comparisons:
        label = described(compared.workload)
        for one in compared.outcomes:
            if one.runs:
                rows.append([label, one.name, *_short(compared, one)])
                label = ""
    yield from columns(rows, "<<" + ">" * (len(titles) - 2))
    for compared in comparisons:
        yield from _problems(compared.outcomes, f"{described(compared.workload)}: ")


def long_runs(runs: Sequence[LongRun]) -> Iterator[str]:
    """Show the long recordings."""
    yield "Long recordings by wcap, flat out; peak and growth of its memory without the buffer"
    titles = ["", "", "seconds", "writes", "lost", "", "ns a write", "µs/event"]
    titles += ["bytes/event", "peak MiB", "grown"]
    rows = [
        [described(one.workload), one.recorder, *_long(one, one.run)] for one in runs if one.run
    ]
    yield from columns([titles, *rows], "<<" + ">" * (len(titles) - 2))
    yield from (
        f"  {one.recorder} of {described(one.workload)}: {one.problem}"
        for one in runs
        if one.problem
    )


def bystanders(found: Bystanders) -> Iterator[str]:
    """Show what those pay who are not recorded."""
    yield "Those who are not recorded: medians of the rounds"
    for compared in found.comparisons:
        titles = [compared.workload.call, "ns a call", "", "CPU added", "to empty", "call to empty"]
        rows = [titles, *(_bystander(compared, one) for one in compared.outcomes if one.runs)]
        yield from columns(rows, "<" + ">" * (len(titles) - 1))
        yield from _problems(compared.outcomes)
    if found.ready_seconds:
        times = Spread.of(found.ready_seconds)
        yield (
            f"  from the start until wcap records: {optional(median_ready(found), '{:.2f}')} s "
            f"({times.lowest:.2f} to {times.highest:.2f})"
        )
    if found.idle_share is not None:
        yield f"  wcap with nobody to record: {100 * found.idle_share:.2f} % of a core"
    if found.problem:
        yield f"  {found.problem}"


def _recorder(compared: Comparison, outcome: Outcome) -> list[str]:
    runs = outcome.runs
    memories = [run.memory for run in runs if run.memory is not None]
    return [
        outcome.name,
        *_spread(runs),
        "" if outcome.name == BARE.name else _added(compared, outcome),
        *_relative(compared, outcome),
        _kept(runs),
        _time(runs),
        middle(memories, lambda one: one.highest / _MIB, "{:.0f}"),
        middle(memories, lambda one: one.own / _MIB, "{:.0f}"),
        middle(memories, lambda one: one.buffer / _MIB or None, "{:.1f}"),
        _stored(runs),
    ]


def _short(compared: Comparison, outcome: Outcome) -> list[str]:
    runs = outcome.runs
    cost = middle(runs, lambda run: run.ns_a_write, "{:,.0f}")
    return [cost, *_relative(compared, outcome), _kept(runs), _time(runs), _stored(runs)]


def _long(one: LongRun, run: Run) -> list[str]:
    return [
        f"{run.elapsed_ns / 1e9:.0f}",
        f"{run.writes:,}",
        f"{run.missing:,}",
        f"{100 * run.missing / run.writes:.1f} %",
        f"{run.ns_a_write:,.0f}",
        _time([run]),
        _stored([run]),
        "" if run.memory is None else f"{run.memory.highest / _MIB:.0f}",
        optional(one.grown and 100 * one.grown - 100, "{:+.1f} %"),
    ]


def _bystander(compared: Comparison, outcome: Outcome) -> list[str]:
    name = outcome.name
    return [
        name,
        *_spread(outcome.runs),
        "" if name == BARE.name else _cpu_added(compared, outcome),
        "" if name == BARE.name else optional(compared.times_floor(name, EMPTY), "{:.2f}"),
        optional(over_empty(compared, name), "{:.2f}"),
    ]


def _spread(runs: Sequence[Run]) -> tuple[str, str]:
    cost = Spread.of([run.ns_a_write for run in runs])
    return f"{cost.median:,.0f}", f"({cost.lowest:,.0f} to {cost.highest:,.0f})"


def _added(compared: Comparison, outcome: Outcome) -> str:
    return middle(compared.added_ns(outcome.name), lambda added: added, "{:,.0f}")


def _cpu_added(compared: Comparison, outcome: Outcome) -> str:
    return middle(compared.added_cpu_ns(outcome.name), lambda added: added, "{:,.0f}")


def _relative(compared: Comparison, outcome: Outcome) -> tuple[str, str]:
    """Show what is added in nanoseconds of CPU time, and to what counting adds."""
    if outcome.name == BARE.name:
        return "", ""
    return _cpu_added(compared, outcome), optional(compared.times_floor(outcome.name), "{:.2f}")


def _kept(runs: Sequence[Run]) -> str:
    def share(run: Run) -> float | None:
        return None if run.kept is None else min(100 * run.kept / run.writes, 100)

    return middle(runs, share, "{:.1f} %")


def _time(runs: Sequence[Run]) -> str:
    return middle(
        runs,
        lambda run: None if run.recorder_ns_an_event is None else run.recorder_ns_an_event / 1_000,
        "{:.2f}",
    )


def _stored(runs: Sequence[Run]) -> str:
    return middle(runs, lambda run: run.bytes_an_event, "{:,.1f}")


def _problems(outcomes: Sequence[Outcome], before: str = "") -> Iterator[str]:
    yield from (f"  {before}{one.name}: {one.problem}" for one in outcomes if one.problem)
