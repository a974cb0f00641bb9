r"""The payloads and nothing else, in the order of the writes.

Lines and tabs stay; every other control character is escaped, and so is the backslash. What is
missing is therefore told apart from everything that a program can write: it stands in ``\[ ]``.
"""

from __future__ import annotations

import numpy as np

from wcap.batch import EventBatch
from wcap.escape import escape_text
from wcap.events import EventFlag, Gap
from wcap.render.facts import ABSENCES, absence, gap_text, missing
from wcap.render.palette import Palette
from wcap.render.payload import RUNNING, payload_texts
from wcap.render.renderer import Renderer
from wcap.render.times import Times
from wcap.weave import TextColumn, per_distinct, weave


class TextRenderer(Renderer):
    """The style of ``--text``."""

    def __init__(self, times: Times, palette: Palette, width: int | None) -> None:
        super().__init__(times, palette, width)
        self._line_ended = True

    def _events(self, batch: EventBatch) -> str:
        payloads = payload_texts(batch, RUNNING)
        text = weave(len(batch), payloads, self._missing(batch), self._moved(batch))
        if text:
            self._line_ended = text.endswith("\n")
        return text

    def gap(self, gap: Gap) -> str:
        """Return what was lost, on a line of its own."""
        before = "" if self._line_ended else "\n"
        self._line_ended = True
        return f"{before}{self._mark(gap_text(gap, self._times))}\n"

    def _missing(self, batch: EventBatch) -> TextColumn:
        absent, flags = missing(batch), batch.flags & np.uint32(ABSENCES)

        def make(row: int) -> str:
            if not absent[row]:
                return ""
            return self._mark(f"{absent[row]} B {absence(int(flags[row])) or 'missing'}")

        return per_distinct([absent, flags], make)

    def _moved(self, batch: EventBatch) -> TextColumn:
        """Mark the bytes that a call without a payload wrote."""
        never = (batch.flags & np.uint32(EventFlag.NO_PAYLOAD)) != 0
        moved = np.where(never & batch.has_result, np.maximum(batch.returned, 0), 0)
        if not moved.any():
            return ""
        call = batch.syscall

        def make(row: int) -> str:
            by = escape_text(batch.syscalls[call[row]])
            return self._mark(f"{moved[row]} B by {by}") if moved[row] else ""

        return per_distinct([moved, call], make)

    def _mark(self, words: str) -> str:
        return f"{self._palette.note}\\[{words}]{self._palette.end}"
