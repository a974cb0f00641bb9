"""``wcap merge``: several captures as one, in order of time."""

from __future__ import annotations

from typing import Annotated

import typer

from wcap.cli.options import ForceOption, find_captures, reading
from wcap.cli.output import output, refuse_input, refuse_terminal
from wcap.cli.progress import progress
from wcap.cli.rewriting import NewCaptureOption, tell_kept
from wcap.errors import UsageError


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
    if len(names) < 2:
        raise UsageError("two captures or more expected, one given")
    for name in names:
        refuse_input(name, output_file)
    with reading(names) as capture:
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
        tell_kept(str(output_file), kept.events, kept.read)
