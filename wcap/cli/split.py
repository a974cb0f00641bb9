"""``wcap split``: one capture as several, by size, time, process or machine."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wcap.cli.layout import plural
from wcap.cli.options import (
    CapturesArgument,
    ForceOption,
    find_captures,
    naming,
    part_bytes,
    reading,
)
from wcap.cli.output import is_read, output, refuse_no_file, tell_lost
from wcap.cli.parts import Parts
from wcap.cli.progress import progress
from wcap.errors import UsageError
from wcap.escape import escape_text
from wcap.units import parse_duration

if TYPE_CHECKING:
    from wcap.readable import Readable
    from wcap.rewrite import Share
    from wcap.writer import Target

# What of a machine's name may become a part of a file's name: nothing that leads elsewhere.
_HARMLESS = re.compile(r"[^A-Za-z0-9]+")
_NAME = 40


def split(
    files: CapturesArgument = None,
    *,
    output_file: Annotated[
        str,
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
    refuse_no_file(output_file, "split makes several files")
    place = Path(output_file)
    names = find_captures(files)
    _refuse_input(names, place)
    limits = _limits(size, time)
    with reading(names, again=True) as capture:
        if process or host:
            _side_by_side(capture, place, by_process=process, force=force)
        else:
            asked = {option[2:]: value for option, value in given[:2] if value}
            _in_parts(capture, place, limits, asked, force=force)
        tell_lost(capture)


def _limits(size: str | None, time: str | None) -> tuple[int | None, int | None]:
    """Read when a part is over: bytes and nanoseconds.

    Raises:
        UsageError: it would be over at once.
    """
    most = None if size is None else part_bytes("--size", size)
    with naming("--time"):
        period_ns = None if time is None else parse_duration(time)
    if period_ns == 0:
        raise UsageError("--time: more than 0 expected")
    return most, period_ns


def _in_parts(
    capture: Readable,
    place: Path,
    limits: tuple[int | None, int | None],
    asked: dict[str, Any],
    *,
    force: bool,
) -> None:
    from wcap.rewrite import split_in_parts
    from wcap.rotation import PartLimits

    files = Parts(str(place), by_size=True, force=force)
    files.check()
    number = split_in_parts(
        capture,
        files,
        PartLimits(*limits),
        asked=asked,
        watch=lambda items: progress(capture, items),
    )
    last = escape_text(files.last)
    print(f"wcap: {plural(number, 'part')}, the last one is {last}", file=sys.stderr)


def _side_by_side(capture: Readable, place: Path, *, by_process: bool, force: bool) -> None:
    from wcap.rewrite import shares, split_side_by_side

    found = shares(capture, by_process=by_process)
    if not found:
        print(f"wcap: {escape_text(capture.name)}: no event: nothing written", file=sys.stderr)
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


def _refuse_input(names: Sequence[str], place: Path) -> None:
    """See that no file that is made can be a capture that is read.

    Raises:
        UsageError: one could.
    """
    pattern = re.compile(re.escape(place.stem) + r"-.+" + re.escape(place.suffix))
    for there in place.parent.glob("*"):
        if pattern.fullmatch(there.name) and is_read(there, names):
            raise UsageError(f"-o: {place} names files as the capture that is read is named")
