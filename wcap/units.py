"""Lists, sizes, durations and times as people write them on a command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from wcap.errors import FilterError

# Numbers are bounded so that none is beyond what a column of a capture can hold.
_SIZE = re.compile(r"(\d{1,15})\s*([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_POWER = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_DURATION = re.compile(
    r"(\d{1,15})(?:\.(\d{1,15}))?\s*(ns|us|µs|μs|ms|s|m|min|h|d)?", re.IGNORECASE | re.ASCII
)
_NANOSECONDS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign of keyboards
    "μs": 1_000,  # U+03BC, the Greek letter that Unicode prefers
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "min": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
# After seconds since 1970, or after the seconds of a time of day.
_FRACTION = re.compile(
    r"(?:^\d{1,16}(?=\.\d+$)|(?<=\d:\d\d:)\d\d|(?<=T)\d{6})\.(\d{1,9})\d*", re.ASCII
)
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", re.ASCII)


def parse_list(given: Iterable[str]) -> tuple[list[str], list[str]]:
    """Read the values of a repeated option, each with commas, as (named, excluded) words.

    A ``!`` excludes what follows it in the same value: ``!1,2`` excludes both, and ``file,!write``
    the second only.
    """
    named: list[str] = []
    excluded: list[str] = []
    for value in given:
        words = named
        for word in value.split(","):
            if word.strip().startswith("!"):
                words = excluded
            words.append(word.strip().removeprefix("!").strip())
    return named, excluded


def parse_marked(given: Iterable[str]) -> tuple[list[str], list[str]]:
    """Read the values of a repeated option that may hold commas, as (named, excluded) values.

    A ``!`` excludes the value that it begins, and no other.
    """
    named: list[str] = []
    excluded: list[str] = []
    for value in given:
        words = excluded if value.startswith("!") else named
        words.append(value.removeprefix("!"))
    return named, excluded


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
    fraction = found[2] or ""
    nanoseconds: int = _NANOSECONDS[(found[3] or "s").lower()]
    scale: int = 10 ** len(fraction)
    return int(found[1] + fraction) * nanoseconds // scale


def parse_time(text: str, started_ns: int) -> int:
    """Read a point in time as nanoseconds since 1970.

    ``+12.5s`` counts from ``started_ns``; ``2026-11-22T10:00:00Z`` is ISO 8601, in the local zone
    when it names none; ``10:00:05`` is that time on the local day of ``started_ns``; a bare number
    is seconds since 1970, or nanoseconds when it has 17 digits or more. Fractions of a second
    count to the nanosecond.

    Raises:
        FilterError: it is none of these.
    """
    word = text.strip()
    if word.startswith("+"):
        return started_ns + parse_duration(word[1:])
    if re.fullmatch(r"\d{17,19}", word, re.ASCII):
        return int(word)
    # The fraction is taken apart first: datetime knows microseconds only.
    fraction = _FRACTION.search(word)
    nanoseconds = int(fraction[1].ljust(9, "0")) if fraction else 0
    whole = word[: fraction.start(1) - 1] + word[fraction.end() :] if fraction else word
    try:
        return _seconds(whole, started_ns) * 1_000_000_000 + nanoseconds
    except (ValueError, OverflowError, OSError) as error:
        raise FilterError(
            f"a time such as 2026-11-22T10:00:00Z, 10:00:05, an epoch or +30s expected, "
            f"{text!r} found"
        ) from error


def _seconds(word: str, started_ns: int) -> int:
    """Read a time without a fraction as seconds since 1970; ValueError if it is none."""
    if re.fullmatch(r"\d{1,16}", word, re.ASCII):
        return int(word)
    clock = _CLOCK.fullmatch(word)
    if clock is not None:
        hour, minute, second = (int(part or 0) for part in clock.groups())
        day = datetime.fromtimestamp(started_ns // 1_000_000_000, tz=UTC).astimezone()
        moment = datetime(day.year, day.month, day.day, hour, minute, second)
        return int(moment.timestamp())
    moment = datetime.fromisoformat(word)
    if moment.microsecond:
        raise ValueError("a fraction in a place of its own")
    return int(moment.timestamp())
