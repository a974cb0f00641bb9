"""Events: one write each, and the batch of columns in which they travel.

The batch is what every stage hands on: numpy arrays of equal length, and the payloads in one
block of bytes. A column may be decoded only when it is first looked at, so a stage pays for
the columns that it uses. `Event` objects exist only when a person iterates.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag
from typing import Any

import numpy as np
import numpy.typing as npt

Column = npt.NDArray[Any]
Rows = npt.NDArray[np.bool_] | npt.NDArray[np.intp] | slice


class EventFlag(IntFlag):
    """What is special about an event; the bits of the ``flags`` column (SPEC.md section 5.3)."""

    TRUNCATED = 1
    READ_AT_EXIT = 2
    UNREADABLE = 4
    UNFINISHED = 8
    RESULT_LOST = 16

    @property
    def names(self) -> list[str]:
        """The names of the bits that are set, in lowercase, lowest bit first."""
        return [flag.name.lower() for flag in EventFlag if flag in self and flag.name]


NO_RESULT = EventFlag.UNFINISHED | EventFlag.RESULT_LOST

# The kernel's internal codes, which reach a program only as a restarted call or as EINTR
# (include/linux/errno.h).
_INTERNAL_ERRORS = {
    512: "ERESTARTSYS",
    513: "ERESTARTNOINTR",
    514: "ERESTARTNOHAND",
    516: "ERESTART_RESTARTBLOCK",
}
# Linux numbers: a capture may be read on a system whose own numbers differ.
_LINUX_ERRORS = {
    1: "EPERM", 4: "EINTR", 5: "EIO", 6: "ENXIO", 9: "EBADF", 11: "EAGAIN", 12: "ENOMEM",
    13: "EACCES", 14: "EFAULT", 16: "EBUSY", 22: "EINVAL", 25: "ENOTTY", 26: "ETXTBSY",
    27: "EFBIG", 28: "ENOSPC", 29: "ESPIPE", 30: "EROFS", 32: "EPIPE", 71: "EPROTO",
    88: "ENOTSOCK", 89: "EDESTADDRREQ", 90: "EMSGSIZE", 104: "ECONNRESET", 105: "ENOBUFS",
    106: "EISCONN", 107: "ENOTCONN", 110: "ETIMEDOUT", 111: "ECONNREFUSED", 113: "EHOSTUNREACH",
    122: "EDQUOT",
}  # fmt: skip


def error_name(returned: int) -> str:
    """Name the error that a negative return value stands for, such as ``EPIPE`` for -32."""
    code = -returned
    return (
        _LINUX_ERRORS.get(code)
        or _INTERNAL_ERRORS.get(code)
        or errno.errorcode.get(code)
        or f"errno {code}"
    )


@dataclass(frozen=True, slots=True)
class Process:
    """A process that wrote, as far as it could be known; unknown facts are None.

    ``comm`` is the name of the thread that wrote first, ``leader`` that of the thread group's
    leader. ``start_ns`` is the start of the process in nanoseconds on the capture's clock
    (`Header.clock`); with ``pid`` it tells processes apart when a number is used again.
    """

    pid: int
    comm: str
    leader: str | None = None
    ppid: int | None = None
    uid: int | None = None
    start_ns: int | None = None
    exe: str | None = None
    cmdline: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that one CPU lost: ``count`` of its sequence numbers ``first_sequence`` to
    ``last_sequence`` (all of them, unless several holes were written as one gap).

    The lost events happened after ``first_ns`` and before ``last_ns`` (wall clock, nanoseconds),
    which are the times of the CPU's neighbouring events or of the recording's ends.
    """

    cpu: int
    first_sequence: int
    last_sequence: int
    count: int
    first_ns: int
    last_ns: int
    cause: str


@dataclass(frozen=True, slots=True)
class Event:
    """One write: what was asked, what was captured and what the kernel returned.

    ``time_ns`` is the wall clock at entry, in nanoseconds since 1970. ``returned`` (bytes, or a
    negative errno) and ``duration_ns`` are None when no result was seen; ``flags`` says why.
    ``sequence`` counts the events of one ``cpu`` without a hole, unless events were lost.
    """

    time_ns: int
    pid: int
    tid: int
    ppid: int | None
    comm: str
    syscall: str
    fd: int
    count: int
    returned: int | None
    duration_ns: int | None
    flags: EventFlag
    cpu: int
    sequence: int
    data: bytes

    @property
    def captured(self) -> int:
        """Bytes of payload that were captured."""
        return len(self.data)


