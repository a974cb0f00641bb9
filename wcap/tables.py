"""The tables of a chunk, which its columns point into ⇄ bytes (SPEC.md section 4.2).

A chunk's tables hold what its own events point to, and nothing else: `trimmed` sees to it before
they are encoded. Processes and targets are packed maps, bounded before they take memory.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from wcap.batch import COLUMNS, OPTIONAL, Column, EventBatch
from wcap.errors import CorruptionError, LimitError
from wcap.events import UNKNOWN_TARGET, Process, Target
from wcap.fields import (
    MAX_UINT32,
    MAX_UINT64,
    MIN_INT64,
    Fields,
    check_items,
    decode_map,
    encode_map,
    text,
    untext,
    within,
    without_absent,
)
from wcap.packed import pack, unpack

# SPEC.md section 9: what one packed table of a chunk may hold, unpacked.
MAX_TABLE = 8 << 20

# Each table of a batch, and the columns that point into it.
POINTERS = {
    "processes": ("process",),
    "comms": ("comm",),
    "syscalls": ("syscall",),
    "targets": ("target", "source"),
    "addresses": ("address",),
}


def trimmed(batch: EventBatch) -> tuple[EventBatch, tuple[str, ...]]:
    """Drop what no event points to, and the columns that mean nothing in any row.

    What stands in the other rows of a column that may be left out becomes 0.

    Returns:
        The batch, and the names of the columns that it still has.
    """
    present = {name: batch.has(name) for name in OPTIONAL}
    kept: dict[str, Column] = {name: batch.column(name) for name in COLUMNS if name not in OPTIONAL}
    for name, rows in present.items():
        if bool(rows.any()):
            kept[name] = np.where(rows, batch.column(name), COLUMNS[name].type(0))
    tables: dict[str, Any] = {
        table: _used(getattr(batch, table), table, kept, present) for table in POINTERS
    }
    if "source" not in kept and all(target == UNKNOWN_TARGET for target in tables["targets"]):
        del kept["target"]
        tables["targets"] = (UNKNOWN_TARGET,)
    shorter = EventBatch(len(batch), kept, lambda: batch.data, bounds=batch.bounds, **tables)
    return shorter, tuple(kept)


def _used(
    table: Sequence[Any], name: str, kept: dict[str, Column], present: Mapping[str, Column]
) -> Sequence[Any]:
    """Return what rows point to of a table, and move the columns that point into it."""
    pointers = [pointer for pointer in POINTERS[name] if pointer in kept]
    used = np.zeros(len(table), dtype=np.bool_)
    for pointer in pointers:
        used[kept[pointer][present.get(pointer, slice(None))]] = True
    if bool(used.all()):
        return table
    moved = np.cumsum(used) - 1
    for pointer in pointers:
        kept[pointer] = np.where(present.get(pointer, True), moved[kept[pointer]], 0)
    return [table[position] for position in np.flatnonzero(used).tolist()]


def encode_tables(batch: EventBatch, names: Collection[str]) -> dict[str, Any]:
    """Encode the tables that these columns of a batch point into: keys of an EVENTS frame.

    Raises:
        LimitError: one exceeds a limit of SPEC.md section 9.
    """
    tables: dict[str, Any] = {
        "processes": _packed("processes", [_encode_process(found) for found in batch.processes]),
        "comms": [untext(comm) for comm in batch.comms],
        "syscalls": list(batch.syscalls),
    }
    if "target" in names:
        tables["targets"] = _packed("targets", [_encode_target(found) for found in batch.targets])
    if "address" in names:
        tables["addresses"] = [untext(address) for address in batch.addresses]
    return tables


def decode_tables(fields: Fields) -> dict[str, Any]:
    """Decode the tables of an EVENTS frame; one that is absent is empty.

    Raises:
        CorruptionError, LimitError: one breaks a rule of SPEC.md section 4.2 or 9.
    """
    targets = [] if fields.find("targets", dict) is None else _unpacked(fields, "targets")
    return {
        "processes": [_decode_process(value) for value in _unpacked(fields, "processes")],
        "comms": [text(comm) for comm in fields.each("comms", bytes)],
        "syscalls": fields.each("syscalls", str),
        "targets": [_decode_target(value) for value in targets],
        "addresses": [text(address) for address in fields.find_each("addresses", bytes) or ()],
    }


def tables_understood(fields: Fields) -> bool:
    """Whether no process and no target of an EVENTS frame has a key that is not known.

    Raises:
        CorruptionError, LimitError: a table breaks a rule of SPEC.md section 4.2 or 9.
    """
    for name, kind in (("processes", Process), ("targets", Target)):
        table = fields.find(name, dict)
        if table is None:
            continue
        unpacked = decode_map(unpack(table, MAX_TABLE))
        entries = map(Fields, unpacked.take(name, list))
        if not unpacked.has_only((name,)) or not Fields(table).has_only(("data", "size")):
            return False
        if not all(entry.has_only(kind.__slots__) for entry in entries):
            return False
    return True


def _packed(name: str, entries: list[dict[str, Any]]) -> dict[str, Any]:
    table = encode_map({name: entries})
    check_items(table)
    if len(table) > MAX_TABLE:
        raise LimitError(f"a chunk of {len(table)} bytes about {name}, {MAX_TABLE} allowed")
    return pack(table)


def _unpacked(fields: Fields, name: str) -> list[Any]:
    return decode_map(unpack(fields.take(name, dict), MAX_TABLE)).take(name, list)


def _encode_process(process: Process) -> dict[str, Any]:
    return without_absent(
        {
            "pid": process.pid,
            "ppid": process.ppid,
            "comm": untext(process.comm),
            "leader": _untext(process.leader),
            "uid": process.uid,
            "start_ns": process.start_ns,
            "exe": _untext(process.exe),
            "cmdline": None if process.cmdline is None else [untext(w) for w in process.cmdline],
            "gid": process.gid,
            "cgroup": _untext(process.cgroup),
            "ns_pid": process.ns_pid,
        }
    )


def _decode_process(value: object) -> Process:
    fields = Fields(value)
    cmdline = fields.find_each("cmdline", bytes)
    return Process(
        pid=fields.number("pid", 0, MAX_UINT32),
        comm=text(fields.take("comm", bytes)),
        leader=_find_text(fields, "leader"),
        ppid=fields.find_number("ppid", 0, MAX_UINT32),
        uid=fields.find_number("uid", 0, MAX_UINT32),
        start_ns=fields.find_number("start_ns", MIN_INT64),
        exe=_find_text(fields, "exe"),
        cmdline=None if cmdline is None else tuple(map(text, cmdline)),
        gid=fields.find_number("gid", 0, MAX_UINT32),
        cgroup=_find_text(fields, "cgroup"),
        ns_pid=fields.find_number("ns_pid", 0, MAX_UINT32),
    )


def _encode_target(target: Target) -> dict[str, Any]:
    return without_absent(
        {
            "kind": target.kind,
            "path": _untext(target.path),
            "device": None if target.device is None else list(target.device),
            "inode": target.inode,
            "local": _untext(target.local),
            "peer": _untext(target.peer),
            "partial": target.partial or None,
            "deleted": target.deleted or None,
            "from_proc": target.from_proc or None,
        }
    )


def _decode_target(value: object) -> Target:
    fields = Fields(value)
    return Target(
        kind=fields.find("kind", str),
        path=_find_text(fields, "path"),
        device=_device(fields),
        inode=fields.find_number("inode", 0, MAX_UINT64),
        local=_find_text(fields, "local"),
        peer=_find_text(fields, "peer"),
        partial=fields.told("partial"),
        deleted=fields.told("deleted"),
        from_proc=fields.told("from_proc"),
    )


def _device(fields: Fields) -> tuple[int, int] | None:
    numbers = fields.find_each("device", int)
    if numbers is None:
        return None
    if len(numbers) != 2:
        raise CorruptionError(f"device has {len(numbers)} numbers, 2 expected")
    major, minor = (within("device", number, 0, MAX_UINT32) for number in numbers)
    return major, minor


def _untext(value: str | None) -> bytes | None:
    return None if value is None else untext(value)


def _find_text(fields: Fields, name: str) -> str | None:
    found = fields.find(name, bytes)
    return None if found is None else text(found)
