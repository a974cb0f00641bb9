"""How long the drain sleeps between two looks into the kernel's buffer.

A look costs the same whether it finds one record or thousands, so the drain lets some gather. But
a buffer must not fill meanwhile: writers of large payloads fill 4 GB a second.
"""

from __future__ import annotations

# After a look that found something, and at most, after many that found nothing; both are less
# when the buffer is so small that a writer of small payloads fills it sooner.
_BUSY_SECONDS = 0.005
_IDLE_SECONDS = 0.05
_LEAST_SECONDS = 0.001
_FILLED_PER_SECOND = 400e6
# A look that found so many bytes is followed by the next at once: there will be more.
_MUCH = 2 << 20


class Pauses:
    """Decides on each pause by what the last looks have found.

    Args:
        buffer_bytes: size of the kernel's buffer.
    """

    def __init__(self, buffer_bytes: int) -> None:
        fills = max(_LEAST_SECONDS, buffer_bytes / _FILLED_PER_SECOND)
        self._busy = min(_BUSY_SECONDS, fills)
        self._idle = min(_IDLE_SECONDS, fills)
        self._next = self._busy

    def after(self, found: int) -> float:
        """Return how many seconds to sleep after a look that found so many bytes."""
        if found >= _MUCH:
            self._next = self._busy
            return 0
        if found:
            self._next = self._busy
            return self._busy
        pause = self._next
        self._next = min(2 * pause, self._idle)
        return pause
