"""How far long work is: one line on a terminal's stderr, gone when the work is done."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from wcap.readable import Readable

_Item = TypeVar("_Item")

# Work that is done sooner shows nothing; then the line changes this often.
_PATIENCE_S = 1.0
_EVERY_S = 0.1


def progress(
    capture: Readable,
    items: Iterable[_Item],
    *,
    terminal: bool | None = None,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[_Item]:
    """Pass on what is read from a capture, and show how far it is.

    Args:
        capture: what ``items`` come from.
        items: batches, as a rule.
        terminal: whether to show anything; by default when ``stream`` is a terminal. A command
            that prints its result meanwhile passes false when stdout is a terminal as well.
        stream: where to show it; stderr by default.
        clock: seconds that never go back.
    """
    shown_on = sys.stderr if stream is None else stream
    if not (shown_on.isatty() if terminal is None else terminal):
        yield from items
        return
    due = clock() + _PATIENCE_S
    width = 0
    try:
        for item in items:
            if clock() >= due:
                line = _line(capture)
                print(f"\r{line:{width}}", end="", file=shown_on, flush=True)
                width = len(line)
                due = clock() + _EVERY_S
            yield item
    finally:
        if width:
            print(f"\r{'':{width}}\r", end="", file=shown_on, flush=True)


def _line(capture: Readable) -> str:
    if capture.size:
        return f"{min(100, 100 * capture.position // capture.size)} % read"
    return f"{capture.position >> 20:,} MiB read"
