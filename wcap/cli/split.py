"""``wcap split``: one capture as several, by size, time, process or machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wcap.cli.layout import plural
from wcap.cli.options import CaptureArgument, ForceOption, naming, reading
from wcap.cli.output import output
from wcap.cli.parts import Parts
from wcap.cli.progress import progress
from wcap.errors import UsageError
from wcap.escape import escape_text
from wcap.units import parse_duration, parse_size

if TYPE_CHECKING:
    from wcap.readable import Readable
    from wcap.rewrite import Share
    from wcap.writer import Target

# What of a machine's name may become a part of a file's name: nothing that leads elsewhere.
_HARMLESS = re.compile(r"[^A-Za-z0-9]+")
_NAME = 40


def split(
    file: CaptureArgument = None,
    *,
    output_file: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The files are named after this: FILE-0001.wcap."
        ),
    ],
    size: Annotated[
        str | None, typer.Option("--size", metavar="SIZE", help="Parts of at most this size: 64M.")
    ] = None,
    time: Annotated[
        str | None, typer.Option("--time", metavar="TIME", help="Parts of this duration: 5m.")
    ] = None,
    process: Annotated[bool, typer.Option("--process", help="A file for each process.")] = False,
    host: Annotated[bool, typer.Option("--host", help="A file for each machine.")] = False,
    force: ForceOption = False,
) -> None:
    """Write a capture as several; wcap merge makes them one again.

    Example: wcap split run.wcap --size 100M -o part.wcap
    """
    given = [("--size", size), ("--time", time), ("--process", process), ("--host", host)]
    if sum(bool(value) for _, value in given) != 1:
        raise UsageError("one of --size, --time, --process and --host expected")
    with reading(file, again=True) as capture:
        _refuse_input(capture.name, output_file)
        if process or host:
            _side_by_side(capture, output_file, by_process=process, force=force)
        else:
            _in_parts(capture, output_file, size, time, force=force)


def _in_parts(
    capture: Readable, place: Path, size: str | None, time: str | None, *, force: bool
) -> None:
    from wcap.rewrite import split_in_parts
    from wcap.rotation import PartLimits

    with naming("--size"):
        most = None if size is None else parse_size(size)
    with naming("--time"):
        period_ns = None if time is None else parse_duration(time)
    if most == 0 or period_ns == 0:
        raise UsageError("parts of some size or duration expected, 0 found")
    files = Parts(str(place), by_size=True, force=force)
    files.check()
    number = split_in_parts(
        capture,
        files,
        PartLimits(size=most, period_ns=period_ns),
        asked={"size": size} if size is not None else {"time": time or ""},
        watch=lambda items: progress(capture, items),
    )
    last = escape_text(files.last)
    print(f"wcap: {plural(number, 'part')}, the last one is {last}", file=sys.stderr)


def _side_by_side(capture: Readable, place: Path, *, by_process: bool, force: bool) -> None:
    from wcap.rewrite import shares, split_side_by_side

    found = shares(capture, by_process=by_process)
    places = _places(place, found, by_process=by_process)

    @contextmanager
    def opened(share: Share) -> Iterator[Target]:
        with output(places[share], force=force) as stream:
            yield stream

    for share, kept in split_side_by_side(
        capture,
        found,
        opened,
        asked={"by": "process" if by_process else "host"},
        watch=lambda items: progress(capture, items),
    ):
        events = plural(kept.events, "event")
        whose = [] if share.host is None else [escape_text(share.host)]
        whose += [] if share.pid is None else [f"process {share.pid}"]
        told = " of ".join([events, *reversed(whose)])
        print(f"wcap: {told}: {escape_text(str(places[share]))}", file=sys.stderr)


def _places(place: Path, found: list[Share], *, by_process: bool) -> dict[Share, Path]:
    """Return a name for each file: numbers, and of a machine's name letters and digits."""
    places: dict[Share, Path] = {}
    for share in found:
        words = [] if share.pid is None else [str(share.pid)]
        if share.host is not None or not by_process:
            harmless = _HARMLESS.sub("-", share.host or "").strip("-")[:_NAME]
            words.insert(0, harmless or "unknown")
        label, number = "-".join(words), 2
        while (name := place.with_name(f"{place.stem}-{label}{place.suffix}")) in places.values():
            label, number = f"{'-'.join(words)}-{number}", number + 1
        places[share] = name
    return places


def _refuse_input(name: str, place: Path) -> None:
    """See that no file that is made can be the capture that is read.

    Raises:
        UsageError: one could.
    """
    if str(place) == "-":
        raise UsageError("-o: a name expected, as several files are written")
    source = Path(name)
    pattern = re.escape(place.stem) + r"-.+" + re.escape(place.suffix)
    beside = source.exists() and place.parent.exists() and source.parent.samefile(place.parent)
    if beside and re.fullmatch(pattern, source.name):
        raise UsageError(f"-o: {place} names files as the capture that is read is named")
