"""The EVENTS and RESULTS frames: batches of columns ⇄ bytes (SPEC.md sections 4.2, 4.4 and 5).

A chunk is self-contained: it has its own `tables` of processes, names, system calls and targets,
so it can be read, copied or skipped without any other frame. Its columns are decoded one by one,
when they are first looked at. Its summary, which `chunk_summary` makes, lets a reader tell whether
a filter can match before it decodes anything.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from wcap import columns
from wcap.batch import COLUMNS, OPTIONAL, Column, EventBatch
from wcap.chunk_summary import MAX_EVENTS, Summary, decode_summary, encode_summary
from wcap.errors import CorruptionError, LimitError, UnsupportedVersionError, placed
from wcap.events import UNKNOWN_TARGET, EventFlag
from wcap.fields import MAX_INT64, MIN_INT64, Fields, decode_map, encode_map, within
from wcap.format import Clock
from wcap.hosts import UNKNOWN_HOSTS, Hosts
from wcap.packed import level_for, pack, unpack
from wcap.summarising import summarise
from wcap.tables import POINTERS, decode_tables, encode_tables, tables_understood, trimmed

# SPEC.md section 9: what a chunk may hold; with `MAX_EVENTS` it takes under 200 MiB decoded.
MAX_PAYLOAD = 48 << 20
# SPEC.md section 9: late results of a whole capture, which readers of files keep.
MAX_RESULTS = 1 << 20

# Columns that nearly equal another one, and are stored as their difference from it.
_MINUS = {"captured": "count", "returned": "count"}
_MAY_BE_ABSENT = frozenset({*OPTIONAL, "target"})
# What a chunk names as essential if some of its events were recorded when the call had ended.
AT_EXIT = "at-exit"
# The parts of this format that a chunk may mark as essential.
_KNOWN = frozenset({*COLUMNS, *POINTERS, "payload", "summary", AT_EXIT})

# The keys of an EVENTS frame, of packed bytes and of a column (SPEC.md sections 4.2, 5.2 and 7.1).
_KEYS = frozenset({"summary", "columns", "payload", "essential", *POINTERS})
_PACKED_KEYS = frozenset({"data", "size"})
_COLUMN_KEYS = frozenset({*_PACKED_KEYS, "base", "width", "delta", "delta-by", "minus"})

# (cpu, sequence) → (returned, duration_ns, number of the RESULTS frame)
Results = Mapping[tuple[int, int], tuple[int, int, int]]


def encode_events(batch: EventBatch, clock: Clock) -> tuple[bytes, dict[str, Any]]:
    """Encode a batch that is not empty; its events are put in order of time.

    Returns:
        The body of an EVENTS frame, and its summary, which the index repeats.

    Raises:
        LimitError: it exceeds a limit of SPEC.md section 9, or a time the capture's clock.
    """
    for what, size, limit in (
        ("events", len(batch), MAX_EVENTS),
        ("payload bytes", int(batch.captured.sum(dtype=np.int64)), MAX_PAYLOAD),
    ):
        if size > limit:
            raise LimitError(f"a chunk of {size} {what}, {limit} allowed")
    batch, names = trimmed(_in_order(batch))
    summary = encode_summary(summarise(batch, clock))
    for moment in (summary["first_ns"], summary["last_ns"]):
        if not MIN_INT64 <= moment <= MAX_INT64:
            raise LimitError(f"a time of {moment} ns on the capture's clock, 64 bits allowed")
    body = {
        "summary": summary,
        **encode_tables(batch, names),
        "columns": {name: _encode_column(batch, name, clock) for name in names},
        "payload": _pack_payload(batch),
    }
    if bool((batch.flags & np.uint32(EventFlag.AT_EXIT)).any()):
        body["essential"] = [AT_EXIT]
    return encode_map(body), summary


def _pack_payload(batch: EventBatch) -> dict[str, Any]:
    payload = batch.joined()
    return pack(payload, level_for(len(payload), int(batch.time_ns[-1]) - int(batch.time_ns[0])))


def _in_order(batch: EventBatch) -> EventBatch:
    time_ns = batch.time_ns
    if bool((time_ns[1:] >= time_ns[:-1]).all()):
        return batch
    return batch.select(np.argsort(time_ns, kind="stable"))


def _encode_column(batch: EventBatch, name: str, clock: Clock) -> dict[str, Any]:
    values = batch.column(name)
    if name == "time_ns":
        return columns.encode(values - clock.offset_ns)
    if name == "sequence":
        return columns.encode(values, by=batch.cpu)
    if name in _MINUS:
        return columns.encode(values, minus=(_MINUS[name], batch.column(_MINUS[name])))
    return columns.encode(values)


class Chunk:
    """A decoded EVENTS frame: its summary at once, its events on demand.

    Args:
        body: the frame's body, which stays at hand.
        clock: the header's, which its times are counted on.
        number: the frame's number; only results of later frames complete its events.
        offset: where the frame starts in the file: faults, those found later too, name it.

    Raises:
        UnsupportedVersionError: it marks something as essential that this version does not know.
        CorruptionError, LimitError: its summary breaks a rule of SPEC.md section 5.5.
    """

    def __init__(
        self, body: bytes, clock: Clock, number: int = 0, offset: int | None = None
    ) -> None:
        self.body = body
        self._clock = clock
        self._number = number
        self._offset = offset
        with placed(offset):
            self._fields = decode_map(body)
            self.essential = self._fields.find_each("essential", str) or ()
            for name in self.essential:
                if name not in _KNOWN:
                    raise UnsupportedVersionError(f"a chunk needs a wcap that knows {name!r:.40}")
            self.summary = decode_summary(self._fields.take("summary", dict))

    def batch(self, results: Results | None = None, hosts: Hosts = UNKNOWN_HOSTS) -> EventBatch:
        """Return the events, of these ``hosts``.

        ``results`` completes those that were unfinished when written.

        Raises:
            CorruptionError, LimitError: the chunk breaks a rule of SPEC.md section 5.
        """
        with placed(self._offset):
            return self._batch(results, hosts)

    def _batch(self, results: Results | None, hosts: Hosts) -> EventBatch:
        fields = self._fields
        tables = decode_tables(fields)
        sizes = {name: len(tables[table]) for table, names in POINTERS.items() for name in names}
        length = self.summary.events
        stored = fields.take("columns", dict)
        clock, place = self._clock, self._offset
        decoded = _StoredColumns(stored, length, COLUMNS, sizes, clock.offset_ns, place)
        if "target" not in decoded:
            if tables["targets"]:
                raise CorruptionError("a chunk has targets, but no column that points to them")
            tables["targets"] = (UNKNOWN_TARGET,)
        late: dict[str, Column] = {}
        if results and self.summary.unfinished:
            late = _completed(decoded, results, self._number)
        return EventBatch(
            length,
            ChainMap(late, decoded) if late else decoded,  # type: ignore[arg-type]  # it is only read
            lambda: self._payload(decoded["captured"]),
            **tables,
            hosts=hosts,
        )

    @property
    def understood(self) -> bool:
        """Whether there is nothing in it that this version does not know.

        What is unknown may speak of other events, which a copy is to leave out (SPEC.md 8.7).
        """
        fields = self._fields
        stored = Fields(fields.take("columns", dict))
        known = [(fields, _KEYS), (stored, COLUMNS)]
        for name, keys in (("summary", Summary.__slots__), ("payload", _PACKED_KEYS)):
            known.append((Fields(fields.take(name, dict)), keys))
        known += [(Fields(stored.find(name, dict) or {}), _COLUMN_KEYS) for name in COLUMNS]
        return all(found.has_only(keys) for found, keys in known) and tables_understood(fields)

    def nil_keys(self) -> Iterator[str]:
        """Yield the keys whose value is nil, which count as absent and which no writer writes.

        Those of the packed tables are not among them.
        """
        return self._fields.nil_keys()

    def _payload(self, captured: Column) -> bytes:
        with placed(self._offset):
            payload = unpack(self._fields.take("payload", dict), MAX_PAYLOAD)
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
        place: int | None = None,
    ) -> None:
        self._place = place
        self._stored = Fields(stored)
        self._length = length
        self._types = types
        self._tables = tables
        self._offset_ns = offset_ns
        self._decoded: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._decoded:
            with placed(self._place):
                self._decoded[name] = self._decode(name)
        return self._decoded[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether a column is there; one that has to be is missed when it is looked at."""
        if name not in self._types:
            return False
        return name not in _MAY_BE_ABSENT or self._stored.find(str(name), dict) is not None

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._types if name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _decode(self, name: str) -> Column:
        stored = self._stored.take(name, dict)
        reference = stored.get("minus")
        if reference is not None and _MINUS.get(name) != reference:
            raise CorruptionError(f"column {name} refers to {reference!r:.40}")
        if stored.get("delta-by") is not None and name != "sequence":
            raise CorruptionError(f"column {name} refers to cpu")
        values = columns.decode(stored, self._length, self, self._types[name])
        if name == "time_ns":
            values = _on_wall_clock(values, self._offset_ns)
        if name == "sequence" and not bool((values > 0).all()):
            raise CorruptionError("column sequence holds a number below 1")
        if name in self._tables and int(values.max()) >= self._tables[name]:
            raise CorruptionError(f"column {name} points outside its table")
        if name == "flags":
            self._check_flags(values)
        return values

    def _check_flags(self, flags: Column) -> None:
        """See that every column that a flag says to be there is there."""
        present = int(np.bitwise_or.reduce(flags))
        for name, flag in OPTIONAL.items():
            if name not in self and present & flag:
                raise CorruptionError(f"column {name} is missing, and events have {flag.name}")


def _on_wall_clock(times: Column, offset_ns: int) -> Column:
    """Turn the times of a chunk, which may not decrease, into those of the wall clock."""
    if not bool((times[1:] >= times[:-1]).all()):
        raise CorruptionError("column time_ns decreases")
    for moment in (times[0], times[-1]):
        within("a time on the wall clock", int(moment) + offset_ns, MIN_INT64, MAX_INT64)
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
