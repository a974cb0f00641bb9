"""What reads captures, as one table, and what must hold whatever the bytes are.

A reader answers with exit status 0, 1 or 3 and with text that does nothing to a terminal. Any
exception but those that `wcap.cli.main` turns into a message is a finding, and so is a library call
that raises anything but a `FormatError`.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from wcap.cli import main
from wcap.errors import FormatError
from wcap.reader import Capture

_SPLIT = Path(tempfile.gettempdir()) / f"wcap-fuzz-{os.getpid()}" / "split.wcap"
_SPLIT.parent.mkdir(exist_ok=True)
_SAMPLE = Path(__file__).parents[1] / "samples" / "hello.wcap"
# Every command that reads a capture, in every way in which it prints. One a line: add what is new.
COMMANDS = (
    ("show",),
    ("show", "--hex"),
    ("show", "--text"),
    ("show", "--json"),
    ("show", "--style", "snoop"),
    ("show", "--style", "block"),
    ("show", "--comm", "s*", "--target", "*:*", "--grep", "[a-zA-Z]"),
    ("stats",),
    ("stats", "--by", "target"),
    ("stats", "--json"),
    ("info",),
    ("info", "--json"),
    ("export", "--csv"),
    ("export", "--jsonl", "--data", "text,base64,hex"),
    ("replay", "--no-delay"),
    ("verify",),
    ("verify", "--json"),
    ("recover", "-o", "/dev/null"),
    ("cut", "-o", "/dev/null"),
    ("merge", str(_SAMPLE), "-o", "/dev/null"),
    ("split", "--size", "64K", "--force", "-o", str(_SPLIT)),
    ("split", "--process", "--force", "-o", str(_SPLIT)),
    ("cut", "--comm", "s*", "--events", "2-", "-o", "/dev/null"),
)
# Their output is what the programs wrote, for a pipe; a terminal gets it through a guard.
_RAW = (("replay", "--no-delay"), ("show", "--text"))


class Pipe(io.RawIOBase):
    """Bytes that come as through a pipe."""

    def __init__(self, data: bytes) -> None:
        self._rest = io.BytesIO(data)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return at most a few bytes."""
        return self._rest.read(min(size, 997) if size >= 0 else 997)


def check(data: bytes, path: Path, commands: tuple[tuple[str, ...], ...] = COMMANDS) -> None:
    """Read bytes in every way; for a finding raise AssertionError, or what a reader raised."""
    for stream in (io.BytesIO(data), Pipe(data)):
        _read(lambda stream=stream: Capture(stream, errors="salvage"))  # type: ignore[misc]
    path.write_bytes(data)
    for command in commands:
        status, out, err = run([*command, str(path)])
        assert status in (0, 1, 3), (command, status)
        shown = err if command in _RAW else out + err
        left = shown.replace("\r\n", "").replace("\n", "")
        assert left.isprintable(), (command, left)


def _read(opened: Callable[[], Capture]) -> None:
    with contextlib.suppress(FormatError), opened() as capture:
        for batch in capture.batches():
            list(batch)


def run(arguments: list[str]) -> tuple[int, str, str]:
    """Run a command; return its exit status and what it printed."""
    out, err = io.BytesIO(), io.StringIO()
    text = io.TextIOWrapper(out, encoding="utf-8", write_through=True)
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(err):
        status = main(arguments)
        text.flush()
    return status, out.getvalue().decode("utf-8", "replace"), err.getvalue()
