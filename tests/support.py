"""Batches and captures made for tests, out of the few facts that a test cares about."""

from __future__ import annotations

import errno
import io
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from wcap.batch import COLUMNS, OPTIONAL, EventBatch
from wcap.events import UNKNOWN_TARGET, EventFlag, Gap, Process, Target
from wcap.format import Clock, End, Header
from wcap.writer import CaptureWriter, open_output

# 2026-01-02T03:04:05Z, an hour after boot.
STARTED_NS = 1_767_323_045_000_000_000
CLOCK = Clock("boottime", 3_600_000_000_000, STARTED_NS)
HEADER = Header(
    clock=CLOCK,
    snaplen=4096,
    syscalls=("write",),
    transport="ring-buffer",
    kernel={"release": "6.18.0", "version": "#1 SMP", "machine": "x86_64"},
    host="testhost",
    boot_id="6f1c3b5e-0000-4000-8000-000000000000",
    filters={"given": ["-c", "hello"], "resolved": {"comms": ["hello"]}},
    versions={"wcap": "0.1.0"},
)


NO_FLAGS = EventFlag(0)


class SmallDisk(io.FileIO):
    """A new file on a disk that has room for so many bytes of it."""

    def __init__(self, path: Path, room: int) -> None:
        super().__init__(path, "xb")
        self._room = room

    def write(self, data: Any) -> int:
        """Write what there is room for, as the kernel does."""
        fitting = min(len(data), self._room - self.tell())
        if fitting <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data[:fitting])


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Let this process write no file beyond so many bytes, as if there were no room for more."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write(
    data: bytes = b"hello\n",
    *,
    after_ns: int = 0,
    pid: int = 100,
    tid: int | None = None,
    ppid: int | None = 1,
    comm: str = "hello",
    leader: str | None = None,
    fd: int = 1,
    count: int | None = None,
    returned: int | None = None,
    duration_ns: int = 1500,
    flags: EventFlag = NO_FLAGS,
    cpu: int = 0,
    syscall: str = "write",
    target: Target = UNKNOWN_TARGET,
    offset: int | None = None,
    source_fd: int | None = None,
    source: Target | None = None,
    address: str | None = None,
) -> dict[str, Any]:
    """Describe one write, ``after_ns`` nanoseconds after the start; it succeeds in full.

    An offset, a source and an address that are given bring their flags with them.
    """
    asked = len(data) if count is None else count
    given = {"offset": offset, "source_fd": source_fd, "source": source, "address": address}
    for name, value in given.items():
        flags |= OPTIONAL[name] if value is not None else NO_FLAGS
    return {
        "time_ns": STARTED_NS + after_ns,
        "cpu": cpu,
        "process": Process(pid, comm, leader=leader or comm, ppid=ppid, uid=0),
        "tid": pid if tid is None else tid,
        "comm": comm,
        "syscall": syscall,
        "fd": fd,
        "count": asked,
        "captured": len(data),
        "returned": asked if returned is None else returned,
        "duration_ns": duration_ns,
        "flags": int(flags),
        "target": target,
        "offset": offset or 0,
        "source_fd": source_fd or 0,
        "source": source or UNKNOWN_TARGET,
        "address": address or "",
        "data": data,
    }


def batch_of(*writes: dict[str, Any], first_sequence: int = 1) -> EventBatch:
    """Turn writes, in time order, into a batch; sequence numbers count up on each CPU."""
    tables: dict[str, list[Any]] = {"process": [], "comm": [], "syscall": [], "address": []}
    tables["target"] = tables["source"] = []
    rows: dict[str, list[int]] = {name: [] for name in COLUMNS}
    seen: dict[int, int] = {}
    for one in writes:
        seen[one["cpu"]] = seen.get(one["cpu"], first_sequence - 1) + 1
        for name in COLUMNS:
            if name == "sequence":
                value = one.get("sequence", seen[one["cpu"]])
            elif name in tables:
                if one[name] not in tables[name]:
                    tables[name].append(one[name])
                value = tables[name].index(one[name])
            else:
                value = one[name]
            rows[name].append(value)
    return EventBatch(
        len(writes),
        {name: np.array(rows[name], dtype=kind) for name, kind in COLUMNS.items()},
        b"".join(one["data"] for one in writes),
        processes=tables["process"],
        comms=tables["comm"],
        syscalls=tables["syscall"],
        targets=tables["target"],
        addresses=tables["address"],
    )


def end_of(batches: Sequence[EventBatch], gaps: Sequence[Gap] = (), **facts: Any) -> End:
    """Make the end that fits these batches and gaps."""
    last: dict[int, int] = {}
    for batch in batches:
        for cpu, sequence in zip(batch.cpu.tolist(), batch.sequence.tolist(), strict=True):
            last[cpu] = max(last.get(cpu, 0), sequence)
    lost: dict[str, int] = {}
    for gap in gaps:
        last[gap.cpu] = max(last.get(gap.cpu, 0), gap.last_sequence)
        lost[gap.cause] = lost.get(gap.cause, 0) + gap.count
    given: dict[str, Any] = {
        "reason": "signal",
        "clock_ns": CLOCK.clock_ns + 10_000_000_000,
        "wall_ns": CLOCK.wall_ns + 10_000_000_000,
        "sequences": last,
        "lost": lost,
    }
    return End(**{**given, **facts})


def write_capture(
    path: Path,
    *batches: EventBatch,
    gaps: Sequence[Gap] = (),
    header: Header = HEADER,
    closed: bool = True,
) -> Path:
    """Write a capture: the gaps, then the batches, then the end unless it is not ``closed``."""
    with open_output(path) as stream:
        writer = CaptureWriter(stream, header, salt=0)
        writer.write_gaps(gaps)
        for batch in batches:
            writer.write(batch)
        if closed:
            writer.close(end_of(batches, gaps))
    return path
