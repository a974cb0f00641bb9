"""Lines cut to the width of a terminal."""

from __future__ import annotations

import re
import unicodedata

# What `wcap.render.palette` puts in: it takes no room. Payloads cannot hold it, they are escaped.
_COLOUR = re.compile(r"(\x1b\[\d+m)")


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    shown = _COLOUR.sub("", text)
    return len(shown) if shown.isascii() else sum(map(_cells_of, shown))


def _cells_of(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def fit(text: str, closing: str, tail: str, width: int) -> str:
    """Return the three joined, or with ``…`` for the end of the text and its closing if too wide.

    The tail stays, unless the window is too narrow even for it.
    """
    line = text + closing + tail
    if cells(line) <= width:
        return line
    room = width - cells(tail) - 1
    return f"{_crop(text, room)}…{tail}" if room >= 0 else f"{_crop(line, width - 1)}…"


def _crop(text: str, room: int) -> str:
    """Return as much of a text as fits; colours all stay, so that each one ends."""
    kept = []
    for place, piece in enumerate(_COLOUR.split(text)):
        if place % 2:
            kept.append(piece)
        else:
            end = _end(piece, room)
            kept.append(piece[:end])
            room = room - cells(piece) if end == len(piece) else 0
    return "".join(kept)


def _end(text: str, room: int) -> int:
    """Return how many characters of a text without colours fit."""
    if text.isascii():
        return min(len(text), room)
    for place, character in enumerate(text):
        room -= _cells_of(character)
        if room < 0:
            return place
    return len(text)
