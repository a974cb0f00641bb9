"""What several recordings are as one: CPU numbers, times, HEADER and END (SPEC.md section 8.7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from wcap.batch import COLUMNS, Column, EventBatch
from wcap.chunk_summary import Summary
from wcap.events import Gap, Process
from wcap.fields import MAX_INT64
from wcap.format import AT_ENTER, MERGED, RECOVERED, Clock, End, Header, Origin
from wcap.hosts import Hosts
from wcap.readable import Piece

_Fact = TypeVar("_Fact")


@dataclass(frozen=True, slots=True)
class Shift:
    """From a recording's CPU numbers and clock to those of the capture that it becomes part of."""

    first_cpu: int
    delta_ns: int

    def gap(self, gap: Gap) -> Gap:
        """Move a gap, whose times are of the wall clock."""
        return replace(gap, cpu=gap.cpu + self.first_cpu)

    def numbers(self, of_cpus: Mapping[int, int]) -> dict[int, int]:
        """Move numbers of CPUs."""
        return {cpu + self.first_cpu: number for cpu, number in of_cpus.items()}

    def summary(self, summary: Summary) -> Summary:
        """Move a summary."""
        return replace(
            summary,
            first_ns=summary.first_ns + self.delta_ns,
            last_ns=summary.last_ns + self.delta_ns,
            sequences=tuple((row[0] + self.first_cpu, *row[1:]) for row in summary.sequences),
        )

    def piece(self, piece: Piece, hosts: Hosts) -> Piece:
        """Move events, whose times are of the wall clock; their chunk stays if nothing moves."""
        batch = piece.batch
        moved = EventBatch(
            len(batch),
            _MovedColumns(batch, self.first_cpu),
            lambda: batch.data,
            processes=[self._process(process) for process in batch.processes],
            comms=batch.comms,
            syscalls=batch.syscalls,
            targets=batch.targets,
            addresses=batch.addresses,
            bounds=batch.bounds,
            hosts=hosts,
        )
        return Piece(moved, None if self.first_cpu or self.delta_ns else piece.chunk)

    def _process(self, process: Process) -> Process:
        if process.start_ns is None or not self.delta_ns:
            return process
        start_ns = process.start_ns + self.delta_ns
        return replace(process, start_ns=start_ns if abs(start_ns) <= MAX_INT64 else None)


class _MovedColumns(Mapping[str, Column]):
    """The columns of a batch, with other CPU numbers."""

    def __init__(self, batch: EventBatch, first_cpu: int) -> None:
        self._batch = batch
        self._first_cpu = first_cpu

    def __getitem__(self, name: str) -> Column:
        column = self._batch.column(name)
        if name != "cpu":
            return column
        moved: Column = (column.astype(np.int64) + self._first_cpu).astype(column.dtype)
        return moved

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)


def merged_header(
    headers: Sequence[Header], shifts: Sequence[Shift], cpus: Sequence[int]
) -> Header:
    """Return the header of several recordings; of one it is its own.

    Args:
        headers: of the recordings; the clock of the one that began first is that of all.
        shifts: where their CPU numbers begin.
        cpus: how many each has.
    """
    if len(headers) == 1:
        return headers[0]
    origins: list[Origin] = []
    after: dict[int, int] = {}
    for header, shift, numbers in zip(headers, shifts, cpus, strict=True):
        after |= shift.numbers(header.after)
        if not header.origins:
            origins.append(Origin(shift.first_cpu, numbers, header))
        for inner in header.origins:
            done = (*inner.header.rewritten, *header.rewritten)
            of_inner = replace(inner.header, rewritten=done)
            origins.append(Origin(shift.first_cpu + inner.first_cpu, inner.cpus, of_inner))
    return _summed(origins, first_clock(headers), after)


def first_clock(headers: Iterable[Header]) -> Clock:
    """Return the clock of the recording that began first on the wall clock."""
    return min(headers, key=lambda header: header.started_ns).clock


def _summed(origins: Sequence[Origin], clock: Clock, after: Mapping[int, int]) -> Header:
    """Return a header that says what holds of all origins."""
    headers = [origin.header for origin in origins]
    return Header(
        clock=clock,
        snaplen=max(header.snaplen for header in headers),
        syscalls=tuple(dict.fromkeys(call for header in headers for call in header.syscalls)),
        transport=_same(header.transport for header in headers),
        kernel=_same(header.kernel for header in headers) or {},
        host=_same(header.host for header in headers),
        boot_id=_same(header.boot_id for header in headers),
        filters=_same(header.filters for header in headers) or {},
        command=_same(header.command for header in headers),
        versions=_same(header.versions for header in headers) or {},
        warnings=tuple(dict.fromkeys(said for header in headers for said in header.warnings)),
        at=_same(header.at for header in headers) or AT_ENTER,
        after=after,
        origins=tuple(origins),
    )


