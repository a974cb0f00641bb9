"""Where a recording goes: a new file, one that is replaced at the last moment, or a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from wcap.cli.output import refuse_existing
from wcap.errors import naming_file


@contextlib.contextmanager
def capture_output(
    name: str, *, force: bool, final: Callable[[], str] | None = None
) -> Iterator[tuple[BinaryIO, Callable[[], object]]]:
    """Open the capture's file, or standard output; a file that stays empty is removed.

    Args:
        name: of the file; ``-`` is standard output.
        force: whether an existing file may be replaced.
        final: tells the file's name once recording has begun, where it may be another then.

    Yields:
        The open output, and a function to call once recording has begun: only then is an existing
        file replaced.
    """
    from wcap.writer import open_output

    if name == "-":
        with _standard_output() as stream:
            yield stream, lambda: None
        return
    place = Path(name)
    refuse_existing(place, force=force or not place.is_file())
    replaces = place.is_file() or final is not None
    opened = place.with_name(f".{place.name}.{os.getpid()}") if replaces else place
    with naming_file(name):
        stream = open_output(opened)
    with stream:
        try:
            yield stream, lambda: replaces and opened.replace(final() if final else place)
        except OSError as error:
            if error.filename is None:
                error.filename = name
            raise
        finally:
            if replaces:
                opened.unlink(missing_ok=True)
            elif place.is_file() and place.stat().st_size == 0:
                place.unlink()


@contextlib.contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    """Take standard output for the capture alone.

    What a launched command prints goes to standard error meanwhile, or it would lie in the capture.
    """
    number = sys.stdout.fileno()
    with os.fdopen(os.dup(number), "wb", buffering=0) as stream:
        os.dup2(sys.stderr.fileno(), number)
        try:
            yield stream
        finally:
            os.dup2(stream.fileno(), number)
