"""`python -m benchmarks`: measure, and print one table after the other."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import wcap
from benchmarks import report
from benchmarks.launch import MeasurementError
from benchmarks.machine import describe
from benchmarks.measured import Results
from benchmarks.parts import FULL, PARTS, QUICK, measure

_SAVED = Path(__file__).with_name("results")


def main() -> int:
    """Run the benchmark and return its exit status, which does not depend on the goals."""
    options = _parser().parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed wcap has its bytecode
    results = Results(describe(), quick=options.quick)
    extent = QUICK if options.quick else FULL
    status = 0
    try:
        with tempfile.TemporaryDirectory() as place:
            measure(results, Path(place), options.only, extent, _say)
    except KeyboardInterrupt:
        _say("interrupted: this is what was measured until then")
        status = 130
    except (MeasurementError, OSError) as error:
        _say(str(error))
        status = 1
    print(report.as_text(results), end="", flush=True)
    text = json.dumps(report.as_json(results), indent=1, ensure_ascii=False) + "\n"
    if options.json is not None:
        options.json.write_text(text)
    if options.save and status == 0:
        _SAVED.mkdir(exist_ok=True)
        (_SAVED / f"{wcap.__version__}.json").write_text(text)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what recording and reading cost, beside other tools found here. "
        "Recording needs root. Takes about twenty minutes; leave the machine alone meanwhile.",
    )
    parser.add_argument("--quick", action="store_true", help="three minutes, and less exact")
    parser.add_argument(
        "--only", type=parts_of, metavar="PART,…", default=PARTS, help=f"of {', '.join(PARTS)}"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE too")
    parser.add_argument(
        "--save", action="store_true", help="write them to benchmarks/results/VERSION.json too"
    )
    return parser


def parts_of(given: str) -> tuple[str, ...]:
    """Read the names of parts, separated by commas.

    Raises:
        argparse.ArgumentTypeError: one of them is none.
    """
    names = tuple(given.split(","))
    unknown = [name for name in names if name not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(PARTS)} expected, {unknown[0]!r} found")
    return names


def _say(remark: str) -> None:
    print(f"benchmarks: {remark}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