def _same(facts: Iterable[_Fact]) -> _Fact | None:
    """Return what all are alike; None where they differ."""
    first, *others = facts
    return first if all(other == first for other in others) else None


def merged_end(ends: Sequence[End], headers: Sequence[Header], shifts: Sequence[Shift]) -> End:
    """Return the end of several recordings; of one it is its own."""
    if len(ends) == 1:
        return ends[0]
    sequences: dict[int, int] = {}
    left_out: dict[int, int] = {}
    origins: list[End] = []
    for end, header, shift in zip(ends, headers, shifts, strict=True):
        sequences |= shift.numbers(end.sequences)
        left_out |= shift.numbers(end.left_out)
        expected = max(1, len(header.origins))
        own = end.origins if len(end.origins) == expected else (_own(end),) * expected
        origins += own
    clock_ns, wall_ns = max(
        (end.clock_ns + shift.delta_ns, end.wall_ns)
        for end, shift in zip(ends, shifts, strict=True)
    )
    return replace(
        _totals(ends),
        clock_ns=max(clock_ns, 0),
        wall_ns=wall_ns,
        sequences=sequences,
        left_out=left_out,
        origins=tuple(origins),
    )


def _own(end: End) -> End:
    return replace(end, sequences={}, left_out={}, origins=())


def _totals(ends: Sequence[End]) -> End:
    """Return what several ends come to: as bad as the worst of them."""
    reasons = [end.reason for end in ends]
    worst = [reason for reason in (RECOVERED, "error") if reason in reasons]
    return End(
        reason=worst[0] if worst else _same(reasons) or MERGED,
        clock_ns=ends[0].clock_ns,
        wall_ns=ends[0].wall_ns,
        lost=added(end.lost for end in ends),
        lost_results=added(end.lost_results for end in ends),
        unfollowed=sum(end.unfollowed for end in ends),
        exit_status=_same(end.exit_status for end in ends),
        warnings=tuple(dict.fromkeys(said for end in ends for said in end.warnings)),
        bypassed=tuple(found for end in ends for found in end.bypassed),
    )


def added(counts: Iterable[Mapping[str, int] | None]) -> dict[str, int] | None:
    """Return sums by cause; None where one of the counts is not known."""
    total: Counter[str] = Counter()
    for count in counts:
        if count is None:
            return None
        total.update(count)
    return dict(total)


def without(header: Header, gone: Collection[Origin]) -> Header:
    """Return a header that tells nothing of some of its origins."""
    if not gone:
        return header
    kept = [origin for origin in header.origins if origin not in gone]
    after = {cpu: last for cpu, last in header.after.items() if not inside(cpu, gone)}
    if not kept:  # then no time is left to be told either
        nothing = Clock(header.clock.name, 0, 0)
        return Header(nothing, 0, (), after=after, rewritten=header.rewritten)
    clock = first_clock(origin.header for origin in kept)
    return replace(_summed(kept, clock, after), rewritten=header.rewritten)


def end_without(end: End, header: Header, gone: Collection[Origin], clock: Clock) -> End:
    """Return an end that tells nothing of some origins, on the clock of what is left.

    Its ``lost`` and ``lost_results`` stay, for they count what the capture lacks.
    """
    if not gone:
        return end
    if len(gone) == len(header.origins):
        end = End(MERGED, 0, 0, end.sequences, left_out=end.left_out)
    elif len(end.origins) == len(header.origins):
        told = zip(header.origins, end.origins, strict=True)
        left = [(origin, one) for origin, one in told if origin not in gone]
        end = _end_of(left, end, clock)
    else:
        clock_ns = end.clock_ns + header.clock.offset_ns - clock.offset_ns
        end = replace(end, clock_ns=max(clock_ns, 0))
    sequences = {cpu: last for cpu, last in end.sequences.items() if not inside(cpu, gone)}
    return replace(end, sequences=sequences)


def _end_of(told: Sequence[tuple[Origin, End]], end: End, clock: Clock) -> End:
    """Return an end that tells of these recordings what it told of more."""
    moments = [
        (one.clock_ns + origin.header.clock.offset_ns - clock.offset_ns, one.wall_ns)
        for origin, one in told
    ]
    clock_ns, wall_ns = max(moments)
    own = tuple(one for _, one in told)
    return replace(
        _totals(own),
        clock_ns=max(clock_ns, 0),
        wall_ns=wall_ns,
        sequences=end.sequences,
        lost=end.lost,
        lost_results=end.lost_results,
        left_out=end.left_out,
        origins=own,
    )


def inside(cpu: int, origins: Iterable[Origin]) -> bool:
    """Whether a CPU number is one of some recordings'."""
    return any(one.first_cpu <= cpu < one.first_cpu + one.cpus for one in origins)
