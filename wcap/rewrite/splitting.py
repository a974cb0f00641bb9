"""One capture as several: by size or time as parts of a recording, by process or host as cuts.

Parts follow each other as those that a recorder writes: each begins with the numbers at which the
one before ended, and proves itself. Cuts by process or host lie side by side, and each counts what
the others have. Either way `merge` makes the capture whole again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np

from wcap.chunk_summary import Summary
from wcap.events import Gap
from wcap.filters import Filter
from wcap.format import End
from wcap.readable import Piece, Readable
from wcap.rewrite.cutting import Kept, Watch, copy, rewriting
from wcap.rewrite.excerpt import Seen
from wcap.rewrite.recordings import OF_PART, PIECE, SPLIT
from wcap.rotation import PartFiles, PartLimits, Rotation
from wcap.seams import Cut, divided, reached_in
from wcap.writer import Target


@dataclass(frozen=True, slots=True)
class Share:
    """Events of one process, or of one machine.

    Both are None where they are not known, or not what is asked for.
    """

    host: str | None = None
    pid: int | None = None

    @property
    def where(self) -> Filter:
        """What lets these events pass."""
        return Filter(
            hosts=None if self.host is None else frozenset({self.host}),
            pids=None if self.pid is None else frozenset({self.pid}),
        )


class _Opened:
    """The files of parts, of which those that are open are closed at the end."""

    def __init__(self, files: PartFiles) -> None:
        self._files = files
        # A part is closed before the next but one is opened.
        self._streams: deque[BinaryIO] = deque(maxlen=2)

    def open(self, part: int, started_ns: int) -> BinaryIO:
        self._streams.append(self._files.open(part, started_ns))
        return self._streams[-1]

    @property
    def last(self) -> str:
        return self._files.last

    def discard(self) -> None:
        self._streams.pop().close()
        self._files.discard()

    def close(self) -> None:
        for stream in self._streams:
            stream.close()


def split_in_parts(
    source: Readable,
    files: PartFiles,
    limits: PartLimits,
    *,
    asked: dict[str, str | int],
    watch: Watch = iter,
) -> int:
    """Write a capture as parts that follow each other; return how many.

    Args:
        source: a file, not a pipe.
        files: opens the parts; theirs is the text of their names.
        limits: when a part is over.
        asked: what the headers are to say that was asked for.
        watch: wraps what is read, to show how far it is.

    Raises:
        FormatError: the source breaks the format where it is looked at.
        OSError: a part could not be made or written; ``filename`` says which.
    """
    with closing(_Opened(files)) as opened:
        return _split_in_parts(source, opened, limits, asked, watch)


def _split_in_parts(
    source: Readable,
    files: PartFiles,
    limits: PartLimits,
    asked: dict[str, str | int],
    watch: Watch,
) -> int:
    header = source.header
    of_part = {} if header.part is None else {OF_PART: header.part}
    done = rewriting(SPLIT, {**asked, **of_part})
    header = replace(header, rewritten=(*header.rewritten, done))
    seen = Seen(source)
    end = Seen.all_of(source).end(source) if source.end is None else source.end
    now_ns = header.clock.wall_ns

    def end_now() -> End:
        clock_ns = max(now_ns - header.clock.offset_ns, header.clock.clock_ns)
        return replace(
            end,
            reason="rotation",
            clock_ns=clock_ns,
            wall_ns=clock_ns + header.clock.offset_ns,
            exit_status=None,
        )

    first_ns = next((summary.first_ns for summary in source.summaries()), None)
    stream = files.open(1, now_ns)
    try:
        rotation = Rotation(
            header,
            stream,
            files,
            limits,
            end_now,
            begins_ns=None if first_ns is None else first_ns + header.clock.offset_ns,
            left_out=end.left_out,
        )
    except BaseException:
        files.discard()
        raise
    pending: list[Gap] = []
    for found in watch(source.stream()):
        if isinstance(found, Gap):
            pending.append(found)
            continue
        seen.add(found)
        if isinstance(found, Piece) and len(found.batch):
            now_ns = int(found.batch.time_ns[-1])
            due, pending = _due(pending, found)
            rotation.take(Cut(found.batch, due))
    earlier = [(*event, *result) for event, result in source.earlier_results.items()]
    rotation.take(Cut(None, pending, earlier))
    rotation.close(seen.end(source))
    return rotation.parts


def _due(pending: list[Gap], piece: Piece) -> tuple[list[Gap], list[Gap]]:
    """Divide gaps into those before the last events of a piece, and those behind."""
    reached = reached_in(piece.batch)
    begun = [gap for gap in pending if gap.first_sequence <= reached.get(gap.cpu, 0)]
    others = [gap for gap in pending if gap.first_sequence > reached.get(gap.cpu, 0)]
    now, later = divided(begun, piece.batch, reached)
    return now, [*later, *others]


def shares(source: Readable, *, by_process: bool) -> list[Share]:
    """Return the processes, or the machines, that a capture has events of.

    Args:
        source: a file, not a pipe; it is read through where no summaries tell.
        by_process: ask for processes, and not only for machines.
    """
    hosts = source.header.hosts
    found: set[Share] = set()
    if by_process and source.end is not None and not hosts.several:
        found = {Share(None, bypass.pid) for bypass in source.end.bypassed}
    summaries = [] if hosts.several and by_process else list(source.summaries())
    if by_process and (not summaries or any(summary.pids is None for summary in summaries)):
        for piece in source.stream():
            if isinstance(piece, Piece):
                found |= set(_writers(piece))
    else:
        for summary in summaries:
            found |= set(_told(summary, source, by_process=by_process))
    places = {name: place for place, name in enumerate(hosts.names)}
    return sorted(found, key=lambda share: (places.get(share.host, 0), share.pid or 0))


def _writers(piece: Piece) -> Iterator[Share]:
    batch = piece.batch
    several = batch.hosts.several
    for host, pid in np.unique(np.stack([batch.host, batch.pid.astype(np.int64)]), axis=1).T:
        yield Share(batch.hosts.names[host] if several else None, int(pid))


def _told(summary: Summary, source: Readable, *, by_process: bool) -> Iterator[Share]:
    if by_process:
        for pid in summary.pids or ():
            yield Share(None, pid)
    else:
        for cpu, *_ in summary.sequences:
            yield Share(source.header.hosts.of(cpu))


def split_side_by_side(
    source: Readable,
    found: list[Share],
    files: Callable[[Share], AbstractContextManager[Target]],
    *,
    asked: dict[str, str | int],
    watch: Watch = iter,
) -> Iterator[tuple[Share, Kept]]:
    """Write the events of each process or machine as a capture; yield how many each has.

    Args:
        source: a file, not a pipe; it is read once for each, where the index does not tell that it
            need not.
        found: what `shares` found.
        files: opens the file of one of them.
        asked: what the headers are to say that was asked for.
        watch: wraps what is read, to show how far it is.

    Raises:
        FormatError: the source breaks the format where it is looked at.
        OSError: a file could not be made or written.
    """
    for number, share in enumerate(found, 1):
        where = share.where
        if share == Share():  # of machines without a name
            named = frozenset(one.host for one in found if one.host is not None)
            where = Filter(without=(Filter(hosts=named),) if named else ())
        with files(share) as target:
            done = rewriting(SPLIT, {**asked, PIECE: number})
            kept = copy(source, target, done, where=where, watch=watch)
        yield share, kept
