"""What the exporters share: the forms of a payload, and how rows become text fast."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, unique
from typing import Protocol

import numpy as np

from wcap.errors import FilterError
from wcap.events import Column, EventBatch, EventFlag

# The text of this many rows stays in a processor's cache: half again as fast as whole batches.
SLICE_ROWS = 1024


class Output(Protocol):
    """Where an exporter writes: any binary file will do."""

    def write(self, data: bytes, /) -> object:
        """Write all of the bytes."""


@unique
class PayloadForm(StrEnum):
    """How a payload is written; the value is what ``--data`` calls it."""

    TEXT = "text"
    BASE64 = "base64"
    HEX = "hex"

    @property
    def column(self) -> str:
        """The name of the column or key that holds this form."""
        return _COLUMNS[self]


_COLUMNS = {
    PayloadForm.TEXT: "text",
    PayloadForm.BASE64: "data_b64",
    PayloadForm.HEX: "data_hex",
}


def parse_forms(given: str) -> tuple[PayloadForm, ...]:
    """Read ``text,hex`` as forms, in the order of `PayloadForm`; ``none`` is no payload at all.

    Raises:
        FilterError: one of them is unknown.
    """
    words = [word.strip() for word in given.split(",")]
    if words == ["none"]:
        return ()
    for word in words:
        if word not in set(PayloadForm):
            raise FilterError(f"--data: text, base64, hex or none expected, {word!r} found")
    return tuple(form for form in PayloadForm if form in words)


def unknown_payloads(batch: EventBatch) -> list[int]:
    """Return the rows of which nothing could be captured, which is not the same as empty."""
    unreadable = (batch.flags & np.uint32(EventFlag.UNREADABLE)) != 0
    rows: list[int] = np.flatnonzero(unreadable & (batch.captured == 0)).tolist()
    return rows


def repeating(form: Callable[..., str], *columns: Column) -> list[str]:
    """Format the rows of some columns whose values recur: each distinct row once.

    Args:
        form: turns one value of each column into text.
        columns: of equal length.
    """
    values = [column.tolist() for column in columns]
    known = {row: form(*row) for row in set(zip(*values, strict=True))}
    return list(map(known.__getitem__, zip(*values, strict=True)))


def measured(
    batch: EventBatch,
    size: Callable[[int, int, int, bool], str],
    flags: Callable[[int], str],
    *,
    unknown: str,
) -> tuple[list[str], list[int | str], list[int], list[int], list[str]]:
    """Return what every format says of an event besides its time, its writer and its payload.

    Args:
        batch: the events.
        size: formats bytes asked for, captured and returned, and whether the last is known.
        flags: formats `EventFlag` bits.
        unknown: stands for a duration that is not known.

    Returns:
        Columns of text or numbers: size, duration in nanoseconds, CPU, sequence number, flags.
    """
    known = batch.has_result
    durations: list[int | str] = batch.duration_ns.tolist()
    for row in np.flatnonzero(~known).tolist():
        durations[row] = unknown
    return (
        repeating(size, batch.count, batch.captured, batch.returned, known),
        durations,
        batch.cpu.tolist(),
        batch.sequence.tolist(),
        repeating(flags, batch.flags),
    )


def slices(batch: EventBatch) -> list[EventBatch]:
    """Cut a batch into parts of `SLICE_ROWS`."""
    starts = range(0, len(batch), SLICE_ROWS)
    return [batch.select(slice(start, start + SLICE_ROWS)) for start in starts]
