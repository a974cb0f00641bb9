"""Which events are wanted: a mask over a batch, and a test that skips whole chunks.

Conditions of different kinds narrow each other; several values of one kind widen it. Columns are
compared whole; payloads are looked at last, and only those of events that still match.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.chunk_summary import Summary
from wcap.errors import FilterError
from wcap.events import EventBatch, Gap

# TASK_COMM_LEN - 1 (include/linux/sched.h): what the kernel keeps of a name.
COMM_BYTES = 15


@dataclass(frozen=True, slots=True)
class CommPattern:
    """A process or thread name: ``text`` exactly, or as a prefix; at most 15 bytes."""

    text: bytes
    prefix: bool = False

    @classmethod
    def parse(cls, pattern: str) -> CommPattern:
        """Read ``NAME`` or ``NAME*``; what is longer than a name can be is cut to 15 bytes.

        Raises:
            FilterError: it is empty, or a NUL is in it.
        """
        raw = pattern.encode("utf-8", "surrogateescape")
        prefix = raw.endswith(b"*")
        name = raw.removesuffix(b"*") if prefix else raw
        if not raw or b"\0" in name:
            raise FilterError(f"a name or NAME* expected, {pattern!r} found")
        return cls(name[:COMM_BYTES], prefix)

    def matches(self, name: str) -> bool:
        """Tell whether a name is meant."""
        raw = name.encode("utf-8", "surrogateescape")
        return raw.startswith(self.text) if self.prefix else raw == self.text

    def __str__(self) -> str:
        return self.text.decode("utf-8", "surrogateescape") + "*" * self.prefix


@dataclass(frozen=True, slots=True)
class Filter:
    """The events wanted; a condition that is None lets every event pass.

    Attributes:
        pids, tids, fds: numbers, any of which matches.
        comms: names of the thread or of its process's leader.
        since_ns, until_ns: wall clock in nanoseconds, the first included, the last not.
        grep: found anywhere in the payload.
        errors: only writes that failed.
    """

    pids: frozenset[int] | None = None
    tids: frozenset[int] | None = None
    fds: frozenset[int] | None = None
    comms: tuple[CommPattern, ...] | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    grep: re.Pattern[bytes] | None = None
    errors: bool = False

    def may_match(self, summary: Summary, offset_ns: int) -> bool:
        """Tell whether a chunk with this summary may hold a wanted event.

        Args:
            summary: of the chunk.
            offset_ns: from the capture's clock to the wall clock (`Clock.offset_ns`).
        """
        if self.since_ns is not None and summary.last_ns + offset_ns < self.since_ns:
            return False
        if self.until_ns is not None and summary.first_ns + offset_ns >= self.until_ns:
            return False
        if self.errors and summary.failed == 0 and summary.unfinished == 0:
            return False
        for wanted, present in (
            (self.pids, summary.pids),
            (self.tids, summary.tids),
            (self.fds, summary.fds),
        ):
            if wanted is not None and present is not None and wanted.isdisjoint(present):
                return False
        return not (
            self.comms is not None
            and summary.comms is not None
            and not any(self._named(name) for name in summary.comms)
        )

    def may_miss(self, gap: Gap) -> bool:
        """Tell whether a wanted event may be among those lost: only the time of these is known."""
        return not (
            (self.since_ns is not None and gap.last_ns <= self.since_ns)
            or (self.until_ns is not None and gap.first_ns >= self.until_ns)
        )

    def apply(self, batch: EventBatch) -> EventBatch:
        """Return the wanted events of a batch, or the batch itself when all are."""
        mask = self._mask(batch)
        if self.grep is not None:
            search = self.grep.search
            chosen = batch if mask is None else batch.select(mask)
            found = [search(data) is not None for data in chosen.payloads()]
            return chosen.select(np.array(found, dtype=np.bool_))
        if mask is None or bool(mask.all()):
            return batch
        return batch.select(mask)

    def _mask(self, batch: EventBatch) -> npt.NDArray[np.bool_] | None:
        masks: list[npt.NDArray[Any]] = []
        if self.pids is not None:
            masks.append(_among(batch.pid, self.pids))
        if self.tids is not None:
            masks.append(_among(batch.tid, self.tids))
        if self.fds is not None:
            masks.append(_among(batch.fd, self.fds))
        if self.comms is not None:
            threads = np.array([self._named(name) for name in batch.comms], dtype=np.bool_)
            leaders = np.array(
                [p.leader is not None and self._named(p.leader) for p in batch.processes],
                dtype=np.bool_,
            )
            masks.append(threads[batch.comm] | leaders[batch.process])
        if self.since_ns is not None:
            masks.append(batch.time_ns >= self.since_ns)
        if self.until_ns is not None:
            masks.append(batch.time_ns < self.until_ns)
        if self.errors:
            masks.append((batch.returned < 0) & batch.has_result)
        return np.logical_and.reduce(masks) if masks else None

    def _named(self, name: str) -> bool:
        return any(pattern.matches(name) for pattern in self.comms or ())


def _among(column: npt.NDArray[Any], wanted: Iterable[int]) -> npt.NDArray[np.bool_]:
    limits = np.iinfo(column.dtype)
    possible = [number for number in wanted if limits.min <= number <= limits.max]
    return np.isin(column, np.array(possible, dtype=column.dtype))


def compile_grep(pattern: str) -> re.Pattern[bytes]:
    """Compile a regular expression over payload bytes.

    Raises:
        FilterError: it does not compile.
    """
    try:
        with warnings.catch_warnings():
            # What Python may read differently one day is no business of who searches today.
            warnings.simplefilter("ignore")
            return re.compile(pattern.encode("utf-8", "surrogateescape"))
    except (re.error, OverflowError, RecursionError) as error:
        raise FilterError(f"not a regular expression: {pattern!r}: {error}") from error
