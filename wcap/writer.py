"""Batches in, frames out: to a file or a pipe, and whole after every call.

Each call hands its frame to the kernel before it returns, so a writer that is killed loses only
what it was not given yet. When a frame cannot be written in full (a full disk), the file is cut
back to the last whole frame before the error is raised; without a header it is empty.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeAlias

import numpy as np

from wcap import chunks
from wcap.batch import EventBatch
from wcap.envelope import encode_frame, encode_preamble
from wcap.errors import LimitError
from wcap.events import Gap
from wcap.format import Clock, End, FrameType, Header, encode_end, encode_gaps, encode_header
from wcap.index_frames import Index, IndexEntry, encode_footer, encode_index

# What bytes are written to: anything that takes them and says how many it took.
Target: TypeAlias = BinaryIO | io.RawIOBase

# A chunk is closed at this many events or payload bytes: large enough to compress and to skip,
# small enough that a reader's memory stays near 10 MiB.
CHUNK_EVENTS = 1 << 17
CHUNK_PAYLOAD = 8 << 20
# An index frame is written after this many frames, so that a writer's memory stays flat, and the
# fullest summaries stay within what SPEC.md section 9 allows one index frame.
INDEX_FRAMES = 256


@dataclass(frozen=True, slots=True)
class EncodedChunk:
    """The body of an EVENTS frame, ready to be written, and the events that it holds."""

    batch: EventBatch
    body: bytes
    summary: dict[str, Any]


def encode_chunks(
    batch: EventBatch,
    clock: Clock,
    *,
    most_events: int | None = None,
    most_payload: int | None = None,
) -> Iterator[EncodedChunk]:
    """Encode events, later than all before them, as chunks in their order.

    Args:
        batch: the events; may be empty.
        clock: of the capture's header.
        most_events: in a chunk; `CHUNK_EVENTS` unless given.
        most_payload: bytes of payload in a chunk of more than one event; `CHUNK_PAYLOAD` unless
            given.

    Raises:
        LimitError: one event exceeds what a chunk may hold (SPEC.md section 9).
    """
    waiting = _parts(batch, most_events or CHUNK_EVENTS, most_payload or CHUNK_PAYLOAD)[::-1]
    while waiting:
        part = waiting.pop()
        try:
            body, summary = chunks.encode_events(part, clock)
        except LimitError:
            if len(part) == 1:
                raise
            middle = len(part) // 2
            waiting += [part.select(slice(middle, None)), part.select(slice(0, middle))]
            continue
        yield EncodedChunk(part, body, summary)


class CaptureWriter:
    """Writes one capture.

    Args:
        stream: an unbuffered binary file, pipe or anything with ``write``.
        header: what the capture says of itself.
        salt: of the file's checksums; random unless a reproducible file is wanted.

    Raises:
        OSError: the stream refused the header; nothing of it is left there.
    """

    def __init__(self, stream: Target, header: Header, *, salt: int | None = None) -> None:
        self._stream = stream
        self._clock = header.clock
        self._salt = secrets.randbits(32) if salt is None else salt
        self._offset = 0
        self._number = 0
        self._entries: list[IndexEntry] = []
        self._last_index: int | None = None
        self._closed = False
        self.events = 0
        self.payload_bytes = 0
        self._put(encode_preamble(self._salt))
        try:
            self.write_frame(FrameType.HEADER, encode_header(header))
        except BaseException:
            self._cut_back(0)
            raise

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._offset

    def write(self, batch: EventBatch) -> None:
        """Write events, later than all before them, as one or more chunks.

        Raises:
            OSError: the stream refused; everything written before is whole.
            LimitError: one event exceeds what a chunk may hold (SPEC.md section 9).
        """
        for chunk in encode_chunks(batch, self._clock):
            self.write_frame(FrameType.EVENTS, chunk.body, chunk.summary)

    def write_gaps(self, gaps: Sequence[Gap]) -> None:
        """Write what was lost before the next events."""
        if gaps:
            self.write_frame(FrameType.GAPS, encode_gaps(gaps, self._clock))

    def write_results(self, results: Sequence[tuple[int, int, int, int]]) -> None:
        """Write (cpu, sequence, returned, duration_ns) of events written as unfinished."""
        for body in encode_results(results):
            self.write_frame(FrameType.RESULTS, body)

    def write_frame(self, kind: int, body: bytes, summary: Mapping[str, Any] | None = None) -> None:
        """Write a frame whose body is there already: encoded before, or of another capture.

        Args:
            kind: its type, any but those of the header, the index and the footer.
            body: with times on a clock of the same offset.
            summary: of a chunk, as its body has it; the index repeats it.
        """
        if len(self._entries) >= INDEX_FRAMES:
            self._write_index()
        frame = encode_frame(kind, body, self._number, self._salt)
        entry = IndexEntry(self._number, kind, self._offset, len(frame), summary)
        self._put(frame)
        self._number += 1
        self._entries.append(entry)
        if summary is not None:
            self.events += summary["events"]
            self.payload_bytes += summary["captured"]

    def close(self, end: End | None = None) -> None:
        """Write the end, the index and the footer. The stream stays open."""
        if self._closed:
            return
        self._closed = True
        if end is not None:
            self.write_frame(FrameType.END, encode_end(end))
        self._write_index()
        assert self._last_index is not None
        footer = encode_footer(self._last_index)
        self._put(encode_frame(FrameType.FOOTER, footer, self._number, self._salt))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self.close()
        finally:
            self._stream.close()

    def _write_index(self) -> None:
        body = encode_index(Index(tuple(self._entries), self._last_index))
        start = self._offset
        self._put(encode_frame(FrameType.INDEX, body, self._number, self._salt))
        self._number += 1
        self._last_index = start
        self._entries = []

    def _put(self, data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[_write(self._stream, rest) :]
        except BaseException:
            self._cut_back(self._offset)
            raise
        self._offset += len(data)

    def _cut_back(self, size: int) -> None:
        with contextlib.suppress(OSError):
            self._stream.truncate(size)
            self._stream.seek(size)


def _write(stream: Target, data: memoryview) -> int:
    written: int | None = stream.write(data)
    if written is None:  # an unbuffered stream that must not wait, and would have to
        raise BlockingIOError(errno.EAGAIN, "the output is full and set not to wait")
    return written


def encode_results(results: Sequence[tuple[int, int, int, int]]) -> Iterator[bytes]:
    """Encode late results as the bodies of RESULTS frames."""
    for start in range(0, len(results), CHUNK_EVENTS):
        yield chunks.encode_results(results[start : start + CHUNK_EVENTS])


def create(path: str | Path, header: Header, *, force: bool = False) -> CaptureWriter:
    """Create a capture file, readable by its owner alone.

    Under sudo the file belongs to the user who called it.

    Args:
        path: where; nothing may be there unless ``force``.
        header: what the capture says of itself.
        force: replace an existing file.

    Raises:
        FileExistsError: ``path`` exists and ``force`` is not given.
        OSError: it cannot be created.
    """
    stream = open_output(path, force=force)
    try:
        return CaptureWriter(stream, header)
    except BaseException:
        stream.close()
        raise


def open_output(path: str | Path, *, force: bool = False) -> BinaryIO:
    """Create a file for output: mode 0600, unbuffered, locked, owned by the user behind sudo.

    Raises:
        FileExistsError: ``path`` exists and ``force`` is not given.
        OSError: it cannot be created.
    """
    place = Path(path)
    if place.exists() and not place.is_file():
        return place.open("wb", buffering=0)  # a pipe or a device: nothing there to lose
    if force:
        place.unlink(missing_ok=True)
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    stream = os.fdopen(descriptor, "wb", buffering=0)
    user, group = os.environ.get("SUDO_UID", ""), os.environ.get("SUDO_GID", "")
    if os.name == "posix" and os.geteuid() == 0 and user.isdecimal() and group.isdecimal():
        os.fchown(descriptor, int(user), int(group))
    _lock(descriptor)
    return stream


def _lock(descriptor: int) -> None:
    """Let readers see that the file is still being written; a lock ends with its process."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _parts(batch: EventBatch, most_events: int, most_payload: int) -> list[EventBatch]:
    """Split a batch where a chunk would grow too large."""
    total = len(batch)
    ends = np.cumsum(batch.captured, dtype=np.int64)
    parts: list[EventBatch] = []
    start, before = 0, 0
    while start < total:
        fitting = int(np.searchsorted(ends, before + most_payload, side="right"))
        stop = min(max(fitting, start + 1), start + most_events, total)
        parts.append(batch if stop - start == total else batch.select(slice(start, stop)))
        start, before = stop, int(ends[stop - 1])
    return parts
