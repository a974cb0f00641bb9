"""The kernel side's records as columns: plain numpy over the bytes as they came.

The layout is that of bpf/record.h; `sizes` is compiled into the program, which refuses to build
if the two differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from wcap.batch import gather
from wcap.events import Bypass, Target
from wcap.recorder import descriptions
from wcap.recorder.calls import DETAIL_COLUMNS, Details, Enters, Exits, Ints, Reread
from wcap.recorder.descriptions import Seen

ENTER, EXIT, REREAD, PROCESS, PART, TARGET, SENT, BYPASS = range(1, 9)
UNREADABLE, PART_LOST = 1, 4
OFFSET, SOURCE, ADDRESS, NO_PAYLOAD, UNSENT = 8, 16, 32, 64, 128

_ENTER_SIZE, _EXIT_SIZE, _REREAD_SIZE, _PART_SIZE = 72, 32, 40, 40
_RETURNED_SIZE = 8  # behind an enter, when calls are recorded at exit
_EXTRA_SIZE = 152
_ADDRESS_AT = 24
# Of a part that is read when a call ends (PART_AT_END).
_AT_END = 1 << 63
COMM_SIZE = 16


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
        "BYPASS_SIZE": descriptions.BYPASS_SIZE,
    }


def _enter_size(*, at_exit: bool) -> int:
    return _ENTER_SIZE + _RETURNED_SIZE * at_exit


@dataclass(frozen=True, slots=True)
class Span:
    """Records as they came: some bytes, and where in them each record starts, 8-byte aligned."""

    data: bytes
    starts: npt.NDArray[np.int64]


class _Call(NamedTuple):
    """What tells a call from all others; its end has its time and `_AT_END` for a number."""

    cpu: int
    pid_tgid: int
    sequence: int


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
        self._parts: dict[_Call, list[bytes]] = {}
        self._order = 0

    def decode(self, span: Span) -> Decoded:
        """Turn the next span into columns; records are numbered through all spans."""
        words = np.frombuffer(span.data, dtype=np.uint64, count=len(span.data) // 8)
        rows = span.starts >> 3
        head = words[rows]
        kind = head & 0xFF
        first, self._order = self._order, self._order + len(rows)
        described: dict[int, list[int]] = {}
        other = np.flatnonzero(kind > EXIT)
        for position in other.tolist():
            described.setdefault(int(kind[position]), []).append(position)
        coming = self._take_parts(span.data, words, rows[described.get(PART, [])])
        enters = np.flatnonzero(kind == ENTER)
        ends = (kind == EXIT) | (kind == REREAD) | (kind == SENT) if len(other) else kind == EXIT
        exits = np.flatnonzero(ends)
        decoded = Decoded(
            self._enters(span, words, rows[enters], head[enters], enters + first),
            self._exits(span, words, rows[exits], head[exits], exits + first),
            [
                descriptions.process(span.data, int(span.starts[position]), first + position)
                for position in described.get(PROCESS, ())
            ],
            [
                descriptions.target(span.data, int(span.starts[position]))
                for position in described.get(TARGET, ())
            ],
            [
                descriptions.bypass(span.data, int(span.starts[position]))
                for position in described.get(BYPASS, ())
            ],
        )
        self._parts = {call: self._parts[call] for call in coming & self._parts.keys()}
        return decoded

    def _take_parts(self, data: bytes, words: Ints, rows: Ints) -> set[_Call]:
        """Take in parts; return the calls whose record may be yet to come.

        A CPU sends the parts of a call, and its record next. So only its latest call can still
        come: the parts of any other are those of a call that was lost.
        """
        for row in rows.tolist():
            call, size = _call(words, row), int(words[row + 4])
            start = row * 8 + _PART_SIZE
            self._parts.setdefault(call, []).append(data[start : start + size])
        return set({call.cpu: call for call in self._parts}.values())

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
        return self._with_parts(enters, words, rows) if self._parts else enters

    def _details(self, data: bytes, words: Ints, rows: Ints, extra: Ints) -> Details:
        having = np.flatnonzero(extra)
        places = rows[having] + self._enter_size // 8
        source, message = words[places + 1], words[places + 2]
        columns = {
            "offset": words[places],
            "source_fd": source & 0xFFFF_FFFF,
            "source": source >> 32,
            "message": message & 0xFFFF_FFFF,
        }
        addresses, sizes = {}, message >> 32
        for position in np.flatnonzero(sizes).tolist():
            start = int(places[position]) * 8 + _ADDRESS_AT
            addresses[int(having[position])] = data[start : start + int(sizes[position])]
        return Details(
            **{
                name: _spread(columns[name].astype(kind), having, len(rows))
                for name, kind in DETAIL_COLUMNS.items()
            },
            addresses=addresses,
        )

    def _with_parts(self, enters: Enters, words: Ints, rows: Ints) -> Enters:
        """Put parts before what the record of their call has."""
        numbers = np.array([call.sequence for call in self._parts], dtype=np.uint64)
        found = {}
        for row in np.flatnonzero(np.isin(words[rows + 3], numbers)).tolist():
            if parts := self._parts.pop(_call(words, int(rows[row])), None):
                found[row] = parts
        if not found:
            return enters
        stops = np.cumsum(enters.captured)
        pieces, captured, begin = [], enters.captured.copy(), 0
        for row, parts in found.items():
            start = int(stops[row] - enters.captured[row])
            pieces += [enters.payload[begin:start], *parts]
            captured[row] += sum(map(len, parts))
            begin = start
        pieces.append(enters.payload[begin:])
        return replace(enters, captured=captured, payload=b"".join(pieces))

    def _exits(self, span: Span, words: Ints, rows: Ints, head: Ints, order: Ints) -> Exits:
        reread, sent = {}, {}
        for position in np.flatnonzero((head & 0xFF) != EXIT).tolist():
            row, first = int(rows[position]), int(head[position])
            start, size = row * 8 + _REREAD_SIZE, int(words[row + 4]) & 0xFFFF_FFFF
            data = span.data[start : start + size]
            if first & 0xFF == SENT:
                sent[position] = np.frombuffer(data, dtype=np.uint32).tolist()
            else:
                parts = self._parts.pop(
                    _call(words, row)._replace(sequence=_AT_END | int(words[row + 1])), []
                )
                payload, asked = b"".join([*parts, data]), int(words[row + 4]) >> 32
                reread[position] = Reread(payload, first >> 16 & 0xFFFF, asked)
        return Exits(
            order=order,
            time_ns=words[rows + 1].view(np.int64),
            pid_tgid=words[rows + 2],
            returned=words[rows + 3].view(np.int64),
            reread=reread,
            sent=sent,
        )


def _call(words: Ints, row: int) -> _Call:
    """Return which call the record of an enter or a part is of."""
    first, _, pid_tgid, sequence = words[row : row + 4].tolist()
    return _Call(first >> 32, pid_tgid, sequence)


def _spread(values: Ints, rows: Ints, length: int) -> Ints:
    """Return a column with these values in these rows and zeros in the others."""
    column = np.zeros(length, dtype=values.dtype)
    column[rows] = values
    return column
