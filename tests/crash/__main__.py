"""The long form: recorders killed at a hundred random moments under load, four at a time.

    make crash
    make crash MOMENTS=20 SEED=7

Ends with status 1 if anything does not hold; that is told, and the files stay.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from crash.killed import WAYS, Moment, kill
from crash.load import RHYTHMS

# Long enough for several chunks, and for a file of a second to be followed by others.
_LATEST_SECONDS = 4.0
_LINE = "{:<9} {:<9} {:>8} {:>6} {:>9} {:>7} {:>8}"


def main() -> int:
    """Kill recorders, print a line for each, and return the exit status."""
    parser = argparse.ArgumentParser(prog="crash", description="Kill recorders under load.")
    parser.add_argument("--moments", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    print(_LINE.format("load", "files", "killed s", "files", "events", "lost", "age s"))
    wrong = done = 0
    while done < options.moments:
        rhythm = list(RHYTHMS)[done // len(WAYS) % len(RHYTHMS)]
        ways = list(WAYS)[: options.moments - done]
        moments = [Moment(chance.uniform(0, _LATEST_SECONDS), way) for way in ways]
        done += len(moments)
        wrong += _kill(rhythm, moments)
    print(f"{done} moments, {wrong} of them left what they must not")
    return 1 if wrong else 0


def _kill(rhythm: str, moments: list[Moment]) -> int:
    """Kill some recorders; return how many left what they must not."""
    folder = Path(tempfile.mkdtemp(prefix="crash-"))
    found = kill(rhythm, moments, folder)
    for moment, left in zip(moments, found, strict=True):
        age = "" if left.age_ns is None else f"{left.age_ns / 1e9:.2f}"
        numbers = (f"{number:,}" for number in (left.files, left.events, left.lost))
        print(_LINE.format(rhythm, moment.way, f"{moment.seconds:.3f}", *numbers, age), flush=True)
        for what in left.wrong:
            print(f"  {what}; see {folder}", file=sys.stderr, flush=True)
    bad = sum(bool(left.wrong) for left in found)
    if not bad:
        shutil.rmtree(folder)
    return bad


if __name__ == "__main__":
    sys.exit(main())
