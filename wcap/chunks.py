"""The EVENTS and RESULTS frames: batches of columns ⇄ bytes (SPEC.md sections 4.2, 4.4 and 5).

A chunk is self-contained: it has its own tables of processes, names and system calls, so it can
be read, copied or skipped without any other frame. Its columns are decoded one by one, when they
are first looked at. Its summary, which `chunk_summary` makes, lets a reader tell whether a filter
can match before it decodes anything.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from wcap import columns
from wcap.chunk_summary import MAX_EVENTS, decode_summary, encode_summary, summarise
from wcap.errors import CorruptionError, LimitError, UnsupportedVersionError
from wcap.events import COLUMNS, Column, EventBatch, EventFlag, Process
from wcap.fields import (
    MAX_INT64,
    MAX_UINT32,
    Fields,
    check_items,
    decode_map,
    encode_map,
    text,
    untext,
    within,
    without_absent,
)
from wcap.format import Clock

# SPEC.md section 9: what a chunk may hold; with `MAX_EVENTS` it takes under 200 MiB decoded.
MAX_PAYLOAD = 48 << 20
MAX_TABLE = 8 << 20

# Columns that nearly equal another one, and are stored as their difference from it.
_MINUS = {"captured": "count", "returned": "count"}
# The parts of format 1.0 that a chunk may mark as essential.
_KNOWN = frozenset({*COLUMNS, "payload", "processes", "comms", "syscalls", "summary"})

# (cpu, sequence) → (returned, duration_ns, number of the RESULTS frame)
Results = Mapping[tuple[int, int], tuple[int, int, int]]


def encode_events(batch: EventBatch, clock: Clock) -> tuple[bytes, dict[str, Any]]:
    """Encode a batch that is not empty; its events are put in order of time.

    Returns:
        The body of an EVENTS frame, and its summary, which the index repeats.

    Raises:
        LimitError: it exceeds a limit of SPEC.md section 9.
    """
    batch = _in_order(batch)
    batch = _without_unused(batch)
    table = encode_map({"processes": [_encode_process(p) for p in batch.processes]})
    check_items(table)
    for what, size, limit in (
        ("events", len(batch), MAX_EVENTS),
        ("payload bytes", int(batch.captured.sum(dtype=np.int64)), MAX_PAYLOAD),
        ("bytes about processes", len(table), MAX_TABLE),
    ):
        if size > limit:
            raise LimitError(f"a chunk of {size} {what}, {limit} allowed")
    stored: dict[str, dict[str, Any]] = {}
    for name in COLUMNS:
        values = batch.column(name)
        if name == "time_ns":
            stored[name] = columns.encode(values - clock.offset_ns)
        elif name == "sequence":
            stored[name] = columns.encode(values, by=batch.cpu)
        elif name in _MINUS:
            stored[name] = columns.encode(values, minus=(_MINUS[name], batch.column(_MINUS[name])))
        else:
            stored[name] = columns.encode(values)
    summary = encode_summary(summarise(batch, clock))
    body = {
        "summary": summary,
        "processes": columns.pack(table),
        "comms": [untext(comm) for comm in batch.comms],
        "syscalls": list(batch.syscalls),
        "columns": stored,
        "payload": columns.pack(batch.joined()),
    }
    return encode_map(body), summary


def _in_order(batch: EventBatch) -> EventBatch:
    time_ns = batch.time_ns
    if bool((time_ns[1:] >= time_ns[:-1]).all()):
        return batch
    return batch.select(np.argsort(time_ns, kind="stable"))


def _without_unused(batch: EventBatch) -> EventBatch:
    """Drop what no event points to: a chunk tells of nothing but its own events."""
    tables: dict[str, Sequence[Any]] = {
        "process": batch.processes,
        "comm": batch.comms,
        "syscall": batch.syscalls,
    }
    changed: dict[str, Column] = {}
    for name, table in tables.items():
        used = np.zeros(len(table), dtype=np.bool_)
        used[batch.column(name)] = True
        if not bool(used.all()):
            changed[name] = (np.cumsum(used) - 1)[batch.column(name)]
            tables[name] = [table[position] for position in np.flatnonzero(used).tolist()]
    if not changed:
        return batch
    return EventBatch(
        len(batch),
        {name: changed.get(name, batch.column(name)) for name in COLUMNS},
        lambda: batch.data,
        processes=tables["process"],
        comms=tables["comm"],
        syscalls=tables["syscall"],
        bounds=batch.bounds,
    )


def _encode_process(process: Process) -> dict[str, Any]:
    return without_absent(
        {
            "pid": process.pid,
            "ppid": process.ppid,
            "comm": untext(process.comm),
            "leader": None if process.leader is None else untext(process.leader),
            "uid": process.uid,
            "start_ns": process.start_ns,
            "exe": None if process.exe is None else untext(process.exe),
            "cmdline": None if process.cmdline is None else [untext(w) for w in process.cmdline],
        }
    )


def _decode_process(value: object) -> Process:
    fields = Fields(value)
    leader, exe = fields.find("leader", bytes), fields.find("exe", bytes)
    cmdline = fields.find_each("cmdline", bytes)
    return Process(
        pid=fields.number("pid", 0, MAX_UINT32),
        comm=text(fields.take("comm", bytes)),
        leader=None if leader is None else text(leader),
        ppid=fields.find_number("ppid", 0, MAX_UINT32),
        uid=fields.find_number("uid", 0, MAX_UINT32),
        start_ns=fields.find_number("start_ns"),
        exe=None if exe is None else text(exe),
        cmdline=None if cmdline is None else tuple(map(text, cmdline)),
    )


class Chunk:
    """A decoded EVENTS frame: its summary at once, its events on demand.

    Args:
        body: the frame's body.
        clock: the header's, which its times are counted on.
        number: the frame's number; only results of later frames complete its events.

    Raises:
        UnsupportedVersionError: it marks something as essential that this version does not know.
        CorruptionError, LimitError: its summary breaks a rule of SPEC.md section 5.5.
    """

    def __init__(self, body: bytes, clock: Clock, number: int = 0) -> None:
        self._fields = decode_map(body)
        self._clock = clock
        self._number = number
        for name in self._fields.find_each("essential", str) or ():
            if name not in _KNOWN:
                raise UnsupportedVersionError(f"a chunk needs a wcap that knows {name!r:.40}")
        self.summary = decode_summary(self._fields.take("summary", dict))

    def batch(self, results: Results | None = None) -> EventBatch:
        """Return the events; ``results`` completes those that were unfinished when written.

        Raises:
            CorruptionError, LimitError: the chunk breaks a rule of SPEC.md section 5.
        """
        fields = self._fields
        listed = decode_map(columns.unpack(fields.take("processes", dict), MAX_TABLE))
        processes = [_decode_process(value) for value in listed.take("processes", list)]
        comms = fields.each("comms", bytes)
        syscalls = fields.each("syscalls", str)
        tables = {"process": len(processes), "comm": len(comms), "syscall": len(syscalls)}
        stored = fields.take("columns", dict)
        length = self.summary.events
        decoded = _StoredColumns(stored, length, COLUMNS, tables, self._clock.offset_ns)
        late: dict[str, Column] = {}
        if results and self.summary.unfinished:
            late = _completed(decoded, results, self._number)
        return EventBatch(
            length,
            ChainMap(late, decoded) if late else decoded,  # type: ignore[arg-type]  # it is only read
            lambda: self._payload(decoded["captured"]),
            processes=processes,
            comms=[text(comm) for comm in comms],
            syscalls=syscalls,
        )

    def _payload(self, captured: Column) -> bytes:
        payload = columns.unpack(self._fields.take("payload", dict), MAX_PAYLOAD)
        expected = int(captured.sum(dtype=np.int64))
        if len(payload) != expected:
            raise CorruptionError(f"a payload has {len(payload)} bytes, {expected} expected")
        return payload


class _StoredColumns(Mapping[str, Column]):
    """The columns of a frame, decoded and checked when first asked for."""

    def __init__(
        self,
        stored: Mapping[str, Any],
        length: int,
        types: Mapping[str, np.dtype[Any]],
        tables: Mapping[str, int],
        offset_ns: int,
    ) -> None:
        self._stored = Fields(stored)
        self._length = length
        self._types = types
        self._tables = tables
        self._offset_ns = offset_ns
        self._decoded: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._decoded:
            self._decoded[name] = self._decode(name)
        return self._decoded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)

    def _decode(self, name: str) -> Column:
        stored = self._stored.take(name, dict)
        reference = stored.get("minus")
        if reference is not None and _MINUS.get(name) != reference:
            raise CorruptionError(f"column {name} refers to {reference!r:.40}")
        if stored.get("delta-by") is not None and name != "sequence":
            raise CorruptionError(f"column {name} refers to cpu")
        values = columns.decode(stored, self._length, self)
        if name == "time_ns":
            values = _on_wall_clock(values, self._offset_ns)
        if name == "sequence" and not bool((values > 0).all()):
            raise CorruptionError("column sequence holds a number below 1")
        if name in self._tables and not bool((values.view(np.uint64) < self._tables[name]).all()):
            raise CorruptionError(f"column {name} points outside its table")
        kind = self._types[name]
        typed = values.astype(kind, copy=False)
        if kind.itemsize < values.itemsize and not bool((typed == values).all()):
            raise CorruptionError(f"column {name} holds a number beyond {kind}")
        return typed


def _on_wall_clock(times: Column, offset_ns: int) -> Column:
    """Turn the times of a chunk, which may not decrease, into those of the wall clock."""
    if not bool((times[1:] >= times[:-1]).all()):
        raise CorruptionError("column time_ns decreases")
    for moment in (times[0], times[-1]):
        within("a time on the wall clock", int(moment) + offset_ns, -MAX_INT64 - 1, MAX_INT64)
    return times + offset_ns


def _completed(stored: Mapping[str, Column], results: Results, number: int) -> dict[str, Column]:
    """Fill in the results that frames after this one hold (SPEC.md section 4.4)."""
    flags = stored["flags"].copy()
    returned, duration_ns = stored["returned"].copy(), stored["duration_ns"].copy()
    for row in np.flatnonzero(flags & np.uint32(EventFlag.UNFINISHED)).tolist():
        late = results.get((int(stored["cpu"][row]), int(stored["sequence"][row])))
        if late is not None and late[2] > number:
            returned[row], duration_ns[row], _ = late
            flags[row] &= ~np.uint32(EventFlag.UNFINISHED)
    return {"flags": flags, "returned": returned, "duration_ns": duration_ns}


_RESULT_COLUMNS = ("cpu", "sequence", "returned", "duration_ns")


def encode_results(results: Sequence[tuple[int, int, int, int]]) -> bytes:
    """Encode the body of a RESULTS frame from (cpu, sequence, returned, duration_ns) rows."""
    table = np.array(results, dtype=np.int64)
    return encode_map(
        {
            "results": len(results),
            "columns": {
                name: columns.encode(np.ascontiguousarray(table[:, position]))
                for position, name in enumerate(_RESULT_COLUMNS)
            },
        }
    )


def decode_results(body: bytes) -> dict[tuple[int, int], tuple[int, int]]:
    """Decode the body of a RESULTS frame: (cpu, sequence) → (returned, duration_ns).

    Of several results for one event the first counts.
    """
    fields = decode_map(body)
    length = fields.number("results", 1)
    if length > MAX_EVENTS:
        raise LimitError(f"{length} results, {MAX_EVENTS} allowed")
    types = {name: COLUMNS[name] for name in _RESULT_COLUMNS}
    stored = _StoredColumns(fields.take("columns", dict), length, types, {}, 0)
    # Backwards, since the last of equal keys stays in a dictionary.
    cpu, sequence, returned, duration_ns = (stored[name][::-1].tolist() for name in _RESULT_COLUMNS)
    return dict(
        zip(
            zip(cpu, sequence, strict=True),
            zip(returned, duration_ns, strict=True),
            strict=True,
        )
    )
