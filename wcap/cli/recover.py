"""``wcap recover``: a damaged capture written anew, with what is missing marked."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from wcap.cli.layout import plural
from wcap.cli.options import (
    ForceOption,
    NewCaptureOption,
    find_capture,
    reading_bytes,
    shown_input,
)
from wcap.cli.output import Output, output, refuse_replacing, refuse_terminal
from wcap.cli.status import ExitStatus
from wcap.errors import FormatError, naming_file
from wcap.escape import escape_text

if TYPE_CHECKING:
    from wcap.recover import Recovered


def recover(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]",
            help="Capture; - is standard input. Without it: standard input when something is "
            "piped into it, else the newest *.wcap here.",
            show_default=False,
        ),
    ] = None,
    *,
    output_file: NewCaptureOption,
    force: ForceOption = False,
) -> None:
    """Write what is whole of a damaged capture anew; exit 3 if something is missing.

    Example: wcap recover broken.wcap -o whole.wcap
    """
    from wcap.recover import recover as rescue

    refuse_terminal(output_file)
    to_file = str(output_file) != "-" and not (output_file.exists() and not output_file.is_file())
    name = find_capture(file)
    refuse_replacing([name], output_file, named=file is not None, force=force)
    shown = shown_input(name)
    # What is written is read again before it gets its name, or goes into a pipe.
    folder = output_file.parent if to_file else Path(tempfile.gettempdir())
    made_name = str(output_file if to_file else folder)
    with reading_bytes(name) as stream, _scratch(folder, made_name) as made:
        try:
            done = rescue(stream, Output(made, made_name))
        except FormatError as error:
            raise type(error)(f"{shown}: not recovered: {error}") from error
        sound = _is_sound(made)
        made.seek(0)
        with output(output_file, force=force) as out:
            shutil.copyfileobj(made, out, 1 << 20)
    _report(shown, done)
    if done.missing or not sound:
        raise typer.Exit(ExitStatus.LOSS)


def _scratch(folder: Path, name: str) -> BinaryIO:
    """Open a file without a name, unbuffered; errors are told of the name that is given."""
    with naming_file(name):
        return tempfile.TemporaryFile(dir=folder, buffering=0)


def _is_sound(made: BinaryIO) -> bool:
    """Check what was made as `wcap verify` does, and say what is not right."""
    from wcap.check import Check

    made.seek(0)
    found = [str(finding) for finding in Check(made).findings()]
    for finding in found[:20]:
        print(f"wcap: recovered as it was: {escape_text(finding)}", file=sys.stderr)
    return not found


def _report(shown: str, done: Recovered) -> None:
    """Say what was wrong, what was kept and what is missing."""
    lines = [escape_text(str(error)) for error in done.damage]
    kept = f"{plural(done.events, 'event')} in {plural(done.chunks, 'chunk')} kept"
    missing = []
    if done.marked:
        missing.append(f"{plural(done.marked, 'event')} missing, marked as gaps")
    if done.lost_frames:
        missing.append(f"{plural(done.lost_frames, 'frame')} lost")
    if done.results_lost:
        missing.append(f"the results of {plural(done.results_lost, 'event')} may be lost")
    if not done.end:
        missing.append("the end is gone: what came after the last event is unknown")
    for line in [*lines, "; ".join([kept, *missing] if missing else [kept, "nothing missing"])]:
        print(f"wcap: {shown}: {line}", file=sys.stderr)
