"""One capture read by several processes: chunk by chunk in turn, or each its share.

Every process has the plan of the file, so it knows which chunks are its own, and reads no others.
What comes out is what one process gives, byte for byte. Where a chunk is not sound, the parent goes
on alone from there, or from the beginning where nothing has been handed on: so what is wrong is
found, told and judged in one place, as it is with one process.
"""

from __future__ import annotations

import heapq
import pickle
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from wcap.batch import EventBatch
from wcap.errors import FormatError
from wcap.events import Gap
from wcap.filters import Filter
from wcap.readable import EVERYTHING, Readable, Waiting, first
from wcap.reader import Capture
from wcap.stats import USUAL, Stats, collect, united
from wcap.workers import Data, Message, Workers, available

_EVENTS, _DATA, _GAP, _DONE, _NOT_SOUND = range(5)
_NUMBER = struct.Struct("<q")

Form = Callable[[EventBatch], Iterable[bytes]]


def processes(capture: Readable, jobs: int) -> int:
    """Return how many processes can read a capture side by side, up to ``jobs``.

    It is one for a pipe, for several captures as one, and where processes cannot be forked.
    """
    if not (isinstance(capture, Capture) and available):
        return 1
    return max(1, min(jobs, capture.chunks))


def formatted(
    capture: Capture, where: Filter, form: Form, count: int, limit: int | None = None
) -> Iterator[Data | Gap]:
    """Yield what `Capture.entries` yields, its batches formatted by several processes.

    Args:
        capture: a file, opened with ``errors="salvage"``.
        where: the events wanted.
        form: turns a batch into pieces of bytes; nothing may depend on the batches before.
        count: of processes, as `processes` says.
        limit: yield so many events at most, and of the gaps those before the last.
    """
    waiting = _all_gaps(capture)
    left = sys.maxsize if limit is None else limit
    needed = _needed(capture, where, left)
    rest = range(needed, capture.chunks)

    def work(number: int) -> Iterator[Message]:
        return _format(capture, where, form, range(number, needed, count))

    with Workers(count, work) as workers:
        for place in range(needed):
            if left == 0:
                return
            kind, data = workers.next_of(place % count)
            if kind == _EVENTS:
                (events,) = _NUMBER.unpack(data)
                if events > left:
                    rest = range(place, place + 1)
                    break
                left -= events
                kind, data = workers.next_of(place % count)
            while kind in (_DATA, _GAP):
                if kind == _DATA:
                    yield data
                else:
                    yield from _up_to(_NUMBER.unpack(data)[0], capture, waiting)
                kind, data = workers.next_of(place % count)
            if kind == _NOT_SOUND:
                rest = range(place, capture.chunks)
                break
            (capture.position,) = _NUMBER.unpack(data)
    for entry in first(capture.entries_among(rest, where, waiting), left):
        if isinstance(entry, Gap):
            yield entry
        else:
            left -= len(entry)
            yield from form(entry)
    while waiting and left:
        yield heapq.heappop(waiting)[-1]


def _needed(capture: Capture, where: Filter, limit: int) -> int:
    """Return how many chunks have so many events that match, as far as the index tells."""
    events = 0
    if capture.indexed and where == EVERYTHING:
        for place, summary in capture.numbered_summaries():
            if events >= limit:
                return place
            events += summary.events
    return capture.chunks


def _format(capture: Capture, where: Filter, form: Form, places: range) -> Iterator[Message]:
    """Format some chunks, and say how many events are in each, and where gaps lie.

    A gap that lay before an earlier chunk may be told of again: the parent knows.
    """
    waiting = _all_gaps(capture)
    names = {id(gap): name for _, name, gap in waiting}
    known = len(capture.damage)
    for place in places:
        entries = list(capture.entries_among(range(place, place + 1), where, waiting))
        if len(capture.damage) > known:
            yield _NOT_SOUND, b""
            return
        yield _EVENTS, _NUMBER.pack(sum(len(one) for one in entries if not isinstance(one, Gap)))
        for entry in entries:
            if isinstance(entry, Gap):
                yield _GAP, _NUMBER.pack(names[id(entry)])
            else:
                for data in form(entry):
                    yield _DATA, data
        yield _DONE, _NUMBER.pack(capture.position)


def _all_gaps(capture: Capture) -> Waiting:
    waiting = [(gap.last_ns, name, gap) for name, gap in enumerate(capture.gaps)]
    heapq.heapify(waiting)
    return waiting


def _up_to(name: int, capture: Capture, waiting: Waiting) -> Iterator[Gap]:
    """Take the gaps that have not been handed on yet, up to the one of this place."""
    last = (capture.gaps[name].last_ns, name)
    while waiting and waiting[0][:2] <= last:
        yield heapq.heappop(waiting)[-1]


def collected(
    capture: Capture, where: Filter, count: int, *, by: Sequence[str] = USUAL, origin_ns: int = 0
) -> Stats:
    """Return what `collect` does for a capture, summed up by several processes.

    Args:
        capture: a file, opened with ``errors="salvage"``.
        where: the events wanted.
        count: of processes, as `processes` says.
        by: as for `collect`.
        origin_ns: as for `collect`.
    """
    bounds = [capture.chunks * number // count for number in range(count + 1)]

    def share(number: int) -> Stats | None:
        known = len(capture.damage)
        places = range(bounds[number], bounds[number + 1])
        entries = capture.entries_among(places, where, [])
        batches = (entry for entry in entries if isinstance(entry, EventBatch))
        try:
            stats = collect(batches, by=by, origin_ns=origin_ns)
        except FormatError:
            return None
        return stats if len(capture.damage) == known else None

    def sum_up(number: int) -> Iterator[Message]:
        yield _DATA, pickle.dumps(share(number + 1))

    parts: list[Stats] = []
    with Workers(count - 1, sum_up) as workers:
        found = share(0)  # this process is one of them
        while found is not None:
            parts.append(found)
            if len(parts) == count:
                break
            found = pickle.loads(workers.next_of(len(parts) - 1)[1])  # noqa: S301  # of our child
    whole = united(parts) if len(parts) == count else None
    return collect(capture.batches(where), by=by, origin_ns=origin_ns) if whole is None else whole
