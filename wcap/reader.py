"""Frames in, batches of columns out: the reader of captures.

A file that can seek is planned first, from its index or, without one, by hopping from envelope
to envelope; then only the chunks that a filter may match are read. A pipe is read once, as it
comes. Either way memory holds one chunk, never the file. What is damaged is named and skipped;
what is whole is delivered.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wcap.chunk_summary import Summary, decode_summary
from wcap.envelope import MAGIC_SIZE
from wcap.errors import (
    CorruptionError,
    FormatError,
    LimitError,
    UnsupportedVersionError,
)
from wcap.events import Gap
from wcap.filters import Filter
from wcap.format import (
    FIRST_OPTIONAL_TYPE,
    FrameType,
    decode_end,
    decode_gaps,
)
from wcap.heading import header_in, take_header
from wcap.index_frames import IndexEntry
from wcap.plan import Plan, hides_frames, no_footer, plan, survey, unexpected_number
from wcap.readable import EVERYTHING, ErrorMode, Piece, Readable, Waiting
from wcap.sources import FileSource, Frame, StreamSource

if TYPE_CHECKING:
    from wcap.batch import EventBatch
    from wcap.chunks import Chunk


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """A chunk of events in the file, and its summary if the index has one."""

    entry: IndexEntry
    summary: Summary | None


class Capture(Readable):
    """An open capture.

    Args:
        stream: a binary file or pipe, at its start.
        name: what to call it in messages.
        errors: ``strict`` delivers everything whole, then raises what was wrong; ``salvage``
            notes it in `damage` instead.

    A file can be read any number of times, a pipe once. A column of a batch is decoded when it
    is first looked at: where its bytes break the format although their checksum holds (no wcap
    writes such a file), the `FormatError` comes from there, whatever ``errors`` says.

    Raises:
        NotACaptureError, UnsupportedVersionError: the file is none, or of a newer version.
        FormatError: its header is damaged.
    """

    def __init__(
        self, stream: BinaryIO, *, name: str = "capture", errors: ErrorMode = "strict"
    ) -> None:
        super().__init__(name, errors)
        self._stream = stream
        self._results: dict[tuple[int, int], tuple[int, int, int]] = {}
        self._chunks: list[ChunkPlace] = []
        self._next_number = 1
        self._footer_seen = False
        if stream.seekable():
            self._file: FileSource | None = FileSource(stream)
            preamble = self._file.preamble
            self.header = header_in(self._file.frame(MAGIC_SIZE))
            self._plan(self._file, plan(self._file))
        else:
            self._file, self.read = None, False
            pipe = StreamSource(stream)
            preamble = pipe.preamble
            self._frames = pipe.frames()
            _, self.header = take_header(self._frames)
        self.version = (preamble.major, preamble.minor)
        self._hosts = self.header.hosts

    @property
    def size(self) -> int | None:
        """The file's size in bytes; None for a pipe."""
        return None if self._file is None else self._file.size

    @property
    def growing(self) -> bool:
        """Whether a recorder still writes events to the file."""
        if self.indexed or self._footer_seen:
            return False
        with contextlib.suppress(OSError, ValueError):
            return is_growing(self._stream.fileno())
        return False

    @property
    def late_results(self) -> Mapping[tuple[int, int], tuple[int, int]]:
        """Results written after their event's chunk: (cpu, sequence) → (returned, duration_ns).

        The batches of a file have them in place; a pipe's, which went by before, cannot.
        """
        return {event: (late[0], late[1]) for event, late in self._results.items()}

    def summaries(self) -> Iterator[Summary]:
        """Yield what each chunk holds, from the index where there is one.

        Raises:
            FormatError: as `batches` does.
        """
        if self._file is None:
            for found in self._from_pipe(EVERYTHING):
                if not isinstance(found, Gap):
                    yield found if isinstance(found, Summary) else found.summary
        else:
            for _, summary in self.numbered_summaries():
                yield summary
        self._raise_damage()

    def numbered_summaries(self) -> Iterator[tuple[int, Summary]]:
        """Yield what each chunk of a file holds, with its position for `batch_at`."""
        assert self._file is not None
        for index, place in enumerate(self._chunks):
            self.position = place.entry.offset
            if place.summary is not None:
                yield index, place.summary
            elif (chunk := self._chunk_at(self._file, index)) is not None:
                yield index, chunk.summary

    def batch_at(self, index: int) -> EventBatch | None:
        """Return the events of one chunk of a file; None if it is damaged."""
        assert self._file is not None
        chunk = self._chunk_at(self._file, index)
        return None if chunk is None else chunk.batch(self._results, self._hosts)

    def learn(self, results: Mapping[tuple[int, int], tuple[int, int]]) -> None:
        """Take results of unfinished events that another part of the recording had."""
        for event, (returned, duration_ns) in results.items():
            self._results.setdefault(event, (returned, duration_ns, sys.maxsize))

    def stream(self, where: Filter = EVERYTHING) -> Iterator[Piece | Summary | Gap]:
        """Yield the events that may match piece by piece, and gaps before the events after them.

        A summary stands in place of events that cannot match.
        """
        found = self._from_pipe(where) if self._file is None else self._from_file(self._file, where)
        yield from self._pieces(found)

    @property
    def chunks(self) -> int:
        """How many chunks of events the file has, as far as known; none of a pipe is."""
        return len(self._chunks)

    def entries_among(
        self, places: range, where: Filter, waiting: Waiting
    ) -> Iterator[EventBatch | Gap]:
        """Yield what `entries` does of some consecutive chunks of a file.

        Args:
            places: of the chunks, counted from 0. Where chunks up to the last are asked for, those
                are included that are found only meanwhile, because the file is damaged.
            where: the events wanted.
            waiting: a heap of gaps, of which those that lie before these events are taken.
        """
        assert self._file is not None
        found = self._from_chunks(self._file, places, where)
        yield from self._woven(self._pieces(found), where, waiting)

    def _pieces(self, found: Iterable[Chunk | Summary | Gap]) -> Iterator[Piece | Summary | Gap]:
        for item in found:
            if isinstance(item, Summary | Gap):
                yield item
                continue
            pieces: list[Piece] = []
            with self._noting():
                completed = bool(self._results) and item.summary.unfinished > 0
                pieces.append(
                    Piece(item.batch(self._results, self._hosts), None if completed else item)
                )
            yield from pieces

    def close(self) -> None:
        """Close the file."""
        self._stream.close()

    def _plan(self, file: FileSource, found: Plan) -> None:
        self.indexed = found.indexed
        for error in found.damage:
            self._note(error)
        for entry in found.entries:
            read = False
            with self._noting(entry.offset):
                if entry.type == FrameType.EVENTS:
                    summary = None if entry.summary is None else decode_summary(entry.summary)
                    self._chunks.append(ChunkPlace(entry, summary))
                elif entry.number > 0:  # the header, frame 0, was read first of all
                    self._take(_frame_at(file, entry))
                read = True
            if not read and found.indexed and hides_frames(file, entry):
                self._forget_planned()
                self._plan(file, survey(file))
                return
        self.gaps.sort(key=lambda gap: gap.last_ns)

    def _forget_planned(self) -> None:
        for taken in (self.gaps, self._results, self.earlier_results, self._chunks):
            taken.clear()
        self.end = None

    def _take(self, frame: Frame) -> Chunk | None:
        """Take in a frame; only one with events is handed on."""
        kind = frame.envelope.type
        if kind == FrameType.EVENTS:
            return self._decoded(frame)
        if kind == FrameType.HEADER:
            raise CorruptionError("a second header", frame.offset)
        if kind == FrameType.GAPS:
            self.gaps += decode_gaps(frame.body, self.header.clock)
        elif kind == FrameType.RESULTS:
            self._take_results(frame)
        elif kind == FrameType.END:
            self.end = decode_end(frame.body)
        elif kind not in (FrameType.INDEX, FrameType.FOOTER) and kind < FIRST_OPTIONAL_TYPE:
            raise UnsupportedVersionError(f"frame type {kind} needs a newer wcap", frame.offset)
        return None

    def _decoded(self, frame: Frame) -> Chunk:
        from wcap.chunks import Chunk

        return Chunk(frame.body, self.header.clock, frame.envelope.number, frame.offset)

    def _take_results(self, frame: Frame) -> None:
        from wcap.chunks import MAX_RESULTS, decode_results

        results = decode_results(frame.body)
        known = len(self._results) + len(self.earlier_results)
        if known + len(results) > MAX_RESULTS:
            raise LimitError(f"more than {MAX_RESULTS} late results", frame.offset)
        for event, (returned, duration_ns) in results.items():
            if event[1] <= self.header.after.get(event[0], 0):
                self.earlier_results.setdefault(event, (returned, duration_ns))
                continue
            self._results.setdefault(event, (returned, duration_ns, frame.envelope.number))

    def _from_file(self, file: FileSource, where: Filter) -> Iterator[Chunk | Summary | Gap]:
        yield from self.gaps
        yield from self._from_chunks(file, range(len(self._chunks)), where)

    def _from_chunks(
        self, file: FileSource, places: range, where: Filter
    ) -> Iterator[Chunk | Summary]:
        index, to_the_last = places.start, places.stop == len(self._chunks)
        while index < (len(self._chunks) if to_the_last else places.stop):
            place = self._chunks[index]
            self.position = place.entry.offset
            if place.summary is not None and not self._may_match(where, place.summary):
                yield place.summary
            elif (chunk := self._chunk_at(file, index)) is not None:
                yield chunk if self._may_match(where, chunk.summary) else chunk.summary
            index += 1

    def _may_match(self, where: Filter, summary: Summary) -> bool:
        return where.may_match(summary, self.header.clock.offset_ns, self._hosts)

    def _chunk_at(self, file: FileSource, index: int) -> Chunk | None:
        """Read a chunk; where frames were moved, those that follow are looked for anew."""
        place = self._chunks[index]
        with self._noting(place.entry.offset):
            frame = _frame_at(file, place.entry)
            chunk = self._decoded(frame)
            if place.summary not in (None, chunk.summary):
                self._note(CorruptionError("the index contradicts this chunk", place.entry.offset))
            return chunk
        if place.summary is not None and hides_frames(file, place.entry):
            found = survey(file, place.entry.offset, place.entry.number)
            for error in found.damage:
                self._note(error)
            chunks = [entry for entry in found.entries if entry.type == FrameType.EVENTS]
            self._chunks[index + 1 :] = [ChunkPlace(entry, None) for entry in chunks]
        return None

    def _from_pipe(self, where: Filter) -> Iterator[Chunk | Summary | Gap]:
        explained = False  # whether damage just noted explains that frames are missing
        for frame in self._frames:
            if isinstance(frame, FormatError):
                self._note(frame)
                explained = True
                continue
            self.position = frame.offset
            number, known, chunk = frame.envelope.number, len(self.gaps), None
            if number != self._next_number and not explained:
                self._note(unexpected_number(frame.envelope, self._next_number, frame.offset))
            if number < self._next_number:
                continue  # it stands twice
            self._next_number = number + 1
            self._footer_seen = frame.envelope.type == FrameType.FOOTER
            explained = False
            with self._noting(frame.offset):
                chunk = self._take(frame)
            yield from self.gaps[known:]
            if chunk is not None:
                yield chunk if self._may_match(where, chunk.summary) else chunk.summary
        self.read = True
        if not self._footer_seen:
            self._note(no_footer())


def _frame_at(file: FileSource, entry: IndexEntry) -> Frame:
    """Read a frame, and see that it is the one that the index or the survey promised."""
    frame = file.frame(entry.offset)
    found = frame.envelope
    if (found.number, found.type) != (entry.number, entry.type):
        raise CorruptionError(
            f"frame {entry.number} of type {entry.type} expected, "
            f"frame {found.number} of type {found.type} found",
            entry.offset,
        )
    return frame


def is_growing(descriptor: int) -> bool:
    """Whether a recorder has locked the file (SPEC.md section 3.5), so still writes to it."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


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
    stream = Path(path).open("rb")  # noqa: SIM115  # the capture closes it
    try:
        return Capture(stream, name=str(path), errors=errors)
    except BaseException:
        stream.close()
        raise
