"""What can be read as a capture: its events piece by piece, with what was lost between them.

One file is one, and so are several files that are read as if they were one. What both have in
common is here: a filter chooses among the events of a piece, and gaps are put where they lie.

Nothing here or in `reader` loads numpy before there are events to decode: `wcap info` needs none.
"""

from __future__ import annotations

import contextlib
import heapq
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, TypeAlias

from wcap.chunk_summary import Summary
from wcap.errors import FormatError, UnsupportedVersionError
from wcap.events import Event, Gap
from wcap.filters import Filter
from wcap.format import End, Header

if TYPE_CHECKING:
    from wcap.batch import EventBatch
    from wcap.chunks import Chunk

ErrorMode: TypeAlias = Literal["strict", "salvage"]
EVERYTHING = Filter()
# A heap of gaps that belong before events to come: (last_ns, which of the capture's, gap).
Waiting: TypeAlias = list[tuple[int, int, Gap]]


@dataclass(frozen=True, slots=True)
class Piece:
    """Events that were stored together, before a filter chooses among them.

    ``chunk`` is the frame that holds just these events; None where they were put together anew,
    or completed.
    """

    batch: EventBatch
    chunk: Chunk | None = None


class Readable(ABC):
    """One capture, or several as one.

    Attributes:
        name: what to call it in messages.
        header: where, when and how it was recorded.
        version: of the format, major and minor.
        damage: what was found wrong so far, in the order found.
        gaps: events lost while recording, as far as read; with an index, all of them.
        end: how the recording ended; None while unknown.
        read: whether `stream` came to the end, which for a file makes no difference.
        indexed: whether the file was closed in the usual way and has its index.
        earlier_results: late results of events in parts before this one, as `late_results` has
            them.
        position: how far `stream` or `summaries` is, in bytes.
    """

    header: Header
    version: tuple[int, int]

    def __init__(self, name: str, errors: ErrorMode) -> None:
        self.name = name
        self.damage: list[FormatError] = []
        self.gaps: list[Gap] = []
        self.end: End | None = None
        self.indexed = False
        self.read = True
        self.earlier_results: dict[tuple[int, int], tuple[int, int]] = {}
        self.position = 0
        self._errors = errors
        self._known_damage: set[str] = set()

    @property
    @abstractmethod
    def size(self) -> int | None:
        """The size in bytes; None for a pipe."""

    @property
    @abstractmethod
    def growing(self) -> bool:
        """Whether a recorder still writes to it."""

    @property
    @abstractmethod
    def late_results(self) -> Mapping[tuple[int, int], tuple[int, int]]:
        """Results written after their event's chunk: (cpu, sequence) → (returned, duration_ns).

        The batches of a file have them in place; a pipe's, which went by before, cannot.
        """

    @abstractmethod
    def summaries(self) -> Iterator[Summary]:
        """Yield what each chunk holds, from the index where there is one.

        Raises:
            FormatError: as `batches` does.
        """

    @abstractmethod
    def stream(self, where: Filter = EVERYTHING) -> Iterator[Piece | Summary | Gap]:
        """Yield the events that may match piece by piece, and gaps before the events after them.

        A summary stands in place of events that cannot match.
        """

    @abstractmethod
    def close(self) -> None:
        """Close the file."""

    def batches(self, where: Filter = EVERYTHING) -> Iterator[EventBatch]:
        """Yield the events that match, in time order, chunk by chunk.

        Args:
            where: chunks that it cannot match are not read; of the others, the events it matches.

        Raises:
            FormatError: with ``errors="strict"``, what was wrong, after everything whole.
        """
        for entry in self.entries(where):
            if not isinstance(entry, Gap):
                yield entry

    def entries(self, where: Filter = EVERYTHING) -> Iterator[EventBatch | Gap]:
        """Yield batches as `batches` does, and every gap where it lies between their events."""
        waiting: Waiting = []
        yield from self._woven(self.stream(where), where, waiting)
        while waiting:
            yield heapq.heappop(waiting)[-1]
        self._raise_damage()

    def _woven(
        self, stream: Iterable[Piece | Summary | Gap], where: Filter, waiting: Waiting
    ) -> Iterator[EventBatch | Gap]:
        """Choose events, and put gaps, those already ``waiting`` included, before those after."""
        for count, found in enumerate(stream):
            if isinstance(found, Gap):
                heapq.heappush(waiting, (found.last_ns, count, found))
            elif isinstance(found, Piece):
                pieces: list[EventBatch | Gap] = []
                with self._noting():
                    pieces = _with_gaps(where.apply(found.batch), waiting)
                yield from pieces

    def __iter__(self) -> Iterator[Event]:
        for batch in self.batches():
            yield from batch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @contextlib.contextmanager
    def _noting(self, offset: int | None = None) -> Iterator[None]:
        """Note what is wrong in place of raising it, unless the capture needs a newer reader."""
        try:
            yield
        except UnsupportedVersionError:
            raise
        except FormatError as error:
            self._note(error if offset is None else error.at(offset))

    def _note(self, error: FormatError) -> None:
        if str(error) not in self._known_damage:
            self._known_damage.add(str(error))
            self.damage.append(error)

    def _raise_damage(self) -> None:
        if self._errors == "strict" and self.damage:
            raise self.damage[0]


def _with_gaps(batch: EventBatch, waiting: Waiting) -> list[EventBatch | Gap]:
    """Cut a batch where a gap of the heap ``waiting`` lies before one of its events."""
    if len(batch) == 0 or not waiting:
        return [batch] * (len(batch) > 0)
    pieces: list[EventBatch | Gap] = []
    time_ns, start = batch.time_ns, 0
    while waiting and waiting[0][0] <= time_ns[-1]:
        gap = heapq.heappop(waiting)[-1]
        cut = int(time_ns.searchsorted(gap.last_ns))
        if cut > start:
            pieces.append(batch.select(slice(start, cut)))
            start = cut
        pieces.append(gap)
    pieces.append(batch if start == 0 else batch.select(slice(start, len(batch))))
    return pieces


def first(entries: Iterable[EventBatch | Gap], limit: int | None) -> Iterator[EventBatch | Gap]:
    """Yield batches with so many events at most, and the gaps before the last of these."""
    left = sys.maxsize if limit is None else limit
    if left == 0:
        return
    for entry in entries:
        if isinstance(entry, Gap):
            yield entry
            continue
        yield entry if len(entry) <= left else entry.select(slice(0, left))
        left -= min(len(entry), left)
        if left == 0:
            return
