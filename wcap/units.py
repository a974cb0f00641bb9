"""Sizes, durations and times as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from wcap.errors import FilterError

_SIZE = re.compile(r"(\d+)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_POWER = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|µs|ms|s|m|min|h|d)?", re.IGNORECASE)
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}


def parse_size(text: str) -> int:
    """Read a size in bytes: ``4096``, ``64M``, ``1GiB``; K, M, G and T are powers of 1,024.

    Raises:
        FilterError: it is none.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise FilterError(f"a size such as 4096, 64K or 16M expected, {text!r} found")
    return int(found[1]) << _POWER[found[2].lower()]


def parse_duration(text: str) -> int:
    """Read a duration in nanoseconds: ``30`` and ``30s`` are seconds; ``500ms``, ``2m``, ``1.5h``.

    Raises:
        FilterError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise FilterError(f"a duration such as 30s, 500ms or 5m expected, {text!r} found")
    return round(float(found[1]) * _NANOSECONDS[(found[2] or "s").lower()])


def parse_time(text: str, started_ns: int) -> int:
    """Read a point in time as nanoseconds since 1970.

    ``+12.5s`` counts from ``started_ns``; ``2026-11-22T10:00:00Z`` is ISO 8601, in the local zone
    when it names none; ``10:00:05`` is that time on the day of ``started_ns``; a bare number is
    seconds since 1970, or nanoseconds when it has 17 digits or more.

    Raises:
        FilterError: it is none of these.
    """
    word = text.strip()
    if word.startswith("+"):
        return started_ns + parse_duration(word[1:])
    if re.fullmatch(r"\d{17,}", word):
        return int(word)
    if re.fullmatch(r"\d+(\.\d+)?", word):
        whole, _, fraction = word.partition(".")
        return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?", word):
        day = datetime.fromtimestamp(started_ns // 1_000_000_000, tz=UTC).astimezone()
        word = f"{day:%Y-%m-%d}T{word.zfill(5) if word.count(':') == 1 else word.rjust(8, '0')}"
    try:
        moment = datetime.fromisoformat(word)
    except ValueError as error:
        raise FilterError(
            f"a time such as 2026-11-22T10:00:00Z, 10:00:05, an epoch or +30s expected, "
            f"{text!r} found"
        ) from error
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * 1_000_000_000 + moment.microsecond * 1_000
