"""One pass over batches → totals, groups, histograms and rates.

Everything is summed where it lies, in columns. The columns that groups are made by become one
number an event, its *cell*, and ``np.bincount`` sums the other columns by cell; only what a batch
sums up to is added, by key, to dictionaries. So memory grows with the number of distinct keys, up
to a limit, and not with the capture. Payloads are never looked at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wcap.batch import Column, EventBatch
from wcap.cells import EXACT, Cells, narrowest, numbered, summed
from wcap.events import NO_DURATION, NO_RESULT, EventFlag
from wcap.timeline import Timeline

# What events can be grouped by, and the columns that make such a group.
GROUPINGS: Mapping[str, tuple[str, ...]] = {
    "process": ("process",),
    "comm": ("comm",),
    "fd": ("process", "fd"),
    "syscall": ("syscall",),
    "tid": ("process", "tid", "comm"),
    "target": ("target",),
    "kind": ("kind",),
    "host": ("host",),
}
# What only a table tells, and the column that points into it.
_POINTERS = {"kind": "target"}
USUAL = ("process", "fd", "syscall")

# A grouping has no more keys than this; the rest is summed up together. A kilobyte of a capture
# that was made to do harm can hold a million.
MOST_GROUPS = 1 << 16
# So many events are summed at a time: as many as wcap writes into a chunk.
_EVENTS_AT_ONCE = 1 << 17
# Linux's errors are below this (MAX_ERRNO); what a capture has beyond is counted as this one.
BEYOND_ERRORS = 4096

# The octaves of a 64-bit number: 0, 1, 2-3, 4-7 and so on, up to 2**63 and more.
OCTAVES = 65
# Numbers below this are counted one by one before they are put into octaves: that is faster.
_FEW = 1 << 18
# A float64's exponent field for 1.0, and the bits below it (IEEE 754, binary64).
_EXPONENT_OF_ONE = 1023
_MANTISSA_BITS = 52

# See `_keep_freed_memory`: a little below glibc's DEFAULT_MMAP_THRESHOLD_MAX (mallopt(3)).
_HEAP_BLOCK = 31 << 20

# What is counted of each flag.
_FLAGGED = {
    "truncated": EventFlag.TRUNCATED,
    "unreadable": EventFlag.UNREADABLE,
    "payload_lost": EventFlag.PAYLOAD_LOST,
    "without_payload": EventFlag.NO_PAYLOAD,
}

Counts = npt.NDArray[np.int64]
_LONG_BEFORE = 1 << 62


class ProcessKey(NamedTuple):
    """What tells processes apart: the pid, the leader's name, and the start if it is known."""

    pid: int
    name: str
    start_ns: int | None


# The values of a grouping's columns: a `ProcessKey`, a name, a number.
Key = tuple[Any, ...]


@dataclass(slots=True)
class Tally:
    """Sums over some events; ``asked``, ``captured`` and ``written`` are bytes."""

    events: int = 0
    asked: int = 0
    captured: int = 0
    written: int = 0
    failed: int = 0

    def add(self, events: int, asked: int, captured: int, written: int, failed: int) -> None:
        """Add the sums over some more events."""
        self.events += events
        self.asked += asked
        self.captured += captured
        self.written += written
        self.failed += failed


@dataclass(slots=True)
class Stats:
    """Sums over the events of some batches.

    Attributes:
        origin_ns: wall clock that the timeline counts from.
        total: of all events.
        short: writes of which the kernel took only a part.
        truncated: events whose payload was cut when it was captured.
        unreadable: events whose payload could not be read.
        payload_lost: events whose payload was lost, or a part of it.
        without_payload: events of calls that have none, such as sendfile.
        without_result: events whose result is not known.
        groups: for each grouping (see `GROUPINGS`) a tally for each key, `MOST_GROUPS` at most.
        others: for each grouping that has as many, the sums over the events of all other keys.
        sizes: events by the octave of the bytes asked: 0, 1, 2-3, 4-7, …
        durations: events whose duration is known by the octave of its nanoseconds.
        errors: failed events by errno, or `BEYOND_ERRORS`.
        timeline: events and bytes written over time.
        first_ns, last_ns: wall clock of the first and the last event; None without events.
    """

    origin_ns: int = 0
    total: Tally = field(default_factory=Tally)
    short: int = 0
    truncated: int = 0
    unreadable: int = 0
    payload_lost: int = 0
    without_payload: int = 0
    without_result: int = 0
    groups: dict[str, dict[Key, Tally]] = field(default_factory=dict)
    others: dict[str, Tally] = field(default_factory=dict)
    sizes: Counts = field(default_factory=lambda: np.zeros(OCTAVES, dtype=np.int64))
    durations: Counts = field(default_factory=lambda: np.zeros(OCTAVES, dtype=np.int64))
    errors: dict[int, int] = field(default_factory=dict)
    timeline: Timeline = field(default_factory=Timeline)
    first_ns: int | None = None
    last_ns: int | None = None


