"""Rows numbered by what they have in some columns, so that other columns can be summed by it.

Numbers are made in types of few bytes, as far as they hold them: that is less to go through.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.batch import Column

# np.bincount sums in float64, which holds every integer up to here.
EXACT = 1 << 53
_KINDS = (np.dtype(np.uint16), np.dtype(np.uint32), np.dtype(np.int64))

Counts = npt.NDArray[np.int64]


@dataclass(slots=True)
class Cells:
    """Rows numbered by their combination of values.

    Attributes:
        number: for each row a number, the same for the same combination.
        bound: all are below it. It is at most four times the rows, so summing stays cheap.
        steps: how the numbers were made: for each column (least, size, distinct values above the
            least or None), or where they were numbered anew, what they had been.
    """

    number: Column
    bound: int
    steps: list[tuple[int, int, Counts | None] | Counts]

    def values(self, numbers: Counts) -> list[Counts]:
        """Return for some of the numbers the values of each column."""
        found: list[Counts] = []
        for step in reversed(self.steps):
            if not isinstance(step, tuple):
                numbers = step[numbers]
                continue
            least, size, distinct = step
            numbers, code = np.divmod(numbers, size)
            found.append((code if distinct is None else distinct[code]) + least)
        return found[::-1]


def numbered(columns: Sequence[Column], length: int) -> Cells:
    """Number ``length`` rows by their combination of values in some columns."""
    number: Column = np.zeros(length, dtype=np.uint16)
    bound = 1
    steps: list[tuple[int, int, Counts | None] | Counts] = []
    for column in columns:
        least, distinct = int(column.min()), None
        size = int(column.max()) - least + 1
        if size > 4 * length:
            distinct, code = np.unique(column, return_inverse=True)
            distinct = distinct.astype(np.int64) - least
            size = len(distinct)
        elif size > 1:
            code = column - column.dtype.type(least)
        if size > 1:
            kind = narrowest(bound * size)
            if bound == 1:
                number = code.astype(kind)
            else:
                number = number.astype(kind)
                number *= kind.type(size)
                number += code.astype(kind)
            bound *= size
        steps.append((least, size, distinct))
        if bound > 4 * length:
            combined, number = np.unique(number, return_inverse=True)
            bound = len(combined)
            steps.append(combined.astype(np.int64))
    return Cells(number, bound, steps)


def narrowest(bound: int) -> np.dtype[Any]:
    """Return the type of the fewest bytes that holds the numbers below this one."""
    return next(kind for kind in _KINDS if bound <= int(np.iinfo(kind).max) + 1)


def summed(cells: Cells, values: Column) -> Column:
    """Sum integers that are not negative by cell, exactly (as Python integers if need be)."""
    number, bound = cells.number, cells.bound
    if int(values.max()) * len(values) < EXACT:
        return np.bincount(number, weights=values, minlength=bound).astype(np.int64)
    low = np.bincount(number, weights=values & 0xFFFF_FFFF, minlength=bound)
    high = np.bincount(number, weights=values >> 32, minlength=bound)
    exact: Column = low.astype(np.int64) + high.astype(np.int64).astype(object) * (1 << 32)
    return exact
