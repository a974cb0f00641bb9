"""`python -m benchmarks`: measure, and print one table."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, readers, recording, report
from benchmarks.launch import MeasurementError
from benchmarks.recorders import RECORDERS
from benchmarks.results import Results


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured.

    Attributes:
        rounds: in which each recorder and each reader has its turn.
        writes: of the fast recorders in a round.
        seconds: of the long recording.
        lines: printed by each reader that prints.
    """

    rounds: int
    writes: int
    seconds: int
    lines: int


FULL = Extent(rounds=5, writes=1_000_000, seconds=60, lines=1_000_000)
QUICK = Extent(rounds=3, writes=150_000, seconds=4, lines=200_000)


def main() -> int:
    """Run the benchmark and return its exit status, which does not depend on the goals."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what recording and reading cost, beside other tools found here. "
        "Recording needs root. Takes about three minutes; leave the machine alone meanwhile.",
    )
    parser.add_argument("--quick", action="store_true", help="under a minute, and less exact")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE too")
    options = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed wcap has its bytecode
    try:
        results = measure(QUICK if options.quick else FULL)
        print(report.as_text(results), end="", flush=True)
        if options.quick:
            _say("these were short runs: starting and ending weighs more than in a full one")
        if options.json is not None:
            text = json.dumps(report.as_json(results), indent=2, ensure_ascii=False)
            options.json.write_text(text + "\n")
    except (MeasurementError, subprocess.TimeoutExpired, OSError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def measure(extent: Extent) -> Results:
    """Measure everything in a folder that is removed afterwards.

    Raises:
        MeasurementError: the workload or a reader of wcap failed.
    """
    described = machine.describe()
    with tempfile.TemporaryDirectory() as place:
        writer = recording.compile_writer(Path(place))
        outcomes = recording.in_turn(
            RECORDERS, writer, rounds=extent.rounds, writes=extent.writes, say=_say
        )
        _say(f"wcap record for {extent.seconds} s")
        try:
            long_run = recording.for_long(writer, extent.seconds)
        except MeasurementError as error:
            _say(f"not recorded: {error}")
            long_run = None
        _say("making captures to read")
        to_time = readers.prepare(Path(place), writer, extent.lines)
        readings = readers.time_readers(to_time, rounds=extent.rounds, say=_say)
    return Results(described, outcomes, long_run, readings)


def _say(remark: str) -> None:
    print(f"benchmarks: {remark}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
