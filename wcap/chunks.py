"""The EVENTS and RESULTS frames: batches of columns ⇄ bytes (SPEC.md sections 4.2, 4.4 and 5).

A chunk is self-contained: it has its own tables of processes, names and system calls, so it can
be read, copied or skipped without any other frame. Its columns are decoded one by one, when they
are first looked at. Its summary lets a reader tell whether a filter can match before it decodes
anything.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from wcap import columns
from wcap.errors import CorruptionError, LimitError, UnsupportedVersionError
from wcap.events import COLUMNS, NO_RESULT, Column, EventBatch, EventFlag, Process
from wcap.format import Clock, Fields, decode_map, encode_map, text, untext, without_absent

# SPEC.md section 9: what one chunk may hold; together they keep a decoded chunk under 200 MiB.
MAX_EVENTS = 1 << 20
MAX_PAYLOAD = 48 << 20
MAX_TABLE = 8 << 20
# SPEC.md section 5.5: a summary lists a column's distinct values up to this many.
MAX_LISTED = 256

# Columns that nearly equal another one, and are stored as their difference from it.
_MINUS = {"captured": "count", "returned": "count"}
# The parts of format 1.0 that a chunk may mark as essential.
_KNOWN = frozenset({*COLUMNS, "payload", "processes", "comms", "syscalls", "summary"})

Results = Mapping[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a chunk holds, as far as filters and totals need it (SPEC.md section 5.5).

    Times are on the capture's clock. ``sequences`` gives (CPU, first, last) sequence numbers.
    ``captured`` and ``written`` are bytes; the counts after them are of events. ``pids`` to
    ``calls`` are the distinct values, or None when there are too many to list; ``comms`` has the
    names of threads and of their processes' leaders.
    """

    events: int
    first_ns: int
    last_ns: int
    captured: int
    written: int
    failed: int
    truncated: int
    unreadable: int
    unfinished: int
    results_lost: int
    sequences: tuple[tuple[int, int, int], ...]
    pids: frozenset[int] | None
    tids: frozenset[int] | None
    fds: frozenset[int] | None
    comms: frozenset[str] | None
    calls: frozenset[str] | None


def summarise(batch: EventBatch, clock: Clock) -> Summary:
    """Sum up a batch that is not empty."""
    flags, returned = batch.flags, batch.returned
    known = (flags & np.uint32(NO_RESULT)) == 0
    answers = returned[known]

    def flagged(flag: EventFlag) -> int:
        return int(np.count_nonzero(flags & np.uint32(flag)))

    return Summary(
        events=len(batch),
        first_ns=int(batch.time_ns[0]) - clock.offset_ns,
        last_ns=int(batch.time_ns[-1]) - clock.offset_ns,
        captured=int(batch.captured.sum(dtype=np.int64)),
        written=int(answers[answers > 0].sum(dtype=np.int64)),
        failed=int(np.count_nonzero(answers < 0)),
        truncated=flagged(EventFlag.TRUNCATED),
        unreadable=flagged(EventFlag.UNREADABLE),
        unfinished=flagged(EventFlag.UNFINISHED),
        results_lost=flagged(EventFlag.RESULT_LOST),
        sequences=tuple(_sequences(batch.cpu, batch.sequence)),
        pids=_listed(batch.processes[i].pid for i in _distinct(batch.process)),
        tids=_listed(_distinct(batch.tid)),
        fds=_listed(_distinct(batch.fd)),
        comms=_listed(_names(batch)),
        calls=_listed(batch.syscalls[i] for i in _distinct(batch.syscall)),
    )


def _names(batch: EventBatch) -> Iterator[str]:
    for position in _distinct(batch.comm):
        yield batch.comms[position]
    for position in _distinct(batch.process):
        leader = batch.processes[position].leader
        if leader is not None:
            yield leader


def _sequences(cpu: Column, sequence: Column) -> Iterator[tuple[int, int, int]]:
    for number in _distinct(cpu):
        of_cpu = sequence[cpu == number]
        yield number, int(of_cpu[0]), int(of_cpu[-1])


def _distinct(column: Column) -> list[int]:
    if bool((column == column[0]).all()):
        return [int(column[0])]
    distinct: list[int] = np.unique(column).tolist()
    return distinct


def _listed(values: Any) -> frozenset[Any] | None:
    distinct = frozenset(values)
    return distinct if len(distinct) <= MAX_LISTED else None


def encode_summary(summary: Summary) -> dict[str, Any]:
    """Turn a summary into the map that a chunk and the index hold."""
    values = {name: getattr(summary, name) for name in Summary.__slots__}
    values["sequences"] = [list(entry) for entry in summary.sequences]
    for name in ("pids", "tids", "fds", "calls"):
        values[name] = None if values[name] is None else sorted(values[name])
    if summary.comms is not None:
        values["comms"] = sorted(map(untext, summary.comms))
    return without_absent(values)


