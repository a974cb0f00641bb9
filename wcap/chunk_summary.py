"""What a chunk of events holds, in a few numbers and lists (SPEC.md section 5.5).

The index repeats every chunk's summary, so that a capture is counted, and what a filter cannot
match is skipped, without a chunk being read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wcap.errors import CorruptionError, LimitError
from wcap.fields import Fields, text, untext, without_absent

# SPEC.md section 9: what one chunk may hold.
MAX_EVENTS = 1 << 20
# SPEC.md section 5.5: a summary lists a column's distinct values up to this many, and names of
# targets, which are longer, up to this many and this many bytes in all.
MAX_LISTED = 256
MAX_TARGETS = 64
MAX_TARGET_BYTES = 8 << 10


@dataclass(frozen=True, slots=True)
class Summary:
    """What a chunk holds, as far as filters and totals need it (SPEC.md section 5.5).

    Times are on the capture's clock. ``captured`` and ``written`` (modulo 2**64) are bytes; the
    counts after them are of events. ``unseen`` are those of which bytes reached the kernel, or may
    have, that are not in the capture although the snaplen did not cut them. ``sequences`` gives
    for each CPU (CPU, first, last, events): two sequence numbers, and how many events. ``pids`` to
    ``calls`` are the distinct values, or None when there are too many to list; ``comms`` has the
    names of threads and of their processes' leaders. ``targets`` has the names of what events were
    written to or read from (`Target.name`) and ``kinds`` their kinds; what is not known is in
    neither, and both are None when nothing is known.
    """

    events: int
    first_ns: int
    last_ns: int
    captured: int
    written: int
    failed: int
    truncated: int
    unreadable: int
    unseen: int
    unfinished: int
    results_lost: int
    sequences: tuple[tuple[int, int, int, int], ...]
    pids: frozenset[int] | None
    tids: frozenset[int] | None
    fds: frozenset[int] | None
    comms: frozenset[str] | None
    calls: frozenset[str] | None
    payload_lost: int
    targets: frozenset[str] | None
    kinds: frozenset[str] | None


def encode_summary(summary: Summary) -> dict[str, Any]:
    """Turn a summary into the map that a chunk and the index hold."""
    values = {name: getattr(summary, name) for name in Summary.__slots__}
    values["sequences"] = [list(entry) for entry in summary.sequences]
    values["payload_lost"] = summary.payload_lost or None
    for name in ("pids", "tids", "fds", "calls", "kinds"):
        values[name] = None if values[name] is None else sorted(values[name])
    for name in ("comms", "targets"):
        values[name] = None if values[name] is None else sorted(map(untext, values[name]))
    return without_absent(values)


def decode_summary(value: Mapping[str, Any]) -> Summary:
    """Undo `encode_summary`.

    Raises:
        CorruptionError: a key is missing, of another type or out of bounds.
        LimitError: the chunk has more events than one may have.
    """
    fields = Fields(value)

    def listed(name: str, kind: type) -> frozenset[Any] | None:
        found: tuple[Any, ...] | None = fields.find_each(name, kind)
        return None if found is None else frozenset(found)

    events = fields.number("events", 1)
    if events > MAX_EVENTS:
        raise LimitError(f"a chunk of {events} events, {MAX_EVENTS} allowed")
    comms, targets = listed("comms", bytes), listed("targets", bytes)
    return Summary(
        events=events,
        first_ns=fields.number("first_ns", -(1 << 63)),
        last_ns=fields.number("last_ns", -(1 << 63)),
        captured=fields.number("captured"),
        written=fields.number("written", 0, (1 << 64) - 1),
        failed=fields.number("failed", 0, events),
        truncated=fields.number("truncated", 0, events),
        unreadable=fields.number("unreadable", 0, events),
        unseen=fields.number("unseen", 0, events),
        unfinished=fields.number("unfinished", 0, events),
        results_lost=fields.number("results_lost", 0, events),
        sequences=_decode_sequences(fields, events),
        pids=listed("pids", int),
        tids=listed("tids", int),
        fds=listed("fds", int),
        comms=None if comms is None else frozenset(map(text, comms)),
        calls=listed("calls", str),
        payload_lost=fields.find_number("payload_lost", 0, events) or 0,
        targets=None if targets is None else frozenset(map(text, targets)),
        kinds=listed("kinds", str),
    )


def _decode_sequences(fields: Fields, events: int) -> tuple[tuple[int, int, int, int], ...]:
    rows = tuple((row[0], row[1], row[2], row[3]) for row in fields.rows("sequences", 4))
    of_cpus = sum(row[3] for row in rows)
    if of_cpus != events:
        raise CorruptionError(f"a summary's CPUs have {of_cpus} events, {events} expected")
    return rows
