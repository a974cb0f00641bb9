"""What is said of an event beside its payload, as columns of text."""

from __future__ import annotations

import numpy as np

from wcap.batch import Column, EventBatch
from wcap.escape import escape_text
from wcap.events import NO_RESULT, EventFlag, Gap, error_name
from wcap.render.palette import Palette
from wcap.render.payload import payload_texts
from wcap.render.times import Times
from wcap.weave import TextColumn, each, fractions, per_distinct

# Why bytes that a program asked to write may be missing from its payload, unless they were cut.
_CAUSES = {EventFlag.UNREADABLE: "unreadable", EventFlag.PAYLOAD_LOST: "lost"}
ABSENCES = EventFlag.UNREADABLE | EventFlag.PAYLOAD_LOST


def quoted(name: str) -> str:
    """Return a name between quotation marks, escaped."""
    return '"' + escape_text(name).replace('"', '\\"') + '"'


def bare(name: str) -> str:
    """Return a name as it is, or quoted where spaces or escapes would blur where it ends."""
    shown = quoted(name)
    return name if name and " " not in name and shown == f'"{name}"' else shown


def result_text(returned: int, count: int, flags: int) -> str:
    """Say what the kernel answered: ``6``, ``3 of 6``, ``-1 EPIPE``, ``? (not sent)``."""
    if flags & EventFlag.UNFINISHED:
        return "? (unfinished)"
    if flags & EventFlag.RESULT_LOST:
        return "? (result lost)"
    if flags & EventFlag.UNSENT:
        return "? (not sent)"
    if returned < 0:
        return f"-1 {error_name(returned)}"
    return str(returned) if returned == count else f"{returned} of {count}"


def results(batch: EventBatch, palette: Palette) -> TextColumn:
    """Return what the kernel answered to each event."""
    returned, flags, count = batch.returned, batch.flags & np.uint32(NO_RESULT), batch.count
    # Where all was taken the count says nothing more, and fewer distinct texts have to be made.
    short = np.where(returned == count.astype(np.int64), np.uint64(0), count)

    def make(row: int) -> str:
        text = result_text(int(returned[row]), int(count[row]), int(flags[row]))
        return text if text.isdecimal() else f"{palette.error}{text}{palette.end}"

    return per_distinct([returned, flags, short], make)


def durations(batch: EventBatch) -> tuple[TextColumn, TextColumn]:
    """Return `` <0`` and ``.000001500>`` for each event; nothing where it is not known."""
    seconds, nanoseconds = np.divmod(batch.duration_ns, 1_000_000_000)
    known = batch.has_duration
    whole = per_distinct([seconds, known], lambda row: f" <{seconds[row]}" if known[row] else "")
    fraction = fractions(nanoseconds, ">")
    for row in np.flatnonzero(~known).tolist():
        fraction[row] = ""
    return whole, fraction


def missing(batch: EventBatch) -> Column:
    """Return how many bytes of each payload are not in the capture (uint64).

    None are of a call that never has a payload, such as sendfile.
    """
    captured = batch.captured.astype(np.uint64)
    absent = np.where(batch.count > captured, batch.count - captured, np.uint64(0))
    absent[(batch.flags & np.uint32(EventFlag.NO_PAYLOAD)) != 0] = 0
    return absent


def absence(flags: int) -> str:
    """Say why bytes that were asked for are missing; nothing where they were only cut."""
    return " or ".join(word for flag, word in _CAUSES.items() if flags & flag)


def notes(batch: EventBatch, palette: Palette) -> TextColumn:
    """Return what is special about each payload, after a space; usually nothing."""
    absent = missing(batch)
    flags = batch.flags & np.uint32(ABSENCES | EventFlag.READ_AT_EXIT)

    def make(row: int) -> str:
        said = []
        if cause := absence(int(flags[row])):
            said.append(f"[{absent[row]} B {cause}]")
        elif absent[row]:
            said.append(f"… +{absent[row]} B")
        if flags[row] & EventFlag.READ_AT_EXIT:
            said.append("[read at exit]")
        return f" {palette.note}{' '.join(said)}{palette.end}" if said else ""

    return per_distinct([absent, flags], make)


def quoted_payloads(batch: EventBatch) -> tuple[TextColumn, list[str], TextColumn]:
    """Return what stands before, in and after the quotation marks of each payload.

    Where nothing of it is known there are none: that is not the same as empty.
    """
    known = batch.has_payload
    opening = per_distinct([known], lambda row: ' "' if known[row] else "")
    return opening, payload_texts(batch), each(opening, str.lstrip)


def gap_text(gap: Gap, times: Times) -> str:
    """Say in one line what was lost, where and why."""
    events = "event" if gap.count == 1 else "events"
    return (
        f"{gap.count} {events} lost on CPU {gap.cpu} between {times.moment(gap.first_ns)} "
        f"and {times.moment(gap.last_ns)}: {escape_text(gap.cause)}"
    )
