"""The preamble of a capture and the envelope of its frames (SPEC.md section 3): bytes ⇄ objects.

A capture is a stream of msgpack ext objects, one a frame. Every frame starts with the same
18 bytes (`ENVELOPE`), so that a reader skips what it does not know, and finds its place again
after damage by looking for `MARKER`. What the bodies say is no business of this module. Encoding
and decoding stand side by side. Garbage raises a `FormatError` and nothing else.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from wcap.errors import (
    CorruptionError,
    LimitError,
    NotACaptureError,
    TruncatedError,
    UnsupportedVersionError,
)

FORMAT_VERSION = (1, 3)

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
        UnsupportedVersionError: the major version is not the one that this reader knows.
    """
    if not data:
        raise NotACaptureError("empty: not a wcap capture")
    if not MAGIC.startswith(data[: len(MAGIC)]):
        raise NotACaptureError(f"not a wcap capture: it starts with {data[:8].hex(' ')}", 0)
    if len(data) < MAGIC_SIZE:
        raise TruncatedError(f"cut short: {len(data)} bytes of the preamble's {MAGIC_SIZE}", 0)
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
