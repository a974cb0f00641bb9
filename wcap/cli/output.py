"""Where a command's result goes: standard output, or a file that appears only when it is whole.

And what stands beside a result that has no place for it: how many events were lost.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from wcap.cli.layout import plural
from wcap.errors import UsageError, naming_file

if TYPE_CHECKING:
    from wcap.readable import Readable


class Output(io.RawIOBase):
    """Bytes on their way out: each write has arrived when it returns, errors say where."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name

    def writable(self) -> bool:
        """Tell that it takes bytes."""
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]  # of all that has bytes
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


def refuse_input(name: str, destination: Path | None) -> None:
    """See that a capture that is read is not replaced by what is made of it.

    Raises:
        UsageError: it would be.
    """
    source = Path(name)
    if destination and destination.exists() and source.exists() and destination.samefile(source):
        raise UsageError(f"{destination}: this is the capture itself: name another file")


def refuse_terminal(destination: Path) -> None:
    """See that no bytes of a capture run over a terminal.

    Raises:
        UsageError: they would.
    """
    if str(destination) == "-" and sys.stdout.isatty():
        raise UsageError("standard output is a terminal: name a file with -o")


def tell_lost(capture: Readable) -> None:
    """Say on stderr how many events were lost while a capture that was read to its end was made."""
    lost = sum(gap.count for gap in capture.gaps)
    if lost:
        print(
            f"wcap: {capture.name}: {plural(lost, 'event')} lost while recording", file=sys.stderr
        )