def decode_summary(value: Mapping[str, Any]) -> Summary:
    """Undo `encode_summary`.

    Raises:
        CorruptionError: a key is missing or of another type.
    """
    fields = Fields(value)

    def listed(name: str, kind: type) -> frozenset[Any] | None:
        found = fields.find(name, list)
        if found is None:
            return None
        if not all(isinstance(item, kind) for item in found):
            raise CorruptionError(f"{name} does not hold {kind.__name__} values only")
        return frozenset(found)

    sequences = []
    for entry in fields.take("sequences", list):
        if not (
            isinstance(entry, list) and len(entry) == 3 and all(isinstance(n, int) for n in entry)
        ):
            raise CorruptionError("sequences does not hold [cpu, first, last] lists only")
        sequences.append((entry[0], entry[1], entry[2]))
    comms = listed("comms", bytes)
    return Summary(
        events=fields.take("events", int),
        first_ns=fields.take("first_ns", int),
        last_ns=fields.take("last_ns", int),
        captured=fields.take("captured", int),
        written=fields.take("written", int),
        failed=fields.take("failed", int),
        truncated=fields.take("truncated", int),
        unreadable=fields.take("unreadable", int),
        unfinished=fields.take("unfinished", int),
        results_lost=fields.take("results_lost", int),
        sequences=tuple(sequences),
        pids=listed("pids", int),
        tids=listed("tids", int),
        fds=listed("fds", int),
        comms=None if comms is None else frozenset(map(text, comms)),
        calls=listed("calls", str),
    )


def encode_events(batch: EventBatch, clock: Clock) -> tuple[bytes, dict[str, Any]]:
    """Encode a batch that is not empty.

    Returns:
        The body of an EVENTS frame, and its summary, which the index repeats.
    """
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
        "processes": columns.pack(
            encode_map({"processes": [_encode_process(p) for p in batch.processes]})
        ),
        "comms": [untext(comm) for comm in batch.comms],
        "syscalls": list(batch.syscalls),
        "columns": stored,
        "payload": columns.pack(batch.joined()),
    }
    return encode_map(body), summary


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
    cmdline = fields.find("cmdline", list)
    if cmdline is not None and not all(isinstance(word, bytes) for word in cmdline):
        raise CorruptionError("cmdline does not hold bytes only")
    return Process(
        pid=fields.take("pid", int),
        comm=text(fields.take("comm", bytes)),
        leader=None if leader is None else text(leader),
        ppid=fields.find("ppid", int),
        uid=fields.find("uid", int),
        start_ns=fields.find("start_ns", int),
        exe=None if exe is None else text(exe),
        cmdline=None if cmdline is None else tuple(map(text, cmdline)),
    )


class Chunk:
    """A decoded EVENTS frame: its summary at once, its events on demand."""

    def __init__(self, body: bytes, clock: Clock) -> None:
        self._fields = decode_map(body)
        self._clock = clock
        unknown = set(self._fields.find("essential", list) or ()) - _KNOWN
        if unknown:
            names = ", ".join(sorted(map(str, unknown)))
            raise UnsupportedVersionError(f"a chunk marks as essential what is not known: {names}")
        self.summary = decode_summary(self._fields.take("summary", dict))
        if not 1 <= self.summary.events <= MAX_EVENTS:
            raise LimitError(f"a chunk of {self.summary.events} events, 1 to {MAX_EVENTS} allowed")

    def batch(self, results: Results | None = None) -> EventBatch:
        """Return the events; ``results`` completes those that were unfinished when written.

        Raises:
            CorruptionError, LimitError: the chunk breaks a rule of SPEC.md section 5.
        """
        fields = self._fields
        listed = decode_map(columns.unpack(fields.take("processes", dict), MAX_TABLE))
        processes = [_decode_process(value) for value in listed.take("processes", list)]
        comms = fields.take("comms", list)
        if not all(isinstance(comm, bytes) for comm in comms):
            raise CorruptionError("comms does not hold bytes only")
        syscalls = fields.strings("syscalls")
        tables = {"process": len(processes), "comm": len(comms), "syscall": len(syscalls)}
        stored = fields.take("columns", dict)
        length = self.summary.events
        decoded = _StoredColumns(stored, length, COLUMNS, tables, self._clock.offset_ns)
        late = _completed(decoded, results) if results and self.summary.unfinished else {}
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
            raise CorruptionError(f"column {name} refers to {reference!r}")
        values = columns.decode(stored, self._length, self)
        if name == "time_ns":
            values = values + self._offset_ns
        if name in self._tables and not bool((values.view(np.uint64) < self._tables[name]).all()):
            raise CorruptionError(f"column {name} points outside its table")
        return values.astype(self._types[name], copy=False)


def _completed(stored: Mapping[str, Column], results: Results) -> dict[str, Column]:
    """Fill in the results that arrived after their chunk was written (SPEC.md section 4.4)."""
    flags = stored["flags"].copy()
    returned, duration_ns = stored["returned"].copy(), stored["duration_ns"].copy()
    for row in np.flatnonzero(flags & np.uint32(EventFlag.UNFINISHED)).tolist():
        late = results.get((int(stored["cpu"][row]), int(stored["sequence"][row])))
        if late is not None:
            returned[row], duration_ns[row] = late
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
    """Decode the body of a RESULTS frame: (cpu, sequence) → (returned, duration_ns)."""
    fields = decode_map(body)
    length = fields.take("results", int)
    if not 1 <= length <= MAX_EVENTS:
        raise LimitError(f"{length} results, 1 to {MAX_EVENTS} allowed")
    types = {name: COLUMNS[name] for name in _RESULT_COLUMNS}
    stored = _StoredColumns(fields.take("columns", dict), length, types, {}, 0)
    cpu, sequence, returned, duration_ns = (stored[name].tolist() for name in _RESULT_COLUMNS)
    return dict(
        zip(
            zip(cpu, sequence, strict=True),
            zip(returned, duration_ns, strict=True),
            strict=True,
        )
    )
