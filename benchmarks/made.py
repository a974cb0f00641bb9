"""`python -m benchmarks.made SHAPE EVENTS FILE`: a capture made of invented events.

So readers can be timed without root. It is a process of its own because what a child is said to
have had in memory at most is never less than what its parent had when it was started.
"""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap import CaptureWriter, EventBatch, Header, Process
from wcap.batch import COLUMNS
from wcap.format import Clock, End

SNAPLEN = 4096
STARTED_NS = 1_767_323_045_000_000_000
_CLOCK = Clock("boottime", 3_600_000_000_000, STARTED_NS)
_COMMS = ("nginx", "redis-server", "postgres", "python3")
_PROCESSES = tuple(
    Process(1000 + n, _COMMS[n % len(_COMMS)], _COMMS[n % len(_COMMS)], 1, 1000, 10**9 * n)
    for n in range(9)
)
# It writes in one chunk of a hundred only.
RARE_PID = _PROCESSES[-1].pid
_USUAL = len(_PROCESSES) - 1
_RARE_EVENTS = 100
_EPIPE = -32


@dataclass(frozen=True, slots=True)
class Shape:
    """What the events look like.

    Attributes:
        chunk: events in each chunk.
        smallest: bytes of a write.
        largest: bytes of a write.
        random: whether the payload is noise, which no compression makes smaller.
    """

    chunk: int
    smallest: int
    largest: int
    random: bool


SHAPES = {
    "lines": Shape(100_000, 8, 112, random=False),
    "noise": Shape(8_000, 512, 1_500, random=True),
}


def make_capture(path: Path, shape: Shape, events: int) -> None:
    """Write a capture of a busy server: 8 processes, and one that is rare, on 2 CPUs.

    Args:
        path: where.
        shape: what the events look like.
        events: how many, at 5 µs from one to the next.
    """
    random = np.random.default_rng(1)
    text = _payload(random, shape)
    header = Header(
        clock=_CLOCK,
        snaplen=SNAPLEN,
        syscalls=("write",),
        transport="ring-buffer",
        kernel={"release": platform.release()},
        host="benchmark",
        boot_id="00000000-0000-4000-8000-000000000000",
    )
    sequences = np.zeros(2, dtype=np.int64)
    now_ns = STARTED_NS
    chunks = -(-events // shape.chunk)
    with path.open("wb", buffering=0) as stream:
        writer = CaptureWriter(stream, header)
        for number in range(chunks):
            length = min(shape.chunk, events - number * shape.chunk)
            columns = _columns(random, shape, length, now_ns, sequences)
            if number % 100 == min(50, chunks - 1):
                columns["process"][:_RARE_EVENTS] = _USUAL
            now_ns = int(columns["time_ns"][-1])
            # Each chunk has other bytes, at no cost.
            start = number * 4_099 % len(text)
            payload = (text[start:] + text[:start])[: int(columns["captured"].sum())]
            writer.write(
                EventBatch(
                    length,
                    columns,
                    payload,
                    processes=_PROCESSES,
                    comms=_COMMS,
                    syscalls=("write",),
                )
            )
        elapsed_ns = now_ns - STARTED_NS
        writer.close(
            End(
                "terminated",
                _CLOCK.clock_ns + elapsed_ns,
                _CLOCK.wall_ns + elapsed_ns,
                sequences=dict(enumerate(sequences.tolist())),
                lost={},
            )
        )


def _columns(
    random: np.random.Generator,
    shape: Shape,
    length: int,
    after_ns: int,
    sequences: npt.NDArray[np.int64],
) -> dict[str, npt.NDArray[Any]]:
    """Invent the columns of a batch; ``sequences`` of the CPUs are carried on."""
    process = random.integers(0, _USUAL, length)
    cpu = random.integers(0, len(sequences), length)
    sequence = np.empty(length, dtype=np.int64)
    for number in range(len(sequences)):
        mine = cpu == number
        sequence[mine] = sequences[number] + np.arange(1, np.count_nonzero(mine) + 1)
        sequences[number] += np.count_nonzero(mine)
    count = random.integers(shape.smallest, shape.largest + 1, length)
    failed = random.random(length) < 0.01
    columns = {
        "time_ns": after_ns + np.cumsum(random.integers(1_000, 9_000, length)),
        "cpu": cpu,
        "sequence": sequence,
        "process": process,
        "tid": 1000 + process,
        "comm": process % len(_COMMS),
        "syscall": np.zeros(length),
        "fd": random.integers(1, 9, length),
        "count": count,
        "captured": count,
        "returned": np.where(failed, _EPIPE, count),
        "duration_ns": random.lognormal(7.5, 0.8, length),
        "flags": np.zeros(length),
    }
    return {name: values.astype(COLUMNS[name]) for name, values in columns.items()}


def _payload(random: np.random.Generator, shape: Shape) -> bytes:
    """Return more bytes than the payloads of a chunk can take."""
    most = shape.chunk * shape.largest
    if shape.random:
        return random.bytes(most)
    numbers = random.integers(0, 100_000, 1 << 18).tolist()
    lines = b"".join(b"GET /item/%d HTTP/1.1 200 %d bytes sent\n" % (n, n * 7) for n in numbers)
    return lines * (most // len(lines) + 1)


def main() -> None:
    """Make the capture that the arguments name."""
    shape, events, path = sys.argv[1:]
    make_capture(Path(path), SHAPES[shape], int(events))


if __name__ == "__main__":
    main()
