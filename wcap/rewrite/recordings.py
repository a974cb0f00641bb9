"""Captures sorted into the recordings that they are of.

Parts of one recording follow each other, and are checked to do so. Pieces of one split are side by
side. Anything else is a recording by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from wcap.errors import UsageError
from wcap.events import MISSING_PART, Gap
from wcap.fields import MAX_UINT32
from wcap.format import RECOVERED, Clock, End, Header, Rewriting, encode_header
from wcap.reader import Capture
from wcap.rewrite.excerpt import Seen, cause_counts
from wcap.rewrite.origins import added
from wcap.rewrite.overlaps import refuse_overlaps

SPLIT = "split"
# What the pieces of a split differ in, and which part of a recording it was that was split.
PIECE = "piece"
OF_PART = "of_part"


@dataclass(slots=True)
class _Volume:
    """A capture, or the pieces that one was split into, as one."""

    captures: list[Capture]
    header: Header
    end: End
    gaps: list[Gap]
    lowest: int
    cpus: int


@dataclass(slots=True)
class Recording:
    """Captures of one recording, as one.

    Attributes:
        volumes: captures side by side, one volume after the other.
        lowest: its lowest CPU number that may be used.
        cpus: one more than its highest CPU number.
        missing_parts: what is missing between its parts, in words.
        elsewhere: of parts: what came before and after them, in words.
        earlier_results: late results of events that are not at hand.
    """

    volumes: list[list[Capture]]
    header: Header
    end: End
    gaps: list[Gap]
    lowest: int
    cpus: int
    missing_parts: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    earlier_results: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    @property
    def captures(self) -> list[Capture]:
        """All its captures."""
        return [capture for volume in self.volumes for capture in volume]

    @property
    def late_results(self) -> dict[tuple[int, int], tuple[int, int]]:
        """Late results of all its captures."""
        return {
            event: result
            for capture in self.captures
            for event, result in capture.late_results.items()
        }


def recordings_of(captures: Sequence[Capture]) -> list[Recording]:
    """Return the recordings of captures, in the order in which they are given.

    Raises:
        UsageError: a part or a piece stands twice, or parts overlap, or an event is in two.
    """
    pieces: dict[object, list[Capture]] = {}
    for capture in captures:
        found = _piece(capture.header)
        key = id(capture) if found is None else encode_header(found[0])
        pieces.setdefault(key, []).append(capture)
    parts: dict[object, list[_Volume]] = {}
    for side_by_side in pieces.values():
        volume = _volume(side_by_side)
        header = volume.header
        key = id(volume)
        if header.part is not None and header.boot_id is not None:
            clock = Clock(header.clock.name, 0, header.clock.offset_ns)
            key = encode_header(replace(header, clock=clock, part=None, after={}, warnings=()))
        parts.setdefault(key, []).append(volume)
    made = [_recording(sorted(one, key=_part)) for one in parts.values()]
    refuse_overlaps(captures)
    return made


def _part(volume: _Volume) -> int:
    return volume.header.part or 0


def _last_done(header: Header) -> Rewriting:
    return header.rewritten[-1] if header.rewritten else Rewriting("")


def _piece(header: Header) -> tuple[Header, object] | None:
    """Return what the pieces of a split have in common, and which of them this is."""
    last = _last_done(header)
    if last.what != SPLIT or PIECE not in last.asked:
        return None
    asked = dict(last.asked)
    number = asked.pop(PIECE)
    return replace(header, rewritten=(*header.rewritten[:-1], replace(last, asked=asked))), number


def _volume(captures: list[Capture]) -> _Volume:
    events: Counter[int] = Counter()
    gaps: dict[tuple[int, int, int, str], Gap] = {}
    ends, lowest, cpus, numbers = [], MAX_UINT32, 0, set()
    for capture in captures:
        found = _piece(capture.header)
        if found is not None and found[1] in numbers:
            raise UsageError(f"{capture.name}: this piece of a split stands twice")
        numbers.add(None if found is None else found[1])
        seen = Seen.all_of(capture)
        events.update(seen.events)
        for gap in capture.gaps:
            place = (gap.cpu, gap.first_sequence, gap.last_sequence, gap.cause)
            known = gaps[place].processes if place in gaps else ()
            whose = tuple(dict.fromkeys((*known, *gap.processes)))
            gaps[place] = replace(gap, processes=whose)
        end = seen.end(capture)
        ends.append(end)
        reached = {*seen.reached, *end.sequences, *(gap.cpu for gap in capture.gaps)}
        for origin in capture.header.origins:
            reached |= {origin.first_cpu, origin.first_cpu + origin.cpus - 1}
        if not capture.header.origins:
            reached.add(0)
        lowest = min(lowest, *reached)
        cpus = max(cpus, max(reached) + 1)
    if len(captures) == 1:
        return _Volume(captures, captures[0].header, ends[0], list(capture.gaps), lowest, cpus)
    common = _piece(captures[0].header)
    assert common is not None
    end = _side_by_side(ends, events, list(gaps.values()), common[0])
    return _Volume(captures, common[0], end, list(gaps.values()), lowest, cpus)


def _side_by_side(
    ends: Sequence[End], events: Counter[int], gaps: list[Gap], header: Header
) -> End:
    """Return the end of what was split: each of its pieces lacks what the others have."""
    left_out = Counter(ends[0].sequences)
    left_out.subtract(header.after)
    left_out.subtract(events)
    for gap in gaps:
        left_out[gap.cpu] -= gap.count
    return replace(
        ends[0],
        left_out={cpu: count for cpu, count in left_out.items() if count > 0},
        lost=_counted(ends, gaps),
        lost_results=added(end.lost_results for end in ends),
        bypassed=tuple(dict.fromkeys(found for end in ends for found in end.bypassed)),
        warnings=tuple(dict.fromkeys(said for end in ends for said in end.warnings)),
    )


def _counted(ends: Sequence[End], gaps: Iterable[Gap]) -> dict[str, int] | None:
    """Return how many events were lost, by cause; None where one of the ends does not tell."""
    return None if any(end.lost is None for end in ends) else dict(cause_counts(gaps))


def _recording(volumes: list[_Volume]) -> Recording:
    first, last = volumes[0], volumes[-1]
    gaps = [gap for volume in volumes for gap in volume.gaps]
    missing: list[str] = []
    for place, (before, after) in enumerate(pairwise(volumes), 1):
        between = list(_between(volumes[:place], volumes[place:]))
        gaps += between
        if between or _part(after) > _part(before) + 1:
            lost = sum(gap.count for gap in between)
            missing.append(
                f"{after.captures[0].name}: {lost:,} events between part {_part(before)} and part "
                f"{_part(after)} are missing"
            )
    header = first.header
    if len(volumes) > 1 and header.part == 1:
        last_done = _last_done(header)
        was_part = last_done.asked.get(OF_PART) if last_done.what == SPLIT else None
        header = replace(header, part=was_part)
    end = last.end
    if len(volumes) > 1:
        left_out: Counter[int] = Counter()
        ends = [volume.end for volume in volumes]
        for one in ends:
            left_out.update(one.left_out)
        cut_short = any(volume.end.reason == RECOVERED for volume in volumes)
        end = replace(
            end,
            reason=RECOVERED if cut_short else end.reason,
            left_out=dict(left_out),
            lost=_counted(ends, gaps),
            lost_results=added(one.lost_results for one in ends),
        )
    made = Recording(
        [volume.captures for volume in volumes],
        header,
        end,
        gaps,
        min(volume.lowest for volume in volumes),
        max(volume.cpus for volume in volumes),
        missing,
        [*_elsewhere(first, last)],
    )
    _share_results(made, volumes)
    return made


def _elsewhere(first: _Volume, last: _Volume) -> Iterable[str]:
    """Tell of a recording's parts before and after those at hand."""
    if _part(first) > 1:
        earlier = sum(first.header.after.values())
        yield (
            f"{first.captures[0].name}: the recording began before part {_part(first)}: "
            f"its first events, {earlier:,}, are not here"
        )
    if _part(last) and last.end.reason == "rotation":
        yield f"{last.captures[-1].name}: the recording went on after part {_part(last)}, not here"


