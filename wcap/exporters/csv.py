"""Batches in, comma-separated values out: RFC 4180, UTF-8, a header row, one line an event.

Text cells are quoted and hold no control characters: those stand as backslash escapes, so a row is
always one line, and nothing in it acts on a terminal. Text that a spreadsheet would run as a
formula gets a single quote before it. Numbers are bare, and an empty cell means unknown, or that
the call has no such thing.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from wcap.batch import EventBatch
from wcap.escape import escape_text
from wcap.events import EventFlag
from wcap.exporters.shared import Forms, PayloadForm, in_pieces, numbers, unknown_payloads
from wcap.fields import text as decoded
from wcap.weave import TextColumn, fractions, per_distinct, weave

DEFAULT_FORMS = (PayloadForm.TEXT,)
COLUMNS = (
    "time",
    "time_ns",
    "pid",
    "tid",
    "ppid",
    "comm",
    "syscall",
    "fd",
    "count",
    "captured",
    "returned",
    "duration_ns",
    "cpu",
    "sequence",
    "flags",
    "target",
    "target_kind",
    "offset",
    "source_fd",
    "source",
    "address",
    "host",
)
_LINE_END = "\r\n"
# Bytes that stand as they are or become one of these escapes; the backslash has its turn first.
_PLAIN = bytes(range(0x20, 0x7F)) + b"\t\n\r"
_PLAIN_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"), ('"', '""'))
# What starts a formula in a spreadsheet (OWASP: CSV injection), full-width forms included; TAB and
# CR, which do so too, are escaped before this is asked.
_BEFORE_FORMULA = " '\""
_FORMULA = frozenset("=+-@\uff1d\uff0b\uff0d\uff20")
# Where a cell among others, a NUL before each, has to be made harmless.
_FORMULA_CELL = re.compile(f"\0(?=[{_BEFORE_FORMULA}]*[{re.escape(''.join(_FORMULA))}])")


def head(forms: Sequence[PayloadForm]) -> bytes:
    """Return the header row; ``forms`` says how payloads are given."""
    header = [*COLUMNS, *(form.column for form in forms)]
    return (",".join(header) + _LINE_END).encode()


def rows(batch: EventBatch, forms: Sequence[PayloadForm]) -> Iterator[bytes]:
    """Yield every event as a row, some rows at a time."""
    for part, facts in in_pieces(batch, _FORMS):
        cells: list[TextColumn] = [*facts, *_payloads(part, forms)]
        commas = [column for cell in cells for column in (",", cell)]
        yield weave(len(part), *_times(part), *commas, _LINE_END).encode()


def _times(batch: EventBatch) -> list[TextColumn]:
    """Format each time twice: ISO 8601 in UTC with nanoseconds, and nanoseconds since 1970."""
    seconds, nanoseconds = np.divmod(batch.time_ns, 1_000_000_000)
    whole = per_distinct([seconds], lambda row: f"{np.datetime64(int(seconds[row]), 's')}")
    if bool((seconds <= 0).any()):
        return [whole, fractions(nanoseconds, "Z,"), numbers(batch.time_ns)]
    # The digits of the fraction end the whole number as well.
    digits = fractions(nanoseconds)
    since_1970 = per_distinct([seconds], lambda row: f"Z,{seconds[row]}")
    return [whole, digits, since_1970, [text[1:] for text in digits]]


def _writer(pid: int, tid: int, ppid: int | None, comm: str, call: str, fd: int) -> str:
    return f"{pid},{tid},{'' if ppid is None else ppid},{_cell(comm)},{_cell(call)},{fd}"


def _size(count: int, captured: int, returned: int, known: bool) -> str:
    return f"{count},{captured},{returned if known else ''}"


def _flags(bits: int) -> str:
    return " ".join(EventFlag(bits).names)


def _target(name: str | None, kind: str | None) -> str:
    return f"{_name(name)},{_name(kind)}"


def _origin(fd: int | None, source: str | None, address: str | None) -> str:
    return f"{'' if fd is None else fd},{_name(source)},{_name(address)}"


def _name(name: str | None) -> str:
    return "" if name is None else _cell(name)


_FORMS = Forms(_writer, _size, _flags, _target, _origin, _name, unknown="")


def _payloads(batch: EventBatch, forms: Sequence[PayloadForm]) -> list[list[str]]:
    """Format the payload of each event, a column for each form."""
    payloads = list(batch.payloads())
    unknown = unknown_payloads(batch)
    columns = [_ENCODERS[form](payloads) for form in forms]
    for cells in columns:
        for row in unknown:
            cells[row] = ""
    return columns


def _cells(payloads: Sequence[bytes]) -> list[str]:
    """Return each payload as `_cell` does; plain ASCII, the usual case, all of them at once."""
    block = b"\0".join([b"", *payloads])
    if block.translate(None, _PLAIN) != bytes(len(payloads)):
        return [_cell(decoded(payload)) for payload in payloads]
    text = block.decode("ascii")
    for character, shown in _PLAIN_ESCAPES:
        text = text.replace(character, shown)
    text = _FORMULA_CELL.sub("\0'", text)
    return '"{}"'.format(text[1:].replace("\0", '"\0"')).split("\0")


def _base64(payloads: Iterable[bytes]) -> list[str]:
    return [b2a_base64(payload, newline=False).decode() for payload in payloads]


def _hex(payloads: Iterable[bytes]) -> list[str]:
    return [payload.hex() for payload in payloads]


_ENCODERS = {PayloadForm.TEXT: _cells, PayloadForm.BASE64: _base64, PayloadForm.HEX: _hex}


def _cell(text: str) -> str:
    """Return text as a quoted cell of one line that no spreadsheet runs."""
    cell = _harmless(escape_text(text)).replace('"', '""')
    return f'"{cell}"'


def _harmless(text: str) -> str:
    """Put a single quote before text that a spreadsheet would take for a formula."""
    return "'" + text if text.lstrip(_BEFORE_FORMULA)[:1] in _FORMULA else text
