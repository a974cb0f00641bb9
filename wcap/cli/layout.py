"""Plain text for people: tables, bars, amounts and times; and JSON. ASCII, and never coloured.

The same text goes to a terminal and to a pipe, so that what is seen can be scripted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_TIMES = (("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000))


def table(rows: Sequence[Sequence[str]], align: str) -> list[str]:
    """Lay out rows in columns.

    Args:
        rows: cells; a row may end early.
        align: a ``<`` or ``>`` for each column.
    """
    widths = [
        max((len(row[i]) for row in rows if i < len(row)), default=0) for i in range(len(align))
    ]
    return [
        "  ".join(
            f"{cell:{side}{width}}"
            for cell, side, width in zip(row, align[: len(row)], widths, strict=False)
        ).rstrip()
        for row in rows
    ]


def bar(value: float, most: float, width: int) -> str:
    """Draw a value as a bar, ``width`` long for ``most``; a dot stands for too little."""
    return "#" * round(width * value / most) or "." if value else ""


def number(value: float) -> str:
    """Write a number with its thousands apart; a fraction only below 10."""
    return f"{value:,.1f}" if 0 < value < 10 and value != round(value) else f"{round(value):,}"


def plural(value: int, noun: str) -> str:
    """Write how many there are of something, such as ``1 event`` and ``2 events``."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def size(value: float) -> str:
    """Write an amount of bytes, such as ``537.5 MiB``."""
    power = 0
    while value >= 1024 and power < len(_BYTES) - 1:
        value /= 1024
        power += 1
    return f"{value:.1f} {_BYTES[power]}" if power else f"{number(value)} B"


def span(nanoseconds: int) -> str:
    """Write a duration, such as ``1.5 us`` or ``2.25 s``."""
    unit, factor = next(
        (pair for pair in reversed(_TIMES) if abs(nanoseconds) >= pair[1]), _TIMES[0]
    )
    return f"{f'{nanoseconds / factor:.3f}'.rstrip('0').rstrip('.')} {unit}"


def moment(time_ns: int) -> str:
    """Write a point in time (nanoseconds since 1970) as ISO 8601 in UTC, to the microsecond."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    try:
        return f"{datetime.fromtimestamp(seconds, tz=UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06}Z"
    except (ValueError, OverflowError, OSError):
        return f"{time_ns} ns since 1970"  # no calendar goes as far: a hostile file


def print_lines(lines: Iterable[str]) -> None:
    """Print lines; a character that stdout's encoding lacks is written as an escape."""
    encoding = sys.stdout.encoding or "utf-8"
    print("\n".join(lines).encode(encoding, "backslashreplace").decode(encoding))


def _plain(value: Any) -> Any:
    """Turn what a capture holds into what JSON can hold: names become valid Unicode."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if isinstance(value, Mapping):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value


def print_json(value: Mapping[str, Any]) -> None:
    """Print one JSON object, in ASCII: control characters are written as escapes."""
    # Piece by piece: the pieces of a large object take many times the room of its text.
    for piece in json.JSONEncoder(indent=2).iterencode(_plain(value)):
        sys.stdout.write(piece.replace("\x7f", "\\u007f"))
    sys.stdout.write("\n")
