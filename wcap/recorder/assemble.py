"""Records → batches: join beginnings and ends of writes, put them in order, find what is missing.

A thread is in one system call at a time, so a write's end is the next end of its thread. Writes
still under way, and the newest ones, whose neighbours on other CPUs may not have arrived, wait
for the next batch; a write that takes too long is handed on without its result, which follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.events import EventBatch, EventFlag, Gap
from wcap.fields import text
from wcap.format import Clock
from wcap.recorder import records
from wcap.recorder.joining import Joined, join
from wcap.recorder.processes import ProcessTable
from wcap.recorder.records import (
    PID_SHIFT,
    TID,
    Enters,
    Exits,
    Span,
    joined_enters,
    joined_exits,
    some_enters,
    some_exits,
)

# A write that has not ended by then is handed on as unfinished.
UNFINISHED_AFTER_NS = 1_000_000_000
# No more than this waits for writes to end.
HELD_EVENTS = 1 << 16
HELD_BYTES = 4 << 20
# More holes than this of one CPU in one batch are written as fewer, wider gaps.
MAX_GAPS = 64


@dataclass(frozen=True, slots=True)
class Cut:
    """What is ready to be written: gaps first, then late results, then the events."""

    batch: EventBatch | None = None
    gaps: list[Gap] = field(default_factory=list)
    results: list[tuple[int, int, int, int]] = field(default_factory=list)


class Assembler:
    """Collects records and cuts batches from them.

    Args:
        clock: the capture's; its start is when recording began.
        snaplen: bytes of payload kept of a write.
        syscalls: names by the number that records carry.
        cause_of: says why a CPU loses events.

    Attributes:
        waiting, waiting_bytes: writes fed and not handed on yet, and bytes of payload.
        latest_ns: the latest time of a write fed, on the capture's clock.
    """

    def __init__(
        self,
        clock: Clock,
        snaplen: int,
        syscalls: tuple[str, ...],
        cause_of: Callable[[int], str],
    ) -> None:
        self._clock = clock
        self._snaplen = snaplen
        self._syscalls = syscalls
        self._cause_of = cause_of
        self._processes = ProcessTable()
        self._enters: list[Enters] = []
        self._exits: list[Exits] = []
        self._order = 0
        self._open: dict[int, tuple[int, int, int]] = {}
        self._last: dict[int, tuple[int, int]] = {}
        self.waiting = 0
        self.waiting_bytes = 0
        self.latest_ns = 0

    def feed(self, span: Span) -> None:
        """Take in records, in the order of their transport."""
        decoded = records.decode(span, self._order)
        self._order += len(span.starts)
        for seen in decoded.processes:
            self._processes.see(seen)
        if len(decoded.enters.order):
            self._enters.append(decoded.enters)
            self.latest_ns = max(self.latest_ns, int(decoded.enters.time_ns.max()))
        if len(decoded.exits.order):
            self._exits.append(decoded.exits)
        self.waiting += len(decoded.enters.order)
        self.waiting_bytes += len(decoded.enters.payload) + _reread_bytes(decoded.exits)

    def cut(
        self, now_ns: int, settled_ns: int, *, last: bool = False, most: int | None = None
    ) -> Cut:
        """Return what is ready.

        Args:
            now_ns: the capture's clock now.
            settled_ns: all records of writes that began before this have been fed.
            last: nothing more will be fed; hand on everything.
            most: no more events than this.
        """
        enters = joined_enters(self._enters)
        exits = joined_exits(self._exits)
        self._enters, self._exits = [], []
        if enters is None:
            self.waiting_bytes = 0
            return Cut(results=self._late(exits, np.empty(0, dtype=np.int64), {}))
        enters = self._steadied(enters)
        joined = join(enters, exits)
        superseded = self._superseded(enters)
        results = self._late(exits, joined.ends, superseded)
        for tid in superseded:
            self._open.pop(tid, None)
        ordered = _by_time(enters.time_ns)
        ready = self._ready(enters, exits, joined, ordered, now_ns, settled_ns, last=last)
        if most is not None:
            ready = min(ready, most)
        self._hold(enters, exits, joined, np.sort(ordered[ready:]))
        rows = ordered[:ready]
        if not ready:
            return Cut(results=results)
        gaps = self._gaps(enters.cpu[rows], enters.sequence[rows], enters.time_ns[rows])
        return Cut(self._batch(enters, exits, joined, rows), gaps, results)

    def finish(self, sequences: Mapping[int, int], now_ns: int) -> list[Gap]:
        """Return what was lost after the last event of each CPU.

        Args:
            sequences: how many events each CPU has seen.
            now_ns: the capture's clock now.
        """
        gaps = []
        for cpu, seen in sorted(sequences.items()):
            before, before_ns = self._last.get(cpu, (0, self._clock.clock_ns))
            if seen > before:
                gaps.append(self._gap(cpu, before + 1, seen, seen - before, before_ns, now_ns))
        return gaps

    def recorded(self) -> dict[int, int]:
        """Return the last sequence number handed on, by CPU."""
        return {cpu: sequence for cpu, (sequence, _) in self._last.items()}

    def _ready(
        self,
        enters: Enters,
        exits: Exits | None,
        joined: Joined,
        ordered: npt.NDArray[np.intp],
        now_ns: int,
        settled_ns: int,
        *,
        last: bool,
    ) -> int:
        """Return how many writes, in order of time, can be handed on."""
        total = len(ordered)
        if last:
            return total
        times = enters.time_ns[ordered]
        ready = int(np.searchsorted(times, settled_ns))
        under_way = ((joined.ends < 0) & ~joined.lost)[ordered]
        patient = np.flatnonzero(under_way & (times >= now_ns - UNFINISHED_AFTER_NS))
        if len(patient) and patient[0] < ready:
            held = total - int(patient[0])
            held_bytes = int(enters.captured[ordered[patient[0] :]].sum()) + _reread_bytes(exits)
            if held <= HELD_EVENTS and held_bytes <= HELD_BYTES:
                return int(patient[0])
        return ready

    def _hold(
        self, enters: Enters, exits: Exits | None, joined: Joined, rows: npt.NDArray[np.intp]
    ) -> None:
        """Keep writes for the next batch, and the ends that belong to them."""
        self.waiting, self.waiting_bytes = len(rows), 0
        if not len(rows):
            return
        held = some_enters(enters, rows)
        self.waiting_bytes = len(held.payload)
        self._enters = [held]
        ends = joined.ends[rows]
        if exits is not None and len(ends := np.sort(ends[ends >= 0])):
            self._exits = [some_exits(exits, ends)]
            self.waiting_bytes += _reread_bytes(self._exits[0])

    def _steadied(self, enters: Enters) -> Enters:
        """Keep each CPU's times from going back, as the kernel's fast clock may by a little."""
        times = enters.time_ns
        for cpu in np.unique(enters.cpu).tolist():
            mine = np.flatnonzero(enters.cpu == cpu)
            mine = mine[np.argsort(enters.sequence[mine], kind="stable")]
            _, last_ns = self._last.get(cpu, (0, 0))
            steady = np.maximum(np.maximum.accumulate(times[mine]), last_ns)
            if not np.array_equal(steady, times[mine]):
                times = times.copy()
                times[mine] = steady
        return enters if times is enters.time_ns else replace(enters, time_ns=times)

    def _superseded(self, enters: Enters) -> dict[int, int]:
        """Return the threads whose write was handed on without its end, and which began another
        since: after the record given here no end is that write's.
        """
        tids = enters.pid_tgid & TID
        return {
            tid: int(enters.order[np.argmax(tids == tid)])
            for tid in set(tids.tolist()) & self._open.keys()
        }

    def _late(
        self, exits: Exits | None, ends: npt.NDArray[np.int64], superseded: Mapping[int, int]
    ) -> list[tuple[int, int, int, int]]:
        """Return the results of writes that were handed on without."""
        if exits is None or not self._open:
            return []
        unused = np.ones(len(exits.order), dtype=np.bool_)
        unused[ends[ends >= 0]] = False
        results = []
        for position in np.flatnonzero(unused).tolist():
            tid, order = int(exits.pid_tgid[position] & TID), int(exits.order[position])
            if tid in self._open and order < superseded.get(tid, order + 1):
                cpu, sequence, time_ns = self._open.pop(tid)
                took = int(exits.time_ns[position]) - time_ns
                results.append((cpu, sequence, int(exits.returned[position]), took))
        return results

    def _batch(
        self, enters: Enters, exits: Exits | None, joined: Joined, rows: npt.NDArray[np.intp]
    ) -> EventBatch:
        time_ns, tid = enters.time_ns[rows], (enters.pid_tgid[rows] & TID).astype(np.uint32)
        ends = joined.ends[rows]
        done = ends >= 0
        returned, duration_ns = np.zeros((2, len(rows)), dtype=np.int64)
        payload, bounds = _payloads(enters, exits, rows, ends)
        flags = self._flags(enters, rows, ends, joined, exits)
        if exits is not None:
            returned[done] = exits.returned[ends[done]]
            duration_ns[done] = exits.time_ns[ends[done]] - time_ns[done]
        for row in np.flatnonzero(flags & np.uint32(EventFlag.UNFINISHED)).tolist():
            place = rows[row]
            self._open[int(tid[row])] = (
                int(enters.cpu[place]),
                int(enters.sequence[place]),
                int(time_ns[row]),
            )
        comm, comms = _names(enters.comm0[rows], enters.comm1[rows])
        pids = (enters.pid_tgid[rows] >> PID_SHIFT).astype(np.uint32)
        process, processes = self._processes.column(pids, enters.order[rows], comms, comm)
        columns: dict[str, npt.NDArray[Any]] = {
            "time_ns": time_ns + self._clock.offset_ns,
            "cpu": enters.cpu[rows],
            "sequence": enters.sequence[rows],
            "process": process,
            "tid": tid,
            "comm": comm,
            "syscall": np.zeros(len(rows), dtype=np.uint32),
            "fd": enters.fd[rows],
            "count": enters.count[rows],
            "captured": (bounds[1] - bounds[0]).astype(np.uint32),
            "returned": returned,
            "duration_ns": duration_ns,
            "flags": flags,
        }
        return EventBatch(
            len(rows),
            columns,
            payload,
            processes=processes,
            comms=comms,
            syscalls=self._syscalls,
            bounds=bounds,
        )

    def _flags(
        self,
        enters: Enters,
        rows: npt.NDArray[np.intp],
        ends: npt.NDArray[np.int64],
        joined: Joined,
        exits: Exits | None,
    ) -> npt.NDArray[np.uint32]:
        unread = (enters.flags[rows] & records.UNREADABLE) != 0
        flags = np.where(unread, np.uint32(EventFlag.UNREADABLE), np.uint32(0))
        cut = (enters.count[rows] > self._snaplen) & ~unread
        flags |= np.where(cut, np.uint32(EventFlag.TRUNCATED), np.uint32(0))
        lost = joined.lost[rows]
        flags |= np.where(lost, np.uint32(EventFlag.RESULT_LOST), np.uint32(0))
        open_ = (ends < 0) & ~lost
        flags |= np.where(open_, np.uint32(EventFlag.UNFINISHED), np.uint32(0))
        if exits is not None and exits.payloads:
            for row in np.flatnonzero(unread & (ends >= 0)).tolist():
                flags[row] = self._reread_flags(enters, exits, int(rows[row]), int(ends[row]))
        return flags

    def _reread_flags(self, enters: Enters, exits: Exits, row: int, end: int) -> int:
        if end not in exits.payloads:
            return EventFlag.UNREADABLE
        payload, failed = exits.payloads[end]
        flags = EventFlag.READ_AT_EXIT if payload or not failed else EventFlag(0)
        if failed:
            flags |= EventFlag.UNREADABLE
        elif int(enters.count[row]) > self._snaplen:
            flags |= EventFlag.TRUNCATED
        return flags

    def _gaps(
        self, cpus: npt.NDArray[Any], sequences: npt.NDArray[Any], times: npt.NDArray[Any]
    ) -> list[Gap]:
        gaps: list[Gap] = []
        for cpu in np.unique(cpus).tolist():
            mine = cpus == cpu
            numbers, moments = sequences[mine], times[mine]
            before, before_ns = self._last.get(cpu, (0, self._clock.clock_ns))
            steps = np.diff(numbers, prepend=before)
            holes = np.flatnonzero(steps != 1)
            for group in np.array_split(holes, MAX_GAPS) if len(holes) > MAX_GAPS else holes:
                first, last = np.atleast_1d(group)[[0, -1]].tolist()
                missing = int((steps[first : last + 1] - 1).sum())
                after = int(numbers[first - 1]) if first else before
                after_ns = int(moments[first - 1]) if first else before_ns
                gaps.append(
                    self._gap(
                        cpu,
                        after + 1,
                        int(numbers[last]) - 1,
                        missing,
                        after_ns,
                        int(moments[last]),
                    )
                )
            self._last[cpu] = (int(numbers[-1]), int(moments[-1]))
        return sorted(gaps, key=lambda gap: gap.last_ns)

    def _gap(self, cpu: int, first: int, last: int, count: int, first_ns: int, last_ns: int) -> Gap:
        offset = self._clock.offset_ns
        return Gap(
            cpu, first, last, count, first_ns + offset, last_ns + offset, self._cause_of(cpu)
        )


def _reread_bytes(exits: Exits | None) -> int:
    if exits is None or not exits.payloads:
        return 0
    return sum(len(payload) for payload, _ in exits.payloads.values())


def _by_time(times: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    if bool((times[1:] >= times[:-1]).all()):
        return np.arange(len(times))
    return np.argsort(times, kind="stable")


def _payloads(
    enters: Enters, exits: Exits | None, rows: npt.NDArray[np.intp], ends: npt.NDArray[np.int64]
) -> tuple[bytes, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Return the payloads, those read at exit behind the others, and where each lies."""
    stops = np.cumsum(enters.captured, dtype=np.int64)
    starts = stops - enters.captured
    starts, stops = starts[rows], stops[rows]
    if exits is None or not exits.payloads:
        return enters.payload, (starts, stops)
    pieces, length = [enters.payload], len(enters.payload)
    unread = (enters.flags[rows] & records.UNREADABLE) != 0
    for row in np.flatnonzero(unread & (ends >= 0)).tolist():
        if (end := int(ends[row])) in exits.payloads:
            payload, _ = exits.payloads[end]
            starts[row], stops[row] = length, length + len(payload)
            pieces.append(payload)
            length += len(payload)
    return b"".join(pieces), (starts, stops)


def _names(
    first: npt.NDArray[Any], second: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.uint32], list[str]]:
    """Turn names, two words each, into positions in a table of names."""
    if bool((first == first[0]).all() and (second == second[0]).all()):
        return np.zeros(len(first), dtype=np.uint32), [_name(first[0], second[0])]
    _, firsts = np.unique(first, return_inverse=True)
    distinct, seconds = np.unique(second, return_inverse=True)
    _, rows, codes = np.unique(
        firsts * len(distinct) + seconds, return_index=True, return_inverse=True
    )
    return codes.astype(np.uint32), [_name(first[row], second[row]) for row in rows]


def _name(first: np.uint64, second: np.uint64) -> str:
    return text((first.tobytes() + second.tobytes()).split(b"\0", 1)[0])
