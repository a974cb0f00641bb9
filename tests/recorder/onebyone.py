"""The assembler's rules, applied one record after the other: what its columns must come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from recorder import rawrecords
from recorder.rawrecords import enter, extra_of, leave, part, process, reread, sent

from wcap.events import UNKNOWN_TARGET, EventFlag, Gap, Process, Target
from wcap.recorder.assemble import UNFINISHED_AFTER_NS
from wcap.syscalls import SYSCALLS

SNAPLEN = 16
# Of a longer payload parts come first.
PIECE = 6
SENDMMSG = SYSCALLS.index("sendmmsg")
NONE = EventFlag(0)


@dataclass(eq=False)
class Write:
    """The record of a call's beginning, or of one of its messages.

    ``read`` is what could be read of the payload, of which the first ``lost_after`` pieces came
    through; None means all. ``returned`` is there when calls are recorded at their exit.
    """

    pid: int
    tid: int
    cpu: int
    time_ns: int
    sequence: int
    count: int
    comm: bytes
    read: bytes
    fd: int
    syscall: int = 0
    unreadable: bool = False
    lost_after: int | None = None
    no_payload: bool = False
    target: int = 0
    offset: int | None = None
    source: tuple[int, int] | None = None
    address: bytes = b""
    message: int | None = None
    returned: int | None = None
    unsent: bool = False
    order: int = -1

    @property
    def pieces(self) -> list[bytes]:
        """The payload as it comes: parts, and what the record itself has."""
        whole = [self.read[place : place + PIECE] for place in range(0, len(self.read), PIECE)]
        if self.lost_after is None:
            return whole or [b""]
        return [*whole[: self.lost_after], b""]

    @property
    def payload(self) -> bytes:
        return b"".join(self.pieces)

    def flags(self) -> int:
        """Return the flags of the record."""
        given = {
            rawrecords.UNREADABLE: self.unreadable,
            rawrecords.PART_LOST: self.lost_after is not None,
            rawrecords.OFFSET: self.offset is not None,
            rawrecords.SOURCE: self.source is not None,
            rawrecords.ADDRESS: bool(self.address),
            rawrecords.NO_PAYLOAD: self.no_payload,
            rawrecords.UNSENT: self.unsent,
        }
        return sum(flag for flag, is_set in given.items() if is_set)

    def raw(self) -> bytes:
        extra = b""
        if self.message is not None or self.offset is not None or self.source or self.address:
            source_fd, source = self.source or (0, 0)
            extra = extra_of(
                offset=self.offset or 0,
                source_fd=source_fd,
                source=source,
                message=self.message or 0,
                address=self.address,
            )
        return enter(
            self.pieces[-1],
            pid=self.pid,
            tid=self.tid,
            cpu=self.cpu,
            time_ns=self.time_ns,
            sequence=self.sequence,
            fd=self.fd,
            count=self.count,
            comm=self.comm,
            syscall=self.syscall,
            target=self.target,
            flags=self.flags(),
            extra=extra,
            returned=self.returned,
        )


@dataclass(eq=False)
class Part:
    """The record of a part of what a call wrote, or of what was read again when it ended."""

    of: Write | End
    payload: bytes
    order: int = -1

    def raw(self) -> bytes:
        """Make the record, whose time is later than that of the call."""
        of = self.of
        return part(
            self.payload,
            **({"sequence": of.sequence} if isinstance(of, Write) else {"end_ns": of.time_ns}),
            pid=of.pid,
            tid=of.tid,
            cpu=of.cpu,
            time_ns=of.time_ns + 1,
        )


@dataclass(eq=False)
class End:
    """The record of a call's end.

    ``pieces`` are what was read then, if that was tried, and ``lengths`` how much was sent of
    each message, if that is told. ``asked`` is what a vector came to when it could be read.
    """

    pid: int
    tid: int
    cpu: int
    time_ns: int
    returned: int
    pieces: list[bytes] | None = None
    failed: bool = False
    part_lost: bool = False
    asked: int = 0
    lengths: list[int] | None = None
    order: int = -1

    def raw(self) -> bytes:
        of = {"pid": self.pid, "tid": self.tid, "cpu": self.cpu, "time_ns": self.time_ns}
        if self.lengths is not None:
            return sent(self.lengths, self.returned, **of)
        if self.pieces is None:
            return leave(self.returned, **of)
        flags = rawrecords.PART_LOST * self.part_lost
        again = {"failed": self.failed, "flags": flags, "asked": self.asked}
        return reread(self.pieces[-1], self.returned, **again, **of)


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
            comm=one.comm.encode(),
            leader=one.leader.encode() if known else b"",
            ppid=one.ppid if known else 0,
            uid=one.uid,
            gid=one.gid,
            start_ns=one.start_ns if known else 0,
            known=known,
        )


@dataclass(eq=False)
class Described:
    """The record of a target: a file below the root directory."""

    number: int
    target: Target
    order: int = -1

    def raw(self) -> bytes:
        path = self.target.path[1:].encode() + b"\0"
        major, minor = self.target.device
        return rawrecords.target(
            self.number, path=path, inode=self.target.inode, device=major << 20 | minor
        )


Record = Write | Part | End | Seen | Described


@dataclass
class Row:
    """An event as it must come out."""

    time_ns: int
    cpu: int
    sequence: int
    process: Process
    tid: int
    comm: str
    syscall: str
    fd: int
    count: int
    payload: bytes
    flags: EventFlag
    result: tuple[int, int | None] | None
    target: Target
    offset: int | None
    source_fd: int | None
    source: Target | None
    address: str | None


@dataclass
class Expected:
    """What a cut must return."""

    rows: list[Row] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    results: list[tuple[int, int, int, int]] = field(default_factory=list)


class OneByOne:
    """Keeps every record that was fed, and looks through them anew for each cut."""

    def __init__(
        self, started_ns: int, offset_ns: int, held_events: int, *, at_exit: bool = False
    ) -> None:
        self._started_ns = started_ns
        self._offset_ns = offset_ns
        self._held_events = held_events
        self._at_exit = at_exit
        self._fed: list[Record] = []
        self._looked_at = 0
        self.waiting: list[Write] = []
        self._open: dict[int, list[Write]] = {}
        self._last: dict[int, tuple[int, int]] = {}
        self._versions: dict[int, list[tuple[int, Process]]] = {}
        self._targets: dict[int, Target] = {}

    def feed(self, records: list[Record]) -> None:
        for record in records:
            record.order = len(self._fed)
            self._fed.append(record)
            if isinstance(record, Write):
                self.waiting.append(record)
            elif isinstance(record, Seen):
                versions = self._versions.setdefault(record.process.pid, [])
                versions.append((record.order, record.process))
            elif isinstance(record, Described):
                self._targets[record.number] = record.target

    def cut(self, now_ns: int, settled_ns: int, *, last: bool, most: int | None) -> Expected:
        results = self._late()
        waiting = sorted(self.waiting, key=lambda write: (write.time_ns, write.order))
        ready = self._ready(waiting, now_ns, settled_ns, last=last)
        ready = ready if most is None else ready[:most]
        self.waiting = [write for write in self.waiting if write not in ready]
        for write in ready:
            if write.pid not in self._versions:
                found = Process(write.pid, write.comm.decode())
                self._versions[write.pid] = [(0, found)]
        rows = [self._row(write) for write in ready]
        return Expected(rows, self._gaps(ready), results)

    def _late(self) -> list[tuple[int, int, int, int]]:
        results = []
        for record in self._fed[self._looked_at :]:
            if not isinstance(record, (Write, End)):
                continue
            for began in self._open.pop(record.tid, []):
                if isinstance(record, Write):
                    continue
                answer, why = _answer(began, record)
                if not why:
                    took = record.time_ns - began.time_ns
                    results.append((began.cpu, began.sequence, answer, took))
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
            if patient and not self._at_exit and self._next(write) is None:
                if len(waiting) - place <= self._held_events:
                    return settled[:place]
                break
        return settled

    def _next(self, write: Write) -> Write | End | None:
        """Return the next record of the thread that is not of this call's further messages."""
        before = write
        for record in self._fed[write.order + 1 :]:
            if not isinstance(record, (Write, End)) or record.tid != write.tid:
                continue
            if isinstance(record, Write) and _is_next_message(before, record):
                before = record
                continue
            return record
        return None

    def _row(self, write: Write) -> Row:
        end = None if self._at_exit else self._next(write)
        flags, payload, count, result = _entry_flags(write), write.payload, write.count, None
        if self._at_exit:
            flags |= EventFlag.AT_EXIT
            result = None if write.unsent else (write.returned, None)
        elif end is None:
            flags |= EventFlag.UNFINISHED
            self._open.setdefault(write.tid, []).append(write)
        elif isinstance(end, Write):
            flags |= EventFlag.RESULT_LOST
        else:
            answer, why = _answer(write, end)
            flags |= why
            result = None if why else (answer, end.time_ns - write.time_ns)
            if write.unreadable and end.pieces is not None:
                rest = b"".join(end.pieces)
                payload, count = payload + rest, max(count, end.asked)
                flags = _reread_flags(flags, rest, end)
        whole = EventFlag.UNREADABLE | EventFlag.PAYLOAD_LOST | EventFlag.NO_PAYLOAD
        if len(payload) < count and not flags & whole:
            flags |= EventFlag.TRUNCATED
        return Row(
            time_ns=write.time_ns + self._offset_ns,
            cpu=write.cpu,
            sequence=write.sequence,
            process=self._process(write),
            tid=write.tid,
            comm=write.comm.decode(),
            syscall=SYSCALLS[write.syscall],
            fd=write.fd,
            count=count,
            payload=payload,
            flags=flags,
            result=result,
            target=self._targets.get(write.target, UNKNOWN_TARGET),
            **self._details(write),
        )

    def _process(self, write: Write) -> Process:
        versions = self._versions[write.pid]
        before = [process for order, process in versions if order <= write.order]
        return before[-1] if before else versions[0][1]

    def _details(self, write: Write) -> dict[str, Any]:
        source_fd, source = write.source or (None, None)
        return {
            "offset": write.offset,
            "source_fd": source_fd,
            "source": None if source is None else self._targets.get(source, UNKNOWN_TARGET),
            "address": f"sockaddr {write.address.hex()}" if write.address else None,
        }

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


