"""What several recordings are as one: CPU numbers, times, HEADER and END (SPEC.md section 8.7)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from wcap.batch import COLUMNS, Column, EventBatch
from wcap.chunk_summary import Summary
from wcap.events import Gap, Process
from wcap.fields import MAX_INT64
from wcap.filters import Filter
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
        headers: of the recordings; the clock of the first is that of all.
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
    return _summed(origins, _earliest(headers), after)


def _earliest(headers: Sequence[Header]) -> Clock:
    """Return the first clock, tied to the wall clock when the first recording began."""
    clock = headers[0].clock
    before_ns = clock.wall_ns - min(header.started_ns for header in headers)
    before_ns = min(before_ns, clock.clock_ns, clock.wall_ns)
    return Clock(clock.name, clock.clock_ns - before_ns, clock.wall_ns - before_ns)


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
        lost=_added(end.lost for end in ends),
        lost_results=_added(end.lost_results for end in ends),
        unfollowed=sum(end.unfollowed for end in ends),
        exit_status=_same(end.exit_status for end in ends),
        warnings=tuple(dict.fromkeys(said for end in ends for said in end.warnings)),
        bypassed=tuple(found for end in ends for found in end.bypassed),
    )


def _added(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(total)


def of_hosts(header: Header, where: Filter) -> Header:
    """Return a header without the origins whose machines are not wanted."""
    kept = _wanted(header, where)
    if len(kept) == len(header.origins):
        return header
    after = {cpu: last for cpu, last in header.after.items() if _inside(cpu, kept)}
    if not kept:
        return Header(header.clock, header.snaplen, header.syscalls, rewritten=header.rewritten)
    return replace(_summed(kept, header.clock, after), rewritten=header.rewritten)


def end_of_hosts(end: End, header: Header, where: Filter) -> End:
    """Return an end without the origins whose machines are not wanted."""
    kept = _wanted(header, where)
    if len(kept) == len(header.origins) or len(end.origins) != len(header.origins):
        return end
    own = [one for one, origin in zip(end.origins, header.origins, strict=True) if origin in kept]
    totals = _totals(own or [replace(end, bypassed=(), unfollowed=0, warnings=())])
    return replace(
        end,
        reason=totals.reason,
        sequences={cpu: last for cpu, last in end.sequences.items() if _inside(cpu, kept)},
        unfollowed=totals.unfollowed,
        exit_status=totals.exit_status,
        warnings=totals.warnings,
        bypassed=totals.bypassed,
        origins=tuple(own),
    )


def _wanted(header: Header, where: Filter) -> list[Origin]:
    return [origin for origin in header.origins if where.may_be_on(origin.header.host)]


def _inside(cpu: int, origins: Sequence[Origin]) -> bool:
    return any(one.first_cpu <= cpu < one.first_cpu + one.cpus for one in origins)
