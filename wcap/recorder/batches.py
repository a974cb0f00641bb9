"""Calls and their ends → a batch of events: results, flags, payloads, names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wcap.batch import EventBatch
from wcap.events import EventFlag
from wcap.fields import text
from wcap.recorder import records
from wcap.recorder.calls import PID_SHIFT, TID, Enters, Exits, Ints, Reread
from wcap.recorder.descriptions import address
from wcap.recorder.joining import SENDMMSG, Joined
from wcap.recorder.processes import ProcessTable
from wcap.recorder.targets import TargetTable
from wcap.syscalls import SYSCALLS

Rows = npt.NDArray[np.intp]

# Flags of records, and of events, that mean the same.
_SAME = (
    (records.UNREADABLE, EventFlag.UNREADABLE),
    (records.PART_LOST, EventFlag.PAYLOAD_LOST),
    (records.OFFSET, EventFlag.HAS_OFFSET),
    (records.SOURCE, EventFlag.HAS_SOURCE),
    (records.ADDRESS, EventFlag.HAS_ADDRESS),
    (records.NO_PAYLOAD, EventFlag.NO_PAYLOAD),
    (records.UNSENT, EventFlag.UNSENT),
)
_OPTIONAL = records.OFFSET | records.SOURCE | records.ADDRESS
# Why a payload may be shorter than the count without having been cut.
_EXPLAINED = EventFlag.UNREADABLE | EventFlag.PAYLOAD_LOST | EventFlag.NO_PAYLOAD


@dataclass(frozen=True, slots=True)
class Joinery:
    """What a batch is made of: some of the calls, the ends of all, and which belong together."""

    enters: Enters
    exits: Exits | None
    joined: Joined
    rows: Rows

    @property
    def ends(self) -> npt.NDArray[np.int64]:
        """Where the end of each call is; -1: nowhere."""
        return self.joined.ends[self.rows]


def make_batch(
    parts: Joinery, processes: ProcessTable, targets: TargetTable, offset_ns: int
) -> EventBatch:
    """Make a batch of calls in order of time.

    Args:
        parts: the calls.
        processes: who made them.
        targets: what their descriptors stood for.
        offset_ns: from the capture's clock to the wall clock.
    """
    enters, rows = parts.enters, parts.rows
    time_ns = enters.time_ns[rows]
    payload, bounds = _payloads(parts)
    captured = bounds[1] - bounds[0]
    count = _counts(parts)
    flags = _flags(parts, captured, count)
    returned, duration_ns = _results(parts, time_ns, flags)
    comm, comms = _names(enters.comm0[rows], enters.comm1[rows])
    pids = (enters.pid_tgid[rows] >> PID_SHIFT).astype(np.uint32)
    process, process_table = processes.column(pids, enters.order[rows], comms, comm)
    columns: dict[str, Ints] = {
        "time_ns": time_ns + offset_ns,
        "cpu": enters.cpu[rows],
        "sequence": enters.sequence[rows],
        "process": process,
        "tid": (enters.pid_tgid[rows] & TID).astype(np.uint32),
        "comm": comm,
        "syscall": enters.syscall[rows],
        "fd": enters.fd[rows],
        "count": count,
        "captured": captured.astype(np.uint32),
        "returned": returned,
        "duration_ns": duration_ns,
        "flags": flags,
    }
    numbers, fds = [enters.target[rows]], [columns["fd"]]
    addresses: list[str] = []
    if enters.details is not None and bool((enters.flags[rows] & _OPTIONAL).any()):
        details = enters.details
        columns["offset"], columns["source_fd"] = details.offset[rows], details.source_fd[rows]
        columns["address"], addresses = _addresses(details.addresses, rows, flags)
        numbers.append(details.source[rows])
        has_source = (flags & np.uint32(EventFlag.HAS_SOURCE)) != 0
        fds.append(np.where(has_source, columns["source_fd"], -1))
    found, target_table = targets.columns(numbers, pids, fds)
    columns |= dict(zip(("target", "source"), found, strict=False))
    return EventBatch(
        len(rows),
        columns,
        payload,
        processes=process_table,
        comms=comms,
        syscalls=SYSCALLS,
        targets=target_table,
        addresses=addresses,
        bounds=bounds,
    )


def _results(parts: Joinery, time_ns: Ints, flags: npt.NDArray[np.uint32]) -> tuple[Ints, Ints]:
    """Return what each call returned and how long it took; flag messages that have no result."""
    enters, exits, rows, ends = parts.enters, parts.exits, parts.rows, parts.ends
    returned, duration_ns = np.zeros((2, len(rows)), dtype=np.int64)
    if enters.returned is not None:
        return enters.returned[rows], duration_ns
    if exits is None:
        return returned, duration_ns
    done = ends >= 0
    returned[done] = exits.returned[ends[done]]
    duration_ns[done] = exits.time_ns[ends[done]] - time_ns[done]
    if enters.details is not None:
        messages = done & (enters.syscall[rows] == SENDMMSG)
        for row in np.flatnonzero(messages).tolist():
            number = int(enters.details.message[rows[row]])
            returned[row], why = message_result(exits, int(ends[row]), number)
            flags[row] |= why
    return returned, duration_ns


def message_result(exits: Exits, end: int, message: int) -> tuple[int, EventFlag]:
    """Return what became of one message of a sendmmsg, or else a flag that says why not."""
    returned, sent = int(exits.returned[end]), exits.sent.get(end, [])
    if returned < 0 and message == 0:
        return returned, EventFlag(0)
    if message >= returned:
        return 0, EventFlag.UNSENT
    return (sent[message], EventFlag(0)) if message < len(sent) else (0, EventFlag.RESULT_LOST)


def _rereads(parts: Joinery) -> Iterator[tuple[int, Reread]]:
    """Yield each call that was read again when it ended, and what came of that."""
    exits, ends = parts.exits, parts.ends
    if exits is None or not exits.reread:
        return
    unreadable = (parts.enters.flags[parts.rows] & records.UNREADABLE) != 0
    for row in np.flatnonzero(unreadable & (ends >= 0)).tolist():
        if (found := exits.reread.get(int(ends[row]))) is not None:
            yield row, found


def _counts(parts: Joinery) -> Ints:
    """Return what each call asked to write: a vector may have been readable only at its end."""
    count: Ints = parts.enters.count[parts.rows]
    for row, reread in _rereads(parts):
        count[row] = max(int(count[row]), reread.asked)
    return count


def _flags(parts: Joinery, captured: Ints, count: Ints) -> npt.NDArray[np.uint32]:
    enters, rows, ends = parts.enters, parts.rows, parts.ends
    raw = enters.flags[rows]
    flags = np.zeros(len(rows), dtype=np.uint32)
    if bool(raw.any()):
        for bit, flag in _SAME:
            flags[(raw & bit) != 0] |= np.uint32(flag)
    for row, reread in _rereads(parts):
        flags[row] = _reread_flags(int(flags[row]), reread)
    short = (captured.astype(np.uint64) < count) & ((flags & np.uint32(_EXPLAINED)) == 0)
    flags[short] |= np.uint32(EventFlag.TRUNCATED)
    if enters.returned is not None:
        return flags | np.uint32(EventFlag.AT_EXIT)
    lost = parts.joined.lost[rows]
    flags[lost] |= np.uint32(EventFlag.RESULT_LOST)
    flags[(ends < 0) & ~lost] |= np.uint32(EventFlag.UNFINISHED)
    return flags


def _reread_flags(flags: int, reread: Reread) -> int:
    """Return the flags of a call that was read again when it ended."""
    if reread.payload:
        flags |= EventFlag.READ_AT_EXIT
    if not reread.flags & records.UNREADABLE:
        flags &= ~EventFlag.UNREADABLE
    if reread.flags & records.PART_LOST:
        flags |= EventFlag.PAYLOAD_LOST
    return flags


def _payloads(
    parts: Joinery,
) -> tuple[bytes, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return the payloads, those read again at exit behind the others, and where each lies."""
    enters, rows = parts.enters, parts.rows
    stops = np.cumsum(enters.captured, dtype=np.int64)
    starts = stops - enters.captured
    starts, stops = starts[rows], stops[rows]
    pieces, length = [enters.payload], len(enters.payload)
    for row, reread in _rereads(parts):
        if reread.payload:
            whole = enters.payload[starts[row] : stops[row]] + reread.payload
            starts[row], stops[row] = length, length + len(whole)
            pieces.append(whole)
            length += len(whole)
    return (b"".join(pieces) if len(pieces) > 1 else enters.payload), (starts, stops)


