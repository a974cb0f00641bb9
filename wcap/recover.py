"""A damaged capture written anew: what is whole as it was, what is missing marked as gaps.

The bytes are read once, in order, and frames are copied without being encoded again: only their
number and their checksum, which the new salt changes, are new. A chunk is decoded in full before
it is kept, so that no reader stumbles over it later. Where a CPU's numbers show that events are
missing, a gap of the cause ``damage`` says so; where END is gone, one with the reason
``recovered`` takes its place, and the capture is never called complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import numpy as np

from wcap import __version__
from wcap.accounts import Accounts, Unexplained
from wcap.batch import COLUMNS, EventBatch
from wcap.chunk_summary import encode_summary
from wcap.chunks import Chunk, decode_results
from wcap.errors import CorruptionError, FormatError, UnsupportedVersionError
from wcap.events import DAMAGE, Gap
from wcap.format import (
    FIRST_OPTIONAL_TYPE,
    End,
    FrameType,
    Rewriting,
    decode_end,
    decode_gaps,
    encode_end,
    recovered_end,
)
from wcap.heading import take_header
from wcap.sources import Frame, StreamSource
from wcap.writer import CaptureWriter, Target

# SPEC.md section 14: what is said to have been done to what this writes.
RECOVER = "recover"


@dataclass(slots=True)
class Recovered:
    """What became of a capture.

    Attributes:
        chunks, events: kept.
        marked: events that are missing, in gaps that were written for them.
        lost_frames: frames missing or not usable, as far as numbers tell; those of the index,
            which is made anew, are not counted when they came after END.
        damage: what was wrong, in the order of the file.
        end: whether the recording's own END was kept.
        results_lost: events whose late result may have been in a frame that is missing.
    """

    chunks: int = 0
    events: int = 0
    marked: int = 0
    lost_frames: int = 0
    damage: list[FormatError] = field(default_factory=list)
    end: bool = False
    results_lost: int = 0

    @property
    def missing(self) -> bool:
        """Whether anything is missing that the capture had, or may have had."""
        return bool(self.marked or self.lost_frames or self.results_lost or not self.end)


def recover(source: BinaryIO, target: Target, *, salt: int | None = None) -> Recovered:
    """Write what is whole of a capture to another stream.

    Args:
        source: a binary file or pipe, at its start.
        target: anything with ``write``.
        salt: of the new capture; random unless a reproducible one is wanted.

    Raises:
        FormatError: there is no header to read the rest by, or it needs a newer wcap.
        OSError: the target refused.
    """
    return _Recovery(source, target, salt).run()


class _Recovery:
    def __init__(self, source: BinaryIO, target: Target, salt: int | None) -> None:
        self._frames = StreamSource(source).frames()
        first, self._header = take_header(self._frames)
        self._clock = self._header.clock
        done = Rewriting(RECOVER, "wcap", __version__)
        header = replace(self._header, rewritten=(*self._header.rewritten, done))
        self._writer = CaptureWriter(target, header, salt=salt)
        self._next = first.envelope.number + 1
        self._done = Recovered()
        self._accounts = Accounts(self._header.after)
        self._seen_ns: dict[int, int] = {}
        self._last_ns = self._clock.wall_ns
        self._unfinished = 0
        # Numbers of each CPU that may have been left out on purpose, which only END tells.
        self._doubtful: dict[int, Gap] = {}
        self._was_cut = any(done.what != RECOVER for done in self._header.rewritten)
        self._end: tuple[End, bytes] | None = None

    def run(self) -> Recovered:
        done = self._done
        for frame in self._whole():
            try:
                self._keep(frame)
            except UnsupportedVersionError as error:
                raise error.at(frame.offset) from error
            except FormatError as error:
                done.damage.append(error.at(frame.offset))
                done.lost_frames += 1
        self._finish()
        return done

    def _whole(self) -> Iterator[Frame]:
        """Yield the whole frames, each once and in order, and count those in between."""
        for found in self._frames:
            if isinstance(found, FormatError):
                self._done.damage.append(found)
                continue
            number = found.envelope.number
            if number < self._next:
                what = f"frame {self._next} expected, frame {number} found"
                self._done.damage.append(CorruptionError(what, found.offset))
                continue
            if self._end is None:
                self._done.lost_frames += number - self._next
            if number > self._next and not self._done.damage:
                what = f"frame {self._next} expected, frame {number} found"
                self._done.damage.append(CorruptionError(what, found.offset))
            self._next = number + 1
            yield found

    def _keep(self, frame: Frame) -> None:
        kind, body = frame.envelope.type, frame.body
        if kind == FrameType.EVENTS:
            self._keep_chunk(Chunk(body, self._clock), body)
        elif kind == FrameType.GAPS:
            for gap in decode_gaps(body, self._clock):
                self._accounts.add_gap(gap)
            self._writer.write_frame(FrameType.GAPS, body)
        elif kind == FrameType.RESULTS:
            self._unfinished -= len(decode_results(body))
            self._writer.write_frame(FrameType.RESULTS, body)
        elif kind == FrameType.END:
            self._end = (decode_end(body), body)
        elif kind == FrameType.HEADER:
            raise CorruptionError("a second header")
        elif kind >= FIRST_OPTIONAL_TYPE:
            self._writer.write_frame(kind, body)
        elif kind not in (FrameType.INDEX, FrameType.FOOTER):
            raise UnsupportedVersionError(f"frame type {kind} needs a newer wcap")

    def _keep_chunk(self, chunk: Chunk, body: bytes) -> None:
        batch = chunk.batch()
        for name in COLUMNS:
            batch.column(name)
        len(batch.data)
        times = {cpu: batch.time_ns[batch.cpu == cpu] for cpu, *_ in _sequences(batch)}
        gaps = []
        # What the chunk says of its numbers may be a lie; its columns are what readers deliver.
        for found in self._accounts.add_events(_sequences(batch)):
            if isinstance(found, Unexplained):
                later = times[found.cpu]
                gaps.append(self._gap(found, int(later[-1])))
        self._mark(gaps)
        self._writer.write_frame(FrameType.EVENTS, body, encode_summary(chunk.summary))
        self._done.chunks += 1
        self._done.events += len(batch)
        self._unfinished += chunk.summary.unfinished
        for cpu, moments in times.items():
            self._seen_ns[cpu] = int(moments[-1])
        self._last_ns = max(self._last_ns, int(batch.time_ns[-1]))

    def _gap(self, found: Unexplained, before_ns: int) -> Gap:
        after_ns = self._seen_ns.get(found.cpu, min(self._clock.wall_ns, before_ns))
        return Gap(
            found.cpu,
            found.first_sequence,
            found.last_sequence,
            found.count,
            min(after_ns, before_ns),
            before_ns,
            DAMAGE,
        )

    def _doubt(self, gap: Gap) -> None:
        """Remember missing numbers until it is known how many were left out on purpose."""
        before = self._doubtful.get(gap.cpu)
        if before is not None:
            count, last = before.count + gap.count, gap.last_sequence
            gap = replace(before, count=count, last_sequence=last, last_ns=gap.last_ns)
        self._doubtful[gap.cpu] = gap

    def _missing(self, left_out: Mapping[int, int]) -> Iterator[Gap]:
        """Yield what is missing although it was not left out on purpose, a gap for each CPU."""
        for cpu, gap in sorted(self._doubtful.items()):
            count = gap.count - left_out.get(cpu, 0) - self._accounts.told_late[cpu]
            if count > 0:
                yield replace(gap, count=count)

    def _mark(self, gaps: list[Gap]) -> None:
        if self._was_cut:
            for gap in gaps:
                self._doubt(gap)
            return
        self._write_gaps(gaps)

    def _write_gaps(self, gaps: list[Gap]) -> None:
        self._writer.write_gaps(gaps)
        self._done.marked += sum(gap.count for gap in gaps)

    def _finish(self) -> None:
        """Mark what is missing at the end, and write END, index and footer."""
        done = self._done
        counted: dict[int, int] = {}
        ended_ns = self._last_ns
        if self._end is not None:
            counted = dict(self._end[0].sequences)
            ended_ns = max(ended_ns, self._end[0].clock_ns + self._clock.offset_ns)
        # A gap of the file may reach beyond the last event that is left.
        found = list(self._accounts.finish(counted.items()))
        self._mark([self._gap(missing, ended_ns) for missing in found])
        self._write_gaps(list(self._missing({} if self._end is None else self._end[0].left_out)))
        if self._end is None:
            clock_ns = max(0, self._last_ns - self._clock.offset_ns)
            self._writer.close(recovered_end(self._header, clock_ns, self._accounts.reached))
            return
        done.end = True
        end, body = self._end
        if done.lost_frames and self._unfinished > 0:
            done.results_lost = self._unfinished
            lost = Counter(end.lost_results or {})
            lost[DAMAGE] += self._unfinished
            body = encode_end(replace(end, lost_results=dict(lost)))
        self._writer.write_frame(FrameType.END, body)
        self._writer.close()


def _sequences(batch: EventBatch) -> Iterator[tuple[int, int, int, int]]:
    """Yield (CPU, first, last, events) of a batch's numbers."""
    for cpu in np.unique(batch.cpu).tolist():
        numbers = batch.sequence[batch.cpu == cpu]
        yield cpu, int(numbers.min()), int(numbers.max()), len(numbers)
