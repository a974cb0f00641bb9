"""Where a command's result goes: standard output, or a file that appears only when it is whole.

And what stands beside a result that has no place for it: how many events were lost.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

from wcap.cli.layout import plural
from wcap.errors import UsageError, naming_file
from wcap.escape import escape_text

if TYPE_CHECKING:
    from wcap.format import End
    from wcap.readable import Readable


class Output(io.RawIOBase):
    """Bytes on their way out: each write has arrived when it returns, errors say where."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def writable(self) -> bool:
        """Tell that it takes bytes."""
        return True

    def write(self, data: bytes | bytearray, /) -> int:  # type: ignore[override]  # of all that has bytes
        """Write all of the bytes, and return how many they are.

        Raises:
            OSError: they do not go; ``filename`` is the output's name.
        """
        rest = memoryview(data).cast("B")
        size = len(rest)
        with naming_file(self._name):
            while rest:
                rest = rest[self._stream.write(rest) :]
        return size


def standard_output() -> Output:
    """Return standard output, unbuffered: what a full disk refused is not tried again at exit."""
    sys.stdout.flush()
    buffered = sys.stdout.buffer
    return Output(getattr(buffered, "raw", buffered), "standard output")


@contextmanager
def output(path: Path | None, *, force: bool) -> Iterator[Output]:
    """Open standard output (no path, or ``-``) or a file for a command's result.

    A file is written under another name in its folder and gets its own at the end: what has that
    name is whole, and a file that is to be replaced stays until then. Pipes and devices are
    written as it comes.

    Raises:
        FileExistsError: the file exists and ``force`` is not given.
        OSError: it cannot be written.
    """
    from wcap.writer import open_output

    if path is None or str(path) == "-":
        yield standard_output()
    elif path.exists() and not path.is_file():
        with open_output(path) as stream:
            yield Output(stream, str(path))
    else:
        refuse_existing(path, force=force)
        part = path.with_name(f".wcap-{os.getpid()}.part")
        with naming_file(str(path)):
            stream = open_output(part, force=True)
        try:
            with stream:
                yield Output(stream, str(path))
            refuse_existing(path, force=force)  # someone else may have made it meanwhile
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def refuse_existing(path: Path, *, force: bool) -> None:
    """See that nothing is lost by writing there.

    Raises:
        FileExistsError: the file exists and ``force`` is not given.
    """
    if path.exists() and not force:
        raise FileExistsError(errno.EEXIST, "exists already: --force replaces it", str(path))


def refuse_replacing(
    names: Sequence[str], destination: Path | None, *, named: bool, force: bool
) -> None:
    """See that a result replaces neither a capture that it is made of, nor a file unasked.

    Args:
        names: of the captures, as `find_captures` found them.
        destination: where the result goes; None or ``-`` is standard output.
        named: whether the user named the captures.
        force: whether other files may be replaced.

    Raises:
        UsageError: it would replace a capture that is read.
        FileExistsError: it would replace another file.
    """
    place = destination or Path("-")
    if is_read(place, names):
        shown = "standard output" if str(place) == "-" else escape_text(str(place))
        if not named:
            raise UsageError(
                f"{shown}: this is the newest capture here, which would be read: name a FILE"
            )
        itself = "the capture itself" if len(names) == 1 else "one of the captures themselves"
        raise UsageError(f"{shown}: this is {itself}: name another file")
    if place.is_file() and str(place) != "-":
        refuse_existing(place, force=force)


def is_read(place: Path, names: Sequence[str]) -> bool:
    """Whether a file is one of the captures of these names, under whatever name.

    ``-`` is standard output as a place, and standard input among the names.
    """
    made = _file_at(str(place), sys.stdout)
    read = (_file_at(name, sys.stdin) for name in names)
    return made is not None and any(file and os.path.samestat(file, made) for file in read)


def _file_at(name: str, standard: TextIO) -> os.stat_result | None:
    """Return what is known of a file; of what is not there, or no file, None."""
    try:
        found = os.fstat(standard.fileno()) if name == "-" else Path(name).stat()
    except (OSError, ValueError):  # of streams that have no descriptor
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def refuse_no_file(name: str, what: str) -> None:
    """See that several files can be named after a name, as ``run-0001.wcap`` after ``run.wcap``.

    Raises:
        UsageError: they cannot; ``what`` says why there are several.
    """
    place = Path(name)
    other = place.exists() and not place.is_file()
    if name in ("", "-") or name.endswith(os.sep) or other:
        raise UsageError(f"{what}: a file's name expected, {name!r} found")


def refuse_terminal(destination: Path) -> None:
    """See that no bytes of a capture run over a terminal.

    Raises:
        UsageError: they would.
    """
    if str(destination) == "-" and sys.stdout.isatty():
        raise UsageError("standard output is a terminal: name a file with -o")


def _told_by(end: End) -> Iterator[str]:
    """Yield what an end says is missing, in a few words each."""
    if end.reason == "error":
        yield "recording failed"
    if end.reason == "recovered":
        yield "its end is gone"
    if lost := sum((end.lost or {}).values()):
        yield f"{plural(lost, 'event')} lost"
    if results := sum((end.lost_results or {}).values()):
        yield f"{plural(results, 'result')} lost"
    if end.unfollowed:
        yield f"children not recorded: {end.unfollowed:,}"
    if passed := len({found.pid for found in end.bypassed}):
        yield f"writes of {passed:,} {'process' if passed == 1 else 'processes'} not seen"


def tell_lost(capture: Readable) -> None:
    """Say on stderr what is missing in a capture that was read to its end."""
    from wcap.events import DAMAGE, MISSING_PART

    lost = plural(sum(gap.count for gap in capture.gaps), "event")
    if any(gap.cause in (DAMAGE, MISSING_PART) for gap in capture.gaps):
        what = f"{lost} missing"
    elif capture.gaps:
        what = f"{lost} lost while recording"
    elif capture.end is not None and capture.end.short:
        what = f"not complete: {', '.join(_told_by(capture.end))}; wcap info says more"
    else:
        return
    print(f"wcap: {escape_text(capture.name)}: {what}", file=sys.stderr)
