"""Where frames come from: a file that can seek, or a stream that comes once.

Both find their place again after damage by looking for the marker that every frame starts with,
and trust only a frame whose checksum holds. Neither keeps more than a frame in memory.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from wcap.errors import FormatError, TruncatedError
from wcap.format import (
    ENVELOPE,
    MAGIC_SIZE,
    MARKER,
    MARKER_AT,
    Envelope,
    Preamble,
    check_body,
    decode_envelope,
    decode_preamble,
)

# How much is read at a time while looking for a marker.
_WINDOW = 1 << 20


class Frame(NamedTuple):
    """A frame that is whole, with its place in the file."""

    offset: int
    envelope: Envelope
    body: bytes


class FileSource:
    """Frames of a file, read from any place in it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.size = stream.seek(0, io.SEEK_END)
        self.preamble: Preamble = decode_preamble(self._at(0, MAGIC_SIZE))

    def envelope(self, offset: int) -> Envelope:
        """Read a frame's envelope, and see that the file holds the whole frame.

        Raises:
            CorruptionError, LimitError: no frame starts there.
            TruncatedError: the file ends inside the frame.
        """
        head = self._at(offset, ENVELOPE.size)
        if len(head) < ENVELOPE.size:
            raise _cut(offset, ENVELOPE.size, len(head))
        envelope = decode_envelope(head, offset)
        present = self.size - offset - ENVELOPE.size
        if present < envelope.length:
            raise _cut(offset, ENVELOPE.size + envelope.length, ENVELOPE.size + present)
        return envelope

    def frame(self, offset: int) -> Frame:
        """Read and check the frame that starts at ``offset``.

        Raises:
            FormatError: there is none, or it is damaged.
        """
        envelope = self.envelope(offset)
        body = self._at(offset + ENVELOPE.size, envelope.length)
        if len(body) < envelope.length:
            raise _cut(offset, ENVELOPE.size + envelope.length, ENVELOPE.size + len(body))
        check_body(envelope, body, self.preamble.salt, offset)
        return Frame(offset, envelope, body)

    def next_whole(self, offset: int) -> int | None:
        """Return where the first whole frame at or after ``offset`` starts, or None."""
        while offset < self.size:
            window = self._at(offset, _WINDOW + MARKER_AT + len(MARKER))
            place = window.find(MARKER, MARKER_AT)
            while place >= 0:
                candidate = offset + place - MARKER_AT
                try:
                    self.frame(candidate)
                except FormatError:
                    place = window.find(MARKER, place + 1)
                else:
                    return candidate
            offset += _WINDOW
        return None

    def _at(self, offset: int, length: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(length)


class StreamSource:
    """Frames of a stream, one after the other; damage comes in between as an exception."""

    def __init__(self, stream: BinaryIO) -> None:
        # What has arrived is used at once: a live recording is shown as it comes.
        self._read = getattr(stream, "read1", stream.read)
        self._buffer = bytearray()
        self._offset = 0
        self._fill(MAGIC_SIZE)
        self.preamble: Preamble = decode_preamble(bytes(self._buffer[:MAGIC_SIZE]))
        self._drop(MAGIC_SIZE)

    def frames(self) -> Iterator[Frame | FormatError]:
        """Yield every whole frame, and what is wrong wherever something is."""
        seeking = False
        while self._fill(1):
            try:
                frame = self._next()
            except FormatError as error:
                if not seeking:
                    yield error
                seeking = True
                if isinstance(error, TruncatedError) and not self._find(MARKER_AT + 1):
                    return
                if not isinstance(error, TruncatedError):
                    self._find(MARKER_AT + 1)
            else:
                seeking = False
                yield frame

    def _next(self) -> Frame:
        if not self._fill(ENVELOPE.size):
            raise _cut(self._offset, ENVELOPE.size, len(self._buffer))
        envelope = decode_envelope(bytes(self._buffer[: ENVELOPE.size]), self._offset)
        whole = ENVELOPE.size + envelope.length
        if not self._fill(whole):
            raise _cut(self._offset, whole, len(self._buffer))
        body = bytes(memoryview(self._buffer)[ENVELOPE.size : whole])
        check_body(envelope, body, self.preamble.salt, self._offset)
        frame = Frame(self._offset, envelope, body)
        self._drop(whole)
        return frame

    def _find(self, start: int) -> bool:
        """Drop bytes up to a possible frame after this one; False at the stream's end."""
        while True:
            self._fill(start + len(MARKER))
            place = self._buffer.find(MARKER, start)
            if place >= 0:
                self._drop(place - MARKER_AT)
                return True
            keep = min(len(self._buffer), MARKER_AT + len(MARKER) - 1)
            self._drop(len(self._buffer) - keep)
            if not self._fill(len(self._buffer) + 1):
                self._drop(len(self._buffer))
                return False
            start = MARKER_AT

    def _fill(self, length: int) -> bool:
        while len(self._buffer) < length:
            more = self._read(max(length - len(self._buffer), 1 << 16))
            if not more:
                return False
            self._buffer += more
        return True

    def _drop(self, length: int) -> None:
        del self._buffer[:length]
        self._offset += length


def _cut(offset: int, expected: int, present: int) -> TruncatedError:
    return TruncatedError(
        f"a frame is cut short: {expected} bytes expected, {present} present", offset
    )
