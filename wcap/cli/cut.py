"""``wcap cut``: some of a capture's events, as a capture."""

from __future__ import annotations

from typing import Annotated

import typer

from wcap.cli.filtering import FilterOptions, filtered
from wcap.cli.layout import plural
from wcap.cli.options import (
    CapturesArgument,
    ForceOption,
    NewCaptureOption,
    find_captures,
    reading,
)
from wcap.cli.output import output, refuse_replacing, refuse_terminal, tell_lost
from wcap.cli.progress import progress
from wcap.cli.rewriting import parse_events, tell_made


@filtered()
def cut(
    files: CapturesArgument = None,
    *,
    output_file: NewCaptureOption,
    filters: FilterOptions,
    events: Annotated[
        str | None,
        typer.Option(
            "--events",
            metavar="FIRST-LAST",
            help="Only these of the events that match, counted from 1: 100-199, 100-, -99.",
        ),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Write some events of a capture as a capture, with nothing of the others in it.

    Example: wcap cut run.wcap --since +10s --comm nginx -o nginx.wcap
    """
    refuse_terminal(output_file)
    numbers = None if events is None else parse_events(events)
    names = find_captures(files)
    refuse_replacing(names, output_file, named=bool(files), force=force)
    with reading(names) as capture:
        from wcap.rewrite import cut as write_cut

        where = filters.resolve(capture)
        asked = filters.asked() | ({} if events is None else {"events": events})
        with output(output_file, force=force) as stream:
            kept = write_cut(
                capture,
                stream,
                where=where,
                events=numbers,
                asked=asked,
                watch=lambda items: progress(capture, items),
            )
        tell_made(f"{kept.events:,} of {plural(kept.read, 'event')} kept", str(output_file))
        tell_lost(capture)
