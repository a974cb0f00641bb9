r"""Batches in, JSON lines out: one object an event, in plain ASCII.

Everything but ASCII is written as ``\uXXXX``, control characters included, so the lines are valid
JSON whatever the payload holds and cannot do anything to a terminal. Lines are put together from
columns; what repeats from event to event (who wrote, how much) is formatted once a batch.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Sequence
from json.encoder import encode_basestring_ascii as quoted

from wcap.batch import EventBatch
from wcap.events import EventFlag
from wcap.exporters.shared import Forms, PayloadForm, in_pieces, numbers, unknown_payloads
from wcap.fields import untext
from wcap.weave import TextColumn, weave

DEFAULT_FORMS = (PayloadForm.TEXT, PayloadForm.BASE64)


def head(forms: Sequence[PayloadForm]) -> bytes:  # as of every exporter
    """Return nothing: JSON lines have no header."""
    return b""


def rows(batch: EventBatch, forms: Sequence[PayloadForm]) -> Iterator[bytes]:
    """Yield every event as a line, some lines at a time; ``forms`` says how payloads are given."""
    for text in _texts_of(batch, forms):
        yield text.encode("ascii")


def format_batch(batch: EventBatch, forms: Sequence[PayloadForm] = DEFAULT_FORMS) -> str:
    """Return a batch as JSON lines, each with its line end.

    What is unknown is null: ``ppid``, ``returned``, ``duration_ns``, ``target``, and a payload of
    which nothing was captured. Null is also what a call does not have. ``text`` is the payload as
    UTF-8, with U+FFFD for what is not.
    """
    return "".join(_texts_of(batch, forms))


def _texts_of(batch: EventBatch, forms: Sequence[PayloadForm]) -> Iterator[str]:
    """Yield the lines some at a time."""
    for part, facts in in_pieces(batch, _FORMS):
        keyed = [column for item in zip(_KEYS, facts, strict=True) for column in item]
        times = numbers(part.time_ns)
        text = weave(len(part), '{"time_ns":', times, *keyed, *_payloads(part, forms), "}\n")
        # JSON lets DEL stand in a string (it can be nowhere else), but it is a control character.
        yield text.replace("\x7f", "\\u007f") if "\x7f" in text else text


def _writer(pid: int, tid: int, ppid: int | None, comm: str, call: str, fd: int) -> str:
    return (
        f'"pid":{pid},"tid":{tid},"ppid":{"null" if ppid is None else ppid},'
        f'"comm":{_name(comm)},"syscall":{quoted(call)},"fd":{fd}'
    )


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


def _name(name: str | None) -> str:
    """Format a name as the reader decoded it; bytes that are not UTF-8 become U+FFFD."""
    return "null" if name is None else quoted(untext(name).decode("utf-8", "replace"))


# What stands before each column of `Facts`, of which some bring several keys.
_KEYS = (
    ",", ",", ',"duration_ns":', ',"cpu":', ',"sequence":', ',"flags":', ",", ',"offset":', ",",
    ',"host":',
)  # fmt: skip
_FORMS = Forms(_writer, _size, _flags, _target, _origin, _name, unknown="null")


def _payloads(batch: EventBatch, forms: Sequence[PayloadForm]) -> list[TextColumn]:
    """Format the payload of each event, each form with the comma and the key before it."""
    if not forms:
        return []
    payloads = list(batch.payloads())
    unknown = unknown_payloads(batch)
    columns: list[TextColumn] = []
    for form in forms:
        values = _ENCODERS[form](payloads)
        for row in unknown:
            values[row] = "null"
        columns += [f',"{form.column}":', values]
    return columns


def _texts(payloads: Iterable[bytes]) -> list[str]:
    return [quoted(payload.decode("utf-8", "replace")) for payload in payloads]


def _base64(payloads: Iterable[bytes]) -> list[str]:
    return [f'"{b2a_base64(payload, newline=False).decode()}"' for payload in payloads]


def _hex(payloads: Iterable[bytes]) -> list[str]:
    return [f'"{payload.hex()}"' for payload in payloads]


_ENCODERS = {PayloadForm.TEXT: _texts, PayloadForm.BASE64: _base64, PayloadForm.HEX: _hex}
