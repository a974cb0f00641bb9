"""Compare what wcap recorded with what strace saw, thread by thread and write by write.

Both are sequences of writes per thread. The n-th event of a thread must be its n-th write in every
field, to the last byte of the payload; a write without an event and an event without a write are
differences like any other. Where strace could not read memory, wcap must say so too, and must have
what strace did read. What strace does not know is not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from truth.strace_log import Payload, Write

from wcap.events import Event, EventFlag

MOST_TOLD = 10


@dataclass
class Comparison:
    """What was compared, and what was found.

    Attributes:
        writes: that strace saw.
        bytes: of their payloads.
        differing: writes and events that are not the same, or have no counterpart.
        told: the first of the differences, in words.
    """

    writes: int = 0
    bytes: int = 0
    differing: int = 0
    told: list[str] = field(default_factory=list)

    def differ(self, where: str, what: str) -> None:
        """Note a difference."""
        self.differing += 1
        if len(self.told) < MOST_TOLD:
            self.told.append(f"{where}: {what}")


def compare(
    log: Mapping[int, Iterator[Write]], events: Iterable[Event], comparison: Comparison
) -> None:
    """Add to a comparison what the threads of a log and those of a capture differ in.

    Args:
        log: the writes of each thread, by its number.
        events: each thread's in order.
        comparison: of this run.
    """
    for event in events:
        where = f"thread {event.tid} ({event.comm}), event {event.sequence} of CPU {event.cpu}"
        write = next(log.get(event.tid, iter(())), None)
        if write is None:
            comparison.differ(where, f"strace saw no such {event.syscall}({event.fd})")
            continue
        _count(comparison, write)
        if found := differences(write, event):
            comparison.differ(where, "; ".join(found))
    for tid, writes in log.items():
        for write in writes:
            _count(comparison, write)
            comparison.differ(f"thread {tid}", f"{write.syscall}({write.fd}) was not recorded")


def _count(comparison: Comparison, write: Write) -> None:
    comparison.writes += 1
    comparison.bytes += len(write.data)


def differences(write: Write, event: Event) -> list[str]:
    """Say in which fields an event is not what strace saw."""
    pairs = [
        ("syscall", write.syscall, event.syscall),
        ("fd", write.fd, event.fd),
        ("offset", write.offset, event.offset),
        ("source_fd", write.source_fd, event.source_fd),
        ("unsent", write.unsent, EventFlag.UNSENT in event.flags),
    ]
    if write.count is not None:
        pairs.append(("count", write.count, event.count))
    if write.returned is not None:
        pairs.append(("returned", write.returned, event.returned))
    found = [f"{name} {seen} but {told} in wcap" for name, seen, told in pairs if seen != told]
    return found + _payload_differences(write, event)


def _payload_differences(write: Write, event: Event) -> list[str]:
    if write.payload is Payload.UNKNOWN:
        return []
    unreadable = EventFlag.UNREADABLE in event.flags
    if unreadable != (write.payload is Payload.UNREADABLE):
        return [f"payload {write.payload.name.lower()} but flags {event.flags.names} in wcap"]
    told = event.data[: len(write.data)] if unreadable else event.data
    if told == write.data:
        return []
    pairs = enumerate(zip(write.data, told, strict=False))
    place = next((n for n, (one, other) in pairs if one != other), min(len(write.data), len(told)))
    return [f"payload of {len(write.data)} bytes but {len(told)} in wcap, alike up to {place}"]
