"""Batches in, text for people out.

A style turns whole columns into columns of text, which `weave` joins row by row; what repeats
from event to event is formatted once. Text from a capture is escaped, so nothing in it can steer
a terminal or pass for something else.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from wcap.batch import EventBatch
from wcap.errors import UnknownFormatError
from wcap.render.block import BlockRenderer
from wcap.render.hexdump import HexRenderer
from wcap.render.lines import LineRenderer, SnoopRenderer
from wcap.render.palette import COLOURED, PLAIN
from wcap.render.renderer import Renderer
from wcap.render.text import TextRenderer
from wcap.render.times import TIMES, Times

__all__ = ["STYLES", "TIMES", "Renderer", "make_renderer", "parts"]

# Parts of about these sizes stay in a processor's cache, and the first lines come at once.
_PART_EVENTS = 2048
_PART_PAYLOAD = 1 << 18


_STYLES: dict[str, type[Renderer]] = {
    "line": LineRenderer,
    "snoop": SnoopRenderer,
    "block": BlockRenderer,
    "hex": HexRenderer,
    "text": TextRenderer,
}
STYLES = tuple(_STYLES)


def make_renderer(
    style: str = "line",
    *,
    started_ns: int,
    time: str = "local",
    width: int | None = None,
    colour: bool = False,
) -> Renderer:
    """Return the renderer of a style.

    Args:
        style: one of `STYLES`.
        started_ns: when the recording started, in nanoseconds since 1970.
        time: one of `TIMES`; `Times` says what they are.
        width: columns of the terminal, to which lines are cut; None leaves them whole.
        colour: whether to colour what stands around the payload.

    Raises:
        UnknownFormatError: there is no such style or form of time.
    """
    if style not in _STYLES:
        raise UnknownFormatError(f"a style of {', '.join(STYLES)} expected, {style!r} found")
    return _STYLES[style](Times(time, started_ns), COLOURED if colour else PLAIN, width)


def parts(batch: EventBatch) -> Iterator[EventBatch]:
    """Cut a batch into parts small enough to be rendered fast, one after the other."""
    starts, ends = batch.bounds
    start = 0
    while start < len(batch):
        fitting = int(np.searchsorted(ends, starts[start] + _PART_PAYLOAD, side="right"))
        end = min(max(fitting, start + 1), start + _PART_EVENTS, len(batch))
        yield batch if end - start == len(batch) else batch.select(slice(start, end))
        start = end
