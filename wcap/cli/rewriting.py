"""What the commands that write captures out of captures share."""

from __future__ import annotations

import re
import sys

from wcap.errors import FilterError
from wcap.escape import escape_text

_RANGE = re.compile(r"(\d{1,18})?(?:(-)(\d{1,18})?)?", re.ASCII)


def parse_events(given: str) -> tuple[int, int | None]:
    """Read a range of events: ``100-199``, ``100-`` to the end, ``-99`` from the first on, ``7``.

    Raises:
        FilterError: it is none.
    """
    found = _RANGE.fullmatch(given.strip())
    if found is not None and (found[1] or found[3]):
        first = int(found[1] or 1)
        last = int(found[3]) if found[3] else None if found[2] else first
        if first >= 1 and (last is None or last >= first):
            return first, last
    expected = "a range such as 100-199, 100- or -99 expected"
    raise FilterError(f"--events: {expected}, {given[:40]!r} found")


def tell_made(what: str, name: str) -> None:
    """Say on stderr what a new capture has."""
    shown = "standard output" if name == "-" else escape_text(name)
    print(f"wcap: {what}: {shown}", file=sys.stderr)
