"""A capture made of invented events, so that readers can be timed without root."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap import CaptureWriter, EventBatch, Header, Process
from wcap.batch import COLUMNS
from wcap.format import Clock, End
from wcap.writer import CHUNK_EVENTS

SNAPLEN = 4096
STARTED_NS = 1_767_323_045_000_000_000
_CLOCK = Clock("boottime", 3_600_000_000_000, STARTED_NS)
_COMMS = ("nginx", "redis-server", "postgres", "python3")
_PROCESSES = tuple(
    Process(1000 + n, _COMMS[n % len(_COMMS)], _COMMS[n % len(_COMMS)], 1, 1000, 10**9 * n)
    for n in range(8)
)
_EPIPE = -32


def make_capture(path: Path, events: int) -> None:
    """Write a capture of a busy server: 8 processes, 2 CPUs, 8 to 112 bytes a write.

    Args:
        path: where.
        events: how many, at 5 µs from one to the next.
    """
    random = np.random.default_rng(1)
    text = _log_lines(random)
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
    with path.open("wb", buffering=0) as stream:
        writer = CaptureWriter(stream, header)
        for start in range(0, events, CHUNK_EVENTS):
            columns = _columns(random, min(CHUNK_EVENTS, events - start), now_ns, sequences)
            now_ns = int(columns["time_ns"][-1])
            payload = text[: int(columns["captured"].sum())]
            batch = EventBatch(
                len(columns["time_ns"]),
                columns,
                payload,
                processes=_PROCESSES,
                comms=_COMMS,
                syscalls=("write",),
            )
            writer.write(batch)
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
    random: np.random.Generator, length: int, after_ns: int, sequences: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[Any]]:
    """Invent the columns of a batch; ``sequences`` of the CPUs are carried on."""
    process = random.integers(0, len(_PROCESSES), length)
    cpu = random.integers(0, len(sequences), length)
    sequence = np.empty(length, dtype=np.int64)
    for number in range(len(sequences)):
        mine = cpu == number
        sequence[mine] = sequences[number] + np.arange(1, np.count_nonzero(mine) + 1)
        sequences[number] += np.count_nonzero(mine)
    count = random.integers(8, 113, length)
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


def _log_lines(random: np.random.Generator) -> bytes:
    """Return more text, with numbers in it, than the payloads of a chunk can take."""
    numbers = random.integers(0, 100_000, 1 << 18).tolist()
    return b"".join(b"GET /item/%d HTTP/1.1 200 %d bytes sent\n" % (n, n * 7) for n in numbers) * 2
