"""What commands share: the capture argument, common options, and the way a capture is read."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from wcap.cli.status import ExitStatus
from wcap.errors import FilterError, FormatError, TruncatedError, UsageError
from wcap.escape import escape_text
from wcap.units import parse_size

if TYPE_CHECKING:
    from wcap.readable import Readable

CapturesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[FILE...]",
        help="Captures to read, several as if merged into one; - is standard input. Without any: "
        "standard input when something is piped into it, else the newest *.wcap here.",
        show_default=False,
    ),
]
LimitOption = Annotated[
    int | None, typer.Option("-n", "--limit", min=0, metavar="N", help="Stop after N events.")
]

JobsOption = Annotated[
    int,
    typer.Option(
        "--jobs",
        min=0,
        metavar="N",
        help="Read with N processes side by side; 0 is as many as there are processors.",
    ),
]


def _file_name(given: str) -> Path:
    """Read the name of a file to write.

    Raises:
        UsageError: it is empty.
    """
    if not given:
        raise UsageError("-o: a file's name expected, '' found")
    return Path(given)


_OUTPUT = typer.Option(
    "-o",
    "--output",
    metavar="FILE",
    help="Write here; - is standard output.",
    parser=_file_name,
)
OutputOption = Annotated[Path | None, _OUTPUT]
NewCaptureOption = Annotated[Path, _OUTPUT]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]


# Smaller parts would be little but headers and indexes.
LEAST_PART = 64 << 10

_NUMBERS = re.compile(r"(\d+)")
# A command has a few files open besides its captures.
_OTHER_FILES = 64


@contextmanager
def naming(option: str) -> Iterator[None]:
    """Put an option's name before what is wrong with its value."""
    try:
        yield
    except FilterError as error:
        raise FilterError(f"{option}: {error}") from error


def part_bytes(option: str, given: str) -> int:
    """Read how many bytes a part of a recording has at most.

    Raises:
        UsageError: it is no size, or too small a one.
    """
    with naming(option):
        size = parse_size(given)
    if size < LEAST_PART:
        raise UsageError(f"{option}: {LEAST_PART >> 10}K or more expected, {given} found")
    return size


def find_captures(given: Sequence[str] | None) -> list[str]:
    """Return the captures that a command is to read: those given, ``-``, or the newest here.

    A name that no file has may be a pattern: it stands for the files that match, in the order of
    their names, in which numbers count as numbers.

    Raises:
        UsageError: none was given and there is none.
    """
    given = given or ()
    if "" in given:
        raise UsageError("a capture's name expected, '' found")
    if given:
        return [name for word in given for name in _expanded(word)]
    if _is_piped(sys.stdin.fileno()):
        return ["-"]
    found = [(path.stat().st_mtime_ns, str(path)) for path in Path().glob("*.wcap")]
    if not found:
        raise UsageError("no capture: name a FILE, pipe one in, or go where a *.wcap is")
    return [max(found)[1]]


def find_capture(given: str | None) -> str:
    """Return the one capture that a command is to read, as `find_captures` does.

    Raises:
        UsageError: there is none, or a pattern stands for several.
    """
    names = find_captures(None if given is None else [given])
    if len(names) > 1:
        raise UsageError(f"one capture expected, {len(names)} given")
    return names[0]