def _between(earlier: Sequence[_Volume], later: Sequence[_Volume]) -> Iterable[Gap]:
    """Yield the numbers that are neither in a part nor in the next one at hand."""
    before, after = earlier[-1], later[0]
    for cpu in sorted({*before.end.sequences, *after.header.after}):
        reached, begins = before.end.sequences.get(cpu, 0), after.header.after.get(cpu, 0)
        if begins < reached:
            name = after.captures[0].name
            raise UsageError(
                f"{name}: part {_part(after)} does not go on where part {_part(before)} ended: "
                f"number {reached + 1} of CPU {cpu} expected, {begins + 1} found"
            )
        if begins > reached:
            count = begins - reached
            last_ns = _first_after(later, cpu)
            first_ns = min(_last_before(earlier, cpu), last_ns)
            yield Gap(cpu, reached + 1, begins, count, first_ns, last_ns, MISSING_PART)


def _last_before(earlier: Sequence[_Volume], cpu: int) -> int:
    """Return when the last event of a CPU was, wall clock; without one, when recording began."""
    for volume in reversed(earlier):
        moments = [*_edges(volume, cpu, last=True)]
        if moments:
            return max(moments)
    return earlier[0].header.clock.wall_ns


def _first_after(later: Sequence[_Volume], cpu: int) -> int:
    """Return when the first event of a CPU was, wall clock; without one, when recording ended."""
    for volume in later:
        moments = [*_edges(volume, cpu, last=False)]
        if moments:
            return min(moments)
    return later[-1].end.clock_ns + later[-1].header.clock.offset_ns


def _edges(volume: _Volume, cpu: int, *, last: bool) -> Iterable[int]:
    """Yield when each capture of a volume has its last event of a CPU, or its first."""
    for capture in volume.captures:
        found = [
            (row[2] if last else row[1], index)
            for index, summary in capture.numbered_summaries()
            for row in summary.sequences
            if row[0] == cpu
        ]
        batch = capture.batch_at((max(found) if last else min(found))[1]) if found else None
        if batch is not None:
            moments = batch.time_ns[batch.cpu == cpu]
            yield int(moments[-1] if last else moments[0])


def _share_results(made: Recording, volumes: Sequence[_Volume]) -> None:
    """Give late results to the earlier part that has their event."""
    for later, volume in enumerate(volumes):
        for capture in volume.captures:
            for (cpu, number), result in capture.earlier_results.items():
                for earlier in volumes[:later]:
                    after = earlier.header.after.get(cpu, 0)
                    if after < number <= earlier.end.sequences.get(cpu, 0):
                        for holder in earlier.captures:
                            holder.learn({(cpu, number): result})
                        break
                else:
                    made.earlier_results[cpu, number] = result
