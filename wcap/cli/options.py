"""What commands share: the capture argument, common options, and the way a capture is read."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from wcap.cli.status import ExitStatus
from wcap.errors import FilterError, FormatError, TruncatedError, UsageError
from wcap.escape import escape_text

if TYPE_CHECKING:
    from wcap.reader import Capture

CaptureArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]",
        help="Capture to read; - is standard input. Without it: standard input when something "
        "is piped into it, else the newest *.wcap here.",
        show_default=False,
    ),
]
LimitOption = Annotated[
    int | None, typer.Option("-n", "--limit", min=0, metavar="N", help="Stop after N events.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write here; - is standard output."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Put an option's name before what is wrong with its value."""
    try:
        yield
    except FilterError as error:
        raise FilterError(f"{option}: {error}") from error


def find_capture(given: str | None) -> str:
    """Return the capture that a command is to read: the one given, ``-``, or the newest here.

    Raises:
        UsageError: none was given and there is none.
    """
    if given is not None:
        return given
    if _is_piped(sys.stdin.fileno()):
        return "-"
    found = [(path.stat().st_mtime_ns, str(path)) for path in Path().glob("*.wcap")]
    if not found:
        raise UsageError("no capture: name a FILE, pipe one in, or go where a *.wcap is")
    return max(found)[1]


def _is_piped(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)


@contextmanager
def reading(given: str | None, *, follow: bool = False) -> Iterator[Capture]:
    """Open a capture for a command; at the end say what is damaged, exit 3 if data is missing.

    With ``follow`` a file that is being recorded is read until that ends.
    """
    # numpy would start threads for linear algebra, which no reader does: a sixth of a second.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    name = find_capture(given)
    if name == "-":
        _refuse_terminal()
    shown = "standard input" if name == "-" else escape_text(name)
    with _named(shown), _opened(name, follow=follow and name != "-") as capture:
        yield capture
        sys.stdout.flush()
        growing = capture.growing
        for damage in capture.damage:
            if not (growing and isinstance(damage, TruncatedError)):
                print(f"wcap: {shown}: {damage}", file=sys.stderr)
        if follow:
            _tell_end(capture, shown)
        if growing:
            print(f"wcap: {shown}: still being recorded", file=sys.stderr)
        if capture.damage or capture.gaps or (capture.end is not None and capture.end.short):
            raise typer.Exit(ExitStatus.LOSS)


@contextmanager
def reading_bytes(name: str) -> Iterator[BinaryIO]:
    """Open a file, or standard input for ``-``, for a command that walks frame by frame."""
    if name == "-":
        _refuse_terminal()
        yield sys.stdin.buffer
    else:
        with Path(name).open("rb") as stream:
            yield stream


def _refuse_terminal() -> None:
    if sys.stdin.isatty():
        raise UsageError("standard input is a terminal: name a FILE, or pipe a capture in")


def _opened(name: str, *, follow: bool) -> Capture:
    if follow:
        from wcap.follow import follow_capture

        return follow_capture(name, errors="salvage")
    from wcap.reader import open_capture

    return open_capture(name, errors="salvage")


def _tell_end(capture: Capture, shown: str) -> None:
    """Say why there is no more to follow, unless the recording ended in the usual way."""
    if capture.growing:
        return
    if capture.end is None:
        print(f"wcap: {shown}: the recorder is gone, and wrote no end", file=sys.stderr)
    elif capture.end.reason == "rotation":
        following = (capture.header.part or 0) + 1
        print(f"wcap: {shown}: the recording goes on in part {following}", file=sys.stderr)


@contextmanager
def _named(shown: str) -> Iterator[None]:
    """Put the capture's name before what is wrong with it, found at once or when it is read."""
    try:
        yield
    except FormatError as error:
        raise type(error)(f"{shown}: {error}") from error
