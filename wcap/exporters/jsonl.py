r"""Batches in, JSON lines out: one object an event, in plain ASCII.

Everything but ASCII is written as ``\uXXXX``, control characters included, so the lines are valid
JSON whatever the payload holds and cannot do anything to a terminal. Lines are put together from
columns; what repeats from event to event (who wrote, how much) is formatted once a batch.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from json.encoder import encode_basestring_ascii as quoted

from wcap.batch import EventBatch
from wcap.events import EventFlag
from wcap.exporters.shared import (
    SLICE_ROWS,
    PayloadForm,
    measured,
    placed,
    repeating,
    unknown_payloads,
)
from wcap.fields import untext

DEFAULT_FORMS = (PayloadForm.TEXT, PayloadForm.BASE64)

# What `_format` zips; some of these bring several keys, host and payloads commas before them.
_ROW = (
    '{"time_ns":%s,%s,%s,"duration_ns":%s,"cpu":%s,"sequence":%s,"flags":%s,'
    '%s,"offset":%s,%s%s%s}\n'
)


def head(forms: Sequence[PayloadForm]) -> bytes:  # as of every exporter
    """Return nothing: JSON lines have no header."""
    return b""


def rows(batch: EventBatch, forms: Sequence[PayloadForm]) -> Iterator[bytes]:
    """Yield every event as a line, some lines at a time; ``forms`` says how payloads are given."""
    for part in batch.pieces(SLICE_ROWS):
        yield _format(part, forms).encode("ascii")


def format_batch(batch: EventBatch, forms: Sequence[PayloadForm] = DEFAULT_FORMS) -> str:
    """Return a batch as JSON lines, each with its line end.

    What is unknown is null: ``ppid``, ``returned``, ``duration_ns``, ``target``, and a payload of
    which nothing was captured. Null is also what a call does not have. ``text`` is the payload as
    UTF-8, with U+FFFD for what is not.
    """
    return "".join([_format(part, forms) for part in batch.pieces(SLICE_ROWS)])


def _format(batch: EventBatch, forms: Sequence[PayloadForm]) -> str:
    values = zip(
        batch.time_ns.tolist(),
        _writers(batch),
        *measured(batch, _size, _flags, unknown="null"),
        *placed(batch, _target, _origin, unknown="null"),
        _hosts(batch),
        _payloads(batch, forms),
        strict=True,
    )
    text = "".join([_ROW % row for row in values])
    # JSON lets DEL stand in a string (it can be nowhere else), but it is a control character.
    return text.replace("\x7f", "\\u007f") if "\x7f" in text else text


def _writers(batch: EventBatch) -> list[str]:
    comms = [_name(comm) for comm in batch.comms]
    calls = [quoted(call) for call in batch.syscalls]

    def form(process: int, tid: int, comm: int, call: int, fd: int) -> str:
        pid, ppid = batch.processes[process].pid, batch.processes[process].ppid
        parent = "null" if ppid is None else ppid
        return (
            f'"pid":{pid},"tid":{tid},"ppid":{parent},'
            f'"comm":{comms[comm]},"syscall":{calls[call]},"fd":{fd}'
        )

    return repeating(form, batch.process, batch.tid, batch.comm, batch.syscall, batch.fd)


def _size(count: int, captured: int, returned: int, known: bool) -> str:
    return f'"count":{count},"captured":{captured},"returned":{returned if known else "null"}'


def _flags(bits: int) -> str:
    return "[" + ",".join(f'"{name}"' for name in EventFlag(bits).names) + "]"


def _target(name: str | None, kind: str | None) -> str:
    return f'"target":{_name(name)},"target_kind":{_name(kind)}'


def _origin(fd: int | None, source: str | None, address: str | None) -> str:
    return (
        f'"source_fd":{"null" if fd is None else fd},'
        f'"source":{_name(source)},"address":{_name(address)}'
    )


def _hosts(batch: EventBatch) -> list[str]:
    return repeating(lambda at: f',"host":{_name(batch.hosts.names[at])}', batch.host)


def _name(name: str | None) -> str:
    """Format a name as the reader decoded it; bytes that are not UTF-8 become U+FFFD."""
    return "null" if name is None else quoted(untext(name).decode("utf-8", "replace"))


def _payloads(batch: EventBatch, forms: Sequence[PayloadForm]) -> list[str]:
    """Format the payload of each event, each form with the comma and the key before it."""
    if not forms:
        return [""] * len(batch)
    payloads = list(batch.payloads())
    unknown = unknown_payloads(batch)
    parts: list[Iterable[str]] = []
    for form in forms:
        values = _ENCODERS[form](payloads)
        for row in unknown:
            values[row] = "null"
        parts += [repeat(f',"{form.column}":'), values]
    return list(map("".join, zip(*parts, strict=False)))  # the keys repeat without end


def _texts(payloads: Iterable[bytes]) -> list[str]:
    return [quoted(payload.decode("utf-8", "replace")) for payload in payloads]


def _base64(payloads: Iterable[bytes]) -> list[str]:
    return [f'"{b2a_base64(payload, newline=False).decode()}"' for payload in payloads]


def _hex(payloads: Iterable[bytes]) -> list[str]:
    return [f'"{payload.hex()}"' for payload in payloads]


_ENCODERS = {PayloadForm.TEXT: _texts, PayloadForm.BASE64: _base64, PayloadForm.HEX: _hex}
