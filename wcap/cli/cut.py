"""``wcap cut``: some of a capture's events, as a capture."""

from __future__ import annotations

from typing import Annotated

import typer

from wcap.cli.filtering import FilterOptions, filtered
from wcap.cli.options import CaptureArgument, ForceOption, reading
from wcap.cli.output import output, refuse_input, refuse_terminal
from wcap.cli.progress import progress
from wcap.cli.rewriting import NewCaptureOption, parse_events, tell_kept


@filtered()
def cut(
    file: CaptureArgument = None,
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
    with reading(file) as capture:
        from wcap.rewrite import cut as write_cut

        where = filters.resolve(capture)
        refuse_input(capture.name, output_file)
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
        tell_kept(str(output_file), kept.events, kept.read)
