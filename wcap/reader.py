"""Frames in, batches of columns out: the reader of captures.

A file that can seek is planned first, from its index or, without one, by hopping from envelope
to envelope; then only the chunks that a filter may match are read. A pipe is read once, as it
comes. Either way memory holds one chunk, never the file. What is damaged is named and skipped;
what is whole is delivered.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self, TypeAlias

import numpy as np

from wcap.chunks import Chunk, Summary, decode_results, decode_summary
from wcap.errors import CorruptionError, FormatError, TruncatedError, UnsupportedVersionError
from wcap.events import Event, EventBatch, Gap
from wcap.filters import Filter
from wcap.format import (
    FIRST_OPTIONAL_TYPE,
    MAGIC_SIZE,
    End,
    FrameType,
    Header,
    decode_end,
    decode_gaps,
    decode_header,
)
from wcap.plan import no_footer, plan
from wcap.sources import FileSource, Frame, StreamSource

ErrorMode: TypeAlias = Literal["strict", "salvage"]
EVERYTHING = Filter()


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """A chunk of events in the file: its place, its length in bytes and, if known, its summary."""

    offset: int
    length: int
    summary: Summary | None


class Capture:
    """An open capture.

    Args:
        stream: a binary file or pipe, at its start.
        name: what to call it in messages.
        errors: ``strict`` delivers everything whole, then raises what was wrong; ``salvage``
            notes it in `damage` instead.

    Raises:
        NotACaptureError, UnsupportedVersionError: the file is none, or of a newer version.
        FormatError: its header is damaged.

    Attributes:
        header: where, when and how it was recorded.
        damage: what was found wrong so far, in the order found.
        gaps: events lost while recording, as far as read; with an index, all of them.
        end: how the recording ended; None while unknown.
        indexed: whether the file was closed in the usual way and has its index.
    """

    def __init__(
        self, stream: BinaryIO, *, name: str = "capture", errors: ErrorMode = "strict"
    ) -> None:
        self.name = name
        self.damage: list[FormatError] = []
        self.gaps: list[Gap] = []
        self.end: End | None = None
        self.indexed = False
        self.version: tuple[int, int]
        self._errors = errors
        self._stream = stream
        self._results: dict[tuple[int, int], tuple[int, int]] = {}
        self._chunks: list[ChunkPlace] = []
        self._footer_seen = False
        if stream.seekable():
            self._file: FileSource | None = FileSource(stream)
            preamble = self._file.preamble
            self._open(self._file.frame(MAGIC_SIZE))
            self._plan(self._file)
        else:
            self._file = None
            pipe = StreamSource(stream)
            preamble = pipe.preamble
            self._frames = pipe.frames()
            first = next(self._frames, TruncatedError("cut short: no header", MAGIC_SIZE))
            if isinstance(first, FormatError):
                raise first
            self._open(first)
        self.version = (preamble.major, preamble.minor)

    @property
    def size(self) -> int | None:
        """The file's size in bytes; None for a pipe."""
        return None if self._file is None else self._file.size

    @property
    def growing(self) -> bool:
        """Whether a recorder still writes to the file."""
        with contextlib.suppress(ImportError, OSError, ValueError):
            import fcntl

            try:
                fcntl.flock(self._stream.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            fcntl.flock(self._stream.fileno(), fcntl.LOCK_UN)
        return False

    def summaries(self) -> Iterator[Summary]:
        """Yield what each chunk holds, from the index where there is one.

        Raises:
            FormatError: as `batches` does.
        """
        for found in self._read(EVERYTHING, summaries_only=True):
            if isinstance(found, Summary):
                yield found
            elif isinstance(found, Chunk):
                yield found.summary

    def batches(self, where: Filter = EVERYTHING) -> Iterator[EventBatch]:
        """Yield the events that match, in time order, chunk by chunk.

        Args:
            where: chunks that it cannot match are not read; of the others, the events it matches.

        Raises:
            FormatError: with ``errors="strict"``, what was wrong, after everything whole.
        """
        for entry in self.entries(where):
            if isinstance(entry, EventBatch):
                yield entry

    def entries(self, where: Filter = EVERYTHING) -> Iterator[EventBatch | Gap]:
        """Yield batches as `batches` does, and every gap where it lies between their events."""
        waiting: list[Gap] = []
        for found in self._read(where):
            if isinstance(found, Gap):
                waiting.append(found)
            elif isinstance(found, Chunk):
                try:
                    batch = where.apply(found.batch(self._results))
                except FormatError as error:
                    self._note(error)
                    continue
                yield from _with_gaps(batch, waiting)
        yield from waiting
        self._raise_damage()

    def __iter__(self) -> Iterator[Event]:
        for batch in self.batches():
            yield from batch

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, frame: Frame) -> None:
        if frame.envelope.type != FrameType.HEADER:
            raise CorruptionError(
                f"a header expected, frame type {frame.envelope.type} found", frame.offset
            )
        self.header = decode_header(frame.body)

    def _plan(self, file: FileSource) -> None:
        found = plan(file)
        self.indexed = found.indexed
        for error in found.damage:
            self._note(error)
        for entry in found.entries:
            try:
                if entry.type == FrameType.EVENTS:
                    summary = None if entry.summary is None else decode_summary(entry.summary)
                    self._chunks.append(ChunkPlace(entry.offset, entry.length, summary))
                elif entry.type != FrameType.HEADER:
                    self._take(file.frame(entry.offset))
            except UnsupportedVersionError:
                raise
            except FormatError as error:
                self._note(error)
        self.gaps.sort(key=lambda gap: gap.last_ns)

    def _take(self, frame: Frame) -> Chunk | None:
        """Take in a frame; only one with events is handed on."""
        kind = frame.envelope.type
        if kind == FrameType.EVENTS:
            return Chunk(frame.body, self.header.clock)
        if kind == FrameType.GAPS:
            self.gaps += decode_gaps(frame.body, self.header.clock)
        elif kind == FrameType.RESULTS:
            self._results.update(decode_results(frame.body))
        elif kind == FrameType.END:
            self.end = decode_end(frame.body)
        elif kind == FrameType.FOOTER:
            self._footer_seen = True
        elif kind != FrameType.INDEX and kind < FIRST_OPTIONAL_TYPE:
            raise UnsupportedVersionError(
                f"frame type {kind} needs a newer wcap", frame.offset
            )
        return None

    def _read(self, where: Filter, *, summaries_only: bool = False) -> Iterator[Chunk | Summary | Gap]:
        if self._file is None:
            yield from self._from_pipe(where)
        else:
            yield from self._from_file(self._file, where, summaries_only=summaries_only)

    def _from_file(
        self, file: FileSource, where: Filter, *, summaries_only: bool
    ) -> Iterator[Chunk | Summary | Gap]:
        yield from self.gaps
        offset_ns = self.header.clock.offset_ns
        for place in self._chunks:
            if place.summary is not None:
                if not where.may_match(place.summary, offset_ns):
                    continue
                if summaries_only:
                    yield place.summary
                    continue
            try:
                chunk = Chunk(file.frame(place.offset).body, self.header.clock)
            except FormatError as error:
                self._note(error)
                continue
            if where.may_match(chunk.summary, offset_ns):
                yield chunk

    def _from_pipe(self, where: Filter) -> Iterator[Chunk | Gap]:
        number = 1
        for frame in self._frames:
            if isinstance(frame, FormatError):
                self._note(frame)
                continue
            known = len(self.gaps)
            try:
                if frame.envelope.number < number:
                    raise CorruptionError(f"frame {frame.envelope.number} stands twice", frame.offset)
                number = frame.envelope.number + 1
                chunk = self._take(frame)
            except UnsupportedVersionError:
                raise
            except FormatError as error:
                self._note(error)
                continue
            yield from self.gaps[known:]
            if chunk is not None and where.may_match(chunk.summary, self.header.clock.offset_ns):
                yield chunk
        if not self._footer_seen:
            self._note(no_footer())

    def _note(self, error: FormatError) -> None:
        if all(str(error) != str(known) for known in self.damage):
            self.damage.append(error)

    def _raise_damage(self) -> None:
        if self._errors == "strict" and self.damage:
            raise self.damage[0]


