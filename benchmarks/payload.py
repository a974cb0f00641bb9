"""`python -m benchmarks.payload FILE`: the payloads of a capture, and nothing else."""

from __future__ import annotations

import sys

import wcap


def main() -> None:
    """Write them to standard output."""
    with wcap.open(sys.argv[1], errors="salvage") as capture:
        for batch in capture.batches():
            sys.stdout.buffer.write(batch.joined())


if __name__ == "__main__":
    main()
