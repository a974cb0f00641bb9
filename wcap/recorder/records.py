"""The kernel side's records as columns: plain numpy over the bytes as they came.

The layout is that of bpf/record.h; `sizes` is compiled into the program, which refuses to build
if the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from wcap.events import Bypass, Target, gather
from wcap.recorder import descriptions
from wcap.recorder.descriptions import Seen

_Value = TypeVar("_Value")

ENTER, EXIT, REREAD, PROCESS, PART, TARGET, SENT, BYPASS = range(1, 9)
UNREADABLE, KNOWN_TASK, PART_LOST = 1, 2, 4
OFFSET, SOURCE, ADDRESS, NO_PAYLOAD, UNSENT = 8, 16, 32, 64, 128

_ENTER_SIZE, _EXIT_SIZE, _REREAD_SIZE, _PART_SIZE, _BYPASS_SIZE = 72, 32, 40, 40, 48
_RETURNED_SIZE = 8  # behind an enter, when calls are recorded at exit
_EXTRA_SIZE = 152
_ADDRESS_AT = 24
# Of a part: it belongs to the end of a call, whose time the other bits are (bpf/record.h).
_AT_END = 1 << 63
# Such a part is followed by the record of that end much sooner, or else that record is lost.
_FOLLOWED_NS = 1_000_000_000
COMM_SIZE = 16
# A task's two numbers in one word: the process in the high half, the thread in the low.
TID = np.uint64(0xFFFF_FFFF)
PID_SHIFT = np.uint64(32)

Ints = npt.NDArray[Any]


def sizes(*, at_exit: bool) -> dict[str, int]:
    """Return the sizes in bytes that bpf/record.h asserts."""
    return {
        "ENTER_SIZE": _enter_size(at_exit=at_exit),
        "EXTRA_SIZE": _EXTRA_SIZE,
        "EXIT_SIZE": _EXIT_SIZE,
        "REREAD_SIZE": _REREAD_SIZE,
        "PART_SIZE": _PART_SIZE,
        "PROCESS_SIZE": descriptions.PROCESS_SIZE,
        "TARGET_SIZE": descriptions.TARGET_SIZE,
        "BYPASS_SIZE": _BYPASS_SIZE,
    }


def _enter_size(*, at_exit: bool) -> int:
    return _ENTER_SIZE + _RETURNED_SIZE * at_exit


@dataclass(frozen=True, slots=True)
class Span:
    """Records as they came: some bytes, and where in them each record starts, 8-byte aligned."""

    data: bytes
    starts: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Details:
    """What only some calls have, row by row: an offset, a source, the number of a message.

    ``addresses`` has the socket addresses that messages were sent to, by row.
    """

    offset: Ints
    source_fd: Ints
    source: Ints
    message: Ints
    addresses: dict[int, bytes]


@dataclass(frozen=True, slots=True)
class Enters:
    """Calls that began, in the order of their records; ``order`` counts records.

    ``returned`` is there only when calls are recorded at their exit.
    """

    order: Ints
    time_ns: Ints
    pid_tgid: Ints
    cpu: Ints
    syscall: Ints
    sequence: Ints
    count: Ints
    fd: Ints
    captured: Ints
    flags: Ints
    comm0: Ints
    comm1: Ints
    target: Ints
    returned: Ints | None
    details: Details | None
    payload: bytes


@dataclass(frozen=True, slots=True)
class Exits:
    """Calls that ended.

    ``payloads`` has, by position, what was read again, and the flags of that reading; ``sent``
    how many bytes of each message a sendmmsg sent.
    """

    order: Ints
    time_ns: Ints
    pid_tgid: Ints
    returned: Ints
    payloads: dict[int, tuple[bytes, int]]
    sent: dict[int, list[int]]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The records of a span, by kind."""

    enters: Enters
    exits: Exits
    processes: list[Seen]
    targets: list[tuple[int, Target]]
    bypasses: list[Bypass]


