"""The names and files of a recording's parts: numbered, or named after the time."""

from __future__ import annotations

import contextlib
import itertools
import re
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

from wcap.cli.output import refuse_existing
from wcap.errors import UsageError, naming_file

# Of files that go on for ever there are at least so many digits, so that names sort.
_DIGITS = 4
# So many names of this recording's own files are remembered, so as not to replace one.
_OWN = 1 << 16


class Parts:
    """Names parts, and opens them.

    Args:
        pattern: the name that was given.
        period_ns: how long a part lasts at most; then the name is a pattern of strftime.
        by_dump: a part is written whenever it is asked for, and the name is a pattern of strftime.
        by_size: parts are limited in size too, so their names get numbers.
        ring: so many files are written in turn.
        force: replace files that were there before.

    Raises:
        UsageError: the pattern gives parts one after the other the same name.
    """

    def __init__(
        self,
        pattern: str,
        *,
        period_ns: int | None = None,
        by_size: bool = False,
        by_dump: bool = False,
        ring: int | None = None,
        force: bool = False,
    ) -> None:
        self._pattern = pattern
        self._by_time = by_dump or period_ns is not None
        self._numbered = by_size or "%" not in pattern
        self._ring = ring
        self._force = force
        self._own: deque[Path] = deque(maxlen=_OWN)
        self._digits = _DIGITS if ring is None else len(str(ring))
        if not self._numbered and period_ns is not None:
            now = time.time_ns()
            if self._named(now) == self._named(now + period_ns):
                raise UsageError(
                    f"-G: {pattern!r} names parts one after the other alike: add what differs, "
                    "such as %Y%m%d-%H%M%S"
                )

    def first(self) -> str:
        """Return the name of the first part, as it would be if it began now.

        Raises:
            OSError: as `check` does.
        """
        name = self.check()
        self._own.append(name)
        return str(name)

    def begin(self, started_ns: int) -> None:
        """Give the first part the name of the moment at which its time begins."""
        before = self._own.pop()
        place = self._place(1, started_ns)
        taken = place != before and place.exists() and not self._force
        self._own.append(_free(place) if taken else place)

    def check(self) -> Path:
        """See that a part could be made now, and return the name that the first would have.

        Raises:
            FileExistsError: a file that a part would get the name of is there already.
            OSError: it could not; ``filename`` says where.
        """
        name = self._place(1, time.time_ns())
        with naming_file(str(name)):
            tempfile.TemporaryFile(dir=name.parent).close()
        if self._numbered and "%" not in self._pattern and not self._force:
            self._refuse_numbered(name)
        return name

    def open(self, part: int, started_ns: int) -> BinaryIO:
        """Open the file of a part; a name that is taken gets ``-2`` or so.

        Raises:
            OSError: it cannot be created; ``filename`` says which.
        """
        from wcap.writer import open_output

        place = self._place(part, started_ns)
        again = self._ring is not None and part > self._ring
        if not again and place.exists() and (not self._force or place in self._own):
            place = _free(place)
        with naming_file(str(place)):
            stream = open_output(place, force=again or self._force)
        self._own.append(place)
        return stream

    @property
    def last(self) -> str:
        """The name of the newest part."""
        return str(self._own[-1])

    def discard(self) -> None:
        """Remove the newest part's file, if it can be; the part before it is the newest again."""
        place = self._own.pop()
        if place.is_file():
            with contextlib.suppress(OSError):  # a disk that became read-only keeps it
                place.unlink()

    def _place(self, part: int, started_ns: int) -> Path:
        place = Path(self._named(started_ns))
        if not self._numbered:
            return place
        number = part if self._ring is None else (part - 1) % self._ring + 1
        return place.with_name(f"{place.stem}-{number:0{self._digits}}{place.suffix}")

    def _named(self, started_ns: int) -> str:
        if not self._by_time:
            return self._pattern
        return time.strftime(self._pattern, time.localtime(started_ns // 1_000_000_000))

    def _refuse_numbered(self, first: Path) -> None:
        whole = Path(self._pattern)
        name = re.compile(re.escape(whole.stem) + r"-\d+" + re.escape(whole.suffix))
        numbered = [there for there in first.parent.glob("*") if name.fullmatch(there.name)]
        if numbered:
            refuse_existing(min(numbered), force=False)


def _free(place: Path) -> Path:
    for number in itertools.count(2):
        other = place.with_name(f"{place.stem}-{number}{place.suffix}")
        if not other.exists():
            return other
    raise AssertionError
