"""From the kernel's buffer to the file, in two threads.

The drain does nothing but copy spans out of the buffer, so that the kernel has room. The encoder
turns them into batches and hands these on. Between them is a queue of bounded size: when it is
full, the drain waits, and the kernel counts what it then cannot keep.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from wcap.recorder.assemble import UNFINISHED_AFTER_NS, Assembler
from wcap.recorder.pauses import Pauses
from wcap.recorder.records import Span
from wcap.seams import Cut

# A batch is cut at this many writes, this many bytes, or this age of its oldest write, which counts
# from the write itself: what waited in the kernel's buffer has waited already. Writes that are held
# for a call under way do not make a batch of each, so between two cuts lies half the age. With the
# span that makes it due, most batches are one chunk.
BATCH_EVENTS = 3 << 15
BATCH_BYTES = 4 << 20
BATCH_AGE_NS = 1_000_000_000
# A record reaches the buffer at most this long after its time was read.
_SETTLED_NS = 5_000_000
# When all that came before a moment is asked for, an empty buffer is waited for so long; a buffer
# that is never empty has been read through by then.
_FLUSH_NS = 500_000_000
# Spans of a few MiB that may wait for the encoder.
_QUEUE_SPANS = 4
# How long a full queue is waited for before looking whether the encoder still lives.
_PATIENCE_SECONDS = 0.1


class Transport(Protocol):
    """Where records come from."""

    def drain(self, *, last: bool = False) -> Span | None:
        """Take out some records, none if the first is not finished; None when there are none."""

    def close(self) -> None:
        """Give the buffer back."""


@dataclass(frozen=True, slots=True)
class _Drained:
    """One look into the buffer, at ``moment_ns``; it was last found empty at ``empty_ns``."""

    span: Span | None
    moment_ns: int
    empty_ns: int
    last: bool = False


class Pipeline:
    """Drains a transport and hands batches on, until told to stop.

    Args:
        transport: the kernel's buffer.
        assembler: makes batches of its records.
        clock: reads the capture's clock, in nanoseconds.
        deliver: takes what is ready; it is called from one thread.
        ended: called when there is no point in going on: enough events, or an error.
        buffer_bytes: size of the kernel's buffer.
        most: deliver no more events than this.
        batch_age_ns: how old a write may get, and by half more, before its batch is delivered.
        drained: called after each look into the buffer.

    Attributes:
        enough: whether ``most`` events have been delivered.
    """

    def __init__(
        self,
        transport: Transport,
        assembler: Assembler,
        clock: Callable[[], int],
        deliver: Callable[[Cut], None],
        ended: Callable[[], None],
        *,
        buffer_bytes: int,
        most: int | None = None,
        batch_age_ns: int = BATCH_AGE_NS,
        drained: Callable[[], None] = lambda: None,
    ) -> None:
        self.enough = False
        self._drained = drained
        self._transport = transport
        self._assembler = assembler
        self._clock = clock
        self._deliver = deliver
        self._ended = ended
        self._most = most
        self._batch_age_ns = batch_age_ns
        self._empty_ns = 0
        self._last_cut_ns = 0
        self._oldest_ns: int | None = None
        self._pauses = Pauses(buffer_bytes)
        self._asked: tuple[int, Callable[[], None]] | None = None
        self._queue: queue.Queue[_Drained] = queue.Queue(_QUEUE_SPANS)
        self._stopping = threading.Event()
        self._error: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=f"wcap-{name}", daemon=True)
            for name, work in (("drain", self._drain), ("encode", self._encode))
        ]

    def start(self) -> None:
        """Start both threads."""
        for thread in self._threads:
            thread.start()

    def flush(self, done: Callable[[], None]) -> None:
        """Have everything delivered that happened before now, and call ``done`` in that thread.

        Calls that have not ended are delivered as unfinished. It returns at once, and any thread
        or signal handler may call it; of several that wait the last counts.
        """
        self._asked = (self._clock(), done)

    def stop(self) -> None:
        """Take out all that is in the buffer, deliver it, and end both threads.

        Raises:
            BaseException: what ended a thread early.
        """
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        if self._error is not None:
            raise self._error

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  # stop() raises it
            self._error = self._error or error
            self._ended()

    def _drain(self) -> None:
        empty_ns = 0
        while self._error is None:
            stopping = self._stopping.is_set()
            moment = self._clock()
            span = self._transport.drain(last=stopping)
            self._drained()
            if span is None:
                empty_ns = moment
            done = stopping and span is None
            if span is not None or done or self._is_awaited():
                self._put(_Drained(span, moment, empty_ns, last=done))
            if done:
                return
            if not stopping:
                time.sleep(self._pauses.after(0 if span is None else len(span.data)))

    def _is_awaited(self) -> bool:
        """Tell whether it matters to the encoder that the buffer is empty."""
        return self._oldest_ns is not None or self._asked is not None or not self._queue.empty()

    def _put(self, drained: _Drained) -> None:
        while self._error is None:
            try:
                self._queue.put(drained, timeout=_PATIENCE_SECONDS)
            except queue.Full:
                continue
            return

    def _encode(self) -> None:
        while True:
            try:
                drained = self._queue.get(timeout=_PATIENCE_SECONDS)
            except queue.Empty:
                if self._error is not None:
                    return
                continue
            self._empty_ns = drained.empty_ns
            if drained.span is not None and not self.enough:
                self._assembler.feed(drained.span)
                # Late results have no write that waits with them.
                self._oldest_ns = self._assembler.oldest_ns or self._oldest_ns or self._clock()
            if drained.last or self._due():
                self._cut(last=drained.last)
                self._oldest_ns = self._assembler.oldest_ns
            self._answer(drained)
            if drained.last:
                return

    def _answer(self, drained: _Drained) -> None:
        """Deliver all when that was asked for, and everything before has been drained."""
        if self._asked is None:
            return
        asked_ns, done = self._asked
        empty = drained.span is None and drained.moment_ns >= asked_ns + _SETTLED_NS
        if empty or drained.moment_ns >= asked_ns + _FLUSH_NS:
            self._asked = None
            self._cut(last=False, now_ns=self._clock() + UNFINISHED_AFTER_NS)
            done()

    def _due(self) -> bool:
        if self._oldest_ns is None:
            return False
        assembler = self._assembler
        wanted = BATCH_EVENTS if self._most is None else min(BATCH_EVENTS, self._most)
        now_ns = self._clock()
        old = now_ns - self._oldest_ns >= self._batch_age_ns
        return (
            assembler.waiting >= wanted
            or assembler.waiting_bytes >= BATCH_BYTES
            or (old and now_ns - self._last_cut_ns >= self._batch_age_ns // 2)
        )

    def _cut(self, *, last: bool, now_ns: int | None = None) -> None:
        if self.enough:
            return
        settled = max(self._empty_ns, self._assembler.latest_ns) - _SETTLED_NS
        self._last_cut_ns = self._clock()
        now_ns = self._last_cut_ns if now_ns is None else now_ns
        cut = self._assembler.cut(now_ns, settled, last=last, most=self._most)
        self._deliver(cut)
        if self._most is not None and cut.batch is not None:
            self._most -= len(cut.batch)
            if self._most == 0:
                self.enough = True
                self._ended()
