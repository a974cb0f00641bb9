"""What the threads of a run wrote, so that one run can be compared with another.

In another run threads have other numbers and meet in another order. What a thread wrote, from
first to last, remains in a program that does the same each time: a run is taken as the multiset of
its threads' sequences, each a digest. Left out is what strace cannot know.
"""

from __future__ import annotations

import errno
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from truth.strace_log import Payload, Write, read_log

import wcap
from wcap.events import Event, EventFlag

# Results from here down are the kernel's own, of a call that it broke off; of a killed thread's,
# strace shows none.
_BROKEN_OFF = -512


def traced_sequences(logs: Path) -> Counter[str]:
    """Return the sequences that strace logged."""
    threads = (list(writes) for writes in read_log(logs).values())
    return Counter(_digest(map(_of_write, writes)) for writes in threads if writes)


def recorded_sequences(path: Path) -> Counter[str]:
    """Return the sequences in a capture."""
    threads: dict[int, list[Event]] = defaultdict(list)
    with wcap.open(path) as capture:
        for event in capture:
            threads[event.tid].append(event)
    return Counter(_digest(map(_of_event, events)) for events in threads.values())


def _digest(facts: Iterable[tuple[object, ...]]) -> str:
    digest = hashlib.sha256()
    for fact in facts:
        digest.update(repr(fact).encode())
    return digest.hexdigest()


def _of_write(write: Write) -> tuple[object, ...]:
    place = (write.syscall, write.fd, write.offset, write.source_fd, write.unsent)
    content = (write.count, write.data)
    return _known(place, write.returned, content, whole=write.payload is Payload.WHOLE)


def _of_event(event: Event) -> tuple[object, ...]:
    unsent = EventFlag.UNSENT in event.flags
    place = (event.syscall, event.fd, event.offset, event.source_fd, unsent)
    content = (event.count, event.data)
    return _known(place, event.returned, content, whole=EventFlag.UNREADABLE not in event.flags)


def _known(
    place: tuple[object, ...], returned: int | None, content: tuple[object, ...], *, whole: bool
) -> tuple[object, ...]:
    """Leave out what only one of the two may know."""
    result = None if returned is None or returned <= _BROKEN_OFF else returned
    refused = returned == -errno.EINVAL  # a vector of too many segments, which nobody need read
    return (*place, result, *(content if whole and not refused else ()))
