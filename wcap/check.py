"""Everything that SPEC.md demands of a capture, frame by frame: a search that goes on after a find.

The bytes are read once, in order, as from a pipe; memory holds one frame, and a few numbers a CPU.
Whether anything was lost while recording is not asked here: a capture with gaps is sound. What is
asked is whether the file says what it says in the way that SPEC.md tells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from wcap.accounts import Accounts, Unexplained
from wcap.chunk_check import Fault, chunk_faults, fault_of
from wcap.chunk_summary import Summary
from wcap.chunks import MAX_RESULTS, Chunk, decode_results
from wcap.envelope import ENVELOPE, FORMAT_VERSION
from wcap.errors import CorruptionError, FormatError, LimitError, TruncatedError
from wcap.errors import UnsupportedVersionError as Unsupported
from wcap.events import DAMAGE, Gap
from wcap.fields import Fields, decode_map
from wcap.format import (
    FIRST_OPTIONAL_TYPE,
    End,
    FrameType,
    decode_end,
    decode_gaps,
)
from wcap.heading import take_header
from wcap.index_check import Listing
from wcap.index_frames import FOOTER_SIZE, decode_footer, decode_index
from wcap.sources import Frame, StreamSource

_FIRST_PRIVATE_TYPE = 112
_SECTIONS = {
    FrameType.HEADER: "4.1",
    FrameType.EVENTS: "4.2",
    FrameType.GAPS: "4.3",
    FrameType.RESULTS: "4.4",
    FrameType.END: "4.5",
    FrameType.INDEX: "4.6",
    FrameType.FOOTER: "4.7",
}
_BEFORE_END = (FrameType.EVENTS, FrameType.GAPS, FrameType.RESULTS)


@dataclass(frozen=True, slots=True)
class Finding:
    """One place where a capture is not as SPEC.md demands.

    Attributes:
        reason: what was found, and what was expected.
        section: of SPEC.md.
        rule: its numbered rule, if it has one.
        offset: of the frame in the file, in bytes.
        frame: number of the frame, or of the one that was expected there.
    """

    reason: str
    section: str
    rule: str | None
    offset: int
    frame: int

    def __str__(self) -> str:
        rule = "" if self.rule is None else f", {self.rule}"
        return f"byte {self.offset}, frame {self.frame}: {self.reason} (SPEC {self.section}{rule})"


class Check:
    """One walk through a capture.

    Args:
        stream: a binary file or pipe, at its start.

    Raises:
        FormatError: it is no capture, of another version, or its header cannot be used.

    Attributes:
        header: where, when and how it was recorded.
        version: of the format, major and minor.
        frames, chunks, events: how many whole ones were seen so far.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._source = StreamSource(stream)
        preamble = self._source.preamble
        self.version = (preamble.major, preamble.minor)
        self.frames = self.chunks = self.events = 0
        self._walk = self._source.frames()
        try:
            self._first, self.header = take_header(self._walk)
        except CorruptionError as error:
            raise CorruptionError(f"{error.reason} (SPEC 4.1)", error.offset) from error
        self._place = (self._first.offset, 0)
        self._next = 0
        self._accounts = Accounts(self.header.after)
        self._gaps: list[Gap] = []
        self._results = 0
        self._end: End | None = None
        self._end_place = self._place
        self._missing: dict[int, tuple[Unexplained, int, tuple[int, int]]] = {}
        self._listing = Listing()
        self._last_type = 0

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong, in the order of the file.

        Raises:
            UnsupportedVersionError: the capture needs a newer wcap from here on.
        """
        explained = False  # whether damage just told of explains that a frame is missing
        yield from self._faults(self._take(self._first))
        for found in self._walk:
            if isinstance(found, FormatError):
                self._place = (found.offset or 0, self._next)
                yield self._finding(_damage(found))
                explained = self._listing.spoiled = True
                continue
            number = found.envelope.number
            self._place = (found.offset, number)
            if number < self._next:
                yield self._finding(
                    Fault(f"frame {self._next} expected: it stands twice or too late", "3.3", "R12")
                )
                self._listing.spoiled = True
                continue
            if number > self._next + explained:
                last = "" if number == self._next + 1 else f" to {number - 1}"
                what = f"frame {self._next}{last} missing"
                yield self._finding(Fault(what, "3.3", "W2"))
            self._listing.spoiled |= number > self._next
            explained = False
            yield from self._faults(self._take(found))
        yield from self._faults(self._conclude())

    def _finding(self, fault: Fault) -> Finding:
        return Finding(fault.reason, fault.section, fault.rule, *self._place)

    def _faults(self, faults: Iterator[Fault]) -> Iterator[Finding]:
        for fault in faults:
            yield self._finding(fault)

    def _take(self, frame: Frame) -> Iterator[Fault]:
        """Look at a whole frame."""
        kind = frame.envelope.type
        self.frames += 1
        if kind < FIRST_OPTIONAL_TYPE and kind not in _SECTIONS:
            raise Unsupported(f"frame type {kind} needs a newer wcap", frame.offset)
        if frame.envelope.number != self._next and self._next == 0:
            yield Fault(f"the header has the number {frame.envelope.number}", "3.3", "W2")
        self._next = frame.envelope.number + 1
        if self._last_type == FrameType.FOOTER:
            yield Fault("a frame after the footer", "4.7", "W10")
        if self._end is not None and kind in _BEFORE_END:
            yield Fault(f"{FrameType(kind).name} after END", "3.4")
        summary: Summary | None = None
        try:
            if kind == FrameType.EVENTS:
                chunk = Chunk(frame.body, self.header.clock, frame.envelope.number)
                summary = chunk.summary
                yield from chunk_faults(chunk, self.header, self.version[1])
                yield from self._take_events(summary)
            else:
                yield from self._take_other(kind, frame)
        except Unsupported as error:
            raise error.at(frame.offset) from error
        except FormatError as error:
            yield fault_of(
                error, _SECTIONS.get(FrameType(kind), "3.4"), "R15" * (kind == 2) or None
            )
            if kind == FrameType.INDEX:
                self._listing.restart(None)
        if kind not in (FrameType.INDEX, FrameType.FOOTER):
            self._listing.add(frame, summary)
        self._last_type = kind

    def _take_events(self, summary: Summary) -> Iterator[Fault]:
        self.chunks += 1
        self.events += summary.events
        for found in self._accounts.add_events(summary.sequences):
            if isinstance(found, Unexplained):
                self._miss(found)
            else:
                cpu, first, reached = found
                what = f"number {first} of CPU {cpu} after number {reached}: twice or too late"
                yield Fault(what, "6")

    def _miss(self, found: Unexplained) -> None:
        """Remember numbers that stand for nothing: one finding a CPU, at the first of them."""
        first, count, place = self._missing.get(found.cpu, (found, 0, self._place))
        self._missing[found.cpu] = (first, count + found.count, place)

    def _take_other(self, kind: int, frame: Frame) -> Iterator[Fault]:
        if kind >= FIRST_OPTIONAL_TYPE:
            if kind < _FIRST_PRIVATE_TYPE and self.version[1] <= FORMAT_VERSION[1]:
                yield Fault(f"frame type {kind} is reserved", "3.4")
            return
        for name in decode_map(frame.body).nil_keys():
            yield Fault(f"{name} is nil, an absent key expected", "2.2", "W7")
        if kind == FrameType.HEADER:
            if self.frames > 1:
                yield Fault("a second header", "3.4")
            yield from _nested(frame.body, ("origins",), "4.1")
        elif kind == FrameType.GAPS:
            yield from self._take_gaps(decode_gaps(frame.body, self.header.clock))
        elif kind == FrameType.RESULTS:
            self._results += len(decode_results(frame.body))
            if self._results > MAX_RESULTS:
                yield Fault(f"more than {MAX_RESULTS} late results", "9", "W4")
        elif kind == FrameType.END:
            yield from self._take_end(decode_end(frame.body))
            yield from _nested(frame.body, ("sequences", "left_out", "origins"), "4.5")
        elif kind == FrameType.INDEX:
            index = decode_index(frame.body, frame.offset, frame.envelope.number)
            yield from self._listing.compare(index)
            self._listing.restart(frame.offset)
        elif kind == FrameType.FOOTER:
            yield from self._take_footer(frame)

    def _take_gaps(self, gaps: list[Gap]) -> Iterator[Fault]:
        self._gaps += gaps
        for gap in gaps:
            of_cpu = f"the gap of CPU {gap.cpu} from number {gap.first_sequence}"
            if not self._accounts.add_gap(gap) and gap.cause != DAMAGE:
                yield Fault(f"{of_cpu} stands after later events", "4.3")
            if gap.first_ns > gap.last_ns:
                yield Fault(f"{of_cpu} ends before it begins", "4.3")
            if sum(events for _, events in gap.processes) > gap.count:
                yield Fault(f"{of_cpu} has more events of processes than events", "4.3")

    def _take_end(self, end: End) -> Iterator[Fault]:
        if self._end is not None:
            yield Fault("a second END", "3.4")
        self._end, self._end_place = end, self._place
        if end.clock_ns < self.header.clock.clock_ns:
            yield Fault("the recording ended before it began", "4.5")
        told, expected = len(end.origins), len(self.header.origins)
        if told != expected:
            yield Fault(f"END tells of {told} origins, {expected} expected", "4.5")
            return
        for place, (origin, own) in enumerate(zip(self.header.origins, end.origins, strict=True)):
            if own.clock_ns < origin.header.clock.clock_ns:
                yield Fault(f"origin {place} ended before it began", "4.5")

    def _take_footer(self, frame: Frame) -> Iterator[Fault]:
        place = decode_footer(frame.body)
        length = FOOTER_SIZE - ENVELOPE.size
        if len(frame.body) != length:
            yield Fault(f"a footer of {len(frame.body)} bytes, {length} expected", "4.7")
        if place != self._listing.last_index and not self._listing.spoiled:
            expected = self._listing.last_index
            yield Fault(f"the footer points to byte {place}, {expected} expected", "4.7", "W10")
        if self._last_type != FrameType.INDEX and not self._listing.spoiled:
            yield Fault("no index before the footer", "3.4", "W10")

    def _conclude(self) -> Iterator[Fault]:
        """Look at what only the whole capture tells."""
        if self._last_type != FrameType.FOOTER:
            yield Fault("no footer: the capture was not closed", "3.5", "R9")
        counted = {} if self._end is None else self._end.sequences
        reached, told_late = self._accounts.reached, self._accounts.told_late
        self._place = self._end_place
        for found in self._accounts.finish(counted.items()):
            self._miss(found)
        left_out = {} if self._end is None else dict(self._end.left_out)
        for found, unexplained, place in self._missing.values():
            count = unexplained - left_out.pop(found.cpu, 0) - told_late[found.cpu]
            if count == 0:
                continue
            self._place = place
            if count < 0:
                yield Fault(f"CPU {found.cpu}: {-count:,} more left out than are missing", "4.5")
                continue
            where = f"CPU {found.cpu}: {count:,} {'number' if count == 1 else 'numbers'}"
            what = f"{where} from {found.first_sequence} on stand for neither an event nor a loss"
            yield Fault(what, "6")
        if self._end is None:
            return
        self._place = self._end_place
        for cpu, number in left_out.items():
            if number:
                yield Fault(f"CPU {cpu}: {number:,} more left out than are missing", "4.5")
        for cpu, number in reached.items():
            if number > counted.get(cpu, 0):
                last = counted.get(cpu, 0)
                yield Fault(f"CPU {cpu} reached number {number}, END says {last}", "4.5")
        told: Counter[str] = Counter()
        for gap in self._gaps:
            told[gap.cause] += gap.count
        for cause, events in (self._end.lost or {}).items():
            # What a GAPS frame said that is gone is in gaps of the cause damage.
            if not 0 <= events - told[cause] <= told[DAMAGE]:
                what = f"END counts {events} events lost by {cause!r:.40}, the gaps {told[cause]}"
                yield Fault(what, "4.5")


def _nested(body: bytes, keys: tuple[str, ...], section: str) -> Iterator[Fault]:
    """Look for what an origin may not have, since it is told of all or lies within another."""
    for place, value in enumerate(decode_map(body).find("origins", list) or ()):
        for key in keys:
            if Fields(value).find(key, list) is not None:
                yield Fault(f"origin {place} has {key}, which no origin has", section)


def _damage(error: FormatError) -> Fault:
    if isinstance(error, TruncatedError):
        return Fault(error.reason, "12.1", "R10")
    if isinstance(error, LimitError):
        return Fault(error.reason, "9", "R4")
    return Fault(error.reason, "3.3", "R3" if "checksum" in error.reason else "R11")