def _is_next_message(before: Write, write: Write) -> bool:
    """Whether two records of a thread, next to each other, are messages of one call."""
    both = before.syscall == write.syscall == SENDMMSG
    return both and before.time_ns == write.time_ns and before.message < write.message


def _answer(write: Write, end: End) -> tuple[int, EventFlag]:
    """Return what an end says of a call, or why it says nothing."""
    if write.syscall != SENDMMSG or (end.returned < 0 and write.message == 0):
        return end.returned, NONE
    if write.message >= end.returned:
        return 0, EventFlag.UNSENT
    if end.lengths is None or write.message >= len(end.lengths):
        return 0, EventFlag.RESULT_LOST
    return end.lengths[write.message], NONE


def _entry_flags(write: Write) -> EventFlag:
    given = {
        EventFlag.UNREADABLE: write.unreadable,
        EventFlag.PAYLOAD_LOST: write.lost_after is not None,
        EventFlag.NO_PAYLOAD: write.no_payload,
        EventFlag.UNSENT: write.unsent,
        EventFlag.HAS_OFFSET: write.offset is not None,
        EventFlag.HAS_SOURCE: write.source is not None,
        EventFlag.HAS_ADDRESS: bool(write.address),
    }
    flags = NONE
    for flag, is_set in given.items():
        flags |= flag if is_set else NONE
    return flags


def _reread_flags(flags: EventFlag, rest: bytes, end: End) -> EventFlag:
    if rest:
        flags |= EventFlag.READ_AT_EXIT
    if not end.failed:
        flags &= ~EventFlag.UNREADABLE
    if end.part_lost:
        flags |= EventFlag.PAYLOAD_LOST
    return flags
