"""A batch of events → what a chunk of them holds, for its summary (SPEC.md section 5.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from wcap.batch import Column, EventBatch
from wcap.chunk_summary import MAX_LISTED, MAX_TARGET_BYTES, MAX_TARGETS, Summary
from wcap.events import NO_RESULT, EventFlag, Target
from wcap.fields import untext
from wcap.format import Clock


def summarise(batch: EventBatch, clock: Clock) -> Summary:
    """Sum up a batch that is not empty."""
    flags, returned = batch.flags, batch.returned
    known = (flags & np.uint32(NO_RESULT)) == 0
    answers = returned[known]
    targets = [batch.targets[position] for position in _targets(batch)]

    def flagged(flag: EventFlag) -> int:
        return int(np.count_nonzero(flags & np.uint32(flag)))

    return Summary(
        events=len(batch),
        first_ns=int(batch.time_ns[0]) - clock.offset_ns,
        last_ns=int(batch.time_ns[-1]) - clock.offset_ns,
        captured=int(batch.captured.sum(dtype=np.int64)),
        written=int(answers[answers > 0].sum(dtype=np.uint64)),
        failed=int(np.count_nonzero(answers < 0)),
        truncated=flagged(EventFlag.TRUNCATED),
        unreadable=flagged(EventFlag.UNREADABLE),
        unseen=_unseen(batch),
        unfinished=flagged(EventFlag.UNFINISHED),
        results_lost=flagged(EventFlag.RESULT_LOST),
        sequences=tuple(_sequences(batch.cpu, batch.sequence)),
        pids=_listed(batch.processes[i].pid for i in _distinct(batch.process)),
        tids=_listed(_distinct(batch.tid)),
        fds=_listed(_distinct(batch.fd)),
        comms=_listed(_names(batch)),
        calls=_listed(batch.syscalls[i] for i in _distinct(batch.syscall)),
        payload_lost=flagged(EventFlag.PAYLOAD_LOST),
        targets=_target_names(targets),
        kinds=_listed(target.kind for target in targets if target.kind is not None) or None,
    )


def _unseen(batch: EventBatch) -> int:
    """Count the events of which bytes that could not be read reached the kernel, or may have."""
    flags = batch.flags
    unreadable = (flags & np.uint32(EventFlag.UNREADABLE)) != 0
    harmless = (flags & np.uint32(EventFlag.NO_PAYLOAD | EventFlag.UNSENT)) != 0
    taken = ~batch.has_result | (batch.returned > batch.captured)
    return int(np.count_nonzero(unreadable & ~harmless & taken))


def _targets(batch: EventBatch) -> set[int]:
    """Return the positions of what events were written to or read from."""
    sources = batch.column("source")[batch.has("source")]
    return {*_distinct(batch.target), *(_distinct(sources) if len(sources) else ())}


def _target_names(targets: Iterable[Target]) -> frozenset[str] | None:
    names = frozenset(target.name for target in targets if target.name is not None)
    size = sum(len(untext(name)) for name in names)
    return names if 0 < len(names) <= MAX_TARGETS and size <= MAX_TARGET_BYTES else None


def _names(batch: EventBatch) -> Iterator[str]:
    for position in _distinct(batch.comm):
        yield batch.comms[position]
    for position in _distinct(batch.process):
        leader = batch.processes[position].leader
        if leader is not None:
            yield leader


def _sequences(cpu: Column, sequence: Column) -> Iterator[tuple[int, int, int, int]]:
    for number in _distinct(cpu):
        of_cpu = sequence[cpu == number]
        yield number, int(of_cpu.min()), int(of_cpu.max()), len(of_cpu)


def _distinct(column: Column) -> list[int]:
    if bool((column == column[0]).all()):
        return [int(column[0])]
    distinct: list[int] = np.unique(column).tolist()
    return distinct


def _listed(values: Any) -> frozenset[Any] | None:
    distinct = frozenset(values)
    return distinct if len(distinct) <= MAX_LISTED else None
