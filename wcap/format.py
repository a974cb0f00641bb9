"""Bytes ⇄ frames of a .wcap capture (SPEC.md). Bytes in, objects out: no files, no sockets.

A capture is a stream of msgpack ext objects, one a frame. Every frame starts with the same
14 bytes (`ENVELOPE`), so that a reader skips what it does not know, and finds its place again
after damage by looking for `MARKER`. This module knows the magic, the envelope and the frames
that describe a recording; `chunks` knows the frame of events. Encoding and decoding of a frame
stand side by side. Garbage raises a `FormatError` and nothing else.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

import msgpack

from wcap import columns
from wcap.errors import (
    CorruptionError,
    LimitError,
    NotACaptureError,
    TruncatedError,
    UnsupportedVersionError,
)
from wcap.events import Gap

FORMAT_VERSION = (1, 0)

# SPEC.md section 3.2: a msgpack ext 8 object of type 0x77 whose bytes contain "wcap", CR LF,
# control-Z and LF, so that a transfer in text mode is noticed (as in PNG, RFC 2083 section 3.1);
# then the format version and the salt.
MAGIC = b"\xc7\x0dwcap\r\n\x1a\n"
_VERSION_AND_SALT = struct.Struct(">BBI")
MAGIC_SIZE = len(MAGIC) + _VERSION_AND_SALT.size

# SPEC.md section 3.3: ext 32 (0xc9), length and type; then, inside the ext object's data, the
# marker, the checksum and the frame's number.
ENVELOPE = struct.Struct(">BIb4sII")
MARKER = b"\xf5WCF"
MARKER_AT = 6
_EXT32 = 0xC9
_INSIDE = len(MARKER) + 4 + 4
_CHECKED_HEAD = struct.Struct(">IbI")

# SPEC.md section 9. A frame's limit is what bounds a reader's memory. Precedents: pcapng readers
# refuse blocks over 16 MiB, mcap readers records over 4 GiB.
MAX_FRAME = 64 << 20
MAX_ARRAY = 1 << 20
MAX_INDEX = 64 << 20

# SPEC.md section 3.4: a reader may skip an unknown frame type from here on, and no other.
FIRST_OPTIONAL_TYPE = 64

# SPEC.md section 4.7: the footer's body, a map of one key whose value is always a uint 64.
_FOOTER_BODY = struct.Struct(">8sQ")
_FOOTER_KEY = b"\x81\xa5index\xcf"
FOOTER_SIZE = ENVELOPE.size + _FOOTER_BODY.size

_Value = TypeVar("_Value")


class FrameType(IntEnum):
    """The frame types of format version 1 (SPEC.md section 14)."""

    HEADER = 1
    EVENTS = 2
    GAPS = 3
    RESULTS = 4
    END = 5
    INDEX = 6
    FOOTER = 7


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the first bytes of a frame say of it.

    ``length`` counts the body's bytes; ``number`` counts the frames of the file from 0.
    """

    type: int
    length: int
    checksum: int
    number: int


@dataclass(frozen=True, slots=True)
class Preamble:
    """What the magic says: the format version, and the salt of every checksum of this file.

    The salt tells a file's own frames from those of another capture that lies in its payloads.
    """

    major: int
    minor: int
    salt: int


def encode_preamble(salt: int) -> bytes:
    """Return the bytes that a capture of this format version starts with."""
    return MAGIC + _VERSION_AND_SALT.pack(*FORMAT_VERSION, salt)


def decode_preamble(data: bytes) -> Preamble:
    """Read a capture's first `MAGIC_SIZE` bytes.

    Raises:
        NotACaptureError: they are not the magic.
        TruncatedError: they start like it, but end too soon.
        UnsupportedVersionError: the major version is newer than this reader.
    """
    if not data:
        raise NotACaptureError("empty: not a wcap capture")
    if len(data) < MAGIC_SIZE and data == MAGIC[: len(data)]:
        raise TruncatedError(f"cut short: {len(data)} bytes of the magic's {MAGIC_SIZE}", 0)
    if len(data) < MAGIC_SIZE or not data.startswith(MAGIC):
        raise NotACaptureError(f"not a wcap capture: it starts with {data[:8].hex(' ')}", 0)
    preamble = Preamble(*_VERSION_AND_SALT.unpack_from(data, len(MAGIC)))
    if preamble.major != FORMAT_VERSION[0]:
        raise UnsupportedVersionError(
            f"format version {preamble.major}.{preamble.minor} needs another wcap: this one reads "
            f"{FORMAT_VERSION[0]}.x",
            len(MAGIC),
        )
    return preamble