def _expanded(word: str) -> list[str]:
    if word == "-" or Path(word).exists() or not has_magic(word):
        return [word]
    matching = glob(word, recursive=True)  # noqa: PTH207  # relative or absolute, as it is given
    found = [name for name in matching if Path(name).is_file()]
    if not found:
        raise UsageError(f"{escape_text(word)}: no file matches")
    return sorted(found, key=_by_number)


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return a key that puts ``run-10`` behind ``run-9``."""
    return [(len(part) if part.isdecimal() else 0, part) for part in _NUMBERS.split(name)]


def _is_piped(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISREG(mode)


@contextmanager
def reading(
    given: Sequence[str] | None,
    *,
    follow: bool = False,
    again: bool = False,
    merged: bool = False,
) -> Iterator[Readable]:
    """Open the captures that a command was given, several as if they were one.

    At the end it says what is damaged, and exits with 3 if data is missing. With ``follow`` a file
    that is being recorded is read until that ends; with ``again`` a pipe can be read more than
    once; with ``merged`` one capture is read as several are.
    """
    names = find_captures(given)
    if "-" in names:
        _refuse_terminal()
    if follow and len(names) > 1:
        raise UsageError(f"-f: one capture expected, {len(names)} given")
    name = names[0]
    shown = shown_input(name)
    single = len(names) == 1 and not merged
    if not single:
        opened = _merged(names)
    elif again:
        opened = _seekable(name)
    else:
        opened = _opened(name, follow=follow and name != "-")
    with _named(shown if single else None), opened as capture:
        yield capture
        sys.stdout.flush()
        growing = capture.growing
        prefix = f"wcap: {shown}: " if single else "wcap: "
        for damage in capture.damage:
            if not (growing and isinstance(damage, TruncatedError)):
                print(f"{prefix}{damage}", file=sys.stderr)
        if follow:
            _tell_end(capture, shown)
        if growing:
            print(f"wcap: {escape_text(capture.name)}: still being recorded", file=sys.stderr)
        if capture.damage or capture.gaps or (capture.end is not None and capture.end.short):
            raise typer.Exit(ExitStatus.LOSS)


def job_count(capture: Readable, jobs: int) -> int:
    """Return how many processes are to read a capture, and can, of ``jobs`` that were asked for."""
    if jobs == 1:
        return 1
    from wcap.sharing import processes

    return processes(capture, jobs or _processors())


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def shown_input(name: str) -> str:
    """Return what messages call the capture of this name."""
    return "standard input" if name == "-" else escape_text(name)


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


@contextmanager
def _opened(name: str, *, follow: bool) -> Iterator[Readable]:
    from wcap.reader import open_capture

    if follow:
        from wcap.follow import follow_capture

        capture = follow_capture(name, errors="salvage")
    else:
        capture = open_capture(name, errors="salvage")
    with capture:
        yield capture


@contextmanager
def _merged(names: Sequence[str]) -> Iterator[Readable]:
    from wcap.reader import Capture
    from wcap.rewrite import Merged

    _refuse_twice(names)
    _allow_open_files(len(names) + _OTHER_FILES)
    with ExitStack() as stack:
        captures = []
        for name in names:
            shown = shown_input(name)
            with _named(shown):
                stream = stack.enter_context(_spooled(name))
                captures.append(Capture(stream, name=shown, errors="salvage"))
        merged = Merged(captures, errors="salvage")
        for remark in (*merged.missing_parts, *merged.elsewhere):
            print(f"wcap: {remark}", file=sys.stderr)
        yield merged


def _refuse_twice(names: Sequence[str]) -> None:
    """See that no file is given twice, under whatever names.

    Raises:
        UsageError: one is.
        OSError: one is not there.
    """
    known: dict[tuple[int, int], str] = {}
    for name in names:
        found = os.fstat(sys.stdin.fileno()) if name == "-" else Path(name).stat()
        place = (found.st_dev, found.st_ino)
        if place in known:
            also = f", as {shown_input(known[place])} too" * (name != known[place])
            raise UsageError(f"{shown_input(name)} is given twice{also}")
        known[place] = name


def _allow_open_files(count: int) -> None:
    """Raise the limit of open files, of which programs are given fewer than they may ask for."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@contextmanager
def _seekable(name: str) -> Iterator[Readable]:
    from wcap.reader import Capture

    with (
        _spooled(name) as stream,
        Capture(stream, name=shown_input(name), errors="salvage") as capture,
    ):
        yield capture


def _spooled(name: str) -> BinaryIO:
    """Open a file, or a copy of what comes through a pipe, which can be read in any order."""
    stream = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115  # who gets it closes it
    if stream.seekable():
        return stream
    with stream:
        file = tempfile.TemporaryFile()  # noqa: SIM115  # who gets it closes it
        shutil.copyfileobj(stream, file, 1 << 20)
    file.seek(0)
    return file


def _tell_end(capture: Readable, shown: str) -> None:
    """Say why there is no more to follow, unless the recording ended in the usual way."""
    if capture.growing or not capture.read:
        return
    if capture.end is None:
        print(f"wcap: {shown}: the recorder is gone, and wrote no end", file=sys.stderr)
    elif capture.end.reason == "rotation":
        following = (capture.header.part or 0) + 1
        print(f"wcap: {shown}: the recording goes on in part {following}", file=sys.stderr)


@contextmanager
def _named(shown: str | None) -> Iterator[None]:
    """Put the capture's name before what is wrong with it, found at once or when it is read."""
    try:
        yield
    except FormatError as error:
        if shown is None:
            raise
        raise type(error)(f"{shown}: {error}") from error
