"""The kernel side's records as columns: plain numpy over the bytes as they came.

The layout is that of bpf/record.h; `sizes` is compiled into the program, which refuses to build
if the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.events import gather

ENTER, EXIT, REREAD, PROCESS = 1, 2, 3, 4
UNREADABLE, KNOWN_TASK = 1, 2

_ENTER_SIZE, _EXIT_SIZE, _REREAD_SIZE, _PROCESS_SIZE = 64, 32, 40, 72
_STATE_HEAD = 24
COMM_SIZE = 16
# A task's two numbers in one word: the process in the high half, the thread in the low.
TID = np.uint64(0xFFFF_FFFF)
PID_SHIFT = np.uint64(32)

Ints = npt.NDArray[Any]


def sizes(snaplen: int) -> dict[str, int]:
    """Return the sizes in bytes that bpf/record.h and bpf/write.c assert."""
    return {
        "ENTER_SIZE": _ENTER_SIZE,
        "EXIT_SIZE": _EXIT_SIZE,
        "REREAD_SIZE": _REREAD_SIZE,
        "PROCESS_SIZE": _PROCESS_SIZE,
        "STATE_SIZE": state_size(snaplen),
    }


def state_size(snaplen: int) -> int:
    """Return the size in bytes of ``struct cpu_state``."""
    return _STATE_HEAD + _ENTER_SIZE + (snaplen + 7) // 8 * 8


@dataclass(frozen=True, slots=True)
class Span:
    """Records as they came: some bytes, and where in them each record starts, 8-byte aligned."""

    data: bytes
    starts: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Enters:
    """Writes that began, in the order of their records; ``order`` counts records."""

    order: Ints
    time_ns: Ints
    pid_tgid: Ints
    cpu: Ints
    sequence: Ints
    count: Ints
    fd: Ints
    captured: Ints
    flags: Ints
    comm0: Ints
    comm1: Ints
    payload: bytes


@dataclass(frozen=True, slots=True)
class Exits:
    """Writes that ended; ``payloads`` has those that were read again, by position."""

    order: Ints
    time_ns: Ints
    pid_tgid: Ints
    returned: Ints
    payloads: dict[int, tuple[bytes, bool]]


@dataclass(frozen=True, slots=True)
class Seen:
    """A process that the kernel side saw for the first time, or that called exec."""

    order: int
    pid: int
    comm: bytes
    uid: int
    leader: bytes | None
    ppid: int | None
    start_ns: int | None


@dataclass(frozen=True, slots=True)
class Decoded:
    """The records of a span, by kind."""

    enters: Enters
    exits: Exits
    processes: list[Seen]


def decode(span: Span, first_order: int) -> Decoded:
    """Turn a span into columns; its records are numbered from ``first_order``."""
    words = np.frombuffer(span.data, dtype=np.uint64, count=len(span.data) // 8)
    rows = span.starts >> 3
    head = words[rows]
    kind = head & 0xFF
    enters = np.flatnonzero(kind == ENTER)
    exits = np.flatnonzero((kind == EXIT) | (kind == REREAD))
    return Decoded(
        _enters(span, words, rows[enters], head[enters], enters + first_order),
        _exits(span, words, rows[exits], head[exits], exits + first_order),
        [
            _process(span.data, int(span.starts[position]), first_order + position)
            for position in np.flatnonzero(kind == PROCESS).tolist()
        ],
    )


def _enters(span: Span, words: Ints, rows: Ints, head: Ints, order: Ints) -> Enters:
    descriptor = words[rows + 5]
    captured = (descriptor >> 32).astype(np.int64)
    starts = rows * 8 + _ENTER_SIZE
    return Enters(
        order=order,
        time_ns=words[rows + 1].view(np.int64),
        pid_tgid=words[rows + 2],
        cpu=(head >> 32).astype(np.uint32),
        sequence=words[rows + 3].view(np.int64),
        count=words[rows + 4],
        fd=descriptor.astype(np.uint32).view(np.int32),
        captured=captured,
        flags=((head >> 16) & 0xFFFF).astype(np.uint32),
        comm0=words[rows + 6],
        comm1=words[rows + 7],
        payload=gather(span.data, starts, captured),
    )


def _exits(span: Span, words: Ints, rows: Ints, head: Ints, order: Ints) -> Exits:
    payloads = {}
    for position in np.flatnonzero((head & 0xFF) == REREAD).tolist():
        start = int(rows[position]) * 8 + _REREAD_SIZE
        size = int(words[rows[position] + 4])
        unreadable = bool(int(head[position]) >> 16 & UNREADABLE)
        payloads[position] = (span.data[start : start + size], unreadable)
    return Exits(
        order=order,
        time_ns=words[rows + 1].view(np.int64),
        pid_tgid=words[rows + 2],
        returned=words[rows + 3].view(np.int64),
        payloads=payloads,
    )


def _process(data: bytes, start: int, order: int) -> Seen:
    head, _, pid_tgid, start_ns, ids = np.frombuffer(data, np.uint64, 5, start).tolist()
    comm, leader = (
        data[place : place + COMM_SIZE].split(b"\0", 1)[0]
        for place in (start + 40, start + 40 + COMM_SIZE)
    )
    known = bool(head >> 16 & KNOWN_TASK)
    return Seen(
        order=order,
        pid=pid_tgid >> 32,
        comm=comm,
        uid=ids >> 32,
        leader=leader if known else None,
        ppid=ids & 0xFFFF_FFFF if known else None,
        start_ns=start_ns if known else None,
    )


_ENTER_COLUMNS = tuple(name for name in Enters.__slots__ if name != "payload")
_EXIT_COLUMNS = tuple(name for name in Exits.__slots__ if name != "payloads")


def joined_enters(parts: list[Enters]) -> Enters | None:
    """Return the writes of all parts as one, or None when there are none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _ENTER_COLUMNS
    }
    return Enters(**columns, payload=b"".join(part.payload for part in parts))


def joined_exits(parts: list[Exits]) -> Exits | None:
    """Return the ends of all parts as one, or None when there are none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _EXIT_COLUMNS
    }
    payloads: dict[int, tuple[bytes, bool]] = {}
    base = 0
    for part in parts:
        payloads |= {base + position: found for position, found in part.payloads.items()}
        base += len(part.order)
    return Exits(**columns, payloads=payloads)


def some_enters(enters: Enters, rows: npt.NDArray[np.intp]) -> Enters:
    """Return some of the writes, with their payloads only."""
    stops = np.cumsum(enters.captured, dtype=np.int64)[rows]
    columns = {name: getattr(enters, name)[rows] for name in _ENTER_COLUMNS}
    starts = stops - columns["captured"]
    return Enters(**columns, payload=gather(enters.payload, starts, columns["captured"]))


def some_exits(exits: Exits, rows: npt.NDArray[np.int64]) -> Exits:
    """Return some of the ends, in ascending order of ``rows``."""
    columns = {name: getattr(exits, name)[rows] for name in _EXIT_COLUMNS}
    payloads = {
        new: exits.payloads[old] for new, old in enumerate(rows.tolist()) if old in exits.payloads
    }
    return Exits(**columns, payloads=payloads)
