"""The assembler's rules, applied one record after the other: what its columns must come to."""

from __future__ import annotations

from dataclasses import dataclass, field

from recorder.rawrecords import enter, leave, process, reread

from wcap.events import EventFlag, Gap, Process
from wcap.recorder.assemble import UNFINISHED_AFTER_NS

SNAPLEN = 16


@dataclass(eq=False)
class Write:
    """The record of a write's beginning."""

    pid: int
    tid: int
    cpu: int
    time_ns: int
    sequence: int
    count: int
    comm: bytes
    memory: bytes
    unreadable: bool
    fd: int
    order: int = -1

    @property
    def payload(self) -> bytes:
        return b"" if self.unreadable else self.memory[:SNAPLEN]

    def raw(self) -> bytes:
        return enter(
            self.payload,
            pid=self.pid,
            tid=self.tid,
            cpu=self.cpu,
            time_ns=self.time_ns,
            sequence=self.sequence,
            fd=self.fd,
            count=self.count,
            comm=self.comm,
            unreadable=self.unreadable,
        )


@dataclass(eq=False)
class End:
    """The record of a write's end; ``payload`` is what was read then, if that was tried."""

    pid: int
    tid: int
    cpu: int
    time_ns: int
    returned: int
    payload: bytes | None = None
    failed: bool = False
    order: int = -1

    def raw(self) -> bytes:
        of = {"pid": self.pid, "tid": self.tid, "cpu": self.cpu, "time_ns": self.time_ns}
        if self.payload is None:
            return leave(self.returned, **of)
        return reread(self.payload, self.returned, failed=self.failed, **of)


@dataclass(eq=False)
class Seen:
    """The record of a process."""

    process: Process
    order: int = -1

    def raw(self) -> bytes:
        one = self.process
        known = one.start_ns is not None
        return process(
            one.pid,
            gid=one.gid,
            comm=one.comm.encode(),
            leader=one.leader.encode() if known else b"",
            ppid=one.ppid if known else 0,
            uid=one.uid,
            start_ns=one.start_ns if known else 0,
            known=known,
        )


@dataclass
class Row:
    """An event as it must come out."""

    time_ns: int
    cpu: int
    sequence: int
    process: Process
    tid: int
    comm: str
    fd: int
    count: int
    payload: bytes
    flags: EventFlag
    result: tuple[int, int] | None


@dataclass
class Expected:
    """What a cut must return."""

    rows: list[Row] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    results: list[tuple[int, int, int, int]] = field(default_factory=list)


class OneByOne:
    """Keeps every record that was fed, and looks through them anew for each cut."""

    def __init__(self, started_ns: int, offset_ns: int, held_events: int) -> None:
        self._started_ns = started_ns
        self._offset_ns = offset_ns
        self._held_events = held_events
        self._fed: list[Write | End | Seen] = []
        self._looked_at = 0
        self._waiting: list[Write] = []
        self._open: dict[int, Write] = {}
        self._last: dict[int, tuple[int, int]] = {}
        self._versions: dict[int, list[tuple[int, Process]]] = {}

    def feed(self, records: list[Write | End | Seen]) -> None:
        for record in records:
            record.order = len(self._fed)
            self._fed.append(record)
            if isinstance(record, Write):
                self._waiting.append(record)
            elif isinstance(record, Seen):
                versions = self._versions.setdefault(record.process.pid, [])
                versions.append((record.order, record.process))

    def cut(self, now_ns: int, settled_ns: int, *, last: bool, most: int | None) -> Expected:
        results = self._late()
        waiting = sorted(self._waiting, key=lambda write: (write.time_ns, write.order))
        ready = self._ready(waiting, now_ns, settled_ns, last=last)
        ready = ready if most is None else ready[:most]
        self._waiting = [write for write in self._waiting if write not in ready]
        for write in ready:
            if write.pid not in self._versions:
                found = Process(write.pid, write.comm.decode())
                self._versions[write.pid] = [(0, found)]
        rows = [self._row(write) for write in ready]
        return Expected(rows, self._gaps(ready), results)

    def _late(self) -> list[tuple[int, int, int, int]]:
        results = []
        for record in self._fed[self._looked_at :]:
            if isinstance(record, Seen):
                continue
            began = self._open.pop(record.tid, None)
            if began is not None and isinstance(record, End):
                took = record.time_ns - began.time_ns
                results.append((began.cpu, began.sequence, record.returned, took))
        self._looked_at = len(self._fed)
        return results

    def _ready(
        self, waiting: list[Write], now_ns: int, settled_ns: int, *, last: bool
    ) -> list[Write]:
        if last:
            return waiting
        settled = [write for write in waiting if write.time_ns < settled_ns]
        for place, write in enumerate(settled):
            patient = write.time_ns >= now_ns - UNFINISHED_AFTER_NS
            if patient and self._next(write) is None:
                if len(waiting) - place <= self._held_events:
                    return settled[:place]
                break
        return settled

    def _next(self, write: Write) -> Write | End | None:
        """Return the next record of the write's thread."""
        for record in self._fed[write.order + 1 :]:
            if not isinstance(record, Seen) and record.tid == write.tid:
                return record
        return None

    def _row(self, write: Write) -> Row:
        end = self._next(write)
        flags, payload, result = EventFlag(0), write.payload, None
        if write.unreadable:
            flags |= EventFlag.UNREADABLE
        elif write.count > SNAPLEN:
            flags |= EventFlag.TRUNCATED
        if end is None:
            flags |= EventFlag.UNFINISHED
            self._open[write.tid] = write
        elif isinstance(end, Write):
            flags |= EventFlag.RESULT_LOST
        else:
            result = (end.returned, end.time_ns - write.time_ns)
            if write.unreadable and end.payload is not None:
                payload, flags = end.payload, self._reread_flags(write, end)
        versions = self._versions[write.pid]
        before = [process for order, process in versions if order <= write.order]
        return Row(
            write.time_ns + self._offset_ns,
            write.cpu,
            write.sequence,
            before[-1] if before else versions[0][1],
            write.tid,
            write.comm.decode(),
            write.fd,
            write.count,
            payload,
            flags,
            result,
        )

    @staticmethod
    def _reread_flags(write: Write, end: End) -> EventFlag:
        if not end.failed:
            cut = EventFlag.TRUNCATED if write.count > SNAPLEN else EventFlag(0)
            return EventFlag.READ_AT_EXIT | cut
        partial = EventFlag.READ_AT_EXIT if end.payload else EventFlag(0)
        return EventFlag.UNREADABLE | partial

    def _gaps(self, ready: list[Write]) -> list[Gap]:
        gaps = []
        for write in ready:
            before, before_ns = self._last.get(write.cpu, (0, self._started_ns))
            if write.sequence > before + 1:
                gaps.append(self._gap(write.cpu, before, write.sequence, before_ns, write.time_ns))
            self._last[write.cpu] = (write.sequence, write.time_ns)
        return gaps

    def finish(self, sequences: dict[int, int], now_ns: int) -> list[Gap]:
        gaps = []
        for cpu, seen in sequences.items():
            before, before_ns = self._last.get(cpu, (0, self._started_ns))
            if seen > before:
                gaps.append(self._gap(cpu, before, seen + 1, before_ns, now_ns))
        return gaps

    def _gap(self, cpu: int, before: int, after: int, first_ns: int, last_ns: int) -> Gap:
        first_ns, last_ns = first_ns + self._offset_ns, last_ns + self._offset_ns
        return Gap(cpu, before + 1, after - 1, after - before - 1, first_ns, last_ns, "full")
