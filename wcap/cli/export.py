"""``wcap export``: a capture in another program's format."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wcap.cli.filtering import FilterOptions, filtered
from wcap.cli.options import (
    CapturesArgument,
    ForceOption,
    JobsOption,
    LimitOption,
    OutputOption,
    find_captures,
    job_count,
    reading,
)
from wcap.cli.output import output, refuse_replacing, tell_lost
from wcap.cli.progress import progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wcap.batch import EventBatch
    from wcap.exporters import Exporter
    from wcap.filters import Filter
    from wcap.readable import Readable
    from wcap.workers import Data

CsvOption = Annotated[bool, typer.Option("--csv", help="Comma-separated values, a row an event.")]
JsonlOption = Annotated[bool, typer.Option("--jsonl", help="JSON lines, an object an event.")]
FormatOption = Annotated[
    str | None, typer.Option("--format", metavar="NAME", help="A format by name: csv or jsonl.")
]
DataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="FORM,…",
        help="How payloads are given: text, base64, hex, several of them, or none. "
        "CSV has text unless told otherwise, JSON lines have text and base64.",
    ),
]


@filtered()
def export(
    files: CapturesArgument = None,
    *,
    filters: FilterOptions,
    csv: CsvOption = False,
    jsonl: JsonlOption = False,
    format_name: FormatOption = None,
    destination: OutputOption = None,
    force: ForceOption = False,
    data: DataOption = None,
    limit: LimitOption = None,
    jobs: JobsOption = 1,
) -> None:
    """Write a capture's events as CSV or JSON lines.

    Example: wcap export run.wcap --csv --data text,hex -o run.csv
    """
    from wcap.exporters.shared import parse_forms

    exporter = _chosen(csv=csv, jsonl=jsonl, format_name=format_name)
    forms = exporter.forms if data is None else parse_forms(data)
    names = find_captures(files)
    refuse_replacing(names, destination, named=bool(files), force=force)
    with reading(names) as capture:
        where = filters.resolve(capture)
        with output(destination, force=force) as stream:
            # Where the rows themselves run over the terminal, a line about them would only disturb.
            quiet = destination in (None, Path("-")) and sys.stdout.isatty()
            stream.write(exporter.head(forms))
            for rows in progress(
                capture,
                _rows(capture, where, limit, jobs, lambda batch: exporter.rows(batch, forms)),
                terminal=False if quiet else None,
            ):
                stream.write(rows)
        tell_lost(capture)


def _chosen(*, csv: bool, jsonl: bool, format_name: str | None) -> Exporter:
    """Return the one exporter asked for.

    Raises:
        UnknownFormatError: none or several were, or one that there is not.
    """
    from wcap.errors import UnknownFormatError
    from wcap.exporters import EXPORTERS, find

    flags = (("csv", csv), ("jsonl", jsonl))
    names = [name for name, given in flags if given]
    if format_name is not None:
        names.append(format_name)
    if len(names) != 1:
        raise UnknownFormatError(
            f"one format expected: --csv, --jsonl, or --format with one of {', '.join(EXPORTERS)}; "
            f"{' and '.join(names) or 'none'} given"
        )
    return find(names[0])


def _rows(
    capture: Readable,
    where: Filter,
    limit: int | None,
    jobs: int,
    form: Callable[[EventBatch], Iterator[bytes]],
) -> Iterator[Data]:
    """Yield the first ``limit`` events that match, some of them at a time."""
    from wcap.events import Gap

    if (count := job_count(capture, jobs)) > 1:
        from wcap.reader import Capture
        from wcap.sharing import formatted

        assert isinstance(capture, Capture)
        for rows in formatted(capture, where, form, count, limit):
            if not isinstance(rows, Gap):
                yield rows
        return

    from wcap.readable import first

    for entry in first(capture.entries(where), limit):
        if not isinstance(entry, Gap):
            yield from form(entry)
