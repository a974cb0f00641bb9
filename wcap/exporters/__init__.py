"""Captures in other programs' formats: the table of exporters, and how to find one by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from wcap.batch import EventBatch
from wcap.errors import UnknownFormatError
from wcap.exporters import csv, jsonl
from wcap.exporters.shared import PayloadForm


@dataclass(frozen=True, slots=True)
class Exporter:
    """A way to write events in someone else's format.

    Attributes:
        name: what it is called.
        summary: what it is, for people.
        forms: the payload forms that it gives unless told otherwise.
        head: returns what stands before the first event, for some payload forms.
        rows: yields the events of a batch piece by piece, with payloads in some forms.
    """

    name: str
    summary: str
    forms: tuple[PayloadForm, ...]
    head: Callable[[Sequence[PayloadForm]], bytes]
    rows: Callable[[EventBatch, Sequence[PayloadForm]], Iterator[bytes]]


EXPORTERS = {
    exporter.name: exporter
    for exporter in (
        Exporter("csv", "One row per event", csv.DEFAULT_FORMS, csv.head, csv.rows),
        Exporter("jsonl", "One JSON object per event", jsonl.DEFAULT_FORMS, jsonl.head, jsonl.rows),
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
