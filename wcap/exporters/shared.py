"""What the exporters share: the forms of a payload, and how rows become text fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum, unique
from typing import Any, NamedTuple

import numpy as np

from wcap.batch import Column, EventBatch
from wcap.errors import FilterError
from wcap.weave import TextColumn

# The text of this many rows stays in a processor's cache: half again as fast as whole batches.
SLICE_ROWS = 1024
# What recurs is formatted once for this many rows.
_PIECE_ROWS = 32 * SLICE_ROWS
# Numbers of 63 bits tell distinct rows apart where there are fewer.
_MOST_KEYS = 1 << 63
_MODULUS_MASK = (1 << 64) - 1


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


class Recurring:
    """Text that depends on columns whose values recur: each distinct row is formatted once.

    Args:
        form: turns one value of each column into text.
        columns: of integers, of equal length, at least one row.
    """

    def __init__(self, form: Callable[..., str], *columns: Column) -> None:
        spans = [_span(column) for column in columns]
        distinct = math.prod(size for _, size in spans)
        self._columns = columns
        self._constant = form(*[least for least, _ in spans]) if distinct == 1 else None
        self._keys = _combined(columns, spans) if 1 < distinct < _MOST_KEYS else None
        # Neither refers to this object: in a cycle, a batch would outlive its use.
        self._texts = _Texts(
            (lambda values: form(*values))
            if self._keys is None
            else (lambda key: form(*_values(key, spans)))
        )

    def of(self, part: slice) -> TextColumn:
        """Return the text of some rows."""
        if self._constant is not None:
            return self._constant
        keys: Iterable[Any]
        if self._keys is None:
            keys = zip(*[column[part].tolist() for column in self._columns], strict=True)
        else:
            keys = self._keys[part].tolist()
        return list(map(self._texts.__getitem__, keys))


class _Texts(dict[Any, str]):
    """What has been formatted; anything else is when it is asked for."""

    def __init__(self, make: Callable[[Any], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, key: Any) -> str:
        text = self[key] = self._make(key)
        return text


def _span(column: Column) -> tuple[int, int]:
    """Return a column's least number, and how many there are from it to the largest."""
    least = int(column.min())
    return least, int(column.max()) - least + 1


def _combined(columns: Iterable[Column], spans: Iterable[tuple[int, int]]) -> Column:
    """Make one number of the values of each row, as `Recurring` takes it apart."""
    keys: Column = np.zeros(1, dtype=np.int64)
    for column, (least, size) in zip(columns, spans, strict=True):
        if size > 1:
            # Modulo 2**64, as numbers may be beyond 2**63: what is above the least is not.
            above = column.astype(np.uint64) - np.uint64(least & _MODULUS_MASK)
            keys = keys * size + above.view(np.int64)
    return keys


def _values(key: int, spans: Sequence[tuple[int, int]]) -> list[int]:
    """Take apart what `_combined` put together."""
    values = []
    for least, size in reversed(spans):
        key, above = divmod(key, size)
        values.append(least + above)
    return values[::-1]


class Forms(NamedTuple):
    """How a format writes what it says of an event besides its times and its payload.

    What is not known or not there is None.

    Attributes:
        writer: of pid, tid, ppid, thread's name, system call and descriptor.
        size: of bytes asked for, captured and returned, and whether the last is known.
        flags: of `EventFlag` bits.
        target: of the name and the kind of what the descriptor stood for.
        origin: of the descriptor that was read from, the name of what it stood for, and the
            address that was sent to.
        host: of the machine's name.
        unknown: stands for a number that is not known, or that the call does not have.
    """

    writer: Callable[[int, int, int | None, str, str, int], str]
    size: Callable[[int, int, int, bool], str]
    flags: Callable[[int], str]
    target: Callable[[str | None, str | None], str]
    origin: Callable[[int | None, str | None, str | None], str]
    host: Callable[[str | None], str]
    unknown: str


class Facts:
    """What every format says of an event besides its times and its payload, as text.

    Args:
        batch: at least one event, and not too many: all that is distinct of them is kept.
        forms: how it is written.
    """

    def __init__(self, batch: EventBatch, forms: Forms) -> None:
        processes, targets = batch.processes, batch.targets
        self._batch = batch
        self._unknown = forms.unknown
        self._known = batch.has_duration
        self._placed = batch.has("offset")

        def writer(process: int, tid: int, comm: int, call: int, fd: int) -> str:
            of = processes[process]
            return forms.writer(of.pid, tid, of.ppid, batch.comms[comm], batch.syscalls[call], fd)

        def origin(source: int, fd: int, position: int, sent: int, address: int) -> str:
            return forms.origin(
                fd if source else None,
                targets[position].name if source else None,
                batch.addresses[address] if sent else None,
            )

        self._writers = Recurring(
            writer, batch.process, batch.tid, batch.comm, batch.syscall, batch.fd
        )
        self._sizes = Recurring(
            forms.size, batch.count, batch.captured, batch.returned, batch.has_result
        )
        self._cpus = Recurring(str, batch.cpu)
        self._flags = Recurring(forms.flags, batch.flags)
        self._targets = Recurring(
            lambda at: forms.target(targets[at].name, targets[at].kind), batch.target
        )
        self._origins = Recurring(
            origin,
            batch.has("source"),
            batch.column("source_fd"),
            batch.column("source"),
            batch.has("address"),
            batch.column("address"),
        )
        self._hosts = Recurring(lambda at: forms.host(batch.hosts.names[at]), batch.host)

    def of(self, part: slice) -> list[TextColumn]:
        """Return columns of some of the events.

        They are: writer, size, duration in nanoseconds, CPU, sequence number, flags, target,
        offset, origin, host.
        """
        return [
            self._writers.of(part),
            self._sizes.of(part),
            self._numbers("duration_ns", self._known, part),
            self._cpus.of(part),
            numbers(self._batch.sequence[part]),
            self._flags.of(part),
            self._targets.of(part),
            self._numbers("offset", self._placed, part),
            self._origins.of(part),
            self._hosts.of(part),
        ]

    def _numbers(self, name: str, known: Column, part: slice) -> TextColumn:
        known = known[part]
        if not known.any():
            return self._unknown
        texts = numbers(self._batch.column(name)[part])
        for row in np.flatnonzero(~known).tolist():
            texts[row] = self._unknown
        return texts


def numbers(column: Column) -> list[str]:
    """Return a column of numbers as text."""
    return list(map(str, column.tolist()))


def in_pieces(batch: EventBatch, forms: Forms) -> Iterator[tuple[EventBatch, list[TextColumn]]]:
    """Yield the events some at a time, with what `Facts` says of them."""
    for piece in batch.pieces(_PIECE_ROWS):
        facts = Facts(piece, forms)
        for start in range(0, len(piece), SLICE_ROWS):
            part = slice(start, start + SLICE_ROWS)
            yield piece.select(part), facts.of(part)