def collect(
    batches: Iterable[EventBatch], *, by: Sequence[str] = USUAL, origin_ns: int = 0
) -> Stats:
    """Sum up batches.

    Args:
        batches: the events, in time order.
        by: the groupings wanted, one or more of `GROUPINGS`.
        origin_ns: wall clock that the timeline counts from.
    """
    _keep_freed_memory()
    stats = Stats(origin_ns, groups={name: {} for name in by})
    for batch in batches:
        for piece in batch.pieces(_EVENTS_AT_ONCE):
            if len(piece):
                _add(stats, piece)
    return stats


def united(parts: Sequence[Stats]) -> Stats | None:
    """Add up the stats of consecutive parts of a capture, which are used up.

    Returns:
        What `collect` returns for all of it; None where there are so many groups that it depends
        on the order of the events which of them are summed up together.
    """
    whole, *others = parts
    for part in others:
        whole.total.add(*astuple(part.total))
        for name in ("short", "without_result", *_FLAGGED):
            setattr(whole, name, getattr(whole, name) + getattr(part, name))
        for by, groups in part.groups.items():
            for key, tally in groups.items():
                whole.groups[by].setdefault(key, Tally()).add(*astuple(tally))
        whole.sizes += part.sizes
        whole.durations += part.durations
        for code, events in part.errors.items():
            whole.errors[code] = whole.errors.get(code, 0) + events
        whole.timeline.include(part.timeline)
        if whole.first_ns is None:
            whole.first_ns = part.first_ns
        whole.last_ns = whole.last_ns if part.last_ns is None else part.last_ns
    crowded = any(len(groups) > MOST_GROUPS for groups in whole.groups.values())
    return None if crowded or any(part.others for part in parts) else whole


def _keep_freed_memory() -> None:
    """Let columns of a megabyte be allocated without asking the kernel for fresh pages each time.

    glibc takes blocks of up to the largest one freed so far (32 MiB at most) from its own heap,
    and keeps twice as much of it. To map and to clear pages anew for every column costs more than
    to sum it. This block is never touched, so it takes no memory.
    """
    np.empty(_HEAP_BLOCK, dtype=np.uint8)


def ranked(groups: Mapping[Key, Tally]) -> list[tuple[Key, Tally]]:
    """Order groups by bytes written, then by events, the largest first."""
    return sorted(
        groups.items(), key=lambda item: (-item[1].written, -item[1].events, str(item[0]))
    )


def _add(stats: Stats, batch: EventBatch) -> None:
    flags, returned, count = batch.flags, batch.returned, batch.count
    present = int(np.bitwise_or.reduce(flags))
    # All but these rows were written in full: what else there is to say is said of few rows.
    different = returned != count.view(np.int64)
    largest = int(count.max())
    if largest >> 63:  # as a signed number, it is an error's
        different |= returned < 0
    partial = np.flatnonzero(different)
    if present & NO_RESULT:
        partial = np.union1d(partial, np.flatnonzero(~batch.has_result))
    answered = (flags[partial] & np.uint32(NO_RESULT)) == 0
    answer = returned[partial]
    failed = partial[answered & (answer < 0)]
    written = returned.copy()
    written[partial] = np.where(answered, np.maximum(answer, 0), 0)
    largest = max(largest, int(written[partial].max(initial=0)))
    exact = largest * len(batch) < EXACT
    _add_groups(stats, batch, _Written(written, partial, exact), failed)

    stats.short += int(np.count_nonzero(answered & (answer >= 0)))
    stats.without_result += int(np.count_nonzero(~answered))
    for name, flag in _FLAGGED.items():
        if present & flag:
            found = int(np.count_nonzero(flags & np.uint32(flag)))
            setattr(stats, name, getattr(stats, name) + found)
    stats.durations += octaves(batch.duration_ns)
    if present & NO_DURATION:
        stats.durations -= octaves(batch.duration_ns[~batch.has_duration])
    below = np.maximum(returned[failed], -BEYOND_ERRORS)
    codes, events = np.unique(-below, return_counts=True)
    for code, number in zip(codes.tolist(), events.tolist(), strict=True):
        stats.errors[code] = stats.errors.get(code, 0) + number

    times = batch.time_ns
    if bool((times[1:] < times[:-1]).any()):
        times = np.maximum.accumulate(times)  # not a sound capture, but no reason to stop
    if times[0] < stats.origin_ns - _LONG_BEFORE:
        # A time of 146 years before the start is as good as an earlier one, and does not overflow.
        times = np.maximum(times, stats.origin_ns - _LONG_BEFORE)
    stats.timeline.add(times - stats.origin_ns, written if exact else written.astype(np.float64))
    if stats.first_ns is None:
        stats.first_ns = int(times[0])
    stats.last_ns = int(times[-1])


class _Written(NamedTuple):
    """Bytes written: the rows not written in full, and whether float64 holds the sum of any."""

    column: Counts
    partial: Counts
    exact: bool


