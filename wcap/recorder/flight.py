"""A flight recorder: the newest events stay in memory, and are written out when asked for.

What is kept is what would be in the file: encoded, compressed chunks. The oldest go when there is
too much or when they are too old. What goes is told by its numbers: a dump says from which number
of each CPU on it has everything.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from wcap.errors import naming_file
from wcap.events import BUFFER_FULL
from wcap.fields import decode_map
from wcap.format import Clock, End, FrameType, Header
from wcap.rotation import PartFiles, begin_part, raise_to
from wcap.seams import Cut, Slice, slices
from wcap.writer import CaptureWriter

# What a slice takes in memory besides its frames.
_KEPT_BYTES = 1 << 10


@dataclass(frozen=True, slots=True)
class _Kept:
    """A slice in memory, without its events as columns; times are on the capture's clock."""

    slice: Slice
    body: bytes
    first_ns: int
    last_ns: int

    @property
    def size(self) -> int:
        return self.slice.size + len(self.body) + _KEPT_BYTES


class FlightRecorder:
    """Keeps the newest part of a recording, and writes it to files.

    Args:
        header: of the recording.
        files: opens a file for each dump.
        now_ns: reads the capture's clock.
        end_now: says how the recording stands, for a dump that is not the last.
        most_bytes: kept; one chunk is kept whatever its size.
        most_ns: how old a chunk's newest event may be.

    Attributes:
        parts: how many files were written.
        events, payload_bytes: written to the last of them.
        size: bytes kept.
    """

    def __init__(
        self,
        header: Header,
        files: PartFiles,
        now_ns: Callable[[], int],
        end_now: Callable[[], End],
        *,
        most_bytes: int | None = None,
        most_ns: int | None = None,
    ) -> None:
        self._header = header
        self._clock = header.clock
        self._files = files
        self._now_ns = now_ns
        self._end_now = end_now
        self._most_bytes = most_bytes
        self._most_ns = most_ns
        self._kept: deque[_Kept] = deque()
        # The numbers up to which all has gone, and up to which all has been seen.
        self._gone: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        self.parts = 0
        self.size = 0
        self.events = 0
        self.payload_bytes = 0

    def take(self, cut: Cut) -> None:
        """Keep what is ready, and let the oldest go."""
        for part in slices(cut, self._clock, limit=self._most_bytes):
            self._keep(part)
            self._drop()

    def dump(self) -> None:
        """Write what is kept as a capture; it stays in memory.

        Raises:
            OSError: it could not be written, and ``filename`` is its name; there is no such file.
        """
        self._drop()
        self._write(replace(self._end_now(), sequences=dict(self._reached)), last=False)

    def close(self, end: End) -> None:
        """Write what is kept, with the recording's end.

        Raises:
            OSError: it could not be written in full, and ``filename`` is its name; as there is no
                other chance, whole chunks that were written stay.
        """
        self._drop()
        self._write(end, last=True)

    def _keep(self, part: Slice) -> None:
        body, first_ns, last_ns = b"", self._now_ns(), self._now_ns()
        if part.chunk is not None:
            body, summary = part.chunk.body, part.chunk.summary
            first_ns, last_ns = summary["first_ns"], summary["last_ns"]
        # The batch, and the buffers that it is a part of, must not be kept with the chunk.
        kept = _Kept(replace(part, chunk=None), body, first_ns, last_ns)
        self._kept.append(kept)
        self.size += kept.size
        raise_to(self._reached, part.reached)

    def _drop(self) -> None:
        oldest_ns = None if self._most_ns is None else self._now_ns() - self._most_ns
        while self._kept and (
            (oldest_ns is not None and self._kept[0].last_ns < oldest_ns)
            or (self._most_bytes is not None and self.size > self._most_bytes)
        ):
            if oldest_ns is None and len(self._kept) == 1:
                break
            gone = self._kept.popleft()
            self.size -= gone.size
            raise_to(self._gone, gone.slice.reached)

    def _write(self, end: End, *, last: bool) -> None:
        clock = self._clock
        if self._gone:
            first_ns = self._kept[0].first_ns if self._kept else end.clock_ns
            clock = Clock(clock.name, first_ns, first_ns + clock.offset_ns)
        header = replace(self._header, clock=clock, after=self._gone)
        with self._files.open(self.parts + 1, end.wall_ns) as stream:
            writer = begin_part(self._files, stream, header)
            try:
                with naming_file(self._files.last):
                    self._write_kept(writer, end)
            except BaseException:
                if not last:
                    self._files.discard()
                raise
        self.parts += 1
        self.events, self.payload_bytes = writer.events, writer.payload_bytes

    def _write_kept(self, writer: CaptureWriter, end: End) -> None:
        lost: Counter[str] = Counter()
        results = 0
        for kept in self._kept:
            for kind, body in kept.slice.others:
                writer.write_frame(kind, body)
            if kept.body:
                summary = decode_map(kept.body).take("summary", dict)
                writer.write_frame(FrameType.EVENTS, kept.body, summary)
                results += summary["results_lost"]
            lost.update(kept.slice.lost)
        counted = {BUFFER_FULL: results} if results else {}
        writer.close(replace(end, lost=dict(lost), lost_results=counted))
