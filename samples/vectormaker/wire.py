"""Bytes of a capture: preamble, envelopes, packed bytes, index (SPEC.md sections 3, 4.6, 4.7, 7.1)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgpack  # noqa: TID251  # vectors are made without wcap

MAGIC = b"\xc7\x0dwcap\r\n\x1a\n"
MAJOR, MINOR = 1, 1
SALT = 0x57434150
MARKER = b"\xf5WCF"
PREAMBLE_SIZE, ENVELOPE_SIZE = 16, 18

HEADER, EVENTS, GAPS, RESULTS, END, INDEX, FOOTER = range(1, 8)


def packed(value: Any) -> bytes:
    """Encode with msgpack: text as str, bytes as bin."""
    data: bytes = msgpack.packb(value, use_bin_type=True)
    return data


def preamble(major: int = MAJOR, minor: int = MINOR, salt: int = SALT) -> bytes:
    """Return the first 16 bytes."""
    return MAGIC + struct.pack(">BBI", major, minor, salt)


def envelope(kind: int, body: bytes, number: int, salt: int = SALT) -> bytes:
    """Return a frame: the body behind its 18 bytes, with a good checksum."""
    length = struct.pack(">Ib", 12 + len(body), kind)
    checksum = zlib.crc32(body, zlib.crc32(length + struct.pack(">I", number), salt))
    return b"\xc9" + length + MARKER + struct.pack(">II", checksum, number) + body


class Part(NamedTuple):
    """Where a frame lies, and what the index says of it."""

    kind: int
    offset: int
    length: int
    summary: Mapping[str, Any] | None


class Bytes:
    """A capture as it is put together, frame by frame."""

    def __init__(self, salt: int = SALT, major: int = MAJOR, minor: int = MINOR) -> None:
        self.data = bytearray(preamble(major, minor, salt))
        self.salt = salt
        self.number = 0
        self.parts: list[Part] = []
        self._listed = 0
        self._previous: int | None = None

    @property
    def place(self) -> int:
        """Where the next frame begins."""
        return len(self.data)

    def frame(self, kind: int, body: Mapping[str, Any] | bytes, number: int | None = None) -> Bytes:
        """Append a frame; ``number`` stands in place of the right one."""
        raw = body if isinstance(body, bytes) else packed(body)
        summary = body.get("summary") if kind == EVENTS and not isinstance(body, bytes) else None
        self.parts.append(Part(kind, self.place, ENVELOPE_SIZE + len(raw), summary))
        self.data += envelope(kind, raw, self.number if number is None else number, self.salt)
        self.number += 1
        return self

    def frames(self, *frames: tuple[int, Mapping[str, Any] | bytes]) -> Bytes:
        """Append several frames."""
        for kind, body in frames:
            self.frame(kind, body)
        return self

    def raw(self, data: bytes) -> Bytes:
        """Append bytes that are no frame."""
        self.data += data
        return self

    def index(self, **changed: Any) -> Bytes:
        """Append an INDEX frame of the frames since the one before."""
        entries = packed({"frames": [row(part) for part in self.parts[self._listed :]]})
        body: dict[str, Any] = {"entries": {"data": entries}}
        if self._previous is not None:
            body["previous"] = self._previous
        self._previous = self.place
        self.frame(INDEX, {**body, **changed})
        self._listed = len(self.parts)
        return self

    def footer(self, place: int | None = None) -> Bytes:
        """Append the FOOTER, which points to the last INDEX frame or to another ``place``."""
        assert self._previous is not None
        body = b"\x81\xa5index\xcf" + struct.pack(">Q", self._previous if place is None else place)
        return self.frame(FOOTER, body)

    def closed(self) -> bytes:
        """Append INDEX and FOOTER, and return the whole."""
        return self.closed_with()

    def closed_with(self, **changed: Any) -> bytes:
        """Append an INDEX with other keys, and the FOOTER, and return the whole."""
        return bytes(self.index(**changed).footer().data)


def row(part: Part) -> list[Any]:
    """Return a frame's entry in the index."""
    summary = [] if part.summary is None else [part.summary]
    return [part.kind, part.offset, part.length, *summary]


def zstd(data: bytes, *, size: int | None = None, sized: bool = True) -> bytes:
    """Return a zstd frame (RFC 8878) made by hand, the same whatever library there is.

    Runs of one byte become RLE blocks, all else raw ones. ``size`` is told in place of the true
    content size; a frame that is not ``sized`` tells none.
    """
    blocks = list(_blocks(data))
    told = b"\xa0" + struct.pack("<I", len(data) if size is None else size)
    head = told if sized else b"\x00\x58"  # a window of 2 MiB, and no content size
    body = b"".join(
        struct.pack("<I", length << 3 | kind << 1 | (place == len(blocks) - 1))[:3] + content
        for place, (kind, length, content) in enumerate(blocks)
    )
    return b"\x28\xb5\x2f\xfd" + head + body


def _blocks(data: bytes) -> Iterable[tuple[int, int, bytes]]:
    """Yield (type, size, content) of blocks: type 0 is raw, type 1 the byte that is repeated."""
    most = 128 << 10
    kept = len(data.rstrip(data[-1:])) if data else 0
    if len(data) - kept < 64:
        kept = len(data)
    for start in range(0, kept, most):
        block = data[start : min(start + most, kept)]
        yield 0, len(block), block
    for start in range(kept, len(data), most):
        yield 1, min(most, len(data) - start), data[-1:]
    if not data:
        yield 0, 0, b""
