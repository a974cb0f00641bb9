from __future__ import annotations

import itertools
import threading
import time
from collections import deque

import pytest
from recorder.rawrecords import enter, leave, span_of

from wcap.events import EventFlag
from wcap.format import Clock
from wcap.recorder import pipeline
from wcap.recorder.assemble import Assembler
from wcap.recorder.pipeline import Pipeline

CLOCK = Clock("boottime", 0, 0)
# Long enough that only a thread that hangs is not done by then.
PATIENCE = 30.0
NOW = 3600 * 10**9
HOUR = 2 * NOW  # more than any write here is old
MS = 10**6


class Spans:
    """A transport that hands out what it was given; ``looks`` counts how often it was asked."""

    def __init__(self, *spans):
        self._spans = deque(spans)
        self._room = threading.Condition()
        self.looks = 0
        self.taken = 0

    def give(self, *spans):
        with self._room:
            self._spans.extend(spans)

    def drain(self, *, last=False):
        with self._room:
            self.looks += 1
            self._room.notify_all()
            if not self._spans:
                return None
            self.taken += 1
            return self._spans.popleft()

    def close(self):
        pass

    def wait_for_looks(self, more=3):
        """Return when the transport has been asked some more times."""
        with self._room:
            enough = self.looks + more
            assert self._room.wait_for(lambda: self.looks >= enough, PATIENCE)


class Taker:
    """Takes what is delivered; it may fail, or wait at a gate."""

    def __init__(self, *, error=None, gate=None):
        self.cuts = []
        self._error = error
        self._gate = gate
        self._more = threading.Condition()

    def __call__(self, cut):
        if self._gate is not None:
            assert self._gate.wait(PATIENCE)
        if self._error is not None:
            raise self._error
        with self._more:
            self.cuts.append(cut)
            self._more.notify_all()

    @property
    def sizes(self):
        return [len(cut.batch) for cut in self.cuts if cut.batch is not None]

    @property
    def payloads(self):
        batches = [cut.batch for cut in self.cuts if cut.batch is not None]
        return [payload for batch in batches for payload in batch.payloads()]

    def wait_for_batches(self, number):
        with self._more:
            assert self._more.wait_for(lambda: len(self.sizes) >= number, PATIENCE)


class FakeClock:
    """The capture's clock: it stands still unless it is set, or let run."""

    def __init__(self):
        self.step = 0
        self._now = NOW
        self._lock = threading.Lock()

    def __call__(self):
        with self._lock:
            self._now += self.step
            return self._now

    def advance(self, by):
        with self._lock:
            self._now += by


