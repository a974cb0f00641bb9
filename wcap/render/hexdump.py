r"""A line an event, then its payload in rows of 16 bytes: offset, hexadecimal, ASCII.

03:04:05.000001500 client-tcp 2260/2260 write(3) = 6 <0.000012345>
  00000000  68 65 6c 6c 6f 0a                                 |hello.|
"""

from __future__ import annotations

import numpy as np

from wcap.batch import EventBatch
from wcap.render.facts import notes
from wcap.render.lines import line_heads
from wcap.render.payload import block_of
from wcap.render.renderer import Renderer
from wcap.weave import each, weave

_HEX = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
_BYTES = 16
_OFFSET_DIGITS = 8
# Where things stand in a row: two spaces, offset, bytes in two groups of eight, |ASCII|.
_HEX_AT = 2 + _OFFSET_DIGITS + 2 + np.arange(_BYTES) * 3 + (np.arange(_BYTES) >= _BYTES // 2)
_BAR_AT = int(_HEX_AT[-1]) + 4
_ROW = _BAR_AT + 1 + _BYTES + len("|\n")
# A byte that stands for nothing in a row under construction; no row holds it otherwise.
_NOTHING = 0


def _ascii_table() -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    table = np.full(256, ord("."), dtype=np.uint8)
    table[0x20:0x7F] = np.arange(0x20, 0x7F)
    return table


_ASCII = _ascii_table()


class HexRenderer(Renderer):
    """The style of ``--hex``."""

    def _events(self, batch: EventBatch) -> str:
        heads = line_heads(batch, self._times, self._palette)
        tails = each(notes(batch, self._palette), lambda note: f" {note}\n" if note else "")
        return weave(len(batch), *heads, "\n", _dumps(batch), tails)


def _dumps(batch: EventBatch) -> list[str]:
    """Return the rows of each payload."""
    block, starts, ends = block_of(batch)
    lengths = ends - starts
    counts = -(-lengths // _BYTES)
    firsts = np.cumsum(counts) - counts
    total = int(counts.sum())
    places = np.arange(len(block)) + np.repeat(firsts * _BYTES - starts, lengths)
    codes = np.zeros(total * _BYTES, dtype=np.uint8)
    codes[places] = np.frombuffer(block, dtype=np.uint8)
    present = np.zeros(total * _BYTES, dtype=np.bool_)
    present[places] = True
    offsets = (np.arange(total) - np.repeat(firsts, counts)) * _BYTES
    rows = _rows(offsets, codes.reshape(total, _BYTES), present.reshape(total, _BYTES))
    text = rows.tobytes().translate(None, bytes([_NOTHING])).decode("ascii")
    text_ends = np.cumsum(counts * _ROW - (counts * _BYTES - lengths)).tolist()
    return [text[start:end] for start, end in zip([0, *text_ends], text_ends, strict=False)]


def _rows(
    offsets: np.ndarray[tuple[int], np.dtype[np.int64]],
    codes: np.ndarray[tuple[int, int], np.dtype[np.uint8]],
    present: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Return rows of characters, with ``_NOTHING`` for the ASCII of a byte that is not present."""
    rows = np.full((len(offsets), _ROW), ord(" "), dtype=np.uint8)
    for digit in range(_OFFSET_DIGITS):
        rows[:, 2 + digit] = _HEX[(offsets >> 4 * (_OFFSET_DIGITS - 1 - digit)) & 15]
    rows[:, _HEX_AT] = np.where(present, _HEX[codes >> 4], ord(" "))
    rows[:, _HEX_AT + 1] = np.where(present, _HEX[codes & 15], ord(" "))
    rows[:, _BAR_AT] = ord("|")
    rows[:, _BAR_AT + 1 : _BAR_AT + 1 + _BYTES] = np.where(present, _ASCII[codes], _NOTHING)
    rows[:, -2:] = np.frombuffer(b"|\n", dtype=np.uint8)
    return rows
