"""What every style has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod

from wcap.batch import EventBatch
from wcap.events import Gap
from wcap.render.facts import gap_text
from wcap.render.palette import Palette
from wcap.render.times import Times


class Renderer(ABC):
    """Turns what `Capture.entries` yields into text, in one style.

    Args:
        times: how times are shown.
        palette: colours of what stands around the payload.
        width: columns that a line may take, or None; for styles that have a line an event.
    """

    def __init__(self, times: Times, palette: Palette, width: int | None) -> None:
        self._times = times
        self._palette = palette
        self._width = width

    def batch(self, batch: EventBatch) -> str:
        """Return the text of some events, with its line ends."""
        return self._events(batch) if len(batch) else ""

    def gap(self, gap: Gap) -> str:
        """Return the line that says what was lost, with its line end."""
        return f"{self._palette.note}-- {gap_text(gap, self._times)} --{self._palette.end}\n"

    @abstractmethod
    def _events(self, batch: EventBatch) -> str:
        """Return the text of a batch that is not empty."""