def wait_until(condition):
    """Return when the threads have come so far."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.0005)


numbers = itertools.count(1)


def written(payload=b"x", *, time_ns=NOW - 10**9, ended=True, tid=1):
    """Return the records of one write."""
    begin = enter(payload, tid=tid, time_ns=time_ns, sequence=next(numbers))
    return [begin, leave(len(payload), tid=tid, time_ns=time_ns + 5)] if ended else [begin]


@pytest.fixture
def made():
    """Make pipelines, all of which are over at the end of the test."""
    pipelines = []

    def make(transport, deliver, *, ended=lambda: None, clock=None, age=HOUR, **options):
        clock = clock or FakeClock()
        assembler = Assembler(CLOCK, lambda cpu: "full")
        pipelines.append(
            Pipeline(
                *(transport, assembler, clock, deliver, ended),
                buffer_bytes=1,
                batch_age_ns=age,
                **options,
            )
        )
        return pipelines[-1]

    yield make
    for one in pipelines:
        assert not any(thread.is_alive() for thread in one._threads)


def test_all_that_is_in_the_buffer_is_delivered_at_the_end_in_order(made):
    payloads = [b"%d" % n for n in range(50)]
    spans = [span_of(*written(payload, time_ns=n)) for n, payload in enumerate(payloads)]
    taker = Taker()
    running = made(Spans(*spans), taker)

    running.start()
    running.stop()

    assert taker.payloads == payloads
    assert not running.enough


def test_nothing_recorded_is_nothing_delivered(made):
    taker = Taker()
    running = made(Spans(), taker)

    running.start()
    running.stop()

    assert [(cut.batch, cut.gaps, cut.results) for cut in taker.cuts] == [(None, [], [])]


def test_writes_under_way_at_the_end_are_delivered_as_unfinished(made):
    taker = Taker()
    running = made(Spans(span_of(*written(time_ns=NOW, ended=False))), taker)

    running.start()
    running.stop()

    assert taker.cuts[-1].batch.flags.tolist() == [EventFlag.UNFINISHED]


def test_a_batch_is_delivered_when_it_holds_enough_writes(made, monkeypatch):
    monkeypatch.setattr(pipeline, "BATCH_EVENTS", 3)
    spans, taker = Spans(), Taker()
    running = made(spans, taker)
    running.start()

    spans.give(*(span_of(*written(time_ns=n)) for n in range(2)))
    spans.wait_for_looks()
    assert taker.sizes == []
    spans.give(span_of(*written(time_ns=2)))
    taker.wait_for_batches(1)

    running.stop()
    assert taker.sizes == [3]


def test_a_batch_is_delivered_when_it_holds_enough_bytes(made, monkeypatch):
    monkeypatch.setattr(pipeline, "BATCH_BYTES", 100)
    spans, taker = Spans(), Taker()
    running = made(spans, taker)
    running.start()

    spans.give(span_of(*written(b"x" * 99, time_ns=1)))
    spans.wait_for_looks()
    assert taker.sizes == []
    spans.give(span_of(*written(b"x", time_ns=2)))
    taker.wait_for_batches(1)

    running.stop()
    assert taker.sizes == [2]


def test_a_batch_is_delivered_when_its_oldest_write_is_old_enough(made):
    clock, spans, taker = FakeClock(), Spans(), Taker()
    running = made(spans, taker, clock=clock, age=20 * MS)
    running.start()

    # What waited in the kernel's buffer has waited already.
    spans.give(span_of(*written(b"first", time_ns=NOW - 10 * MS)))
    spans.wait_for_looks()
    clock.advance(10 * MS - 1)
    spans.wait_for_looks()
    assert taker.sizes == []
    clock.advance(1)
    taker.wait_for_batches(1)
    spans.give(span_of(*written(b"second", time_ns=NOW + 10 * MS)))
    spans.wait_for_looks()
    assert taker.sizes == [1]

    running.stop()
    assert taker.payloads == [b"first", b"second"]


def test_the_encoder_is_not_woken_while_nothing_waits(made, monkeypatch):
    monkeypatch.setattr(pipeline, "_PATIENCE_SECONDS", PATIENCE)
    spans, taker = Spans(), Taker()
    running = made(spans, taker)
    told = []
    put = running._put
    monkeypatch.setattr(running, "_put", lambda drained: (told.append(drained), put(drained)))
    running.start()

    spans.wait_for_looks()
    assert told == []
    running.stop()
    assert [drained.last for drained in told] == [True]


def test_a_recorder_that_is_behind_does_not_make_a_batch_of_each_look(made):
    clock, spans, taker = FakeClock(), Spans(), Taker()
    running = made(spans, taker, clock=clock, age=20 * MS)
    running.start()

    spans.give(span_of(*written(b"first", time_ns=NOW - HOUR // 4)))
    taker.wait_for_batches(1)
    spans.give(span_of(*written(b"second", time_ns=NOW - HOUR // 4 + 1)))
    spans.wait_for_looks()
    clock.advance(10 * MS - 1)
    spans.give(span_of(*written(b"third", time_ns=NOW - HOUR // 4 + 2)))
    wait_until(lambda: running._assembler.waiting == 2)
    assert taker.sizes == [1]
    clock.advance(1)
    taker.wait_for_batches(2)

    running.stop()
    assert taker.sizes == [1, 2]


def test_a_machine_that_slept_hands_on_what_it_had_and_goes_on(made):
    """SPEC.md section 6: the clock of a recording goes on during suspend"""
    clock, spans, taker = FakeClock(), Spans(), Taker()
    running = made(spans, taker, clock=clock, age=10**9)
    running.start()
    spans.give(
        span_of(
            *written(b"before", time_ns=NOW),
            enter(b"under way", time_ns=NOW + 1, tid=2, sequence=next(numbers)),
        )
    )
    spans.wait_for_looks()
    assert taker.sizes == []

    clock.advance(8 * 3600 * 10**9)
    clock.step = 10 * MS
    taker.wait_for_batches(1)
    clock.step = 0
    woken = clock()
    spans.give(span_of(leave(9, tid=2, time_ns=woken), *written(b"after", time_ns=woken + 1)))

    running.stop()
    assert taker.payloads == [b"before", b"under way", b"after"]
    [late] = [result for cut in taker.cuts for result in cut.results]
    assert late[2:] == (9, woken - NOW - 1)


def test_the_newest_writes_wait_until_all_cpus_have_handed_over_older_ones(made):
    clock, spans, taker = FakeClock(), Spans(), Taker()
    running = made(spans, taker, clock=clock, age=1000)
    running.start()

    spans.give(
        span_of(
            *written(b"settled", time_ns=NOW - pipeline._SETTLED_NS - 1),
            *written(b"new", time_ns=NOW),
        )
    )
    taker.wait_for_batches(1)
    assert taker.payloads == [b"settled"]
    clock.advance(pipeline._SETTLED_NS + 1)
    clock.step = 1000  # what was drained before that may be looked at after it: time goes on
    taker.wait_for_batches(2)

    running.stop()
    assert taker.payloads == [b"settled", b"new"]


def test_no_more_than_most_events_are_delivered(made):
    ended = threading.Event()
    spans = [span_of(*written(b"%d" % n, time_ns=n)) for n in range(20)]
    taker = Taker()
    running = made(Spans(*spans), taker, ended=ended.set, most=7)

    running.start()
    assert ended.wait(PATIENCE)
    assert running.enough
    running.stop()

    assert taker.payloads == [b"%d" % n for n in range(7)]


def test_fewer_than_most_events_are_all_delivered_at_the_end(made):
    ended, taker = threading.Event(), Taker()
    running = made(Spans(span_of(*written())), taker, ended=ended.set, most=2)

    running.start()
    running.stop()

    assert taker.sizes == [1]
    assert not running.enough
    assert not ended.is_set()


def test_an_error_on_delivery_ends_both_threads_and_is_raised_by_stop(made):
    ended = threading.Event()
    taker = Taker(error=OSError(28, "No space left on device"))
    running = made(Spans(span_of(*written())), taker, ended=ended.set, age=0)

    running.start()
    assert ended.wait(PATIENCE)
    for thread in running._threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()

    with pytest.raises(OSError, match="No space left"):
        running.stop()


def test_an_error_of_the_transport_ends_both_threads_and_is_raised_by_stop(made):
    class Broken(Spans):
        def drain(self, *, last=False):
            raise ValueError("broken")

    ended = threading.Event()
    running = made(Broken(), Taker(), ended=ended.set)

    running.start()
    assert ended.wait(PATIENCE)

    with pytest.raises(ValueError, match="broken"):
        running.stop()


def test_a_full_queue_makes_the_drain_wait_and_nothing_is_lost(made, monkeypatch):
    monkeypatch.setattr(pipeline, "_QUEUE_SPANS", 2)
    monkeypatch.setattr(pipeline, "_PATIENCE_SECONDS", 0.001)
    gate = threading.Event()
    payloads = [b"%d" % n for n in range(30)]
    spans = Spans(*(span_of(*written(payload, time_ns=n)) for n, payload in enumerate(payloads)))
    taker = Taker(gate=gate)
    running = made(spans, taker, age=0)

    running.start()
    wait_until(running._queue.full)
    # One is being encoded, two wait, one is in the drain's hands.
    taken = spans.taken
    assert taken <= 4
    gate.set()
    running.stop()

    assert spans.taken == 30
    assert taker.payloads == payloads


def test_a_full_queue_is_no_deadlock_when_the_encoder_has_died(made, monkeypatch):
    monkeypatch.setattr(pipeline, "_QUEUE_SPANS", 1)
    monkeypatch.setattr(pipeline, "_PATIENCE_SECONDS", 0.001)
    gate = threading.Event()
    spans = Spans(*(span_of(*written(time_ns=n)) for n in range(30)))
    running = made(spans, Taker(error=OSError(5, "no more"), gate=gate), age=0)

    running.start()
    wait_until(running._queue.full)
    gate.set()

    with pytest.raises(OSError, match="no more"):
        running.stop()
    assert spans.taken < 30


def test_a_flush_delivers_what_is_under_way_too_and_says_when(monkeypatch):
    clock, taker, done = FakeClock(), Taker(), threading.Event()
    spans = Spans(span_of(enter(time_ns=NOW - HOUR // 2, sequence=1)))
    running = Pipeline(
        spans,
        Assembler(CLOCK, lambda cpu: "buffer-full"),
        clock,
        taker,
        lambda: None,
        buffer_bytes=1 << 20,
        batch_age_ns=HOUR,
    )
    running.start()
    spans.wait_for_looks()
    assert taker.sizes == []

    running.flush(done.set)
    clock.advance(10_000_000)

    assert done.wait(PATIENCE)
    assert taker.sizes == [1]
    running.stop()
