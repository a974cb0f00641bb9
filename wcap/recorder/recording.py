"""What has been recorded so far, and what it came to in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from wcap.events import BUFFER_FULL, EventFlag
from wcap.format import Clock, End
from wcap.seams import Cut
from wcap.writer import CaptureWriter


@dataclass(frozen=True, slots=True)
class Result:
    """What a recording came to.

    Attributes:
        events, payload_bytes: recorded.
        lost, lost_results: events, and results of recorded events, that are missing.
        duration_ns: from the first moment to the last.
        exit_status: of the launched command, if it ended; minus a signal if one ended it.
        lost_payloads: recorded events of which the end of the payload is missing.
        bypassed: recorded processes that wrote in ways that cannot be recorded.
        warnings: what may be missing although nothing was counted as lost.
        parts: how many files it went to.
    """

    events: int
    payload_bytes: int
    lost: int
    lost_results: int
    duration_ns: int
    exit_status: int | None
    bypassed: int
    warnings: tuple[str, ...]
    lost_payloads: int = 0
    parts: int = 1


class Keeper(Protocol):
    """Where a recording goes: one file, or several."""

    parts: int

    @property
    def events(self) -> int:
        """How many were written."""

    @property
    def payload_bytes(self) -> int:
        """How many of them were written."""

    def take(self, cut: Cut) -> None:
        """Write what is ready."""

    def close(self, end: End) -> None:
        """Write the end."""


class OneFile:
    """Writes a recording as one capture."""

    parts = 1

    def __init__(self, writer: CaptureWriter) -> None:
        self._writer = writer

    @property
    def events(self) -> int:
        """How many were written."""
        return self._writer.events

    @property
    def payload_bytes(self) -> int:
        """How many of them were written."""
        return self._writer.payload_bytes

    def take(self, cut: Cut) -> None:
        """Write gaps, late results and events."""
        self._writer.write_gaps(cut.gaps)
        self._writer.write_results(cut.results)
        if cut.batch is not None:
            self._writer.write(cut.batch)

    def close(self, end: End) -> None:
        """Write the end, the index and the footer."""
        self._writer.close(end)


class Recording:
    """What has been recorded so far: handed to where it is kept, counted, and shown.

    Args:
        keeper: where it goes.
        watch: called with everything that was recorded.
        something_lost: called with each delivery once anything has been lost.
    """

    def __init__(
        self,
        keeper: Keeper,
        watch: Callable[[Cut], None] | None,
        something_lost: Callable[[], None],
    ) -> None:
        self._keeper = keeper
        self._watch = watch
        self._something_lost = something_lost
        self.lost: Counter[str] = Counter()
        self.lost_results: Counter[str] = Counter()
        self.lost_payloads = 0

    def deliver(self, cut: Cut) -> None:
        """Write, count and show."""
        self._keeper.take(cut)
        if cut.batch is not None:
            missing = np.count_nonzero(cut.batch.flags & np.uint32(EventFlag.RESULT_LOST))
            if missing:
                self.lost_results[BUFFER_FULL] += int(missing)
            cut_off = cut.batch.flags & np.uint32(EventFlag.PAYLOAD_LOST)
            self.lost_payloads += int(np.count_nonzero(cut_off))
        for gap in cut.gaps:
            self.lost[gap.cause] += gap.count
        if self.lost or self.lost_results or self.lost_payloads:
            self._something_lost()
        if self._watch is not None:
            self._watch(cut)

    @property
    def watched(self) -> bool:
        """Whether anyone is shown what is delivered."""
        return self._watch is not None

    def note_lost_results(self, counted: Counter[str]) -> None:
        """Take in what the kernel side counted, unless more are known to be missing."""
        self.lost_results = max(self.lost_results, counted, key=Counter.total)

    def close(self, end: End) -> None:
        """Write the end of the capture."""
        self._keeper.close(end)

    def result(self, end: End, clock: Clock) -> Result:
        """Sum up a recording from the clock's first moment to its end."""
        return Result(
            events=self._keeper.events,
            payload_bytes=self._keeper.payload_bytes,
            lost=self.lost.total(),
            lost_results=self.lost_results.total(),
            duration_ns=end.clock_ns - clock.clock_ns,
            exit_status=end.exit_status,
            bypassed=len(end.bypassed),
            warnings=end.warnings,
            lost_payloads=self.lost_payloads,
            parts=self._keeper.parts,
        )
