"""What wcap is to reach, each judged by what one run of the benchmark has measured.

What a call costs is judged by the CPU time of whoever makes it, and a reader by its own: others
on the machine disturb that least. Where a machine is quiet it is the time that passes.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from benchmarks.application_goals import judge_applications
from benchmarks.bystanders import filters, median_ready, over_empty
from benchmarks.endurance import SIZES
from benchmarks.goal import Goal, at_most
from benchmarks.measured import Results
from benchmarks.reader_goals import judge_readers
from benchmarks.recorders import EMPTY, WCAP_EXIT, WCAP_LOSSLESS, WCAP_RECORD, Recorder
from benchmarks.recording import Comparison, Run, described
from benchmarks.workload import Workload

# Memory is flat if the last quarter of a long recording needs no more than this of the second.
_FLAT = 1.05
# In less time buffers are still filling after the first quarter.
_LONG_NS = 30_000_000_000
# A call that costs more than this under wcap than under empty probes pays for wcap.
_MEASURABLE = 1.05
_MOST_LOST = 0.05
_MOST_MEMORY = 200_000_000


def judge(results: Results) -> list[Goal]:
    """Judge every goal."""
    return [
        _floor(results, WCAP_EXIT, 1.25),
        _floor(results, WCAP_RECORD, 1.8),
        *(_not_matching(results, name) for name in filters()),
        *(_other_call(results, name) for name in filters()),
        *(_lost(results, size, 1, WCAP_RECORD, 0) for size in SIZES),
        *(_lost(results, size, 2, WCAP_RECORD, _MOST_LOST) for size in SIZES),
        *(_lost(results, size, writers, WCAP_LOSSLESS, 0) for writers in (1, 2) for size in SIZES),
        _recorder_time(results, WCAP_RECORD, 0.8),
        _recorder_time(results, WCAP_EXIT, 0.6),
        *_idle(results),
        _growth(results),
        _peak(results),
        _stored(results),
        *judge_applications(results.applications),
        *judge_readers(results),
    ]


def _floor(results: Results, recorder: Recorder, most: float) -> Goal:
    compared = results.recorders
    found = None if compared is None else compared.times_floor(recorder.name)
    return at_most(f"what {recorder.name} adds, to counting", found, most, "{:.2f}")


def _not_matching(results: Results, name: str) -> Goal:
    compared = _of_bystanders(results, "write")
    found = None if compared is None else compared.times_floor(name, EMPTY)
    return at_most(f"what {name}, adds to a write, to empty probes", found, 1.1, "{:.2f}")


def _other_call(results: Results, name: str) -> Goal:
    compared = _of_bystanders(results, "getppid")
    found = None if compared is None else over_empty(compared, name)
    return at_most(f"getppid under {name}, to empty probes", found, _MEASURABLE, "{:.2f}")


def _of_bystanders(results: Results, call: str) -> Comparison | None:
    found = results.bystanders.comparisons if results.bystanders else []
    return next((one for one in found if one.workload.call == call), None)


def _lost(results: Results, size: int, writers: int, recorder: Recorder, most: float) -> Goal:
    workload = Workload(size, threads=writers)
    what = f"lost by {recorder.name} of {described(workload)}"
    limit = f"at most {100 * most:.0f} %" if most else "0"
    run = next(
        (
            one.run
            for one in results.long_runs
            if one.run and one.workload == workload and one.recorder == recorder.name
        ),
        None,
    )
    if run is None:
        return Goal(what, limit)
    share = run.missing / run.writes
    found = f"{100 * share:.1f} % of {run.writes:,}" if run.missing else f"0 of {run.writes:,}"
    return Goal(what, limit, found, share <= most)


def _recorder_time(results: Results, recorder: Recorder, most_us: float) -> Goal:
    times = [run.recorder_ns_an_event for run in _runs(results, recorder)]
    known = [time / 1_000 for time in times if time is not None]
    found = statistics.median(known) if known else None
    return at_most(f"CPU time of {recorder.name} for an event", found, most_us, "{:.2f} µs")


def _idle(results: Results) -> Iterator[Goal]:
    found = results.bystanders
    share = None if found is None or found.idle_share is None else 100 * found.idle_share
    yield at_most("CPU time of wcap with nobody to record", share, 0.5, "{:.2f} % of a core")
    ready = None if found is None else median_ready(found)
    yield at_most("from the start until wcap records", ready, 0.7, "{:.2f} s")


def _growth(results: Results) -> Goal:
    grown = [
        one.grown
        for one in results.long_runs
        if one.run and one.run.elapsed_ns >= _LONG_NS and one.grown is not None
    ]
    what = "memory of a long recording, its last quarter to its second"
    return at_most(what, max(grown, default=None), _FLAT, "{:.3f}")


def _peak(results: Results) -> Goal:
    runs = [one.run for one in results.long_runs if one.recorder == WCAP_RECORD.name and one.run]
    runs += _runs(results, WCAP_RECORD)
    found = max((run.memory.highest for run in runs if run.memory), default=None)
    most = _MOST_MEMORY / 1e6
    megabytes = None if found is None else found / 1e6
    return at_most("memory of wcap record besides its buffer", megabytes, most, "{:.0f} MB")


def _stored(results: Results) -> Goal:
    sizes = [run.bytes_an_event for run in _runs(results, WCAP_RECORD)]
    known = [size for size in sizes if size is not None]
    found = statistics.median(known) if known else None
    return at_most("bytes that wcap record stores of an event", found, 2.5, "{:.2f}")


def _runs(results: Results, recorder: Recorder) -> list[Run]:
    return [] if results.recorders is None else results.recorders.runs(recorder)
