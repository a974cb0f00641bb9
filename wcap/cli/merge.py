"""``wcap merge``: several captures as one, in order of time."""

from __future__ import annotations

from typing import Annotated

import typer

from wcap.cli.layout import plural
from wcap.cli.options import ForceOption, NewCaptureOption, find_captures, reading
from wcap.cli.output import output, refuse_replacing, refuse_terminal, tell_lost
from wcap.cli.progress import progress
from wcap.cli.rewriting import tell_made


def merge(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Captures; - is standard input, once."),
    ],
    output_file: NewCaptureOption,
    force: ForceOption = False,
) -> None:
    """Write several captures as one, in order of time; parts of a recording join again.

    Example: wcap merge web1.wcap web2.wcap -o both.wcap
    """
    refuse_terminal(output_file)
    names = find_captures(files)
    refuse_replacing(names, output_file, named=True, force=force)
    with reading(names, merged=True) as capture:
        from wcap.rewrite import Merged
        from wcap.rewrite import merge as write_merged

        assert isinstance(capture, Merged)
        with output(output_file, force=force) as stream:
            kept = write_merged(
                capture,
                stream,
                asked={"captures": len(names)},
                watch=lambda items: progress(capture, items),
            )
        captures = plural(len(names), "capture")
        tell_made(f"{plural(kept.events, 'event')} of {captures}", str(output_file))
        tell_lost(capture)
