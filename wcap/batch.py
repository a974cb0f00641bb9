"""The batch of columns in which events travel.

The batch is what every stage hands on: numpy arrays of equal length, and the payloads in one
block of bytes. A column may be decoded only when it is first looked at, so a stage pays for
the columns that it uses. `Event` objects exist only when a person iterates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.events import (
    NO_DURATION,
    NO_RESULT,
    UNKNOWN_TARGET,
    Event,
    EventFlag,
    Process,
    Target,
)
from wcap.hosts import UNKNOWN_HOSTS, Hosts

# So many `Event` objects are made at a time: a chunk of few bytes may stand for a million events.
_EVENTS_AT_ONCE = 4096

Column = npt.NDArray[Any]
Rows = npt.NDArray[np.bool_] | npt.NDArray[np.intp] | slice

# Every column of a batch and its type in memory. ``process``, ``comm``, ``syscall``, ``target``,
# ``source`` (among the targets) and ``address`` are positions in the batch's tables; ``captured``
# is the payload's length in bytes.
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
    "target": np.dtype(np.uint32),
    "offset": np.dtype(np.int64),
    "source_fd": np.dtype(np.int32),
    "source": np.dtype(np.uint32),
    "address": np.dtype(np.uint32),
}
# Columns that mean something only in rows with this flag; a batch without such rows lacks them.
OPTIONAL = {
    "offset": EventFlag.HAS_OFFSET,
    "source_fd": EventFlag.HAS_SOURCE,
    "source": EventFlag.HAS_SOURCE,
    "address": EventFlag.HAS_ADDRESS,
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

    def __contains__(self, name: object) -> bool:
        return name in self._columns


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
        targets: the table that the ``target`` and ``source`` columns point into; where there is no
            ``target`` column, the first is that of all events.
        addresses: the table that the ``address`` column points into.
        bounds: where each payload starts and ends in ``data``; without it the payloads follow
            each other without a hole.
        hosts: which machine each CPU number belongs to.
    """

    __slots__ = (
        "_bounds",
        "_columns",
        "_data",
        "_length",
        "addresses",
        "comms",
        "hosts",
        "processes",
        "syscalls",
        "targets",
    )

    def __init__(
        self,
        length: int,
        columns: Mapping[str, Column],
        data: bytes | Callable[[], bytes],
        *,
        processes: Sequence[Process],
        comms: Sequence[str],
        syscalls: Sequence[str],
        targets: Sequence[Target] = (UNKNOWN_TARGET,),
        addresses: Sequence[str] = (),
        bounds: tuple[Column, Column] | None = None,
        hosts: Hosts = UNKNOWN_HOSTS,
    ) -> None:
        self._length = length
        self._columns = columns
        self._data = data
        self._bounds = bounds
        self.processes = processes
        self.comms = comms
        self.syscalls = syscalls
        self.targets = targets
        self.addresses = addresses
        self.hosts = hosts

    def __len__(self) -> int:
        return self._length

    def column(self, name: str) -> Column:
        """Return the column of that name (see `COLUMNS`); zeros for one that may be left out."""
        if (name in OPTIONAL or name == "target") and name not in self._columns:
            return np.zeros(self._length, dtype=COLUMNS[name])
        return self._columns[name]

    def has(self, name: str) -> Column:
        """Whether a column that is `OPTIONAL` means something, row by row (bool)."""
        present: Column = (self.flags & np.uint32(OPTIONAL[name])) != 0
        return present

    @property
    def time_ns(self) -> Column:
        """Wall clock at entry, nanoseconds since 1970, never decreasing (int64)."""
        return self._columns["time_ns"]

    @property
    def cpu(self) -> Column:
        """The CPU that the write was entered on (uint32)."""
        return self._columns["cpu"]

    @property
    def host(self) -> Column:
        """Position in the names of `hosts` of the machine that the event was recorded on."""
        return self.hosts.positions(self.cpu)

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
        """Nanoseconds from entry to exit; without meaning unless `has_duration` (int64)."""
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
    def has_duration(self) -> Column:
        """Whether it is known how long the call took (bool)."""
        duration: Column = (self.flags & np.uint32(NO_DURATION)) == 0
        return duration

    @property
    def has_payload(self) -> Column:
        """Whether any of the payload is known, if only that it is empty (bool)."""
        flags = self.flags
        unseen = (flags & np.uint32(EventFlag.UNREADABLE | EventFlag.PAYLOAD_LOST)) != 0
        never = (flags & np.uint32(EventFlag.NO_PAYLOAD)) != 0
        known: Column = ~(never | (unseen & (self.captured == 0)))
        return known

    @property
    def target(self) -> Column:
        """Position in `targets` of what the descriptor stood for (uint32)."""
        return self.column("target")

    @property
    def offset(self) -> Column:
        """Place in the file that the call gave, in bytes; optional (int64)."""
        return self.column("offset")

    @property
    def source_fd(self) -> Column:
        """Descriptor that the call read from; optional (int32)."""
        return self.column("source_fd")

    @property
    def source(self) -> Column:
        """Position in `targets` of what that stood for; optional (uint32)."""
        return self.column("source")

    @property
    def address(self) -> Column:
        """Position in `addresses` of where a message was sent to; optional (uint32)."""
        return self.column("address")

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
            targets=self.targets,
            addresses=self.addresses,
            bounds=chosen,
            hosts=self.hosts,
        )

    def pieces(self, most: int) -> Iterator[EventBatch]:
        """Yield the events in order, no more than ``most`` at a time."""
        if 0 < len(self) <= most:
            yield self
            return
        for start in range(0, len(self), most):
            yield self.select(slice(start, start + most))

    def __iter__(self) -> Iterator[Event]:
        for piece in self.pieces(_EVENTS_AT_ONCE):
            yield from piece._events()

    def _events(self) -> Iterator[Event]:
        processes = [self.processes[i] for i in self.process.tolist()]
        rows = zip(
            self.time_ns.tolist(),
            processes,
            self.tid.tolist(),
            [self.comms[i] for i in self.comm.tolist()],
            [self.syscalls[i] for i in self.syscall.tolist()],
            self.fd.tolist(),
            self.count.tolist(),
            _or_none(self.returned.tolist(), self.has_result),
            _or_none(self.duration_ns.tolist(), self.has_duration),
            map(EventFlag, self.flags.tolist()),
            self.cpu.tolist(),
            self.sequence.tolist(),
            self.payloads(),
            [self.targets[i] for i in self.target.tolist()],
            self._optional("offset"),
            self._optional("source_fd"),
            self._optional("source", self.targets),
            self._optional("address", self.addresses),
            [self.hosts.names[i] for i in self.host.tolist()],
            strict=True,
        )
        for time, process, tid, *rest in rows:
            yield Event(time, process.pid, tid, process.ppid, *rest)

    def _optional(self, name: str, table: Sequence[Any] | None = None) -> list[Any]:
        """Return the values of a column, of ``table`` if it points into one; None where absent."""
        values: list[Any] = [None] * self._length
        rows = np.flatnonzero(self.has(name))
        for row, value in zip(rows.tolist(), self.column(name)[rows].tolist(), strict=True):
            values[row] = value if table is None else table[value]
        return values


def _or_none(values: list[Any], known: Column) -> list[Any]:
    for row in np.flatnonzero(~known).tolist():
        values[row] = None
    return values
