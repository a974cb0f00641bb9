"""What SPEC.md demands of one chunk: every column and payload decoded, every promise compared.

Readers stop at the first rule that a chunk breaks, and need not compare its summary, its tables
and its flags with its columns. Here all of that is looked at, and the search goes on after a
finding as far as what was found leaves something to look at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wcap.batch import COLUMNS, OPTIONAL, Column, EventBatch
from wcap.chunk_summary import Summary
from wcap.chunks import AT_EXIT, Chunk
from wcap.envelope import FORMAT_VERSION
from wcap.errors import FormatError, LimitError
from wcap.events import EventFlag
from wcap.format import Header
from wcap.summarising import summarise
from wcap.tables import POINTERS, trimmed

_KNOWN_FLAGS = int(np.bitwise_or.reduce([flag.value for flag in EventFlag]))
# An event with one of these may have less payload than the program asked to write.
_SHORT = EventFlag.TRUNCATED | EventFlag.UNREADABLE | EventFlag.PAYLOAD_LOST | EventFlag.NO_PAYLOAD
# SPEC.md section 5.5: lists of a summary that are left out when they would be long or empty.
_LISTS = ("pids", "tids", "fds", "comms", "calls", "targets", "kinds")


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule that is broken: what was found, the section of SPEC.md, its rule if it has one.

    ``misread`` says that a reader could not deliver what the frame holds.
    """

    reason: str
    section: str
    rule: str | None = None
    misread: bool = False


def fault_of(error: FormatError, section: str, rule: str | None = None) -> Fault:
    """Turn what a decoder raised into a fault; a limit is always section 9's."""
    if isinstance(error, LimitError):
        return Fault(error.reason, "9", "W4", misread=True)
    return Fault(error.reason, section, rule, misread=True)


def chunk_faults(chunk: Chunk, header: Header, minor: int) -> Iterator[Fault]:
    """Yield what is wrong with a chunk whose summary could be read.

    Args:
        chunk: as its frame has it; nothing of it need be decoded yet.
        header: of the capture.
        minor: the format's minor version that the capture claims. What is reserved up to the
            version that this wcap knows may mean something in a newer one.
    """
    for name in chunk.nil_keys():
        yield Fault(f"{name} is nil, an absent key expected", "2.2", "W7")
    try:
        batch = chunk.batch()
    except FormatError as error:
        yield fault_of(error, "4.2", "R15")
        return
    misread = False
    for name in COLUMNS:
        try:
            batch.column(name)
        except FormatError as error:
            misread = True
            fault = fault_of(error, "5.2", "R15")
            said = fault.reason if name in fault.reason else f"{fault.reason} (column {name})"
            yield Fault(said, fault.section, fault.rule, misread=True)
    try:
        len(batch.data)
    except FormatError as error:
        misread = True
        yield fault_of(error, "5.3", "R15")
    if not misread:
        yield from _summary_faults(chunk.summary, summarise(batch, header.clock))
        yield from _table_faults(batch, header)
        yield from _flag_faults(batch, header, minor)
        if AT_EXIT not in chunk.essential and _any(batch, EventFlag.AT_EXIT):
            yield Fault("events have AT_EXIT, and at-exit is not essential", "8.3", "W12")
        yield from _sequence_faults(batch)


def _summary_faults(told: Summary, found: Summary) -> Iterator[Fault]:
    for name in Summary.__slots__:
        said, true = getattr(told, name), getattr(found, name)
        if name == "sequences":
            said, true = tuple(sorted(said)), tuple(sorted(true))
        if said == true or (name in _LISTS and said is None):
            continue
        if name in _LISTS and true is None:
            yield Fault(f"the summary lists {name} that are too many, or none", "5.5", "W9")
        elif name in (*_LISTS, "sequences"):
            yield Fault(f"the summary's {name} are not those of the events", "5.5", "W9")
        else:
            yield Fault(f"the summary's {name} is {said}, {true} expected", "5.5", "W9")


def _table_faults(batch: EventBatch, header: Header) -> Iterator[Fault]:
    """See that tables and columns hold what events need, and nothing else."""
    shorter, names = trimmed(batch)
    for table in POINTERS:
        held, used = len(getattr(batch, table)), len(getattr(shorter, table))
        if table == "addresses" and "address" not in names:
            used = 0
        if held > used:
            yield Fault(f"{table} has {held} entries, and events point to {used}", "4.2", "W6")
    for name in OPTIONAL:
        # A position that moved since its table was cut down was told of with its table.
        elsewhere = batch.column(name)[~batch.has(name)]
        if bool(elsewhere.any()):
            flag = OPTIONAL[name].name
            yield Fault(f"column {name} is not 0 in rows without {flag}", "5.1", "W6")
    unnamed = sorted(set(batch.syscalls) - set(header.syscalls))
    if unnamed:
        yield Fault(f"system call {unnamed[0]!r:.40} is not among the header's", "4.1")


def _flag_faults(batch: EventBatch, header: Header, minor: int) -> Iterator[Fault]:
    flags, captured, count = batch.flags, batch.captured, batch.count
    unknown = int(np.bitwise_or.reduce(flags)) & ~_KNOWN_FLAGS
    if unknown and minor <= FORMAT_VERSION[1] and not header.rewritten:  # W16 keeps a source's bits
        yield Fault(f"flags have reserved bits: {unknown:#x}", "5.3")
    more = captured > count
    short = captured < count
    for wrong, what in (
        (more, "captured more than count"),
        (captured > header.snaplen, f"captured more than the snaplen, {header.snaplen}"),
        (short & ~_flagged(flags, _SHORT), "captured less than count, and no flag that says why"),
        (~short & _flagged(flags, EventFlag.TRUNCATED), "TRUNCATED, and captured all"),
        (
            (captured > 0) & _flagged(flags, EventFlag.NO_PAYLOAD),
            "NO_PAYLOAD, and a payload",
        ),
    ):
        rows = np.flatnonzero(wrong)
        if len(rows):
            others = f", and {len(rows) - 1:,} more" if len(rows) > 1 else ""
            yield Fault(f"event {int(rows[0])} of the chunk{others}: {what}", "5.3")


def _flagged(flags: Column, flag: EventFlag) -> Column:
    found: Column = (flags & np.uint32(flag)) != 0
    return found


def _any(batch: EventBatch, flag: EventFlag) -> bool:
    return bool(_flagged(batch.flags, flag).any())


def _sequence_faults(batch: EventBatch) -> Iterator[Fault]:
    """See that no number of a CPU stands for two events."""
    order = np.lexsort((batch.sequence, batch.cpu))
    cpu, sequence = batch.cpu[order], batch.sequence[order]
    twice = np.flatnonzero((cpu[1:] == cpu[:-1]) & (sequence[1:] == sequence[:-1]))
    if len(twice):
        where, number = int(cpu[twice[0]]), int(sequence[twice[0]])
        yield Fault(f"number {number} of CPU {where} stands for two events", "6")
