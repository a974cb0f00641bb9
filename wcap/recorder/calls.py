"""Calls as columns: those that began, those that ended, and what only some of either have.

Spans come one by one, and some calls wait for their ends; so columns are joined, and rows taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from wcap.batch import gather

# A task's two numbers in one word: the process in the high half, the thread in the low.
TID = np.uint64(0xFFFF_FFFF)
PID_SHIFT = np.uint64(32)

Ints = npt.NDArray[Any]
_Value = TypeVar("_Value")

DETAIL_COLUMNS: dict[str, type[np.generic]] = {
    "offset": np.int64,
    "source_fd": np.int32,
    "source": np.uint32,
    "message": np.int64,
}


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


class Reread(NamedTuple):
    """What could not be read when a call began and was read when it ended.

    ``flags`` are those of that reading, and ``asked`` is how many bytes a vector stood for, as
    far as it could be read then; 0 if the call had none.
    """

    payload: bytes
    flags: int
    asked: int


@dataclass(frozen=True, slots=True)
class Exits:
    """Calls that ended.

    ``reread`` and ``sent`` have, by position, what some of these brought: payload, and how many
    bytes of each message a sendmmsg sent.
    """

    order: Ints
    time_ns: Ints
    pid_tgid: Ints
    returned: Ints
    reread: dict[int, Reread]
    sent: dict[int, list[int]]


_ROW_BY_ROW = tuple(
    name for name in Enters.__slots__ if name not in ("returned", "details", "payload")
)
_EXIT_COLUMNS = ("order", "time_ns", "pid_tgid", "returned")


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
    columns: dict[str, list[Ints]] = {name: [] for name in DETAIL_COLUMNS}
    addresses: dict[int, bytes] = {}
    base = 0
    for part in parts:
        length, details = len(part.order), part.details
        if details is not None:
            addresses |= {base + row: found for row, found in details.addresses.items()}
        for name, kind in DETAIL_COLUMNS.items():
            none = np.zeros(length, dtype=kind)
            columns[name].append(none if details is None else getattr(details, name))
        base += length
    return Details(
        **{name: np.concatenate(pieces) for name, pieces in columns.items()}, addresses=addresses
    )


def joined_exits(parts: list[Exits]) -> Exits | None:
    """Return the ends of all parts as one, or None when there are none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in _EXIT_COLUMNS
    }
    reread: dict[int, Reread] = {}
    sent: dict[int, list[int]] = {}
    base = 0
    for part in parts:
        reread |= {base + position: found for position, found in part.reread.items()}
        sent |= {base + position: found for position, found in part.sent.items()}
        base += len(part.order)
    return Exits(**columns, reread=reread, sent=sent)


def some_enters(enters: Enters, rows: npt.NDArray[np.intp]) -> Enters:
    """Return some of the calls, in ascending order of ``rows``, with their payloads only."""
    stops = np.cumsum(enters.captured, dtype=np.int64)[rows]
    columns = {name: getattr(enters, name)[rows] for name in _ROW_BY_ROW}
    starts = stops - columns["captured"]
    details = enters.details
    if details is not None:
        details = Details(
            **{name: getattr(details, name)[rows] for name in DETAIL_COLUMNS},
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
    return Exits(**columns, reread=_some(exits.reread, rows), sent=_some(exits.sent, rows))


def _some(by_row: dict[int, _Value], rows: npt.NDArray[Any]) -> dict[int, _Value]:
    """Take what belongs to some rows, which ascend."""
    known = np.fromiter(by_row, dtype=np.int64, count=len(by_row))
    places = np.searchsorted(rows, known)
    return {
        place: by_row[row]
        for place, row in zip(places.tolist(), known.tolist(), strict=True)
        if place < len(rows) and rows[place] == row
    }