class Decoder:
    """Turns spans into columns; keeps the parts of payloads whose call's record is yet to come."""

    def __init__(self, *, at_exit: bool = False) -> None:
        self._at_exit = at_exit
        self._enter_size = _enter_size(at_exit=at_exit)
        # By CPU and sequence number; of what is read at exit, by thread, and time with `_AT_END`.
        self._parts: dict[tuple[int, int], list[bytes]] = {}
        self._order = 0

    def decode(self, span: Span) -> Decoded:
        """Turn the next span into columns; records are numbered through all spans."""
        words = np.frombuffer(span.data, dtype=np.uint64, count=len(span.data) // 8)
        rows = span.starts >> 3
        head = words[rows]
        kind = head & 0xFF
        first, self._order = self._order, self._order + len(rows)
        other = np.flatnonzero(kind > EXIT)
        described: dict[int, list[int]] = {}
        for position in other.tolist():
            described.setdefault(int(kind[position]), []).append(position)
        for position in described.get(PART, ()):
            self._take_part(span.data, words, int(rows[position]))
        if self._parts:
            self._forget_ends(int(words[rows + 1].max()))
        enters = np.flatnonzero(kind == ENTER)
        ends = (kind == EXIT) | (kind == REREAD) | (kind == SENT) if len(other) else kind == EXIT
        exits = np.flatnonzero(ends)
        starts = span.starts
        return Decoded(
            self._enters(span, words, rows[enters], head[enters], enters + first),
            self._exits(span, words, rows[exits], head[exits], exits + first),
            [
                descriptions.process(span.data, int(starts[position]), first + position)
                for position in described.get(PROCESS, ())
            ],
            [
                descriptions.target(span.data, int(starts[position]))
                for position in described.get(TARGET, ())
            ],
            [
                descriptions.bypass(span.data, int(starts[position]))
                for position in described.get(BYPASS, ())
            ],
        )

    def _take_part(self, data: bytes, words: Ints, row: int) -> None:
        sequence, size = int(words[row + 3]), int(words[row + 4])
        owner = int(words[row + 2]) if sequence & _AT_END else int(words[row]) >> 32
        start = row * 8 + _PART_SIZE
        self._parts.setdefault((owner, sequence), []).append(data[start : start + size])

    def _forget_ends(self, now_ns: int) -> None:
        """Forget the parts of ends whose record was lost."""
        for owner, sequence in list(self._parts):
            if sequence & _AT_END and (sequence ^ _AT_END) < now_ns - _FOLLOWED_NS:
                del self._parts[owner, sequence]

    def _enters(self, span: Span, words: Ints, rows: Ints, head: Ints, order: Ints) -> Enters:
        descriptor, target = words[rows + 5], words[rows + 8]
        captured = (descriptor >> 32).astype(np.int64)
        extra = (target >> 32).astype(np.int64)
        enters = Enters(
            order=order,
            time_ns=words[rows + 1].view(np.int64),
            pid_tgid=words[rows + 2],
            cpu=(head >> 32).astype(np.uint32),
            syscall=((head >> 8) & 0xFF).astype(np.uint32),
            sequence=words[rows + 3].view(np.int64),
            count=words[rows + 4],
            fd=descriptor.astype(np.uint32).view(np.int32),
            captured=captured,
            flags=((head >> 16) & 0xFFFF).astype(np.uint32),
            comm0=words[rows + 6],
            comm1=words[rows + 7],
            target=target.astype(np.uint32),
            returned=words[rows + 9].view(np.int64) if self._at_exit else None,
            details=self._details(span.data, words, rows, extra) if extra.any() else None,
            payload=gather(span.data, rows * 8 + self._enter_size + extra, captured),
        )
        return self._with_parts(enters) if self._parts else enters

    def _details(self, data: bytes, words: Ints, rows: Ints, extra: Ints) -> Details:
        having = np.flatnonzero(extra)
        places = rows[having] + self._enter_size // 8
        source, message = words[places + 1], words[places + 2]
        addresses = {}
        for row, place, size in zip(
            having.tolist(), places.tolist(), (message >> 32).tolist(), strict=True
        ):
            if size:
                start = place * 8 + _ADDRESS_AT
                addresses[row] = data[start : start + size]

        def spread(values: Ints, kind: type[np.generic]) -> Ints:
            column = np.zeros(len(rows), dtype=kind)
            column[having] = values
            return column

        return Details(
            offset=spread(words[places].view(np.int64), np.int64),
            source_fd=spread(source.astype(np.uint32).view(np.int32), np.int32),
            source=spread(source >> 32, np.uint32),
            message=spread(message & 0xFFFF_FFFF, np.int64),
            addresses=addresses,
        )

    def _with_parts(self, enters: Enters) -> Enters:
        """Put parts before what the record of their call has; forget those whose call was lost."""
        places = {
            key: row
            for row, key in enumerate(
                zip(enters.cpu.tolist(), enters.sequence.tolist(), strict=True)
            )
        }
        latest: dict[int, int] = {}
        for cpu, sequence in places:
            latest[cpu] = max(latest.get(cpu, 0), sequence)
        found = {places[key]: key for key in self._parts.keys() & places.keys()}
        changed = self._merged(enters, found) if found else enters
        for cpu, sequence in list(self._parts):
            if sequence <= latest.get(cpu, 0):
                del self._parts[cpu, sequence]
        return changed

    def _merged(self, enters: Enters, found: dict[int, tuple[int, int]]) -> Enters:
        stops = np.cumsum(enters.captured)
        pieces, captured, begin = [], enters.captured.copy(), 0
        for row in sorted(found):
            start = int(stops[row] - enters.captured[row])
            parts = self._parts.pop(found[row])
            pieces += [enters.payload[begin:start], *parts]
            captured[row] += sum(map(len, parts))
            begin = start
        pieces.append(enters.payload[begin:])
        return replace(enters, captured=captured, payload=b"".join(pieces))

    def _exits(self, span: Span, words: Ints, rows: Ints, head: Ints, order: Ints) -> Exits:
        payloads, sent = {}, {}
        for position in np.flatnonzero((head & 0xFF) != EXIT).tolist():
            row = int(rows[position])
            start, size = row * 8 + _REREAD_SIZE, int(words[row + 4])
            data = span.data[start : start + size]
            if int(head[position]) & 0xFF == SENT:
                sent[position] = np.frombuffer(data, dtype=np.uint32).tolist()
            else:
                key = int(words[row + 2]), _AT_END | int(words[row + 1])
                parts = self._parts.pop(key, [])
                payloads[position] = (b"".join([*parts, data]), int(head[position]) >> 16 & 0xFFFF)
        return Exits(
            order=order,
            time_ns=words[rows + 1].view(np.int64),
            pid_tgid=words[rows + 2],
            returned=words[rows + 3].view(np.int64),
            payloads=payloads,
            sent=sent,
        )


_ROW_BY_ROW = tuple(
    name for name in Enters.__slots__ if name not in ("returned", "details", "payload")
)
_EXIT_COLUMNS = ("order", "time_ns", "pid_tgid", "returned")
_DETAIL_COLUMNS = ("offset", "source_fd", "source", "message")


def joined_enters(parts: list[Enters]) -> Enters | None:
    """Return the calls of all parts as one, or None when there are none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _ROW_BY_ROW
    }
    returned = [part.returned for part in parts if part.returned is not None]
    return Enters(
        **columns,
        returned=np.concatenate(returned) if returned else None,
        details=_joined_details(parts),
        payload=b"".join(part.payload for part in parts),
    )


def _joined_details(parts: list[Enters]) -> Details | None:
    if all(part.details is None for part in parts):
        return None
    columns: dict[str, list[Ints]] = {name: [] for name in _DETAIL_COLUMNS}
    addresses: dict[int, bytes] = {}
    base = 0
    for part in parts:
        length = len(part.order)
        if part.details is not None:
            addresses |= {base + row: found for row, found in part.details.addresses.items()}
        for name, pieces in columns.items():
            none = np.zeros(length, dtype=np.int64)
            pieces.append(none if part.details is None else getattr(part.details, name))
        base += length
    return Details(
        **{name: np.concatenate(all_) for name, all_ in columns.items()}, addresses=addresses
    )


def joined_exits(parts: list[Exits]) -> Exits | None:
    """Return the ends of all parts as one, or None when there are none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _EXIT_COLUMNS
    }
    payloads: dict[int, tuple[bytes, int]] = {}
    sent: dict[int, list[int]] = {}
    base = 0
    for part in parts:
        payloads |= {base + position: found for position, found in part.payloads.items()}
        sent |= {base + position: found for position, found in part.sent.items()}
        base += len(part.order)
    return Exits(**columns, payloads=payloads, sent=sent)


