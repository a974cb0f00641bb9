"""The header, which the first frame of a capture has to be (SPEC.md section 3.1)."""

from __future__ import annotations

from collections.abc import Iterator

from wcap.envelope import MAGIC_SIZE
from wcap.errors import CorruptionError, FormatError, TruncatedError
from wcap.format import FrameType, Header, decode_header
from wcap.sources import Frame


def header_in(frame: Frame) -> Header:
    """Decode the first frame of a capture.

    Raises:
        FormatError: it is no header, or one that cannot be used.
    """
    kind = frame.envelope.type
    if kind != FrameType.HEADER:
        raise CorruptionError(f"a header expected, frame type {kind} found", frame.offset)
    try:
        return decode_header(frame.body)
    except FormatError as error:
        raise error.at(frame.offset) from error


def take_header(frames: Iterator[Frame | FormatError]) -> tuple[Frame, Header]:
    """Take the first of a stream's frames, and decode it.

    Raises:
        FormatError: there is none, or it is no header, or one that cannot be used.
    """
    first = next(frames, TruncatedError("cut short: no header", MAGIC_SIZE))
    if isinstance(first, FormatError):
        raise first
    return first, header_in(first)
