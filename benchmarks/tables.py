"""Numbers and tables as text."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_T = TypeVar("_T")


def columns(rows: Sequence[Sequence[str]], align: str) -> Iterator[str]:
    """Lay out rows of cells below each other, indented.

    Args:
        rows: of as many cells as ``align`` has characters.
        align: ``<`` or ``>`` for each column: to its left or to its right.
    """
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, align, widths, strict=True)
        yield "  " + "  ".join(f"{cell:{side}{width}}" for cell, side, width in cells).rstrip()


def middle(things: Sequence[_T], value: Callable[[_T], float | None], form: str) -> str:
    """Show the median of what is known of some things; nothing if nothing is."""
    known = [found for thing in things if (found := value(thing)) is not None]
    return form.format(statistics.median(known)) if known else ""


def optional(value: float | None, form: str) -> str:
    """Show a number; nothing if it is not known."""
    return "" if value is None else form.format(value)
