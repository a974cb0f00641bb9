r"""The payloads and nothing else, in the order of the writes.

Lines and tabs stay; every other control character is escaped, and so is the backslash. What is
missing is therefore told apart from everything that a program can write: it stands in ``\[ ]``.
"""

from __future__ import annotations

import numpy as np

from wcap.events import EventBatch, EventFlag, Gap
from wcap.render.facts import gap_text, missing
from wcap.render.palette import Palette
from wcap.render.payload import RUNNING, payload_texts
from wcap.render.renderer import Renderer
from wcap.render.times import Times
from wcap.render.weave import TextColumn, per_distinct, weave


class TextRenderer(Renderer):
    """The style of ``--text``."""

    def __init__(self, times: Times, palette: Palette, width: int | None) -> None:
        super().__init__(times, palette, width)
        self._line_ended = True

    def _events(self, batch: EventBatch) -> str:
        text = weave(len(batch), payload_texts(batch, RUNNING), self._missing(batch))
        if text:
            self._line_ended = text.endswith("\n")
        return text

    def gap(self, gap: Gap) -> str:
        """Return what was lost, on a line of its own."""
        before = "" if self._line_ended else "\n"
        self._line_ended = True
        return f"{before}{self._mark(gap_text(gap, self._times))}\n"

    def _missing(self, batch: EventBatch) -> TextColumn:
        absent, unreadable = missing(batch), batch.flags & np.uint32(EventFlag.UNREADABLE)

        def make(row: int) -> str:
            if not absent[row]:
                return ""
            return self._mark(f"{absent[row]} B {'unreadable' if unreadable[row] else 'missing'}")

        return per_distinct([absent, unreadable], make)

    def _mark(self, words: str) -> str:
        return f"{self._palette.note}\\[{words}]{self._palette.end}"
