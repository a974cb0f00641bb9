"""Where frames come from: a file that can seek, or a stream that comes once.

Both find their place again after damage by looking for the marker that every frame starts with,
and trust only a frame whose checksum holds. Neither keeps more than a frame in memory.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from wcap.envelope import (
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
from wcap.errors import FormatError, LimitError, TruncatedError

# How much is read at a time while looking for a marker: little at first, for damage is small.
_FIRST_WINDOW = 4 << 10
_LAST_WINDOW = 1 << 20
# SPEC.md section 12.2: how much may be checked in vain while looking for a whole frame: so often
# the bytes that there are, and this much in any case. Frames of other captures in payloads take
# the first once; only a file made to waste time takes more.
_VAIN_TIMES = 4
_VAIN_BYTES = 256 << 20


class Frame(NamedTuple):
    """A frame that is whole, with its place in the file."""

    offset: int
    envelope: Envelope
    body: bytes


class _Patience:
    """Ends the search for whole frames in bytes that were made to look like their starts."""

    def __init__(self) -> None:
        self.spent = 0

    def check(self, available: int, offset: int) -> None:
        """See that no more was checked in vain than an honest file can make a reader check.

        Raises:
            LimitError: it was more.
        """
        if self.spent > _VAIN_BYTES + _VAIN_TIMES * available:
            raise LimitError(f"{self.spent} bytes searched in vain for whole frames", offset)


class FileSource:
    """Frames of a file, read from any place in it."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._placed = _can_be_placed(stream)
        self._patience = _Patience()
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
        """Return where the first whole frame at or after ``offset`` starts, or None.

        Raises:
            LimitError: the file wastes more time than an honest one can.
        """
        size = _FIRST_WINDOW
        while offset < self.size:
            self._patience.check(self.size, offset)
            self._patience.spent += size
            window = self._at(offset, size + MARKER_AT + len(MARKER) - 1)
            place = window.find(MARKER, MARKER_AT)
            while place >= 0:
                candidate = offset + place - MARKER_AT
                if self._is_whole(candidate):
                    return candidate
                self._patience.check(self.size, candidate)
                place = window.find(MARKER, place + 1)
            offset += size
            size = min(2 * size, _LAST_WINDOW)
        return None

    def _is_whole(self, offset: int) -> bool:
        try:
            length = self.envelope(offset).length
        except FormatError:
            return False
        try:
            self.frame(offset)
        except FormatError:
            self._patience.spent += length
            return False
        return True

    def _at(self, offset: int, length: int) -> bytes:
        if not self._placed:
            self._stream.seek(offset)
            return self._stream.read(length)
        descriptor = self._stream.fileno()
        data = os.pread(descriptor, length, offset)
        while len(data) < length:
            more = os.pread(descriptor, length - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data


def _can_be_placed(stream: BinaryIO) -> bool:
    """Tell whether a file can be read without moving its position, which processes share."""
    try:
        return hasattr(os, "pread") and stream.fileno() >= 0
    except (AttributeError, OSError, ValueError):  # it is not a file of the system's
        return False


class StreamSource:
    """Frames of a stream, one after the other; damage comes in between as an exception."""

    def __init__(self, stream: BinaryIO) -> None:
        # What has arrived is used at once: a live recording is shown as it comes.
        self._read = getattr(stream, "read1", stream.read)
        self._buffer = bytearray()
        self._offset = 0
        self._ended = False
        self._patience = _Patience()
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
            else:
                seeking = False
                yield frame
                continue
            try:
                self._patience.check(self._offset, self._offset)
            except LimitError as error:
                yield error
                return
            self._find_marker()

    def _next(self) -> Frame:
        if not self._fill(ENVELOPE.size):
            raise _cut(self._offset, ENVELOPE.size, len(self._buffer))
        envelope = decode_envelope(bytes(self._buffer[: ENVELOPE.size]), self._offset)
        whole = ENVELOPE.size + envelope.length
        if not self._fill(whole):
            raise _cut(self._offset, whole, len(self._buffer))
        body = bytes(memoryview(self._buffer)[ENVELOPE.size : whole])
        try:
            check_body(envelope, body, self.preamble.salt, self._offset)
        except FormatError:
            self._patience.spent += whole
            raise
        frame = Frame(self._offset, envelope, body)
        self._drop(whole)
        return frame

    def _find_marker(self) -> None:
        """Drop bytes up to where a frame after this one may start, or to the stream's end."""
        start = MARKER_AT + 1
        while self._fill(start + len(MARKER)):
            place = self._buffer.find(MARKER, start)
            if place >= 0:
                self._drop(place - MARKER_AT)
                return
            # A marker may lie across the end of what has been read.
            self._drop(len(self._buffer) - (MARKER_AT + len(MARKER) - 1))
            start = MARKER_AT
        self._drop(len(self._buffer))

    def _fill(self, length: int) -> bool:
        while len(self._buffer) < length and not self._ended:
            more = self._read(max(length - len(self._buffer), 1 << 16))
            self._buffer += more
            self._ended = not more
        return len(self._buffer) >= length

    def _drop(self, length: int) -> None:
        del self._buffer[:length]
        self._offset += length


def _cut(offset: int, expected: int, present: int) -> TruncatedError:
    return TruncatedError(
        f"a frame is cut short: {expected} bytes expected, {present} present", offset
    )
