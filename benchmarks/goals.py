"""What wcap is to reach, each judged by what one run of the benchmark has measured."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks.figures import growth, median_ratio
from benchmarks.recorders import BPFTRACE, BPFTRACE_BUFFERED, STRACE, WCAP_RECORD, Recorder
from benchmarks.recording import LongRun
from benchmarks.results import Results

# Memory is flat if the last quarter of a long recording needs no more than this of the second.
_FLAT = 1.05
# In less time buffers are still filling after the first quarter.
_LONG_NS = 30_000_000_000


@dataclass(frozen=True, slots=True)
class Goal:
    """Something to reach: what, the limit, and what was found.

    ``found`` and ``reached`` are None when what it takes to judge was not measured.
    """

    what: str
    limit: str
    found: str | None = None
    reached: bool | None = None


def judge(results: Results) -> list[Goal]:
    """Judge every goal."""
    return [
        _nothing_lost(results),
        _cost(results, BPFTRACE, 1 / 4),
        _cost(results, BPFTRACE_BUFFERED, 1 / 4),
        _cost(results, STRACE, 1 / 50),
        _recorder_time(results.long_run),
        _memory(results.long_run),
        _show(results),
        _stats(results),
        _at_most(results, "wcap --help", 0.3),
        _at_most(results, "wcap info", 0.5),
    ]


def _nothing_lost(results: Results) -> Goal:
    what, limit = "events missing from any recording of wcap", "0"
    runs = [*results.runs(WCAP_RECORD)]
    if results.long_run is not None:
        runs.append(results.long_run.run)
    if not runs:
        return Goal(what, limit)
    writes = sum(run.writes for run in runs)
    # What a recorder says that it lost, and what it has, must each say the same.
    missing = max(writes - sum(run.kept or 0 for run in runs), sum(run.lost or 0 for run in runs))
    return Goal(what, limit, f"{missing:,} of {writes:,}", missing == 0)


def _cost(results: Results, peer: Recorder, most: float) -> Goal:
    what = f"a write recorded by wcap, to one under {peer.name}"
    limit = f"at most 1/{1 / most:.0f}"
    ours, theirs = results.runs(WCAP_RECORD), results.runs(peer)
    if not ours or not theirs:
        return Goal(what, limit)
    ratio = median_ratio([run.ns_a_write for run in ours], [run.ns_a_write for run in theirs])
    return Goal(what, limit, f"1/{1 / ratio:.1f}", ratio <= most)


def _recorder_time(long_run: LongRun | None) -> Goal:
    what, limit = "CPU time of a long recording, by its events", "at most 1.5 µs"
    time_ns = None if long_run is None else long_run.run.recorder_ns_an_event
    if time_ns is None:
        return Goal(what, limit)
    return Goal(what, limit, f"{time_ns / 1_000:.2f} µs", time_ns <= 1_500)


def _memory(long_run: LongRun | None) -> Goal:
    what = "memory of a long recording, its last quarter to its second"
    limit = f"at most {_FLAT}"
    if long_run is None or long_run.run.elapsed_ns < _LONG_NS:
        return Goal(what, limit)
    grown = growth(long_run.memory_bytes)
    return Goal(what, limit, f"{grown:.3f}", grown <= _FLAT)


def _show(results: Results) -> Goal:
    what, limit = "lines a second of wcap show, to those of perf script", "at least 1"
    ours, theirs = results.reading("wcap show"), results.reading("perf script")
    if ours is None or theirs is None:
        return Goal(what, limit)
    ratio = median_ratio(ours.rates, theirs.rates)
    return Goal(what, limit, f"{ratio:.2f}", ratio >= 1)


def _stats(results: Results) -> Goal:
    what, limit = "events a second of wcap stats", "at least 10 M"
    reading = results.reading("wcap stats")
    if reading is None:
        return Goal(what, limit)
    millions = statistics.median(reading.rates) / 1e6
    return Goal(what, limit, f"{millions:.1f} M", millions >= 10)


def _at_most(results: Results, name: str, seconds: float) -> Goal:
    what, limit = f"time of {name}", f"at most {seconds} s"
    reading = results.reading(name)
    if reading is None:
        return Goal(what, limit)
    median = statistics.median(reading.seconds)
    return Goal(what, limit, f"{median:.2f} s", median <= seconds)