def _addresses(
    by_row: dict[int, bytes], rows: Rows, flags: npt.NDArray[np.uint32]
) -> tuple[Ints, list[str]]:
    """Return for each event the position of its address in a table, and that table."""
    column = np.zeros(len(rows), dtype=np.uint32)
    table: dict[bytes, int] = {}
    for place in np.flatnonzero(flags & np.uint32(EventFlag.HAS_ADDRESS)).tolist():
        column[place] = table.setdefault(by_row[int(rows[place])], len(table))
    return column, [address(raw) for raw in table]


def _names(first: Ints, second: Ints) -> tuple[npt.NDArray[np.uint32], list[str]]:
    """Turn names, two words each, into positions in a table of names."""
    if bool((first == first[0]).all() and (second == second[0]).all()):
        return np.zeros(len(first), dtype=np.uint32), [_name(first[0], second[0])]
    _, firsts = np.unique(first, return_inverse=True)
    distinct, seconds = np.unique(second, return_inverse=True)
    _, rows, codes = np.unique(
        firsts * len(distinct) + seconds, return_index=True, return_inverse=True
    )
    return codes.astype(np.uint32), [_name(first[row], second[row]) for row in rows]


def _name(first: np.uint64, second: np.uint64) -> str:
    return text((first.tobytes() + second.tobytes()).split(b"\0", 1)[0])
