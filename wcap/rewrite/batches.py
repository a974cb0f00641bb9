"""Batches put together: events of several, with one table of each kind.

Nothing is copied before it is looked at: the columns of the parts are put together one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from wcap.batch import COLUMNS, Column, EventBatch
from wcap.tables import POINTERS, trimmed


def joined(parts: Sequence[EventBatch], order: Column | None = None) -> EventBatch:
    """Return the events of several batches as one batch.

    Args:
        parts: at least one.
        order: positions among all their events, one part after the other; as they are without it.
    """
    tables: dict[str, Any] = {}
    moves: dict[str, list[Column]] = {}
    for table, pointers in POINTERS.items():
        tables[table], moved = _united([getattr(part, table) for part in parts])
        moves.update(dict.fromkeys(pointers, moved))
    columns = _JoinedColumns(parts, moves, order)
    ends = np.cumsum(np.concatenate([part.captured for part in parts]), dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
    return EventBatch(
        len(ends),
        columns,
        lambda: b"".join([part.joined() for part in parts]),
        **tables,
        bounds=(starts, ends) if order is None else (starts[order], ends[order]),
        hosts=parts[0].hosts,
    )


def compact(batch: EventBatch) -> EventBatch:
    """Return the same events in memory of their own, so that what they were taken from can go."""
    shorter, names = trimmed(batch)
    return EventBatch(
        len(shorter),
        {name: shorter.column(name).copy() for name in names},
        batch.joined(),
        **{table: getattr(shorter, table) for table in POINTERS},
    )


class _JoinedColumns(Mapping[str, Column]):
    """The columns of several batches, put together column by column when first asked for."""

    def __init__(
        self,
        parts: Sequence[EventBatch],
        moves: Mapping[str, Sequence[Column]],
        order: Column | None,
    ) -> None:
        self._parts = parts
        self._moves = moves
        self._order = order
        self._made: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._made:
            columns = [part.column(name) for part in self._parts]
            if name in self._moves:
                columns = [
                    moved[column] if len(moved) else column
                    for moved, column in zip(self._moves[name], columns, strict=True)
                ]
            whole = np.concatenate(columns)
            self._made[name] = whole if self._order is None else whole[self._order]
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS)

    def __len__(self) -> int:
        return len(COLUMNS)


def _united(tables: Sequence[Sequence[Any]]) -> tuple[Sequence[Any], list[Column]]:
    """Return one table for several, and for each of them where its entries are in it."""
    if all(table is tables[0] for table in tables):
        return tables[0], [np.arange(len(tables[0]), dtype=np.uint32)] * len(tables)
    places: dict[Any, int] = {}
    moves = []
    for table in tables:
        rows = [places.setdefault(entry, len(places)) for entry in table]
        moves.append(np.array(rows, dtype=np.uint32))
    return [*places], moves