def some_enters(enters: Enters, rows: npt.NDArray[np.intp]) -> Enters:
    """Return some of the calls, with their payloads only."""
    stops = np.cumsum(enters.captured, dtype=np.int64)[rows]
    columns = {name: getattr(enters, name)[rows] for name in _ROW_BY_ROW}
    starts = stops - columns["captured"]
    details = enters.details
    if details is not None:
        details = Details(
            **{name: getattr(details, name)[rows] for name in _DETAIL_COLUMNS},
            addresses=_some(details.addresses, rows),
        )
    return Enters(
        **columns,
        returned=None if enters.returned is None else enters.returned[rows],
        details=details,
        payload=gather(enters.payload, starts, columns["captured"]),
    )


def some_exits(exits: Exits, rows: npt.NDArray[np.int64]) -> Exits:
    """Return some of the ends, in ascending order of ``rows``."""
    columns = {name: getattr(exits, name)[rows] for name in _EXIT_COLUMNS}
    return Exits(**columns, payloads=_some(exits.payloads, rows), sent=_some(exits.sent, rows))


def _some(by_row: dict[int, _Value], rows: npt.NDArray[Any]) -> dict[int, _Value]:
    if not by_row:
        return {}
    return {new: by_row[old] for new, old in enumerate(rows.tolist()) if old in by_row}
