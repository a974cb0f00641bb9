"""Times as text, to the nanosecond."""

from __future__ import annotations

import time

import numpy as np

from wcap.batch import Column
from wcap.errors import UnknownFormatError
from wcap.weave import TextColumn, fractions, per_distinct

_SECOND = 1_000_000_000
TIMES = ("local", "iso", "epoch", "rel", "delta")
_CALENDAR = ("local", "iso")


class Times:
    """Formats times in one way.

    Args:
        form: ``local`` time of day, ``iso`` (UTC), ``epoch`` (seconds since 1970), ``rel``
            (seconds since the recording started) or ``delta`` (seconds since the event before).
        started_ns: when the recording started, in nanoseconds since 1970.

    Raises:
        UnknownFormatError: there is no such form.
    """

    def __init__(self, form: str, started_ns: int) -> None:
        if form not in TIMES:
            raise UnknownFormatError(f"a time of {', '.join(TIMES)} expected, {form!r} found")
        self._form = form
        self._started_ns = started_ns
        self._previous: int | None = None

    def columns(self, time_ns: Column) -> tuple[TextColumn, TextColumn]:
        """Format the times of the next events, at least one: whole seconds, and their fractions."""
        if self._form == "delta":
            first = time_ns[:1] if self._previous is None else [self._previous]
            self._previous = int(time_ns[-1])
            time_ns = np.diff(time_ns, prepend=first)
        elif self._form == "rel":
            time_ns = time_ns - self._started_ns
        negative = (time_ns < 0) & (self._form not in _CALENDAR)
        seconds, nanoseconds = np.divmod(np.where(negative, -time_ns, time_ns), _SECOND)

        def make(row: int) -> str:
            return self._whole(int(seconds[row]), "-" if negative[row] else "")

        return per_distinct([seconds, negative], make), fractions(nanoseconds, self._zone)

    def moment(self, time_ns: int) -> str:
        """Format one time that is not an event's: as ``rel`` where events have ``delta``."""
        if self._form in ("rel", "delta"):
            time_ns -= self._started_ns
        negative = time_ns < 0 and self._form not in _CALENDAR
        seconds, nanoseconds = divmod(-time_ns if negative else time_ns, _SECOND)
        whole = self._whole(seconds, "-" if negative else "").lstrip()
        return f"{whole}.{nanoseconds:09}{self._zone}"

    @property
    def _zone(self) -> str:
        return "Z" if self._form == "iso" else ""

    def _whole(self, seconds: int, sign: str) -> str:
        try:
            if self._form == "local":
                return time.strftime("%H:%M:%S", time.localtime(seconds))
            if self._form == "iso":
                return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
        except (OverflowError, OSError, ValueError):
            return str(seconds)  # a damaged or hostile file: no calendar goes as far
        return f"{sign}{seconds}" if self._form == "epoch" else f"{sign}{seconds}".rjust(5)
