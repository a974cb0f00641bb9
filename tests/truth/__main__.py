"""The long form: every scenario at its full size, in rounds, a line for each.

    make truth                        all of them, once
    make truth ROUNDS=3 TRUTH=git     one, three times

Ends with status 1 if anything differs; what does is told, and what was recorded and traced stays.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from truth.scenarios import SCENARIOS, Scenario
from truth.trial import observe

_LINE = "{:<10}{:>12}{:>16}{:>13}{:>10}"


def main() -> int:
    """Run what the command line chooses; return the exit status."""
    options = _options()
    chosen = [SCENARIOS[name] for name in options.scenarios or SCENARIOS]
    print(_LINE.format("scenario", "writes", "bytes", "differences", "seconds"), flush=True)
    alike = [_run(scenario) for _ in range(options.rounds) for scenario in chosen]
    return 0 if all(alike) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="truth", description="Compare wcap with strace.")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    options = parser.parse_args()
    unknown = sorted(set(options.scenarios) - set(SCENARIOS))
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}")
    return options


def _run(scenario: Scenario) -> bool:
    """Run a scenario, print its line, and return whether nothing differs."""
    folder = Path(tempfile.mkdtemp(prefix=f"truth-{scenario.name}-"))
    started = time.monotonic()
    found = observe(scenario, scenario.long, folder)
    seconds = f"{time.monotonic() - started:.1f}"
    numbers = (f"{number:,}" for number in (found.writes, found.bytes, found.differing))
    print(_LINE.format(scenario.name, *numbers, seconds), flush=True)
    if found.differing:
        print(*found.told, f"see {folder}", sep="\n  ", file=sys.stderr, flush=True)
        return False
    shutil.rmtree(folder)
    return True


if __name__ == "__main__":
    sys.exit(main())