def encode_frame(frame_type: int, body: bytes, number: int, salt: int) -> bytes:
    """Wrap a body in its envelope.

    Raises:
        LimitError: the frame would be larger than any reader accepts.
    """
    if len(body) > MAX_FRAME:
        raise LimitError(f"a frame of {len(body)} bytes exceeds {MAX_FRAME}")
    envelope = Envelope(frame_type, len(body), 0, number & 0xFFFF_FFFF)
    checksum = _checksum(envelope, body, salt)
    length = _INSIDE + len(body)
    return ENVELOPE.pack(_EXT32, length, frame_type, MARKER, checksum, envelope.number) + body


def decode_envelope(data: bytes, offset: int) -> Envelope:
    """Read the envelope at the start of ``data``; ``offset`` is its place in the file.

    Raises:
        CorruptionError: these bytes do not start a frame.
        LimitError: the frame is larger than SPEC.md section 9 allows.
    """
    first, length, frame_type, marker, checksum, number = ENVELOPE.unpack_from(data)
    if first != _EXT32 or marker != MARKER or length < _INSIDE:
        raise CorruptionError(f"a frame expected, {data[:8].hex(' ')} found", offset)
    if length - _INSIDE > MAX_FRAME:
        raise LimitError(f"a frame of {length - _INSIDE} bytes exceeds {MAX_FRAME}", offset)
    return Envelope(frame_type, length - _INSIDE, checksum, number)


def check_body(envelope: Envelope, body: bytes, salt: int, offset: int) -> None:
    """Compare a frame with its checksum, which covers length, type, number and body.

    Raises:
        CorruptionError: they differ.
    """
    found = _checksum(envelope, body, salt)
    if found != envelope.checksum:
        raise CorruptionError(
            f"a frame's checksum is {found:08x}, {envelope.checksum:08x} expected", offset
        )


def _checksum(envelope: Envelope, body: bytes, salt: int) -> int:
    head = _CHECKED_HEAD.pack(_INSIDE + envelope.length, envelope.type, envelope.number)
    return zlib.crc32(body, zlib.crc32(head, salt))


def encode_map(value: Mapping[str, Any]) -> bytes:
    """Encode a frame's body."""
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed


def decode_map(body: bytes) -> Fields:
    """Decode a frame's body, or another map of this format.

    Raises:
        CorruptionError: it is not one msgpack map within the limits of SPEC.md section 9.
    """
    try:
        value = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=False,
            max_array_len=MAX_ARRAY,
            max_map_len=MAX_ARRAY,
            max_ext_len=0,
        )
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException) as error:
        raise CorruptionError(f"a frame's body is not msgpack: {error}") from error
    return Fields(value)


class Fields:
    """A decoded map whose values are checked as they are taken."""

    def __init__(self, value: object) -> None:
        if not isinstance(value, dict):
            raise CorruptionError(f"a map expected, {type(value).__name__} found")
        self._map: dict[Any, Any] = value

    def take(self, name: str, kind: type[_Value]) -> _Value:
        """Return the value of a key that must be there.

        Raises:
            CorruptionError: it is absent, or of another type.
        """
        value = self.find(name, kind)
        if value is None:
            raise CorruptionError(f"{name} is missing")
        return value

    def find(self, name: str, kind: type[_Value]) -> _Value | None:
        """Return the value of a key, or None when it is absent.

        Raises:
            CorruptionError: it is of another type.
        """
        value = self._map.get(name)
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise CorruptionError(f"{name} is {type(value).__name__}, {kind.__name__} expected")
        return value

    def strings(self, name: str) -> tuple[str, ...]:
        """Return a list of strings that must be there."""
        return tuple(_each(name, self.take(name, list), str))

    def counts(self, name: str) -> dict[str, int]:
        """Return a map from strings to integers, empty when the key is absent."""
        found = self.find(name, dict) or {}
        return dict(zip(_each(name, found, str), _each(name, found.values(), int), strict=True))

    def pairs(self, name: str) -> list[tuple[int, int]]:
        """Return a list of pairs of integers that must be there."""
        pairs = []
        for pair in _each(name, self.take(name, list), list):
            if len(pair) != 2:
                raise CorruptionError(f"{name} has {len(pair)} numbers, 2 expected")
            first, second = _each(name, pair, int)
            pairs.append((first, second))
        return pairs


