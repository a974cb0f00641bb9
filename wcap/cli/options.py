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

if TYPE_CHECKING:
    from wcap.readable import Readable

CaptureArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[FILE]",
        help="Capture to read; - is standard input. Without it: standard input when something "
        "is piped into it, else the newest *.wcap here.",
        show_default=False,
    ),
]
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
OutputOption = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write here; - is standard output."),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an existing file.")]


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


def find_captures(given: Sequence[str]) -> list[str]:
    """Return the captures that a command is to read: those given, ``-``, or the newest here.

    A name that no file has may be a pattern: it stands for the files that match, in the order of
    their names, in which numbers count as numbers.

    Raises:
        UsageError: none was given and there is none.
    """
    if given:
        return [name for word in given for name in _expanded(word)]
    if _is_piped(sys.stdin.fileno()):
        return ["-"]
    found = [(path.stat().st_mtime_ns, str(path)) for path in Path().glob("*.wcap")]
    if not found:
        raise UsageError("no capture: name a FILE, pipe one in, or go where a *.wcap is")
    return [max(found)[1]]


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
    given: str | Sequence[str] | None, *, follow: bool = False, again: bool = False
) -> Iterator[Readable]:
    """Open the captures that a command was given, several as if they were one.

    At the end it says what is damaged, and exits with 3 if data is missing. With ``follow`` a file
    that is being recorded is read until that ends; with ``again`` standard input can be read more
    than once.
    """
    # numpy would start threads for linear algebra, which no reader does: a sixth of a second.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    names = find_captures([given] if isinstance(given, str) else given or ())
    if "-" in names:
        _refuse_terminal()
    if follow and len(names) > 1:
        raise UsageError(f"-f: one capture expected, {len(names)} given")
    name = names[0]
    shown = shown_input(name)
    opened = _opened(name, follow=follow and name != "-") if len(names) == 1 else _merged(names)
    if again and names == ["-"]:
        opened = _whole_input()
    with _named(shown if len(names) == 1 else None), opened as capture:
        yield capture
        sys.stdout.flush()
        growing = capture.growing
        prefix = f"wcap: {shown}: " if len(names) == 1 else "wcap: "
        for damage in capture.damage:
            if not (growing and isinstance(damage, TruncatedError)):
                print(f"{prefix}{damage}", file=sys.stderr)
        if follow:
            _tell_end(capture, shown)
        if growing:
            print(f"wcap: {escape_text(capture.name)}: still being recorded", file=sys.stderr)
        if capture.damage or capture.gaps or (capture.end is not None and capture.end.short):
            raise typer.Exit(ExitStatus.LOSS)


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

    if names.count("-") > 1:
        raise UsageError("standard input is given twice")
    _allow_open_files(len(names) + _OTHER_FILES)
    with ExitStack() as stack:
        captures = []
        for name in names:
            shown = shown_input(name)
            with _named(shown):
                opened = _spooled() if name == "-" else Path(name).open("rb")  # noqa: SIM115  # the stack closes it
                stream = stack.enter_context(opened)
                captures.append(Capture(stream, name=shown, errors="salvage"))
        merged = Merged(captures, errors="salvage")
        for missing in merged.missing_parts:
            print(f"wcap: {missing}", file=sys.stderr)
        yield merged


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
def _whole_input() -> Iterator[Readable]:
    from wcap.reader import Capture

    with Capture(_spooled(), name="standard input", errors="salvage") as capture:
        yield capture


def _spooled() -> BinaryIO:
    """Return what comes from standard input as a file, which can be read in any order."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  # who gets it closes it
    shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
    file.seek(0)
    return file


def _tell_end(capture: Readable, shown: str) -> None:
    """Say why there is no more to follow, unless the recording ended in the usual way."""
    if capture.growing:
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