def _add_groups(stats: Stats, batch: EventBatch, written: _Written, failed: Counts) -> None:
    """Add up by group; ``failed`` are rows."""
    names = dict.fromkeys(name for by in stats.groups for name in GROUPINGS[by])
    columns = {
        name: batch.host if name == "host" else batch.column(_POINTERS.get(name, name))
        for name in names
    }
    cells = numbered(list(columns.values()), len(batch))
    count, captured = batch.count, batch.captured
    events, asked, sizes = _sized(cells, count)
    stats.sizes += sizes
    sums = np.array(
        [
            events,
            asked,
            asked if bool((captured == count).all()) else summed(cells, captured),
            _written(cells, asked, count, written),
            np.bincount(cells.number[failed], minlength=cells.bound),
        ]
    )
    used = np.flatnonzero(events)
    sums = sums[:, used]
    heads = dict(zip(columns, cells.values(used), strict=True))

    stats.total.add(*sums.sum(axis=1).tolist())
    for by, groups in stats.groups.items():
        chosen = {name: heads[name] for name in GROUPINGS[by]}
        for key, values in _rolled_up(batch, chosen, sums):
            if (tally := groups.get(key)) is None:
                if len(groups) < MOST_GROUPS:
                    tally = groups[key] = Tally()
                else:
                    tally = stats.others.setdefault(by, Tally())
            tally.add(*values)


def _sized(cells: Cells, count: Column) -> tuple[Counts, Column, Counts]:
    """Return by cell the events and the bytes asked, and the events by octave of these.

    Where sizes are small and alike, each size of a cell is counted: all three come from that.
    """
    least, most = int(count.min()), int(count.max())
    span, length = most - least + 1, len(count)
    if span * cells.bound > length or most * length >= EXACT:
        events = np.bincount(cells.number, minlength=cells.bound)
        return events, summed(cells, count), octaves(count)
    number = cells.number
    if span > 1:
        kind = narrowest(cells.bound * span)
        number = number.astype(kind)
        number *= kind.type(span)
        number += count.astype(kind) - kind.type(least & int(np.iinfo(kind).max))  # modulo
    counted = np.bincount(number, minlength=cells.bound * span).reshape(-1, span)
    values = np.arange(least, most + 1)
    # The exponent of a number is its octave.
    sizes = np.bincount(np.frexp(values)[1], weights=counted.sum(axis=0), minlength=OCTAVES)
    return counted.sum(axis=1), counted @ values, sizes.astype(np.int64)


def _written(cells: Cells, asked: Column, count: Column, written: _Written) -> Column:
    """Sum up bytes written by cell: those asked less what some events wrote less."""
    if not written.exact:
        return summed(cells, written.column)
    short = count[written.partial].view(np.int64) - written.column[written.partial]
    numbers = cells.number[written.partial]
    less: Column = np.bincount(numbers, weights=short, minlength=cells.bound)
    return asked - less.astype(np.int64)


def _rolled_up(
    batch: EventBatch, heads: Mapping[str, Column], sums: Column
) -> Iterable[tuple[Key, list[int]]]:
    """Add up the sums of cells that have the same key in the columns ``heads``."""
    groups = numbered(list(heads.values()), sums.shape[1])
    rolled = np.zeros((len(sums), groups.bound), dtype=sums.dtype)
    for total, values in zip(rolled, sums, strict=True):
        np.add.at(total, groups.number, values)
    used = np.flatnonzero(np.bincount(groups.number, minlength=groups.bound))
    found = groups.values(used)
    keys = [_values(batch, name, column) for name, column in zip(heads, found, strict=True)]
    return zip(zip(*keys, strict=True), rolled[:, used].T.tolist(), strict=True)


def _values(batch: EventBatch, name: str, column: Column) -> list[Any]:
    """Look up what a column's numbers stand for."""
    numbers: list[int] = column.tolist()
    if name == "process":
        found = [batch.processes[number] for number in numbers]
        return [
            ProcessKey(p.pid, p.comm if p.leader is None else p.leader, p.start_ns) for p in found
        ]
    if name in ("target", "kind"):
        targets = [batch.targets[number] for number in numbers]
        return [target.name if name == "target" else target.kind for target in targets]
    tables = {"comm": batch.comms, "syscall": batch.syscalls, "host": batch.hosts.names}
    if name in tables:
        return [tables[name][number] for number in numbers]
    return numbers


def octaves(values: Column) -> Counts:
    """Count 64-bit numbers by octave: 0, 1, 2-3, 4-7, … (`OCTAVES` of them)."""
    numbers = values.view(np.uint64)
    result = np.zeros(OCTAVES, dtype=np.int64)
    most = int(numbers.max(initial=0))
    if most < _FEW:
        counted = np.bincount(numbers.view(np.int64), minlength=1)
        starts = [0, *(1 << bit for bit in range((len(counted) - 1).bit_length()))]
        result[: len(starts)] = np.add.reduceat(counted, starts)
        return result
    if most >= EXACT:
        # Without its second bit a number is not rounded up to the next octave.
        numbers = numbers & ~(numbers >> np.uint64(1))
    # The octave is the exponent of a float64.
    rounded = numbers.astype(np.float64)
    exponents = rounded.view(np.int64) >> _MANTISSA_BITS
    counted = np.bincount(exponents, minlength=_EXPONENT_OF_ONE + OCTAVES - 1)
    result[0] = counted[0]
    result[1:] = counted[_EXPONENT_OF_ONE:]
    return result