def _each(name: str, values: Any, kind: type[_Value]) -> list[_Value]:
    checked = list(values)
    for value in checked:
        if not isinstance(value, kind):
            raise CorruptionError(f"{name} holds {type(value).__name__}, {kind.__name__} expected")
    return checked


def without_absent(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the keys whose value is None: absence is an absent key (SPEC.md section 2.2)."""
    return {name: value for name, value in values.items() if value is not None}


def text(value: bytes) -> str:
    """Decode a name that the kernel gave: bytes, usually UTF-8; others survive as surrogates."""
    return value.decode("utf-8", "surrogateescape")


def untext(value: str) -> bytes:
    """Undo `text`."""
    return value.encode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock that a capture's times were taken from, tied to the wall clock.

    ``name`` is ``boottime`` or ``monotonic``; at ``clock_ns`` on it, the wall clock showed
    ``wall_ns`` (nanoseconds since 1970).
    """

    name: str
    clock_ns: int
    wall_ns: int

    @property
    def offset_ns(self) -> int:
        """What to add to a time of this clock to get the wall clock."""
        return self.wall_ns - self.clock_ns


@dataclass(frozen=True, slots=True)
class Header:
    """Where, when and how a capture was recorded; unknown facts are None (SPEC.md section 4.1)."""

    clock: Clock
    snaplen: int
    syscalls: tuple[str, ...]
    transport: str | None = None
    kernel: Mapping[str, str] = field(default_factory=dict)
    host: str | None = None
    boot_id: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def started_ns(self) -> int:
        """Wall clock when recording began, nanoseconds since 1970."""
        return self.clock.wall_ns


def encode_header(header: Header) -> bytes:
    """Encode the body of a HEADER frame."""
    clock = header.clock
    return encode_map(
        without_absent(
            {
                "clock": {"name": clock.name, "anchor": [clock.clock_ns, clock.wall_ns]},
                "snaplen": header.snaplen,
                "syscalls": list(header.syscalls),
                "transport": header.transport,
                "kernel": dict(header.kernel),
                "host": header.host,
                "boot_id": header.boot_id,
                "filters": dict(header.filters),
                "command": None if header.command is None else [untext(w) for w in header.command],
                "versions": dict(header.versions),
                "warnings": list(header.warnings),
            }
        )
    )


def decode_header(body: bytes) -> Header:
    """Decode the body of a HEADER frame."""
    fields = decode_map(body)
    clock = Fields(fields.take("clock", dict))
    anchor = _each("anchor", clock.take("anchor", list), int)
    if len(anchor) != 2:
        raise CorruptionError(f"anchor has {len(anchor)} numbers, 2 expected")
    command = fields.find("command", list)
    return Header(
        clock=Clock(clock.take("name", str), *anchor),
        snaplen=fields.take("snaplen", int),
        syscalls=fields.strings("syscalls"),
        transport=fields.find("transport", str),
        kernel=fields.find("kernel", dict) or {},
        host=fields.find("host", str),
        boot_id=fields.find("boot_id", str),
        filters=fields.find("filters", dict) or {},
        command=None if command is None else tuple(map(text, _each("command", command, bytes))),
        versions=fields.find("versions", dict) or {},
        warnings=tuple(_each("warnings", fields.find("warnings", list) or [], str)),
    )


def encode_gaps(gaps: Sequence[Gap], clock: Clock) -> bytes:
    """Encode the body of a GAPS frame."""
    return encode_map(
        {
            "gaps": [
                {
                    "cpu": gap.cpu,
                    "first_sequence": gap.first_sequence,
                    "last_sequence": gap.last_sequence,
                    "count": gap.count,
                    "first_ns": gap.first_ns - clock.offset_ns,
                    "last_ns": gap.last_ns - clock.offset_ns,
                    "cause": gap.cause,
                }
                for gap in gaps
            ]
        }
    )


def decode_gaps(body: bytes, clock: Clock) -> list[Gap]:
    """Decode the body of a GAPS frame."""
    gaps = []
    for value in decode_map(body).take("gaps", list):
        fields = Fields(value)
        gaps.append(
            Gap(
                cpu=fields.take("cpu", int),
                first_sequence=fields.take("first_sequence", int),
                last_sequence=fields.take("last_sequence", int),
                count=fields.take("count", int),
                first_ns=fields.take("first_ns", int) + clock.offset_ns,
                last_ns=fields.take("last_ns", int) + clock.offset_ns,
                cause=fields.take("cause", str),
            )
        )
    return gaps


@dataclass(frozen=True, slots=True)
class End:
    """How a recording ended, and what proves that nothing is missing (SPEC.md section 4.5).

    ``sequences`` holds, for every CPU, how many events it saw, lost ones included. ``lost`` and
    ``lost_results`` count events and results that were lost, by cause. ``clock_ns`` and
    ``wall_ns`` are the two clocks at the end. ``exit_status`` is that of a launched command: its
    exit code, or minus the signal that ended it.
    """

    reason: str
    clock_ns: int
    wall_ns: int
    sequences: Mapping[int, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    lost_results: Mapping[str, int] = field(default_factory=dict)
    exit_status: int | None = None


def encode_end(end: End) -> bytes:
    """Encode the body of an END frame."""
    return encode_map(
        without_absent(
            {
                "reason": end.reason,
                "anchor": [end.clock_ns, end.wall_ns],
                "sequences": [[cpu, last] for cpu, last in sorted(end.sequences.items())],
                "lost": dict(end.lost),
                "lost_results": dict(end.lost_results),
                "exit_status": end.exit_status,
            }
        )
    )


def decode_end(body: bytes) -> End:
    """Decode the body of an END frame."""
    fields = decode_map(body)
    anchor = _each("anchor", fields.take("anchor", list), int)
    if len(anchor) != 2:
        raise CorruptionError(f"anchor has {len(anchor)} numbers, 2 expected")
    return End(
        reason=fields.take("reason", str),
        clock_ns=anchor[0],
        wall_ns=anchor[1],
        sequences=dict(fields.pairs("sequences")),
        lost=fields.counts("lost"),
        lost_results=fields.counts("lost_results"),
        exit_status=fields.find("exit_status", int),
    )


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """Where a frame lies; ``summary`` is that of a chunk of events, as its own frame has it."""

    type: int
    offset: int
    length: int
    summary: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Index:
    """The frames from the previous index (its offset), or from the file's start, to this one."""

    entries: tuple[IndexEntry, ...]
    previous: int | None = None


def encode_index(index: Index) -> bytes:
    """Encode the body of an INDEX frame."""
    entries = [
        [entry.type, entry.offset, entry.length]
        + ([] if entry.summary is None else [dict(entry.summary)])
        for entry in index.entries
    ]
    listed = columns.pack(encode_map({"frames": entries}))
    return encode_map(without_absent({"previous": index.previous, "entries": listed}))


def decode_index(body: bytes, offset: int) -> Index:
    """Decode the body of the INDEX frame at ``offset``.

    Raises:
        CorruptionError: it is malformed, or points anywhere but backwards.
    """
    fields = decode_map(body)
    previous = fields.find("previous", int)
    listed = decode_map(columns.unpack(fields.take("entries", dict), MAX_INDEX))
    entries = []
    for value in _each("frames", listed.take("frames", list), list):
        if len(value) < 3:
            raise CorruptionError(f"an index entry has {len(value)} values, 3 expected")
        frame_type, place, length = _each("frames", value[:3], int)
        summary = value[3] if len(value) > 3 else None
        if summary is not None and not isinstance(summary, dict):
            raise CorruptionError("an index entry's summary is not a map")
        entries.append(IndexEntry(frame_type, place, length, summary))
    backwards = [entry.offset for entry in entries] + [offset]
    if backwards[0] < 0 or any(a >= b for a, b in zip(backwards, backwards[1:], strict=False)):
        raise CorruptionError("an index does not list its frames in order", offset)
    if previous is not None and not 0 <= previous < backwards[0]:
        raise CorruptionError(f"an index's predecessor is said to be at {previous}", offset)
    return Index(tuple(entries), previous)


def encode_footer(index_offset: int) -> bytes:
    """Encode the body of the FOOTER frame, which is always of the same size."""
    return _FOOTER_BODY.pack(_FOOTER_KEY, index_offset)


def decode_footer(body: bytes) -> int:
    """Return the offset of the last INDEX frame."""
    return decode_map(body).take("index", int)
