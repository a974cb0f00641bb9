"""What the readers are to reach: rates, the cost of a filter, start-up and memory."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.figures import median_ratio
from benchmarks.goal import Goal, at_least, at_most
from benchmarks.measured import Results
from benchmarks.readers import LARGE, MANY, Names

_MOST_MEMORY = 150_000_000


def judge_readers(results: Results) -> Iterator[Goal]:
    """Judge every goal of the readers."""
    yield _rate(results, Names.stats, 30, 1e6, "{:.1f} M events/s")
    yield _rate(results, Names.show, 600, 1e3, "{:.0f} k lines/s")
    yield _rate(results, Names.csv, 600, 1e3, "{:.0f} k lines/s")
    yield _rate(results, Names.jsonl, 400, 1e3, "{:.0f} k lines/s")
    for note in ("", LARGE):
        yield _filter(results, note)
    yield _start(results)
    for note in ("", LARGE):
        yield _info(results, note)
    yield _jobs(results, Names.stats + MANY, Names.stats_jobs + MANY)
    yield _jobs(results, Names.csv + MANY, Names.csv_jobs + MANY)
    yield _memory(results)


def _rate(results: Results, name: str, least: float, unit: float, form: str) -> Goal:
    reading = results.reading(name)
    found = None if reading is None else statistics.median(reading.rates) / unit
    return at_least(f"rate of {name}", found, least, form)


def _filter(results: Results, note: str) -> Goal:
    what = f"time of a filter that 1 chunk in 100 matches, to a full scan{note}"
    scan = results.reading(Names.scan + note)
    few = results.reading(Names.filter + note)
    start = results.reading(Names.version)
    if scan is None or few is None:
        return at_most(what, None, 3, "{:.1f} %")
    share = 100 * median_ratio(few.cpu_seconds, scan.cpu_seconds)
    goal = at_most(what, share, 3, "{:.1f} %")
    if start is None:
        return goal
    least = statistics.median(start.cpu_seconds)
    besides = 100 * median_ratio(
        [seconds - least for seconds in few.cpu_seconds],
        [seconds - least for seconds in scan.cpu_seconds],
    )
    return Goal(
        goal.what, goal.limit, f"{goal.found} ({besides:.1f} % but for start-up)", goal.reached
    )


def _start(results: Results) -> Goal:
    reading = results.reading(Names.version)
    found = None if reading is None else statistics.median(reading.cpu_seconds)
    return at_most(f"time of {Names.version}", found, 0.15, "{:.2f} s")


def _info(results: Results, note: str) -> Goal:
    name = Names.info + note
    info, version = results.reading(name), results.reading(Names.version)
    found = (
        median_ratio(info.cpu_seconds, version.cpu_seconds)
        if info is not None and version is not None
        else None
    )
    return at_most(f"time of {name}, to wcap --version", found, 1.5, "{:.2f}")


def _jobs(results: Results, name: str, parallel: str) -> Goal:
    one, two = results.reading(name), results.reading(parallel)
    # Here it is the time that passes which matters.
    found = median_ratio(one.seconds, two.seconds) if one is not None and two is not None else None
    return at_least(f"{name} with --jobs 2, times as fast", found, 1.7, "{:.2f}")


def _memory(results: Results) -> Goal:
    ours = [one for one in results.readers if one.peak_bytes and one.name != "perf script"]
    highest = max(((max(one.peak_bytes), one.name) for one in ours), default=None)
    what = "memory of a reader, whatever the file's size"
    goal = at_most(what, highest and highest[0] / 1e6, _MOST_MEMORY / 1e6, "{:.0f} MB")
    if highest is None:
        return goal
    return Goal(goal.what, goal.limit, f"{goal.found} ({highest[1]})", goal.reached)
