"""What the exporters share: the forms of a payload, and how rows become text fast."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum, unique

import numpy as np

from wcap.batch import Column, EventBatch
from wcap.errors import FilterError

# The text of this many rows stays in a processor's cache: half again as fast as whole batches.
SLICE_ROWS = 1024


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
    """Return the rows whose payload is not known at all, which is not the same as empty."""
    rows: list[int] = np.flatnonzero(~batch.has_payload).tolist()
    return rows


def repeating(form: Callable[..., str], *columns: Column) -> list[str]:
    """Format the rows of some columns whose values recur: each distinct row once.

    Args:
        form: turns one value of each column into text.
        columns: of equal length, at least one row.
    """
    if all(bool((column == column[0]).all()) for column in columns):
        return [form(*[column[0].item() for column in columns])] * len(columns[0])
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
    return (
        repeating(size, batch.count, batch.captured, batch.returned, batch.has_result),
        _known(batch.duration_ns, batch.has_duration, unknown),
        batch.cpu.tolist(),
        batch.sequence.tolist(),
        repeating(flags, batch.flags),
    )


def placed(
    batch: EventBatch,
    target: Callable[[str | None, str | None], str],
    origin: Callable[[int | None, str | None, str | None], str],
    *,
    unknown: str,
) -> tuple[list[str], list[int | str], list[str]]:
    """Return what every format says of where an event wrote to.

    Args:
        batch: the events.
        target: formats the name and the kind of what the descriptor stood for.
        origin: formats the descriptor that was read from, the name of what it stood for, and the
            address that was sent to. All these are None where they are not known or not there.
        unknown: stands for an offset where the call has none.

    Returns:
        Columns of text or numbers: target, offset, origin.
    """
    targets, addresses = batch.targets, batch.addresses
    has_source, has_address = batch.has("source"), batch.has("address")

    def form(source: bool, fd: int, position: int, sent: bool, address: int) -> str:
        return origin(
            fd if source else None,
            targets[position].name if source else None,
            addresses[address] if sent else None,
        )

    fd, source, address = (batch.column(name) for name in ("source_fd", "source", "address"))
    return (
        repeating(lambda at: target(targets[at].name, targets[at].kind), batch.target),
        _known(batch.column("offset"), batch.has("offset"), unknown),
        repeating(form, has_source, fd, source, has_address, address),
    )


def _known(column: Column, known: Column, unknown: str) -> list[int | str]:
    """Return the numbers of a column, with ``unknown`` where they are not known."""
    if not known.any():
        return [unknown] * len(known)
    values: list[int | str] = column.tolist()
    for row in np.flatnonzero(~known).tolist():
        values[row] = unknown
    return values
