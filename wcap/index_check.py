"""What SPEC.md sections 4.6 and 4.7 demand of the index: that it lists the frames as they are.

The frames since the last index are remembered as a few bytes each, and only as many as one index
can list, so that a file without any costs no memory.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator

from wcap.chunk_check import Fault
from wcap.chunk_summary import Summary, decode_summary, encode_summary
from wcap.envelope import ENVELOPE
from wcap.errors import FormatError
from wcap.fields import MAX_ITEMS, encode_map
from wcap.format import FrameType
from wcap.index_frames import Index
from wcap.sources import Frame

# An entry is a list of three numbers at least.
_MOST_FRAMES = MAX_ITEMS // 4
_NO_SUMMARY = 0


class Listing:
    """The frames that the next index has to list.

    Attributes:
        last_index: offset of the last whole INDEX frame; None before the first.
        spoiled: whether frames since then were damaged or are missing.
        index_lost: whether frames before it were, so that an index may be missing.
    """

    def __init__(self) -> None:
        self.last_index: int | None = None
        self.spoiled = False
        self.index_lost = False
        self._rows = [array("Q") for _ in range(4)]

    def add(self, frame: Frame, summary: Summary | None) -> None:
        """Remember a frame that is whole, and what its chunk says of itself."""
        row = (
            frame.envelope.type,
            frame.offset,
            ENVELOPE.size + frame.envelope.length,
            _NO_SUMMARY if summary is None else _digest(summary),
        )
        if len(self._rows[0]) < _MOST_FRAMES and frame.envelope.type > 0:
            for column, value in zip(self._rows, row, strict=True):
                column.append(value)
        else:
            self.spoiled = True

    def compare(self, index: Index) -> Iterator[Fault]:
        """Yield where an index and the frames before it differ."""
        seen = {offset: row for row, offset in enumerate(self._rows[1])}
        for entry in index.entries:
            row = seen.pop(entry.offset, None)
            if row is None:
                if not self.spoiled:
                    yield Fault(f"no frame starts at byte {entry.offset}", "4.6", "W10")
                continue
            kind, _, length, digest = (column[row] for column in self._rows)
            if (entry.type, entry.length) != (kind, length):
                yield Fault(
                    f"the frame at byte {entry.offset} has type {kind} and {length} bytes, "
                    f"and is listed with type {entry.type} and {entry.length} bytes",
                    "4.6",
                    "W10",
                )
            elif entry.summary is None:
                if kind == FrameType.EVENTS:
                    yield Fault(f"no summary of the chunk at byte {entry.offset}", "4.6", "W10")
            elif kind != FrameType.EVENTS:
                yield Fault(f"a summary of the frame at byte {entry.offset}", "4.6", "W10")
            else:
                yield from _compare_summary(entry.summary, digest, entry.offset)
        for offset in seen:
            yield Fault(f"the frame at byte {offset} is not listed", "4.6", "W10")
        if index.previous != self.last_index and not (self.spoiled or self.index_lost):
            yield Fault(f"previous is {index.previous}, {self.last_index} expected", "4.6", "W10")

    def restart(self, offset: int | None) -> None:
        """Forget the frames before an index; None when it could not be read."""
        self.index_lost = self.spoiled or offset is None
        self.spoiled = False
        if offset is not None:
            self.last_index = offset
        self._rows = [array("Q") for _ in range(4)]


def _compare_summary(stored: object, digest: int, offset: int) -> Iterator[Fault]:
    try:
        listed = decode_summary(stored)  # type: ignore[arg-type]  # decode_index saw to it
    except FormatError as error:
        yield Fault(f"the summary of the chunk at byte {offset}: {error.reason}", "5.5", "W9")
        return
    if digest != _NO_SUMMARY and _digest(listed) != digest:
        yield Fault(f"the summary of the chunk at byte {offset} is not its own", "4.6", "R14")


def _digest(summary: Summary) -> int:
    """Return a number that two summaries share only if they are equal; never `_NO_SUMMARY`."""
    encoded = encode_map(encode_summary(summary))
    return int.from_bytes(hashlib.blake2b(encoded, digest_size=8).digest(), "big") | 1
