"""A capture cut down to some of its events."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

from wcap import __version__
from wcap.batch import EventBatch
from wcap.chunk_summary import Summary
from wcap.events import Gap
from wcap.filters import Filter
from wcap.format import Origin, Rewriting
from wcap.readable import EVERYTHING, Piece, Readable
from wcap.reader import Capture
from wcap.rewrite.excerpt import Excerpt, Seen
from wcap.rewrite.traces import Traces
from wcap.writer import Target

# What is read of a capture, and who looks on while it goes by.
Read: TypeAlias = Piece | Summary | Gap
Watch: TypeAlias = Callable[[Iterable[Read]], Iterable[Read]]


@dataclass(frozen=True, slots=True)
class Kept:
    """How many events a new capture has, and how many were read to make it."""

    events: int
    read: int


def rewriting(what: str, asked: Mapping[str, Any]) -> Rewriting:
    """Say what is done, for the header of what is made."""
    return Rewriting(what, "wcap", __version__, asked)


def cut(
    source: Readable,
    target: Target,
    *,
    where: Filter = EVERYTHING,
    events: tuple[int, int | None] | None = None,
    asked: Mapping[str, Any] | None = None,
    watch: Watch = iter,
    salt: int | None = None,
) -> Kept:
    """Write some events of a capture as a capture.

    Args:
        source: read once, piece by piece.
        target: anything with ``write``.
        where: which events are kept.
        events: of these, only from the first number to the last, counted from 1; None is no end.
        asked: what the header is to say that was asked for.
        watch: wraps what is read, to show how far it is.
        salt: of the new capture; random unless a reproducible one is wanted.

    Raises:
        FormatError: the source breaks the format where it is looked at.
        OSError: the target refused.
    """
    done = rewriting("cut", asked or {})
    whole = where == EVERYTHING and events is None
    return copy(
        source, target, done, where=where, events=events, whole=whole, watch=watch, salt=salt
    )


def copy(
    source: Readable,
    target: Target,
    done: Rewriting,
    *,
    where: Filter = EVERYTHING,
    events: tuple[int, int | None] | None = None,
    whole: bool = False,
    watch: Watch = iter,
    salt: int | None = None,
) -> Kept:
    """Write events of a capture as a capture, as `cut` does, and say in its header what was done.

    With ``whole`` all is kept, also what this version does not know.
    """
    excerpt = partial(Excerpt, salt=salt)
    if whole or done.what == "merge" or not source.header.origins:
        return _write(source, where, events, excerpt(source, target, done, where=where,
                                                     whole=whole), watch)  # fmt: skip
    if source.size is not None:
        gone = _traceless(source, where, events)
        return _write(source, where, events, excerpt(source, target, done, where=where,
                                                     gone=gone), watch)  # fmt: skip
    # Which origins the header has to name is known at the end of the pipe only.
    with tempfile.TemporaryFile() as file:
        kept = _write(source, where, events, excerpt(source, file, done, where=where), watch)
        file.seek(0)
        with Capture(file, errors="salvage") as found:
            gone = _traceless(found, where, None)
            _write(found, EVERYTHING, None, excerpt(found, target, None, gone=gone), iter)
    return kept


def _write(
    source: Readable,
    where: Filter,
    events: tuple[int, int | None] | None,
    excerpt: Excerpt,
    watch: Watch,
) -> Kept:
    seen = Seen(source)
    window = _Window(excerpt, events)
    for found in watch(source.stream(where)):
        if isinstance(found, Gap):
            window.miss(found)
            continue
        seen.add(found)
        if isinstance(found, Piece):
            window.take(chosen(found, where, source), found)
    window.end()
    excerpt.close(seen)
    return Kept(excerpt.events, seen.events.total())


def _traceless(
    source: Readable, where: Filter, events: tuple[int, int | None] | None
) -> list[Origin]:
    """Return the origins of which an excerpt has nothing; the file is read until all are found."""
    traces = Traces(source, where)
    window = _Window(traces, events)
    for found in source.stream(where):
        if traces.all_found:
            break
        if isinstance(found, Gap):
            window.miss(found)
        elif isinstance(found, Piece):
            window.take(chosen(found, where, source), found)
    window.end()
    return traces.gone


def chosen(piece: Piece, where: Filter, source: Readable) -> EventBatch:
    """Return the events of a piece that are wanted: its batch itself when all are."""
    if piece.chunk is not None:
        summary = piece.chunk.summary
        if where == EVERYTHING or where.must_match(
            summary, source.header.clock.offset_ns, source.header.hosts
        ):
            return piece.batch
    return where.apply(piece.batch)


class _Window:
    """Hands on events by their number, and the gaps between the first and the last of them."""

    def __init__(self, excerpt: Excerpt | Traces, events: tuple[int, int | None] | None) -> None:
        self._excerpt = excerpt
        first, last = events or (1, None)
        self._skip = first - 1
        self._left = None if last is None else last - self._skip
        self._held: list[Gap] | None = [] if self._skip else None
        self._last_ns: int | None = None

    def miss(self, gap: Gap) -> None:
        if self._held is not None:
            self._held.append(gap)
        elif self._left != 0:
            self._excerpt.miss(gap)

    def take(self, batch: EventBatch, piece: Piece) -> None:
        skipped = min(self._skip, len(batch))
        self._skip -= skipped
        end = len(batch) if self._left is None else min(len(batch), skipped + self._left)
        if end == skipped:
            return
        kept = batch if end - skipped == len(batch) else batch.select(slice(skipped, end))
        if self._held is not None:
            first_ns = int(kept.time_ns[0])
            for gap in self._held:
                if gap.last_ns > first_ns:
                    self._excerpt.miss(gap)
            self._held = None
        self._excerpt.take(kept, piece.chunk if kept is piece.batch else None)
        if self._left is not None:
            self._left -= end - skipped
            self._last_ns = int(kept.time_ns[-1])

    def end(self) -> None:
        """Let go the gaps behind the last event that was asked for."""
        if self._left == 0 and self._last_ns is not None:
            self._excerpt.drop_gaps(self._last_ns)
