"""Records → batches: join beginnings and ends of calls, put them in order, find what is missing.

A thread is in one system call at a time, so a call's end is the next end of its thread. Calls
still under way, and the newest ones, whose neighbours on other CPUs may not have arrived, wait
for the next batch; a call that takes too long is handed on without its result, which follows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.batch import EventBatch
from wcap.events import Bypass, EventFlag, Gap, Target
from wcap.format import Clock
from wcap.recorder.batches import Joinery, make_batch, message_result
from wcap.recorder.calls import (
    TID,
    Enters,
    Exits,
    joined_enters,
    joined_exits,
    some_enters,
    some_exits,
)
from wcap.recorder.gaps import GapFinder, Run
from wcap.recorder.joining import SENDMMSG, Joined, join
from wcap.recorder.paths import PathChooser
from wcap.recorder.processes import ProcessTable
from wcap.recorder.records import Decoder, Span
from wcap.recorder.targets import TargetTable
from wcap.seams import Cut

# A call that has not ended by then is handed on as unfinished.
UNFINISHED_AFTER_NS = 1_000_000_000
# No more than this waits for calls to end.
HELD_EVENTS = 1 << 16
HELD_BYTES = 4 << 20
# Of no more threads is a result awaited: some are killed in their call, which then has no end.
AWAITED_THREADS = 1 << 16


@dataclass(frozen=True, slots=True)
class _Open:
    """An event that was handed on without its result."""

    cpu: int
    sequence: int
    time_ns: int
    message: int | None


class Assembler:
    """Collects records and cuts batches from them.

    Args:
        clock: the capture's; its start is when recording began.
        cause_of: says why a CPU loses events.
        losers_of: returns whose events a CPU lost (see `GapFinder`).
        bypassed: called for each process that writes in a way that cannot be recorded.
        at_exit: calls are recorded when they have ended.
        from_proc: the kernel side does not describe targets.
        wants: tells whether what goes to a target is recorded; None if everything is.
        ignore: called with the number of a target that is not.

    Attributes:
        waiting, waiting_bytes: calls fed and not handed on yet, and bytes of payload.
        oldest_ns: the earliest time of one that waits, on the capture's clock; None if none does.
        latest_ns: the latest time of a call fed, on the capture's clock.
    """

    def __init__(
        self,
        clock: Clock,
        cause_of: Callable[[int], str],
        *,
        losers_of: Callable[[int], Sequence[Run]] = lambda cpu: (),
        bypassed: Callable[[Bypass], None] = lambda bypass: None,
        at_exit: bool = False,
        from_proc: bool = False,
        wants: Callable[[Target], bool] | None = None,
        ignore: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._clock = clock
        self._bypassed = bypassed
        self._at_exit = at_exit
        self._decoder = Decoder(at_exit=at_exit)
        self._processes = ProcessTable()
        self._targets = TargetTable(from_proc=from_proc)
        self._paths = None if wants is None else PathChooser(wants, ignore, self._targets)
        self._gaps = GapFinder(clock, cause_of, self._losers)
        self._losers_of = losers_of
        self._enters: list[Enters] = []
        self._exits: list[Exits] = []
        self._open: dict[int, list[_Open]] = {}
        self.waiting = 0
        self.waiting_bytes = 0
        self.oldest_ns: int | None = None
        self.latest_ns = 0

    def feed(self, span: Span) -> None:
        """Take in records, in the order of their transport."""
        decoded = self._decoder.decode(span)
        for seen in decoded.processes:
            self._processes.see(seen)
        for number, target in decoded.targets:
            self._targets.see(number, target)
            if self._paths is not None:
                self._paths.see(number, target)
        for bypass in decoded.bypasses:
            self._bypassed(bypass)
        enters = decoded.enters
        if len(enters.order):
            self.latest_ns = max(self.latest_ns, int(enters.time_ns.max()))
            if self._paths is not None:
                enters = self._paths.keep(enters)
        if len(enters.order):
            self._enters.append(enters)
            earliest_ns = int(enters.time_ns.min())
            self.oldest_ns = min(self.oldest_ns or earliest_ns, earliest_ns)
        if len(decoded.exits.order):
            self._exits.append(decoded.exits)
        self.waiting += len(enters.order)
        self.waiting_bytes += len(enters.payload) + _reread_bytes(decoded.exits)

    def cut(
        self, now_ns: int, settled_ns: int, *, last: bool = False, most: int | None = None
    ) -> Cut:
        """Return what is ready.

        Args:
            now_ns: the capture's clock now.
            settled_ns: all records of calls that began before this have been fed.
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
        joined = self._join(enters, exits)
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
        gaps = self._gaps.find(enters.cpu[rows], enters.sequence[rows], enters.time_ns[rows])
        return Cut(self._batch(Joinery(enters, exits, joined, rows)), gaps, results)

    def finish(self, sequences: Mapping[int, int], now_ns: int) -> list[Gap]:
        """Return what was lost after the last event of each CPU.

        Args:
            sequences: how many events each CPU has seen.
            now_ns: the capture's clock now.
        """
        return self._gaps.finish(sequences, now_ns)

    def numbered(self, sequences: Mapping[int, int]) -> dict[int, int]:
        """Return the last number of each CPU, of what it has seen and was to be recorded."""
        return dict(sequences) if self._paths is None else self._paths.numbered(sequences)

    def _losers(self, cpu: int) -> Sequence[Run]:
        runs = self._losers_of(cpu)
        return runs if self._paths is None else self._paths.losers(cpu, runs)

    def recorded(self) -> dict[int, int]:
        """Return the last sequence number handed on, by CPU."""
        return self._gaps.recorded()

    def _join(self, enters: Enters, exits: Exits | None) -> Joined:
        if self._at_exit:
            nowhere = np.full(len(enters.order), -1, dtype=np.int64)
            return Joined(nowhere, np.ones(len(nowhere), dtype=np.bool_))
        return join(enters, exits)

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
        self.oldest_ns = None
        if not len(rows):
            return
        held = some_enters(enters, rows)
        self.oldest_ns = int(held.time_ns.min())
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
            last_ns = self._gaps.last_ns(cpu)
            steady = np.maximum(np.maximum.accumulate(times[mine]), last_ns)
            if not np.array_equal(steady, times[mine]):
                times = times.copy()
                times[mine] = steady
        return enters if times is enters.time_ns else replace(enters, time_ns=times)

    def _superseded(self, enters: Enters) -> dict[int, int]:
        """Return the threads whose call was handed on without its end, and which began another
        since: after the record given here no end is that call's.
        """
        if not self._open:
            return {}
        tids = enters.pid_tgid & TID
        awaited = np.fromiter(self._open, dtype=np.uint64, count=len(self._open))
        rows = np.flatnonzero(np.isin(tids, awaited))
        found, first = np.unique(tids[rows], return_index=True)
        orders = enters.order[rows[first]]
        return dict(zip(found.tolist(), orders.tolist(), strict=True))

    def _late(
        self, exits: Exits | None, ends: npt.NDArray[np.int64], superseded: Mapping[int, int]
    ) -> list[tuple[int, int, int, int]]:
        """Return the results of calls that were handed on without."""
        if exits is None or not self._open:
            return []
        unused = np.ones(len(exits.order), dtype=np.bool_)
        unused[ends[ends >= 0]] = False
        results = []
        for end in np.flatnonzero(unused).tolist():
            tid, order = int(exits.pid_tgid[end] & TID), int(exits.order[end])
            if tid in self._open and order < superseded.get(tid, order + 1):
                found = (_late_result(exits, end, event) for event in self._open.pop(tid))
                results += [result for result in found if result is not None]
        return results

    def _batch(self, parts: Joinery) -> EventBatch:
        batch = make_batch(parts, self._processes, self._targets, self._clock.offset_ns)
        enters = parts.enters
        unfinished = np.flatnonzero(batch.flags & np.uint32(EventFlag.UNFINISHED))
        for tid, row in zip(batch.tid[unfinished].tolist(), parts.rows[unfinished], strict=True):
            message = None
            if enters.details is not None and enters.syscall[row] == SENDMMSG:
                message = int(enters.details.message[row])
            moment = int(enters.time_ns[row])
            event = _Open(int(enters.cpu[row]), int(enters.sequence[row]), moment, message)
            self._open.setdefault(tid, []).append(event)
        for tid in list(self._open)[: max(len(self._open) - AWAITED_THREADS, 0)]:
            del self._open[tid]
        return batch


def _late_result(exits: Exits, end: int, event: _Open) -> tuple[int, int, int, int] | None:
    """Return the result that an end brings to an event; None if it brings none."""
    returned, why = int(exits.returned[end]), EventFlag(0)
    if event.message is not None:
        returned, why = message_result(exits, end, event.message)
    took = int(exits.time_ns[end]) - event.time_ns
    return None if why else (event.cpu, event.sequence, returned, took)


def _reread_bytes(exits: Exits | None) -> int:
    if exits is None:
        return 0
    return sum(len(reread.payload) for reread in exits.reread.values())


def _by_time(times: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    if bool((times[1:] >= times[:-1]).all()):
        return np.arange(len(times))
    return np.argsort(times, kind="stable")