# Every column of a batch and its type in memory. ``process``, ``comm`` and ``syscall`` are
# positions in the batch's tables of those names; ``captured`` is the payload's length in bytes.
COLUMNS: dict[str, np.dtype[Any]] = {
    "time_ns": np.dtype(np.int64),
    "cpu": np.dtype(np.uint32),
    "sequence": np.dtype(np.int64),
    "process": np.dtype(np.uint32),
    "tid": np.dtype(np.uint32),
    "comm": np.dtype(np.uint32),
    "syscall": np.dtype(np.uint32),
    "fd": np.dtype(np.int32),
    "count": np.dtype(np.uint64),
    "captured": np.dtype(np.uint32),
    "returned": np.dtype(np.int64),
    "duration_ns": np.dtype(np.int64),
    "flags": np.dtype(np.uint32),
}


def gather(data: bytes, starts: Column, lengths: Column) -> bytes:
    """Return pieces of ``data`` one after the other.

    Args:
        data: what the pieces lie in.
        starts: where each begins, in bytes.
        lengths: of each, in bytes.
    """
    total = int(lengths.sum())
    if total == 0:
        return b""
    first, length = int(starts[0]), int(lengths[0])
    if bool((starts[1:] == starts[:-1] + lengths[:-1]).all()):
        return data[first : first + total]
    if bool((lengths == length).all()):
        step = int(starts[1]) - first
        if step > length and bool((np.diff(starts) == step).all()):
            pieces = np.lib.stride_tricks.as_strided(
                np.frombuffer(data, dtype=np.uint8, offset=first),
                shape=(len(starts), length),
                strides=(step, 1),
                writeable=False,
            )
            return bytes(pieces.tobytes())
        if len(data) % length == 0 and not bool((starts % length).any()):
            rows = np.frombuffer(data, dtype=np.uint8).reshape(-1, length)
            return bytes(rows[starts // length].tobytes())
    bounds = zip(starts.tolist(), (starts + lengths).tolist(), strict=True)
    return b"".join([data[start:end] for start, end in bounds])


class _Selected(Mapping[str, Column]):
    """Some rows of other columns, taken column by column when first asked for."""

    def __init__(self, columns: Mapping[str, Column], rows: Rows) -> None:
        self._columns = columns
        self._rows = rows
        self._taken: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._taken:
            self._taken[name] = self._columns[name][self._rows]
        return self._taken[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class EventBatch:
    """Consecutive events held as columns; the unit that every stage passes on.

    Args:
        length: number of events.
        columns: the columns named in `COLUMNS`, each of ``length`` numbers. It may decode a
            column when it is asked for.
        data: the payloads one after the other, or a function that returns them.
        processes: the table that the ``process`` column points into.
        comms: the table that the ``comm`` column points into.
        syscalls: the table that the ``syscall`` column points into.
        bounds: where each payload starts and ends in ``data``; without it the payloads follow
            each other without a hole.
    """

    __slots__ = ("_bounds", "_columns", "_data", "_length", "comms", "processes", "syscalls")

    def __init__(
        self,
        length: int,
        columns: Mapping[str, Column],
        data: bytes | Callable[[], bytes],
        *,
        processes: Sequence[Process],
        comms: Sequence[str],
        syscalls: Sequence[str],
        bounds: tuple[Column, Column] | None = None,
    ) -> None:
        self._length = length
        self._columns = columns
        self._data = data
        self._bounds = bounds
        self.processes = processes
        self.comms = comms
        self.syscalls = syscalls

    def __len__(self) -> int:
        return self._length

    def column(self, name: str) -> Column:
        """Return the column of that name (see `COLUMNS`)."""
        return self._columns[name]

    @property
    def time_ns(self) -> Column:
        """Wall clock at entry, nanoseconds since 1970, never decreasing (int64)."""
        return self._columns["time_ns"]

    @property
    def cpu(self) -> Column:
        """The CPU that the write was entered on (uint32)."""
        return self._columns["cpu"]

    @property
    def sequence(self) -> Column:
        """Count of this event among those of its CPU, from 1 (int64)."""
        return self._columns["sequence"]

    @property
    def process(self) -> Column:
        """Position in `processes` (uint32)."""
        return self._columns["process"]

    @property
    def pid(self) -> Column:
        """Process id: the kernel's thread group id (uint32)."""
        pids = np.array([process.pid for process in self.processes], dtype=np.uint32)
        return pids[self.process]

    @property
    def tid(self) -> Column:
        """Thread id: the kernel's pid (uint32)."""
        return self._columns["tid"]

    @property
    def comm(self) -> Column:
        """Position of the thread's name in `comms` (uint32)."""
        return self._columns["comm"]

    @property
    def syscall(self) -> Column:
        """Position of the system call's name in `syscalls` (uint32)."""
        return self._columns["syscall"]

    @property
    def fd(self) -> Column:
        """File descriptor as the program gave it (int32)."""
        return self._columns["fd"]

    @property
    def count(self) -> Column:
        """Bytes that the program asked to write (uint64)."""
        return self._columns["count"]

    @property
    def captured(self) -> Column:
        """Bytes of payload in the capture (uint32)."""
        return self._columns["captured"]

    @property
    def returned(self) -> Column:
        """Bytes written, or a negative errno; without meaning unless `has_result` (int64)."""
        return self._columns["returned"]

    @property
    def duration_ns(self) -> Column:
        """Nanoseconds from entry to exit; without meaning unless `has_result` (int64)."""
        return self._columns["duration_ns"]

    @property
    def flags(self) -> Column:
        """`EventFlag` bits (uint32)."""
        return self._columns["flags"]

    @property
    def has_result(self) -> Column:
        """Whether the kernel's answer is known (bool)."""
        result: Column = (self.flags & np.uint32(NO_RESULT)) == 0
        return result

    @property
    def data(self) -> bytes:
        """The block of bytes that the payloads lie in; `bounds` says where."""
        if callable(self._data):
            self._data = self._data()
        return self._data

    @property
    def bounds(self) -> tuple[Column, Column]:
        """Where each payload starts and ends in `data`, in bytes (int64)."""
        if self._bounds is None:
            ends = np.cumsum(self.captured, dtype=np.int64)
            self._bounds = (ends - self.captured, ends)
        return self._bounds

    def payloads(self) -> Iterator[bytes]:
        """Yield the payload of each event in turn."""
        data = self.data
        starts, ends = self.bounds
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            yield data[start:end]

    def joined(self) -> bytes:
        """Return the payloads one after the other, with nothing between them."""
        starts, ends = self.bounds
        return gather(self.data, starts, ends - starts)

    def select(self, rows: Rows) -> EventBatch:
        """Return the events of a mask, of positions or of a slice; nothing is copied yet."""
        starts, ends = self.bounds
        chosen = (starts[rows], ends[rows])
        return EventBatch(
            len(chosen[0]),
            _Selected(self._columns, rows),
            self._data if not callable(self._data) else lambda: self.data,
            processes=self.processes,
            comms=self.comms,
            syscalls=self.syscalls,
            bounds=chosen,
        )

    def __iter__(self) -> Iterator[Event]:
        processes = [self.processes[i] for i in self.process.tolist()]
        known = self.has_result.tolist()
        rows = zip(
            self.time_ns.tolist(),
            processes,
            self.tid.tolist(),
            self.comm.tolist(),
            self.syscall.tolist(),
            self.fd.tolist(),
            self.count.tolist(),
            self.returned.tolist(),
            self.duration_ns.tolist(),
            known,
            self.flags.tolist(),
            self.cpu.tolist(),
            self.sequence.tolist(),
            self.payloads(),
            strict=True,
        )
        for (
            time,
            process,
            tid,
            comm,
            call,
            fd,
            count,
            returned,
            took,
            done,
            flags,
            cpu,
            n,
            data,
        ) in rows:
            yield Event(
                time_ns=time,
                pid=process.pid,
                tid=tid,
                ppid=process.ppid,
                comm=self.comms[comm],
                syscall=self.syscalls[call],
                fd=fd,
                count=count,
                returned=returned if done else None,
                duration_ns=took if done else None,
                flags=EventFlag(flags),
                cpu=cpu,
                sequence=n,
                data=data,
            )
