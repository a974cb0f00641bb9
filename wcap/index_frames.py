"""The INDEX and FOOTER frames: where the frames of a capture lie (SPEC.md sections 4.6 and 4.7)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wcap.envelope import ENVELOPE, MAGIC_SIZE
from wcap.errors import CorruptionError
from wcap.fields import decode_map, each_of, encode_map, within, without_absent
from wcap.packed import pack, unpack

# SPEC.md section 9: what one index frame may hold, unpacked.
MAX_INDEX = 8 << 20

# SPEC.md section 4.7: the footer's body, a map of one key whose value is always a uint 64.
_FOOTER_BODY = struct.Struct(">8sQ")
_FOOTER_KEY = b"\x81\xa5index\xcf"
FOOTER_SIZE = ENVELOPE.size + _FOOTER_BODY.size


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Where a frame lies; ``summary`` is that of a chunk of events, as its own frame has it.

    ``number`` is not stored: an index lists the frames just before it, without a hole.
    """

    number: int
    type: int
    offset: int
    length: int
    summary: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """All frames from the previous index (its offset), or from the file's start, to this one."""

    entries: tuple[IndexEntry, ...]
    previous: int | None = None


def encode_index(index: Index) -> bytes:
    """Encode the body of an INDEX frame."""
    entries = [
        [entry.type, entry.offset, entry.length]
        + ([] if entry.summary is None else [dict(entry.summary)])
        for entry in index.entries
    ]
    listed = pack(encode_map({"frames": entries}))
    return encode_map(without_absent({"previous": index.previous, "entries": listed}))


def decode_index(body: bytes, offset: int, number: int) -> Index:
    """Decode the body of the INDEX frame at ``offset``, which has this frame number.

    Raises:
        CorruptionError: it is malformed, or does not list the frames right before it.
        LimitError: it is larger than SPEC.md section 9 allows.
    """
    fields = decode_map(body)
    listed = decode_map(unpack(fields.take("entries", dict), MAX_INDEX))
    rows = listed.each("frames", list)
    entries = []
    for row_number, row in enumerate(rows, number - len(rows)):
        if len(row) < 3:
            raise CorruptionError(f"an index entry has {len(row)} values, 3 expected")
        frame_type, place, length = each_of("frames", row[:3], int)
        within("an index entry's offset", place, MAGIC_SIZE, offset)
        within("an index entry's length", length, ENVELOPE.size, offset)
        summary = row[3] if len(row) > 3 else None
        if summary is not None and not isinstance(summary, dict):
            raise CorruptionError("an index entry's summary is not a map")
        entries.append(IndexEntry(row_number, frame_type, place, length, summary))
    ends = [entry.offset + entry.length for entry in entries]
    if ends != [entry.offset for entry in entries[1:]] + [offset] * bool(entries):
        raise CorruptionError("an index does not list the frames before it without a hole", offset)
    return Index(tuple(entries), fields.find_number("previous"))


def encode_footer(index_offset: int) -> bytes:
    """Encode the body of the FOOTER frame, which is always of the same size."""
    return _FOOTER_BODY.pack(_FOOTER_KEY, index_offset)


def decode_footer(body: bytes) -> int:
    """Return the offset of the last INDEX frame."""
    return decode_map(body).take("index", int)
