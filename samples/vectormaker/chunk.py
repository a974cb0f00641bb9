"""Events as facts, and the EVENTS frame that holds them (SPEC.md sections 4.2 and 5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vectormaker.columns import Encoding, above, minus, plain
from vectormaker.wire import packed

(
    TRUNCATED, READ_AT_EXIT, UNREADABLE, UNFINISHED, RESULT_LOST, PAYLOAD_LOST, AT_EXIT, NO_PAYLOAD,
    UNSENT, HAS_OFFSET, HAS_SOURCE, HAS_ADDRESS,
) = (1 << bit for bit in range(12))  # fmt: skip
FLAG_NAMES = (
    "truncated", "read_at_exit", "unreadable", "unfinished", "result_lost", "payload_lost",
    "at_exit", "no_payload", "unsent",
)  # fmt: skip
NO_RESULT = UNFINISHED | RESULT_LOST | UNSENT

# What the clocks showed when recording began: an hour after boot, and 2026-01-02T03:04:05Z.
CLOCK_NS, WALL_NS = 3_600_000_000_000, 1_767_323_045_000_000_000

PROCESS: Mapping[str, Any] = {"pid": 100, "comm": b"hello"}
COLUMNS = (
    "time_ns", "cpu", "sequence", "process", "tid", "comm", "syscall", "fd", "count", "captured",
    "returned", "duration_ns", "flags",
)  # fmt: skip
OF_FLAGS = {
    "offset": HAS_OFFSET,
    "source_fd": HAS_SOURCE,
    "source": HAS_SOURCE,
    "address": HAS_ADDRESS,
}


@dataclass(frozen=True)
class Event:
    """One call, as facts; ``at`` is nanoseconds after the start.

    ``count`` and ``returned`` are the payload's length unless told otherwise, ``tid`` the pid and
    ``thread`` the process's name. An offset, a source and an address bring their flags.
    """

    data: bytes = b"hi\n"
    at: int = 1_000_000
    cpu: int = 0
    sequence: int = 1
    process: Mapping[str, Any] = field(default_factory=lambda: PROCESS)
    tid: int | None = None
    thread: bytes | None = None
    syscall: str = "write"
    fd: int = 1
    count: int | None = None
    returned: int | None = None
    duration: int = 1500
    special: int = 0
    target: Mapping[str, Any] | None = None
    offset: int | None = None
    source_fd: int | None = None
    source: Mapping[str, Any] | None = None
    address: bytes | None = None

    @property
    def asked(self) -> int:
        """Bytes that the program asked to write."""
        return len(self.data) if self.count is None else self.count

    @property
    def flags(self) -> int:
        """The bits of the column ``flags``."""
        return (
            self.special
            | HAS_OFFSET * (self.offset is not None)
            | HAS_SOURCE * (self.source_fd is not None)
            | HAS_ADDRESS * (self.address is not None)
        )

    @property
    def answered(self) -> int:
        """The number in the column ``returned``."""
        if self.returned is not None:
            return self.returned
        return 0 if self.special & NO_RESULT else self.asked

    @property
    def name(self) -> bytes:
        """The thread's name."""
        return bytes(self.process["comm"]) if self.thread is None else self.thread


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return the values without those that came before."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def target_name(target: Mapping[str, Any]) -> bytes | None:
    """Return the name of a target by the five rules of section 4.2."""
    if "kind" not in target:
        return None
    kind: bytes = target["kind"].encode()
    path: bytes | None = target.get("path")
    inode = str(target.get("inode", "?")).encode()
    if kind == b"anonymous":
        return b"anon_inode:" + (b"?" if path is None else path)
    if path is not None:
        before = "…/".encode() if "partial" in target else b""
        return before + bytes(path) + (b" (deleted)" if "deleted" in target else b"")
    local: bytes | None = target.get("local")
    peer: bytes | None = target.get("peer")
    if local is None and peer is None:
        return kind + b":[" + inode + b"]"
    own = b"[" + inode + b"]" if local is None else bytes(local)
    return kind + b" " + own + (b"" if peer is None else "→".encode() + peer)