def _with_gaps(batch: EventBatch, waiting: list[Gap]) -> Iterator[EventBatch | Gap]:
    """Yield a batch, cut where a gap of those waiting lies before one of its events."""
    start = 0
    while waiting and len(batch) and waiting[0].last_ns <= batch.time_ns[-1]:
        gap = waiting.pop(0)
        cut = int(np.searchsorted(batch.time_ns, gap.last_ns))
        if cut > start:
            yield batch.select(slice(start, cut))
            start = cut
        yield gap
    if start == 0 and len(batch):
        yield batch
    elif start < len(batch):
        yield batch.select(slice(start, len(batch)))


def open_capture(path: str | Path, *, errors: ErrorMode = "strict") -> Capture:
    """Open a capture for reading.

    Args:
        path: the file, or ``-`` for standard input.
        errors: ``strict`` raises what is wrong, after everything whole; ``salvage`` notes it in
            `Capture.damage`.

    Raises:
        OSError: it cannot be opened.
        FormatError: it is not a capture that this version reads.
    """
    if str(path) == "-":
        return Capture(sys.stdin.buffer, name="standard input", errors=errors)
    stream = Path(path).open("rb")
    try:
        return Capture(stream, name=str(path), errors=errors)
    except BaseException:
        stream.close()
        raise
