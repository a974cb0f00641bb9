"""The parts of the benchmark, and how much of each a run measures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import applications, bystanders, endurance, readers, recording, tracers
from benchmarks.launch import MeasurementError
from benchmarks.measured import Results
from benchmarks.recorders import FEW, PRINCIPAL, RECORDERS, WCAP_WHOLE, Recorder
from benchmarks.workload import SIZES, Workload, compile_writer

PARTS = ("recorders", "sizes", "long", "idle", "programs", "readers")
# Longer payloads are cut by default.
_WHOLE_FROM = 4096
# What is compared besides one writer of 64 bytes to /dev/null.
WORKLOADS = (
    *(Workload(size) for size in SIZES if size != Workload().size),
    *(Workload(size, threads=2) for size in SIZES),
    *(Workload(sink=sink) for sink in ("pipe", "file", "tcp")),
)
FEW_WORKLOADS = (Workload(4096), Workload(65536), Workload(threads=2), Workload(sink="tcp"))
_Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: in which each recorder and each reader has its turn.
        writes: of the fast recorders in a round.
        workloads: whose sizes, writers and descriptors are compared.
        principal: the recorders that are compared so.
        size_rounds: of the sizes.
        size_writes: of the fast recorders in such a round.
        alone: seconds of a long recording of one writer.
        together: of two.
        lossless: of those that lose nothing.
        idle: seconds for which wcap is attached with nobody to record.
        load: of the real programs.
        lines: printed by each reader that prints.
        large: whether a file of more than 1 GB is read.
    """

    rounds: int
    writes: int
    workloads: Sequence[Workload]
    principal: Sequence[Recorder]
    size_rounds: int
    size_writes: int
    alone: float
    together: float
    lossless: float
    idle: float
    load: applications.Load
    lines: int
    large: bool


FULL = Extent(
    rounds=5,
    writes=1_000_000,
    workloads=WORKLOADS,
    principal=PRINCIPAL,
    size_rounds=2,
    size_writes=400_000,
    alone=60,
    together=20,
    lossless=10,
    idle=20,
    load=applications.Load(tracers.ALL, rounds=3, requests=100_000, seconds=3),
    lines=1_000_000,
    large=True,
)
QUICK = Extent(
    rounds=1,
    writes=150_000,
    workloads=FEW_WORKLOADS,
    principal=FEW,
    size_rounds=1,
    size_writes=20_000,
    alone=1,
    together=1,
    lossless=1,
    idle=2,
    load=applications.Load(tracers.FEW, rounds=1, requests=10_000, seconds=1),
    lines=100_000,
    large=False,
)


def measure(
    results: Results, folder: Path, parts: Sequence[str], extent: Extent, say: _Say
) -> None:
    """Measure the parts, and put each into the results when it is done.

    Args:
        results: to be filled; they name what cannot be measured.
        folder: an empty one.
        parts: some of `PARTS`.
        extent: how much of each.
        say: is told what is going on.

    Raises:
        MeasurementError: no capture could be made to be read.
    """
    folder.chmod(0o711)  # an ordinary user's programs run below it
    writer: Path | None = None
    recording_parts = [part for part in parts if part != "readers"]
    try:
        if os.geteuid() != 0:
            raise MeasurementError("recording needs root")
        writer = compile_writer(folder)
    except MeasurementError as error:
        if recording_parts:
            results.problems.append(f"not measured: {', '.join(recording_parts)}: {error}")
    else:
        for part in recording_parts:
            _MEASURES[part](results, folder, writer, extent, say)
    if "readers" in parts:
        say("making captures to read")
        to_time = readers.prepare(folder, writer, extent.lines, large=extent.large)
        results.readers = readers.time_readers(to_time, rounds=extent.rounds, say=say)


def _compared(workload: Workload, extent: Extent) -> Sequence[Recorder]:
    """Return the recorders that are compared for such a workload."""
    cut = workload.size > _WHOLE_FROM
    return (*extent.principal, WCAP_WHOLE) if cut else extent.principal


def _recorders(results: Results, _: Path, writer: Path, extent: Extent, say: _Say) -> None:
    results.recorders = recording.in_turn(
        Workload(), RECORDERS, writer, rounds=extent.rounds, writes=extent.writes, say=say
    )


def _sizes(results: Results, _: Path, writer: Path, extent: Extent, say: _Say) -> None:
    results.sizes = [
        recording.in_turn(
            workload,
            _compared(workload, extent),
            writer,
            rounds=extent.size_rounds,
            writes=extent.size_writes,
            say=say,
        )
        for workload in extent.workloads
    ]


def _long(results: Results, _: Path, writer: Path, extent: Extent, say: _Say) -> None:
    to_do = endurance.cases(extent.alone, extent.together, extent.lossless)
    results.long_runs = endurance.for_long(to_do, writer, say)


def _idle(results: Results, _: Path, writer: Path, extent: Extent, say: _Say) -> None:
    results.bystanders = bystanders.measure(
        writer, rounds=extent.rounds, calls=extent.writes, seconds=extent.idle, say=say
    )


def _programs(results: Results, folder: Path, _: Path, extent: Extent, say: _Say) -> None:
    results.applications = applications.measure(folder, extent.load, say)


_MEASURES: dict[str, Callable[[Results, Path, Path, Extent, _Say], None]] = {
    "recorders": _recorders,
    "sizes": _sizes,
    "long": _long,
    "idle": _idle,
    "programs": _programs,
}
