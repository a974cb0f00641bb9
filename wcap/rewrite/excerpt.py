"""One capture that is made of events of another, and proves what it lacks.

What the other one held is counted whether it is kept or not (`Seen`), so END can tell for every
CPU how many of its numbers were left out on purpose. Chunks that are kept whole are copied as they
are; others are encoded anew, so their tables hold what is kept and nothing else. What END says of
processes stays as far as it is about processes asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from wcap.batch import EventBatch
from wcap.chunk_summary import Summary, encode_summary
from wcap.chunks import Chunk
from wcap.events import EventFlag, Gap
from wcap.filters import Filter
from wcap.format import End, FrameType, Header, Origin, Rewriting, recovered_end
from wcap.readable import EVERYTHING, Piece, Readable
from wcap.rewrite.batches import compact, joined
from wcap.rewrite.origins import Shift, added, end_without, inside, without
from wcap.summarising import summarise
from wcap.writer import CHUNK_EVENTS, CHUNK_PAYLOAD, CaptureWriter, Target, encode_chunks


class Seen:
    """What a capture held, as far as it was read.

    Attributes:
        events: of each CPU.
        reached: the highest number of each CPU.
        last_ns: time of the last event, wall clock; None before the first.
        results_lost: events whose result was lost.
        unfinished: events that had not returned.
    """

    def __init__(self, source: Readable) -> None:
        self.events: Counter[int] = Counter()
        self.reached: dict[int, int] = dict(source.header.after)
        self.last_ns: int | None = None
        self.results_lost = self.unfinished = 0
        self._clock = source.header.clock

    def add(self, found: Piece | Summary) -> None:
        """Count events."""
        if isinstance(found, Piece):
            found = summarise(found.batch, self._clock) if found.chunk is None else _told(found)
        for cpu, _, last, events in found.sequences:
            self.events[cpu] += events
            self.reached[cpu] = max(self.reached.get(cpu, 0), last)
        last_ns = found.last_ns + self._clock.offset_ns
        self.last_ns = last_ns if self.last_ns is None else max(self.last_ns, last_ns)
        self.results_lost += found.results_lost
        self.unfinished += found.unfinished

    @classmethod
    def all_of(cls, source: Readable) -> Seen:
        """Return what a capture holds, as its summaries tell."""
        seen = cls(source)
        for summary in source.summaries():
            seen.add(summary)
        return seen

    def end(self, source: Readable) -> End:
        """Return the END, or one in place of one that is gone: it ends with the last event."""
        if source.end is not None:
            return source.end
        for gap in source.gaps:
            self.reached[gap.cpu] = max(self.reached.get(gap.cpu, 0), gap.last_sequence)
        last_ns = self._clock.wall_ns if self.last_ns is None else self.last_ns
        clock_ns = max(self._clock.clock_ns, last_ns - self._clock.offset_ns)
        return recovered_end(source.header, clock_ns, self.reached)


def _told(piece: Piece) -> Summary:
    assert piece.chunk is not None
    return piece.chunk.summary


class Excerpt:
    """Writes a capture of events, gaps and facts of another.

    Args:
        source: the other.
        target: anything with ``write``.
        done: what is done, for the header; None where the header says it already.
        where: what is kept, as far as it decides on gaps and on facts about processes.
        gone: the origins of which nothing is kept; no event of theirs is given.
        whole: whether all is kept, so that also what this version does not know may stay.
        salt: of the new capture; random unless a reproducible one is wanted.

    Attributes:
        events: kept so far.
    """

    def __init__(
        self,
        source: Readable,
        target: Target,
        done: Rewriting | None,
        *,
        where: Filter = EVERYTHING,
        gone: Collection[Origin] = (),
        whole: bool = False,
        salt: int | None = None,
    ) -> None:
        self._source = source
        self._where = where
        self._gone = gone
        self._whole = whole
        self._all = whole or (done is not None and done.what == "merge")
        self._hosts = source.header.hosts
        header = without(source.header, gone)
        if not self._all:
            header = _unwarned(header)
        if done is not None:
            header = replace(header, rewritten=(*header.rewritten, done))
        self._clock = header.clock
        self._shift = Shift(0, source.header.clock.offset_ns - header.clock.offset_ns)
        self._writer = CaptureWriter(target, header, salt=salt)
        self._kept: Counter[int] = Counter()
        self._results_lost = self._open = 0
        self._gaps: list[Gap] = []
        self._pending: list[Gap] = []
        # Small batches that will be one chunk; what is read live is handed on at once.
        self._waiting: list[EventBatch] = []
        self._waiting_events = self._waiting_bytes = 0
        self._live = source.size is None
        self._unfinished: set[tuple[int, int]] = set()
        self.events = 0

    def miss(self, gap: Gap) -> None:
        """Take in a gap: it is kept if an event that is asked for may be among those lost."""
        if inside(gap.cpu, self._gone) or not self._where.may_miss(gap, self._hosts):
            return
        others = tuple(f for f in self._where.without if f != Filter(hosts=f.hosts))
        rest = replace(self._where, since_ns=None, until_ns=None, hosts=None, without=others)
        if rest != EVERYTHING:
            named = Filter(pids=rest.pids, without=rest.without)
            by_pid = rest == named and all(f == Filter(pids=f.pids) for f in rest.without)
            kept = [row for row in gap.processes if by_pid and rest.may_be_of(row[0], "")]
            gap = replace(gap, processes=tuple(kept))
        self._pending.append(gap)

    def drop_gaps(self, from_ns: int) -> None:
        """Let gaps go that lie wholly after a moment (wall clock)."""
        self._flush()
        self._pending = [gap for gap in self._pending if gap.first_ns < from_ns]

    def take(self, batch: EventBatch, chunk: Chunk | None = None) -> None:
        """Keep events; ``chunk`` is the frame that holds them and no others.

        Raises:
            OSError: they could not be written.
        """
        if len(batch) == 0:
            return
        self.events += len(batch)
        if self._shift.delta_ns:
            batch, chunk = self._shift.piece(Piece(batch), self._hosts).batch, None
        if chunk is not None and (self._whole or chunk.understood):
            self._flush()
            self._put(chunk.body, encode_summary(chunk.summary), batch)
        elif self._live or len(batch) >= CHUNK_EVENTS:
            self._flush()
            self._encode(batch)
        else:
            self._gather(batch)

    def close(self, seen: Seen) -> End:
        """Write what is left, and the end; return it."""
        self._flush()
        late = self._source.late_results
        rows = [(*event, *result) for event, result in late.items() if event in self._unfinished]
        rows += [
            (*event, *result)
            for event, result in self._source.earlier_results.items()
            if not inside(event[0], self._gone)
        ]
        self._writer.write_results(rows)
        self._write_gaps(self._pending)
        end = self._end(seen)
        self._writer.close(end)
        return end

    def _gather(self, batch: EventBatch) -> None:
        before = self._waiting[-1] if self._waiting else None
        # Events that came late stay where they are: what is put together is put in order.
        late = before is not None and batch.time_ns[0] < before.time_ns[-1]
        size = int(batch.captured.sum())
        full = (
            self._waiting_events + len(batch) > CHUNK_EVENTS
            or self._waiting_bytes + size > CHUNK_PAYLOAD
        )
        if late or full:
            self._flush()
        self._waiting.append(compact(batch))
        self._waiting_events += len(batch)
        self._waiting_bytes += size

    def _flush(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self._waiting_events = self._waiting_bytes = 0
            self._encode(waiting[0] if len(waiting) == 1 else joined(waiting))

    def _encode(self, batch: EventBatch) -> None:
        for encoded in encode_chunks(batch, self._clock):
            self._put(encoded.body, encoded.summary, encoded.batch)

    def _put(self, body: bytes, summary: Mapping[str, Any], batch: EventBatch) -> None:
        """Write a chunk, and before it the gaps before its events."""
        reached = {cpu: last for cpu, _, last, _ in summary["sequences"]}
        last_ns = summary["last_ns"] + self._clock.offset_ns
        due: list[Gap] = []
        later: list[Gap] = []
        for gap in self._pending:
            before = gap.last_ns <= last_ns or gap.first_sequence <= reached.get(gap.cpu, 0)
            (due if before else later).append(gap)
        self._pending = later
        self._write_gaps(due)
        self._writer.write_frame(FrameType.EVENTS, body, summary)
        for cpu, _, _, events in summary["sequences"]:
            self._kept[cpu] += events
        self._results_lost += summary["results_lost"]
        self._open += summary["unfinished"]
        if self._live and summary["unfinished"]:
            rows = np.flatnonzero(batch.flags & np.uint32(EventFlag.UNFINISHED))
            numbers = {*zip(batch.cpu[rows].tolist(), batch.sequence[rows].tolist(), strict=True)}
            # A result that came before its event means nothing.
            self._unfinished.update(numbers - self._source.late_results.keys())

    def _write_gaps(self, gaps: list[Gap]) -> None:
        self._writer.write_gaps(gaps)
        self._gaps += gaps

    def _end(self, seen: Seen) -> End:
        source = self._source
        end = seen.end(source)
        left_out = Counter(end.left_out)
        left_out.update(seen.events)
        left_out.subtract(self._kept)
        for gaps, sign in ((source.gaps, 1), (self._gaps, -1)):
            for gap in gaps:
                left_out[gap.cpu] += sign * gap.count
        lost_results = self._lost_results(end, seen)
        lost = self._lost(end)
        end = end_without(end, source.header, self._gone, self._clock)
        origins = tuple(map(self._told, end.origins))
        return replace(
            self._told(end),
            origins=origins,
            left_out={
                cpu: count for cpu, count in left_out.items() if count > 0 and cpu in end.sequences
            },
            lost=lost,
            lost_results=lost_results,
        )

    def _lost(self, end: End) -> dict[str, int] | None:
        """Count what is in the gaps that are kept, and what the recorder counted beyond gaps."""
        kept = cause_counts(self._gaps)
        own = self._own(end)
        most = None if own is None else added(one.lost for one in own)
        if end.lost is None:
            return most if most == kept else None
        beyond = Counter(end.lost)
        beyond.subtract(cause_counts(self._source.gaps))
        for cause, count in beyond.items():
            kept[cause] += count if most is None else min(count, most.get(cause, 0))
        return {cause: count for cause, count in kept.items() if count > 0}

    def _own(self, end: End) -> list[End] | None:
        """Return the ends of the origins that are kept, where others are not and it tells."""
        origins = self._source.header.origins
        if not self._gone or len(end.origins) != len(origins):
            return None
        told = zip(origins, end.origins, strict=True)
        return [one for origin, one in told if origin not in self._gone]

    def _lost_results(self, end: End, seen: Seen) -> Mapping[str, int] | None:
        """Return how many results of what is kept were lost; None where that is not known."""
        lost, own = end.lost_results, self._own(end)
        if lost is None and own is not None:
            told = added(one.lost_results for one in own)
            return told if told == {} else None
        if self._all or lost is None or not any(lost.values()):
            return lost
        if not self._results_lost and not self._open:
            return {}
        if (self._results_lost, self._open) == (seen.results_lost, seen.unfinished):
            return lost
        if len(lost) == 1 and sum(lost.values()) == seen.results_lost:
            return {cause: self._results_lost for cause in lost if self._results_lost}
        return None

    def _told(self, end: End) -> End:
        """Return an end that tells of processes that are asked for."""
        named = [found for found in end.bypassed if self._where.may_be_of(found.pid, found.comm)]
        # What the user was told may name what is left out; the other keys have the facts.
        warnings = end.warnings if self._all else ()
        return replace(end, bypassed=tuple(named), warnings=warnings)


def _unwarned(header: Header) -> Header:
    """Return a header without what the user was told, which may name what is left out."""
    origins = [replace(one, header=replace(one.header, warnings=())) for one in header.origins]
    return replace(header, warnings=(), origins=tuple(origins))


def cause_counts(gaps: Iterable[Gap]) -> Counter[str]:
    """Return how many events were lost, by cause."""
    counts: Counter[str] = Counter()
    for gap in gaps:
        counts[gap.cause] += gap.count
    return counts
