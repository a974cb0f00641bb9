"""Captures in other programs' formats: the table of exporters, and how to find one by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from wcap.batch import EventBatch
from wcap.errors import UnknownFormatError
from wcap.exporters import csv, jsonl
from wcap.exporters.shared import Output, PayloadForm


@dataclass(frozen=True, slots=True)
class Exporter:
    """A way to write events in someone else's format.

    ``write`` takes the batches, where to write, and the payload forms wanted; ``forms`` are those
    that it gives unless told otherwise.
    """

    name: str
    summary: str
    forms: tuple[PayloadForm, ...]
    write: Callable[[Iterable[EventBatch], Output, Sequence[PayloadForm]], None]


EXPORTERS = {
    exporter.name: exporter
    for exporter in (
        Exporter("csv", "One row per event", csv.DEFAULT_FORMS, csv.write),
        Exporter("jsonl", "One JSON object per event", jsonl.DEFAULT_FORMS, jsonl.write),
    )
}


def find(name: str) -> Exporter:
    """Return the exporter of that name.

    Raises:
        UnknownFormatError: there is none.
    """
    if name not in EXPORTERS:
        raise UnknownFormatError(f"a format of {', '.join(EXPORTERS)} expected, {name!r} found")
    return EXPORTERS[name]
