"""Columns of text: made from columns of numbers, and woven into one text.

A column of text is a list with a string a row, or one string that stands in every row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from wcap.batch import Column

TextColumn: TypeAlias = list[str] | str

_THREE_DIGITS = np.frombuffer(
    "".join(f"{number:03}" for number in range(1000)).encode("ascii"), dtype=np.uint8
).reshape(1000, 3)


def per_distinct(columns: Sequence[Column], make: Callable[[int], str]) -> TextColumn:
    """Return a column of text that depends on nothing but these columns.

    Args:
        columns: of equal length, at least one row.
        make: called with the row of one event of each distinct combination of values.
    """
    varying = [column for column in columns if bool((column != column[0]).any())]
    if not varying:
        return make(0)
    lists = [column.tolist() for column in varying]
    keys = lists[0] if len(lists) == 1 else list(zip(*lists, strict=True))
    rows = dict(zip(keys, range(len(keys)), strict=True))
    made = {key: make(row) for key, row in rows.items()}
    return list(map(made.__getitem__, keys))


def fractions(nanoseconds: Column, end: str = "") -> list[str]:
    """Format nanoseconds below a second as ``.000001500``, each followed by ``end``."""
    characters = np.empty((len(nanoseconds), 10 + len(end) + 1), dtype=np.uint8)
    characters[:, 0] = ord(".")
    characters[:, 1:4] = _THREE_DIGITS[nanoseconds // 1_000_000]
    characters[:, 4:7] = _THREE_DIGITS[nanoseconds // 1_000 % 1_000]
    characters[:, 7:10] = _THREE_DIGITS[nanoseconds % 1_000]
    characters[:, 10:] = np.frombuffer(f"{end}\n".encode("ascii"), dtype=np.uint8)
    return characters.tobytes().decode("ascii").splitlines()


def each(column: TextColumn, change: Callable[[str], str]) -> TextColumn:
    """Return a column changed in every row."""
    return change(column) if isinstance(column, str) else list(map(change, column))


def weave(length: int, *columns: TextColumn) -> str:
    """Join columns of ``length`` rows into one text, row by row."""
    merged: list[TextColumn] = []
    for column in columns:
        if isinstance(column, str) and merged and isinstance(merged[-1], str):
            merged[-1] += column
        else:
            merged.append(column)
    pieces = [column if isinstance(column, str) else "" for column in merged] * length
    for place, column in enumerate(merged):
        if not isinstance(column, str):
            pieces[place :: len(merged)] = column
    return "".join(pieces)


def rows_of(length: int, *columns: TextColumn) -> Iterator[str]:
    """Yield each row of columns of ``length`` rows, joined."""
    lists = ([column] * length if isinstance(column, str) else column for column in columns)
    return map("".join, zip(*lists, strict=True))
