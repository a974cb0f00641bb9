"""What is in a capture, and the verdict on its completeness, from its chunks' summaries alone.

The verdict is a proof, not an impression. Each CPU numbers its events from 1 (in a later part of
a recording, from where the part before left off), the lost ones too, and the recorder writes down
how far each got; who leaves events out on purpose later counts these. So a capture is complete
when the sequence numbers of its chunks leave no hole, and each CPU has as many events as numbers,
less those left out. A hole that no gap explains, and a sum that does not come out, are themselves
reported.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from wcap.chunk_summary import Summary
from wcap.errors import FormatError
from wcap.events import Gap
from wcap.format import End, Header
from wcap.readable import Readable

# The kernel slews both clocks alike, so they part only when somebody sets the wall clock. To read
# one after the other takes far less than this.
_CLOCK_STEP_NS = 1_000_000


@dataclass(frozen=True, slots=True)
class Hole:
    """Sequence numbers of a CPU that neither an event nor a gap accounts for.

    They belong after ``first_ns`` and before ``last_ns`` (wall clock; None where unknown).
    """

    cpu: int
    first_sequence: int
    last_sequence: int
    first_ns: int | None
    last_ns: int | None

    @property
    def count(self) -> int:
        """How many sequence numbers these are."""
        return self.last_sequence - self.first_sequence + 1


@dataclass(slots=True)
class Facts:
    """What a capture holds; times are wall clock in nanoseconds, ``None`` is unknown.

    Attributes:
        chunks, events: how many there are.
        captured, written: bytes of payload in the capture, and bytes that the kernel took.
        failed, truncated, unreadable, unfinished, results_lost, payload_lost: how many events are
            such.
        unseen: events of which bytes reached the kernel, or may have, that could not be read.
        cpus: on which events were seen.
        first_ns, last_ns: of the first and the last event.
        expected: events that the recorder counted, lost ones included.
        holes: what is missing without a gap that says so.
        discrepancies: for each CPU on which they are not equally many: expected events minus
            events, losses and holes.
        uncounted: sequence numbers above the last that the recorder counted on their CPU.
        size: of the file in bytes, unless it came through a pipe.
    """

    header: Header
    version: tuple[int, int]
    chunks: int = 0
    events: int = 0
    captured: int = 0
    written: int = 0
    failed: int = 0
    truncated: int = 0
    unreadable: int = 0
    unseen: int = 0
    unfinished: int = 0
    results_lost: int = 0
    payload_lost: int = 0
    cpus: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    expected: int | None = None
    holes: list[Hole] = field(default_factory=list)
    discrepancies: dict[int, int] = field(default_factory=dict)
    uncounted: int = 0
    gaps: list[Gap] = field(default_factory=list)
    damage: list[FormatError] = field(default_factory=list)
    end: End | None = None
    size: int | None = None
    indexed: bool = False
    growing: bool = False

    @property
    def lost(self) -> int:
        """Events lost while recording, as the gaps tell."""
        return sum(gap.count for gap in self.gaps)

    @property
    def left_out(self) -> int:
        """Events, and losses, that were left out on purpose when the capture was rewritten."""
        return 0 if self.end is None else sum(self.end.left_out.values())

    @property
    def results_doubtful(self) -> int:
        """Events without a result, where the end does not say whether results were lost."""
        unknown = self.end is not None and self.end.lost_results is None
        return max(0, self.unfinished) if unknown else 0

    @property
    def duration_ns(self) -> int:
        """How long recording took, or, when its end is unknown, until the last event."""
        if self.end is not None:
            return self.end.clock_ns - self.header.clock.clock_ns
        return 0 if self.last_ns is None else self.last_ns - self.header.started_ns

    @property
    def clock_step_ns(self) -> int:
        """By how much the wall clock was set while recording; 0 for less than a millisecond."""
        if self.end is None:
            return 0
        step = self.end.wall_ns - self.header.started_ns - self.duration_ns
        return step if abs(step) > _CLOCK_STEP_NS else 0

    @property
    def complete(self) -> bool:
        """Whether it is proved that nothing is missing.

        What the snaplen cut was not asked for; what the kernel could not read either was not
        written.
        """
        return not (
            self.growing
            or self.damage
            or self.gaps
            or self.end is None
            or self.end.short
            or self.holes
            or self.discrepancies
            or self.uncounted
            or self.results_lost
            or self.results_doubtful
            or self.payload_lost
            or self.unseen
        )


def examine(capture: Readable, summaries: Iterable[Summary] | None = None) -> Facts:
    """Read the summaries of a capture's chunks, and judge them.

    With an index no chunk is read, so damage inside one is not seen: its columns and payloads are
    checked by whoever reads them.

    Args:
        capture: opened with ``errors="salvage"``, so that damage is a fact and not an exception.
        summaries: of its chunks, from a caller that watches them go by.
    """
    facts = Facts(capture.header, capture.version)
    proof = _Proof(capture.header.after)
    offset_ns = capture.header.clock.offset_ns
    for summary in capture.summaries() if summaries is None else summaries:
        _add(facts, summary, offset_ns)
        proof.add(summary, offset_ns)
    for returned, _ in capture.late_results.values():
        facts.unfinished -= 1
        facts.failed += returned < 0
        facts.written += max(returned, 0)

    facts.gaps, facts.damage, facts.end = list(capture.gaps), list(capture.damage), capture.end
    facts.size, facts.indexed, facts.growing = capture.size, capture.indexed, capture.growing
    facts.cpus = len(proof.events)
    _account(facts, proof)
    return facts


def _account(facts: Facts, proof: _Proof) -> None:
    counted = {} if facts.end is None else facts.end.sequences
    facts.holes = list(proof.holes(facts.gaps, counted))
    if facts.end is not None:
        after = facts.header.after
        facts.expected = sum(counted.values()) - sum(after.values())
        left_out = facts.end.left_out
        # Where numbers were left out on purpose, nothing tells which of those absent they are.
        facts.holes = [hole for hole in facts.holes if hole.cpu not in left_out]
        found = proof.events.copy()
        found.update(after)
        found.update(left_out)
        for gap in facts.gaps:
            found[gap.cpu] += gap.count
        for hole in facts.holes:
            found[hole.cpu] += hole.count
        facts.discrepancies = {
            cpu: counted.get(cpu, 0) - found[cpu]
            for cpu in sorted(found.keys() | counted)
            if found[cpu] != counted.get(cpu, 0)
        }
        facts.uncounted = sum(
            max(0, reached - counted.get(cpu, 0)) for cpu, reached in proof.reached.items()
        )


def _add(facts: Facts, summary: Summary, offset_ns: int) -> None:
    facts.chunks += 1
    facts.events += summary.events
    facts.captured += summary.captured
    facts.written += summary.written
    facts.failed += summary.failed
    facts.truncated += summary.truncated
    facts.unreadable += summary.unreadable
    facts.unseen += summary.unseen
    facts.unfinished += summary.unfinished
    facts.results_lost += summary.results_lost
    facts.payload_lost += summary.payload_lost
    first_ns, last_ns = summary.first_ns + offset_ns, summary.last_ns + offset_ns
    facts.first_ns = first_ns if facts.first_ns is None else min(facts.first_ns, first_ns)
    facts.last_ns = last_ns if facts.last_ns is None else max(facts.last_ns, last_ns)


class _Proof:
    """Follows each CPU's sequence numbers from chunk to chunk.

    Args:
        after: the number that each CPU had given before.

    Attributes:
        reached: the highest number seen of each CPU.
        events: how many events were seen of each CPU.
    """

    def __init__(self, after: Mapping[int, int]) -> None:
        self.events: Counter[int] = Counter()
        self.reached: dict[int, int] = dict(after)
        self._seen_ns: dict[int, int] = {}
        self._skipped: list[Hole] = []

    def add(self, summary: Summary, offset_ns: int) -> None:
        """Take in a chunk, in the order of the file."""
        for cpu, first, last, events in summary.sequences:
            self.events[cpu] += events
            reached = self.reached.get(cpu, 0)
            if first > reached + 1:
                after_ns, before_ns = self._seen_ns.get(cpu), summary.last_ns + offset_ns
                self._skipped.append(Hole(cpu, reached + 1, first - 1, after_ns, before_ns))
            self.reached[cpu] = max(reached, last)
            self._seen_ns[cpu] = summary.first_ns + offset_ns

    def holes(self, gaps: Iterable[Gap], counted: Mapping[int, int]) -> Iterator[Hole]:
        """Yield what no gap explains, up to the number that each CPU got to as ``counted``."""
        unseen = [
            Hole(cpu, self.reached.get(cpu, 0) + 1, last, self._seen_ns.get(cpu), None)
            for cpu, last in counted.items()
            if last > self.reached.get(cpu, 0)
        ]
        explained = _ranges(gaps)
        for hole in self._skipped + unseen:
            yield from _unexplained(hole, explained.get(hole.cpu, []))


def _ranges(gaps: Iterable[Gap]) -> dict[int, list[tuple[int, int]]]:
    """Return the sequence numbers that gaps cover: for each CPU (last, first), in order, apart."""
    ranges: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for gap in sorted(gaps, key=lambda gap: gap.first_sequence):
        of_cpu = ranges[gap.cpu]
        first, last = gap.first_sequence, gap.last_sequence
        if of_cpu and first <= of_cpu[-1][0] + 1:
            before_last, first = of_cpu.pop()
            last = max(last, before_last)
        of_cpu.append((last, first))
    return ranges


def _unexplained(hole: Hole, ranges: Sequence[tuple[int, int]]) -> Iterator[Hole]:
    """Yield the parts of a hole that none of the ranges covers."""
    start = hole.first_sequence
    for place in range(bisect_left(ranges, (start, 0)), len(ranges)):
        last, first = ranges[place]
        if first > hole.last_sequence:
            break
        if first > start:
            yield replace(hole, first_sequence=start, last_sequence=first - 1)
        start = last + 1
    if start <= hole.last_sequence:
        yield replace(hole, first_sequence=start)
