"""Records as the kernel side lays them out (bpf/record.h), and spans of them."""

from __future__ import annotations

import struct

import numpy as np

from wcap.recorder.records import ENTER, EXIT, KNOWN_TASK, PROCESS, REREAD, UNREADABLE, Span

PREFIX = "=BBHIQQ"
ENTER_LAYOUT = struct.Struct(PREFIX + "QQiI16s")
EXIT_LAYOUT = struct.Struct(PREFIX + "q")
REREAD_LAYOUT = struct.Struct(PREFIX + "qQ")
PROCESS_LAYOUT = struct.Struct(PREFIX + "QII16s16s")
RING_HEADER = struct.Struct("=II")


def both(pid: int, tid: int) -> int:
    """Put a process's and a thread's number in one word, as the kernel does."""
    return pid << 32 | tid


def enter(
    payload: bytes = b"",
    *,
    pid: int = 100,
    tid: int | None = None,
    cpu: int = 0,
    time_ns: int = 0,
    sequence: int = 1,
    fd: int = 1,
    count: int | None = None,
    comm: bytes = b"hello",
    unreadable: bool = False,
) -> bytes:
    """Make the record of a write's beginning."""
    task = both(pid, pid if tid is None else tid)
    return (
        ENTER_LAYOUT.pack(
            *(ENTER, 0, UNREADABLE * unreadable, cpu, time_ns, task),
            *(sequence, len(payload) if count is None else count, fd, len(payload), comm),
        )
        + payload
    )


def leave(
    returned: int = 0, *, pid: int = 100, tid: int | None = None, cpu: int = 0, time_ns: int = 0
) -> bytes:
    """Make the record of a write's end."""
    task = both(pid, pid if tid is None else tid)
    return EXIT_LAYOUT.pack(EXIT, 0, 0, cpu, time_ns, task, returned)


def reread(
    payload: bytes,
    returned: int = 0,
    *,
    failed: bool = False,
    pid: int = 100,
    tid: int | None = None,
    cpu: int = 0,
    time_ns: int = 0,
) -> bytes:
    """Make the record of a write's end that brings the payload."""
    task = both(pid, pid if tid is None else tid)
    return (
        REREAD_LAYOUT.pack(
            *(REREAD, 0, UNREADABLE * failed, cpu, time_ns, task, returned, len(payload))
        )
        + payload
    )


def process(
    pid: int = 100,
    *,
    comm: bytes = b"hello",
    leader: bytes = b"hello",
    ppid: int = 1,
    uid: int = 0,
    start_ns: int = 7,
    known: bool = True,
) -> bytes:
    """Make the record of a process."""
    return PROCESS_LAYOUT.pack(
        *(PROCESS, 0, KNOWN_TASK * known, 0, 0, both(pid, pid)),
        *(start_ns, ppid, uid, comm, leader),
    )


def in_ring(record: bytes, flags: int = 0) -> bytes:
    """Give a record the ring buffer's header and padding."""
    return RING_HEADER.pack(len(record) | flags, 0) + record + bytes(-len(record) % 8)


def span_of(*records: bytes) -> Span:
    """Lay records out as they come from the ring buffer."""
    pieces = [in_ring(record) for record in records]
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    starts = ends - np.array([len(piece) for piece in pieces], dtype=np.int64) + RING_HEADER.size
    return Span(b"".join(pieces), starts)
