"""A file that grows, read as a pipe: what a recorder writes is read as it comes.

A recorder holds a lock on its file (SPEC.md section 3.5), so a file that nobody has locked any
more does not grow: it was closed, or whoever wrote it is gone. Until then only whole frames are
handed on, for a writer that cannot finish a frame cuts it off again and may write another one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from wcap.envelope import ENVELOPE, MAGIC_SIZE, decode_envelope
from wcap.errors import FormatError
from wcap.readable import ErrorMode
from wcap.reader import Capture, is_growing

# How often a file is looked at that has nothing new.
_PAUSE_SECONDS = 0.05
# Frames that are there already are handed on so many bytes at a time.
_WINDOW = 1 << 20


class GrowingFile:
    """The bytes of a file, waiting for those to come; ends when nobody writes to it any more.

    Args:
        stream: the file, unbuffered, at its start.
        grows: whether somebody still writes to it.
        wait: called before looking again.
    """

    def __init__(
        self, stream: BinaryIO, grows: Callable[[], bool], wait: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._grows = grows
        self._wait = wait
        self._offset = 0
        # What of the file is known to be whole frames, or is not to be waited for.
        self._ready = 0

    def read(self, size: int) -> bytes:
        """Return at most ``size`` bytes, none at the end; waits for at least one.

        Raises:
            OSError: the file cannot be read.
        """
        while self._ready <= self._offset:
            # Asked before looking: what is written before the lock goes is seen.
            growing = self._grows()
            length = os.fstat(self._stream.fileno()).st_size
            self._ready = self._whole(length) if growing else length
            if self._ready <= self._offset:
                if not growing:
                    return b""
                self._wait()
        data = self._at(self._offset, min(size, self._ready - self._offset))
        self._offset += len(data)
        return data

    def seekable(self) -> bool:
        """Tell that this is to be read once, as a pipe is."""
        return False

    def fileno(self) -> int:
        """Return the file's descriptor."""
        return self._stream.fileno()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _whole(self, length: int) -> int:
        """Return where the last whole frame of the next ones ends; ``length`` is the file's."""
        place = max(self._offset, MAGIC_SIZE if length >= MAGIC_SIZE else 0)
        if place == 0:
            return 0
        while place < length and place - self._offset < _WINDOW:
            head = self._at(place, ENVELOPE.size)
            if len(head) < ENVELOPE.size:
                break
            try:
                following = place + ENVELOPE.size + decode_envelope(head, place).length
            except FormatError:
                return length  # damaged: the reader says so, and finds the next frame
            if following > length:
                break
            place = following
        return place

    def _at(self, offset: int, size: int) -> bytes:
        self._stream.seek(offset)
        return self._stream.read(size)


def follow_capture(
    path: str | Path,
    *,
    errors: ErrorMode = "strict",
    wait: Callable[[], None] = lambda: time.sleep(_PAUSE_SECONDS),
) -> Capture:
    """Open a capture that may still be written to; it is read once, and ends with its recording.

    Args:
        path: the file.
        errors: as for `open_capture`.
        wait: called when there is nothing new.

    Raises:
        OSError: it cannot be opened.
        FormatError: it is not a capture that this version reads.
    """
    stream = Path(path).open("rb", buffering=0)  # noqa: SIM115  # the capture closes it
    try:
        if not stream.seekable():  # a pipe waits by itself
            return Capture(stream, name=str(path), errors=errors)
        growing = GrowingFile(stream, lambda: is_growing(stream.fileno()), wait)
        return Capture(growing, name=str(path), errors=errors)  # type: ignore[arg-type]  # all that it needs of a file
    except BaseException:
        stream.close()
        raise