def summary(events: Sequence[Event]) -> dict[str, Any]:
    """Sum a chunk up as section 5.5 says."""

    def flagged(flag: int) -> int:
        return sum(bool(event.special & flag) for event in events)

    known = [event.answered for event in events if not event.special & NO_RESULT]
    cpus: dict[int, list[int]] = {}
    for event in events:
        cpus.setdefault(event.cpu, []).append(event.sequence)
    targets = distinct(
        target
        for event in events
        for target in (event.target, event.source if event.flags & HAS_SOURCE else None)
        if target is not None and "kind" in target
    )
    leaders = (event.process["leader"] for event in events if "leader" in event.process)
    made: dict[str, Any] = {
        "events": len(events),
        "first_ns": CLOCK_NS + events[0].at,
        "last_ns": CLOCK_NS + events[-1].at,
        "captured": sum(len(event.data) for event in events),
        "written": sum(answer for answer in known if answer > 0) % (1 << 64),
        "failed": sum(answer < 0 for answer in known),
        "truncated": flagged(TRUNCATED),
        "unreadable": flagged(UNREADABLE),
        "unseen": sum(map(_unseen, events)),
        "unfinished": flagged(UNFINISHED),
        "results_lost": flagged(RESULT_LOST),
        "sequences": [[cpu, min(of), max(of), len(of)] for cpu, of in sorted(cpus.items())],
        "pids": sorted({event.process["pid"] for event in events}),
        "tids": sorted({_tid(event) for event in events}),
        "fds": sorted({event.fd for event in events}),
        "comms": sorted({event.name for event in events} | set(leaders)),
        "calls": sorted({event.syscall for event in events}),
    }
    if flagged(PAYLOAD_LOST):
        made["payload_lost"] = flagged(PAYLOAD_LOST)
    if targets:
        made["targets"] = sorted({target_name(target) for target in targets})
        made["kinds"] = sorted({target["kind"] for target in targets})
    return made


def _unseen(event: Event) -> bool:
    missing = event.special & UNREADABLE and not event.special & (NO_PAYLOAD | UNSENT)
    return bool(missing) and (bool(event.special & NO_RESULT) or event.answered > len(event.data))


def _tid(event: Event) -> int:
    return int(event.process["pid"]) if event.tid is None else event.tid


def chunk(
    *events: Event,
    encodings: Mapping[str, Encoding] | None = None,
    pack: Mapping[str, Any] | None = None,
    **changed: Any,
) -> dict[str, Any]:
    """Return the body of an EVENTS frame.

    ``encodings`` names how columns are encoded, where it matters; ``pack`` how payload, processes
    or targets are packed (a function of bytes); ``changed`` are keys in place of the right ones.
    """
    pack = pack or {}
    tables: dict[str, list[Any]] = {
        "process": distinct(dict(event.process) for event in events),
        "comm": distinct(event.name for event in events),
        "syscall": distinct(event.syscall for event in events),
        "target": distinct(
            target or {}
            for event in events
            for target in (event.target, *([event.source] if event.flags & HAS_SOURCE else []))
        ),
        "address": distinct(event.address for event in events if event.address is not None),
    }
    rows = [_row(event, tables) for event in events]
    names = [*COLUMNS]
    if tables["target"] != [{}] or any(event.flags & HAS_SOURCE for event in events):
        names.append("target")
    names += [name for name, flag in OF_FLAGS.items() if any(e.flags & flag for e in events)]
    numbers = {name: [row[name] for row in rows] for name in names}
    how: dict[str, Encoding] = {"captured": minus(), "returned": minus(), **(encodings or {})}
    body: dict[str, Any] = {
        "summary": summary(events),
        "processes": _packed(pack, "processes", packed({"processes": tables["process"]})),
        "comms": tables["comm"],
        "syscalls": tables["syscall"],
    }
    if "target" in names:
        body["targets"] = _packed(pack, "targets", packed({"targets": tables["target"]}))
    if "address" in names:
        body["addresses"] = tables["address"]
    body["columns"] = {name: how.get(name, plain())(numbers[name], numbers) for name in names}
    body["payload"] = _packed(pack, "payload", b"".join(event.data for event in events))
    if any(event.special & AT_EXIT for event in events):
        body["essential"] = ["at-exit"]
    return {**body, **changed}


def _packed(how: Mapping[str, Any], name: str, data: bytes) -> dict[str, Any]:
    made: dict[str, Any] = how[name](data) if name in how else {"data": data}
    return made


def _row(event: Event, tables: Mapping[str, list[Any]]) -> dict[str, int]:
    return {
        "time_ns": CLOCK_NS + event.at,
        "cpu": event.cpu,
        "sequence": event.sequence,
        "process": tables["process"].index(dict(event.process)),
        "tid": _tid(event),
        "comm": tables["comm"].index(event.name),
        "syscall": tables["syscall"].index(event.syscall),
        "fd": event.fd,
        "count": event.asked,
        "captured": len(event.data),
        "returned": event.answered,
        "duration_ns": 0 if event.special & (NO_RESULT | AT_EXIT) else event.duration,
        "flags": event.flags,
        "target": tables["target"].index(event.target or {}),
        "offset": event.offset or 0,
        "source_fd": event.source_fd or 0,
        "source": tables["target"].index(event.source or {}) if event.flags & HAS_SOURCE else 0,
        "address": 0 if event.address is None else tables["address"].index(event.address),
    }


def with_column(
    body: Mapping[str, Any], name: str, column: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a body with another column in place of one; None leaves it out."""
    kept = {own: stored for own, stored in body["columns"].items() if own != name}
    return {**body, "columns": kept if column is None else {**kept, name: dict(column)}}


def numbers_column(*numbers: int) -> dict[str, Any]:
    """Return a column of these numbers, as they are."""
    return above(numbers)
