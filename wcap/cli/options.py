"""What commands share: the capture argument, the filters, and the way a capture is read."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wcap.cli.status import ExitStatus
from wcap.errors import FilterError, FormatError

if TYPE_CHECKING:
    from wcap.filters import Filter
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
PidOption = Annotated[
    list[str] | None, typer.Option("--pid", "-p", metavar="PID,…", help="Only these processes.")
]
TidOption = Annotated[
    list[str] | None, typer.Option("--tid", metavar="TID,…", help="Only these threads.")
]
CommOption = Annotated[
    list[str] | None,
    typer.Option(
        "--comm", "-c", metavar="NAME", help="Only threads or processes of this name, or NAME*."
    ),
]
FdOption = Annotated[
    list[str] | None, typer.Option("--fd", metavar="FD,…", help="Only these file descriptors.")
]
SinceOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Only from this time on: ISO 8601, epoch, or +SECONDS."),
]
UntilOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only before this time, given the same way.")
]
GrepOption = Annotated[
    str | None,
    typer.Option("--grep", "-g", metavar="REGEX", help="Only payloads in which this is found."),
]
ErrorsOption = Annotated[bool, typer.Option("--errors", help="Only writes that failed.")]
LimitOption = Annotated[
    int | None, typer.Option("-n", "--limit", min=0, metavar="N", help="Stop after N events.")
]
OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write to this file, - is standard output."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]


def find_capture(given: str | None) -> str:
    """Return the capture that a command is to read: the one given, ``-``, or the newest here.

    Raises:
        FormatError: none was given and there is none.
    """
    if given is not None:
        return given
    if _is_piped(sys.stdin.fileno()):
        return "-"
    found = [(path.stat().st_mtime_ns, str(path)) for path in Path().glob("*.wcap")]
    if not found:
        raise FormatError("no capture: name a FILE, pipe one in, or go where a *.wcap is")
    return max(found)[1]


def _is_piped(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)


@contextmanager
def reading(given: str | None) -> Iterator[Capture]:
    """Open a capture for a command; afterwards say what was damaged, and exit 3 if anything is missing."""
    from wcap.reader import open_capture

    name = find_capture(given)
    if name == "-" and sys.stdin.isatty():
        raise FormatError("standard input is a terminal: name a FILE, or pipe a capture in")
    shown = "standard input" if name == "-" else name
    try:
        capture = open_capture(name, errors="salvage")
    except FormatError as error:
        raise type(error)(f"{shown}: {error}") from error
    with capture:
        yield capture
        sys.stdout.flush()
        for damage in capture.damage:
            print(f"wcap: {shown}: {damage}", file=sys.stderr)
        if capture.growing:
            print(f"wcap: {shown}: still being recorded", file=sys.stderr)
        if capture.damage or capture.gaps:
            raise typer.Exit(ExitStatus.LOSS)


def make_filter(
    capture: Capture,
    *,
    pid: list[str] | None = None,
    tid: list[str] | None = None,
    comm: list[str] | None = None,
    fd: list[str] | None = None,
    since: str | None = None,
    until: str | None = None,
    grep: str | None = None,
    errors: bool = False,
) -> Filter:
    """Turn the filter options into a `Filter`.

    Raises:
        FilterError: one of them does not parse.
    """
    from wcap.filters import CommPattern, Filter, compile_grep
    from wcap.units import parse_time

    started = capture.header.started_ns
    return Filter(
        pids=numbers("--pid", pid),
        tids=numbers("--tid", tid),
        fds=numbers("--fd", fd),
        comms=tuple(CommPattern.parse(name) for name in comm) if comm else None,
        since_ns=None if since is None else parse_time(since, started),
        until_ns=None if until is None else parse_time(until, started),
        grep=None if grep is None else compile_grep(grep),
        errors=errors,
    )


def numbers(option: str, given: list[str] | None) -> frozenset[int] | None:
    """Read ``1,2`` and ``3`` of a repeated option as a set of numbers.

    Raises:
        FilterError: one is not a number.
    """
    if not given:
        return None
    words = [word.strip() for value in given for word in value.split(",")]
    for word in words:
        if not word.removeprefix("-").isdecimal():
            raise FilterError(f"{option}: a number expected, {word!r} found")
    return frozenset(map(int, words))
