"""Which of the recordings that were merged leave a trace in an excerpt, and which leave none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from wcap.batch import EventBatch
from wcap.chunks import Chunk
from wcap.events import Gap
from wcap.filters import Filter
from wcap.format import RECOVERED, End, Header, Origin
from wcap.readable import Readable
from wcap.rewrite.origins import inside


class Traces:
    """Takes in what an excerpt would keep, and tells which origins none of it is of.

    An origin is kept when an event of it is, when a gap of it may hide an event that is asked for,
    or when its end tells of something that no gap does.

    Args:
        source: what is read; a file.
        where: what is asked for.
    """

    def __init__(self, source: Readable, where: Filter) -> None:
        self._header = source.header
        self._hosts = source.header.hosts
        self._where = where
        self._cpus: set[int] = set()
        self._pending: list[Gap] = []
        self._hiding = [*_hiding(source.header, source.end, where)]

    @property
    def all_found(self) -> bool:
        """Whether every origin that may leave a trace has left one."""
        wanted = [one for one in self._header.origins if self._where.may_be_on(one.header.host)]
        return all(self._kept(origin) for origin in wanted)

    @property
    def gone(self) -> list[Origin]:
        """The origins that leave no trace."""
        self._cpus.update(gap.cpu for gap in self._pending)
        self._pending = []
        return [origin for origin in self._header.origins if not self._kept(origin)]

    def miss(self, gap: Gap) -> None:
        """Take in a gap."""
        if self._where.may_miss(gap, self._hosts):
            self._pending.append(gap)

    def drop_gaps(self, from_ns: int) -> None:
        """Let gaps go that lie wholly after a moment (wall clock)."""
        self._pending = [gap for gap in self._pending if gap.first_ns < from_ns]

    def take(self, batch: EventBatch, _chunk: Chunk | None = None) -> None:
        """Take in events that are kept."""
        self._cpus.update(np.unique(batch.cpu).tolist())

    def _kept(self, origin: Origin) -> bool:
        return origin in self._hiding or any(inside(cpu, [origin]) for cpu in self._cpus)


def _hiding(header: Header, end: End | None, where: Filter) -> Iterable[Origin]:
    """Yield the origins of which something asked for may be missing without a gap."""
    if end is None or len(end.origins) != len(header.origins):
        ends: list[End | None] = [end] * len(header.origins)
    else:
        ends = [*end.origins]
    for origin, own in zip(header.origins, ends, strict=True):
        if where.may_be_on(origin.header.host) and (own is None or _hides(own, where)):
            yield origin


def _hides(end: End, where: Filter) -> bool:
    cut_short = end.reason in (RECOVERED, "error")
    beyond = where.until_ns is None or where.until_ns > end.wall_ns
    passed_by = any(where.may_be_of(found.pid, found.comm) for found in end.bypassed)
    return passed_by or end.unfollowed > 0 or (cut_short and beyond)
