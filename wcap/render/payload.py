r"""Payloads as text that is safe to show, escaped for a whole batch at once.

Printable ASCII stands for itself, ``\n``, ``\r``, ``\t``, ``\\`` and ``\"`` are written so, and
every other byte as ``\xNN``. A payload that is UTF-8, apart from a character cut at either end,
keeps its printable characters; the others are written as ``\uNNNN``. So each text stands for one
payload only.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wcap.batch import Column, EventBatch
from wcap.escape import escape_text

_BACKSLASH = ord("\\")
_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_NEVER_UTF8 = np.isin(np.arange(256), [0xC0, 0xC1, *range(0xF5, 0x100)])
# A character of UTF-8 has at most four bytes: one cut at its front leaves at most three.
_MOST_CONTINUED = 3


@dataclass(frozen=True, slots=True)
class Escapes:
    """Which bytes are escaped, and how.

    Attributes:
        shown: characters of ASCII that stand for themselves or are escaped in a way of their own.
        letters: of each byte, what follows the backslash; 0 for a byte that stands for itself.
        special: whether each byte is escaped.
    """

    shown: Mapping[str, str]
    letters: npt.NDArray[np.uint8]
    special: npt.NDArray[np.bool_]


def _escapes(shown: Mapping[str, str]) -> Escapes:
    letters = np.full(256, ord("x"), dtype=np.uint8)
    letters[0x20:0x7F] = 0
    for character, text in shown.items():
        letters[ord(character)] = 0 if text == character else ord(text[1])
    return Escapes(shown, letters, letters != 0)


# One line, to stand between quotation marks.
QUOTED = _escapes({"\n": "\\n", "\r": "\\r", "\t": "\\t", '"': '\\"', "\\": "\\\\"})
# Text as it was written: its lines and tabs stay.
RUNNING = _escapes({"\n": "\n", "\r": "\\r", "\t": "\t", "\\": "\\\\"})


def block_of(batch: EventBatch) -> tuple[bytes, Column, Column]:
    """Return the payloads without holes between them, and where each starts and ends (int64)."""
    starts, ends = batch.bounds
    first, last = int(starts[0]), int(ends[-1])
    if bool((starts[1:] == ends[:-1]).all()):
        return batch.data[first:last], starts - first, ends - first
    ends = np.cumsum(ends - starts)
    return batch.joined(), ends - np.diff(ends, prepend=0), ends


def payload_texts(batch: EventBatch, escapes: Escapes = QUOTED) -> list[str]:
    """Return the escaped payload of each event of a batch that is not empty."""
    block, starts, ends = block_of(batch)
    codes = np.frombuffer(block, dtype=np.uint8)
    places = np.flatnonzero(escapes.special[codes])
    if not len(places):
        return _cut(block, starts, ends)
    text, shifts = _escaped(codes, places, escapes)
    texts = _cut(
        text,
        starts + shifts[np.searchsorted(places, starts)],
        ends + shifts[np.searchsorted(places, ends)],
    )
    for row in _perhaps_utf8(codes, places, ends):
        decoded = _decoded(block[starts[row] : ends[row]], escapes)
        if decoded is not None:
            texts[row] = decoded
    return texts


def _perhaps_utf8(
    codes: npt.NDArray[np.uint8], places: npt.NDArray[np.intp], ends: Column
) -> list[int]:
    """Return the rows that hold bytes beyond ASCII, and none that UTF-8 never has."""
    beyond = places[codes[places] >= 0x80]
    rows = np.searchsorted(ends, beyond, side="right")
    perhaps = np.zeros(len(ends), dtype=np.bool_)
    perhaps[rows] = True
    perhaps[rows[_NEVER_UTF8[codes[beyond]]]] = False
    return np.flatnonzero(perhaps).tolist()


def _cut(block: bytes, starts: Column, ends: Column) -> list[str]:
    text = block.decode("ascii")
    return [text[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]


def _escaped(
    codes: npt.NDArray[np.uint8], places: npt.NDArray[np.intp], escapes: Escapes
) -> tuple[bytes, npt.NDArray[np.int64]]:
    """Escape the bytes at ``places``.

    Returns:
        The block escaped, and by how much it is longer before each of the places, and at its end.
    """
    found = codes[places]
    letters = escapes.letters[found]
    numbered = letters == ord("x")
    shifts = np.zeros(len(places) + 1, dtype=np.int64)
    np.cumsum(np.where(numbered, 3, 1), out=shifts[1:])
    at = places + shifts[:-1]
    at_number, bytes_found = at[numbered], found[numbered]
    escaped = np.empty(len(codes) + int(shifts[-1]), dtype=np.uint8)
    plain = np.ones(len(escaped), dtype=np.bool_)
    for where, characters in (
        (at, _BACKSLASH),
        (at + 1, letters),
        (at_number + 2, _HEX[bytes_found >> 4]),
        (at_number + 3, _HEX[bytes_found & 15]),
    ):
        escaped[where] = characters
        plain[where] = False
    untouched = np.ones(len(codes), dtype=np.bool_)
    untouched[places] = False
    escaped[plain] = codes[untouched]
    return escaped.tobytes(), shifts


def _decoded(payload: bytes, escapes: Escapes) -> str | None:
    """Escape a payload that is UTF-8, apart from a character cut at either end; else None."""
    start = 0
    while start < min(_MOST_CONTINUED, len(payload)) and payload[start] & 0xC0 == 0x80:
        start += 1
    try:
        text, used = codecs.utf_8_decode(payload[start:], "strict", False)
    except UnicodeDecodeError:
        return None
    cut = (payload[:start], payload[start + used :])
    before, after = ("".join(f"\\x{byte:02x}" for byte in part) for part in cut)
    return before + _escape_characters(text, escapes) + after


def _escape_characters(text: str, escapes: Escapes) -> str:
    pieces = re.split(r"""([\n\r\t"\\])""", text)
    return "".join([escapes.shown.get(piece) or escape_text(piece) for piece in pieces])
