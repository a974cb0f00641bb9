from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import batch_of, write

from wcap.events import EventFlag
from wcap.replay import Clock, replay

SECOND = 1_000_000_000


class Stage:
    """A clock that only sleeping moves, and an output that notes when bytes came."""

    def __init__(self, *, oversleeps_ns=0, start_ns=777):
        self.time_ns = start_ns
        self.start_ns = start_ns
        self.oversleeps_ns = oversleeps_ns
        self.sleeps = []
        self.shown = []
        self.clock = Clock(now=lambda: self.time_ns, sleep=self.sleep)

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.time_ns += round(seconds * SECOND) + self.oversleeps_ns

    def write(self, data):
        if data:
            self.shown.append((self.time_ns - self.start_ns, data))

    @property
    def times(self):
        return [time for time, _ in self.shown]

    @property
    def data(self):
        return b"".join(data for _, data in self.shown)


def written_at(*seconds):
    return batch_of(
        *(write(b"%d" % n, after_ns=round(at * SECOND)) for n, at in enumerate(seconds))
    )


def test_writes_come_when_they_came_first_and_last_included():
    stage = Stage()

    replay([written_at(5, 5.5, 7.25)], stage, clock=stage.clock)

    assert stage.shown == [
        (0, b"0"),
        (SECOND // 2, b"1"),
        (2 * SECOND + SECOND // 4, b"2"),
    ]


def test_timing_goes_on_from_batch_to_batch():
    stage = Stage()

    replay([written_at(0, 1), written_at(3)], stage, clock=stage.clock)

    assert stage.times == [0, SECOND, 3 * SECOND]


@pytest.mark.parametrize(("speed", "expected"), [(2, SECOND), (0.5, 4 * SECOND), (1, 2 * SECOND)])
def test_speed_divides_every_pause(speed, expected):
    stage = Stage()

    replay([written_at(0, 2)], stage, speed=speed, clock=stage.clock)

    assert stage.times == [0, expected]


@pytest.mark.parametrize("speed", [0.5, 1, 4])
def test_no_pause_is_longer_than_the_longest_at_any_speed(speed):
    stage = Stage()

    replay([written_at(0, 60, 60.5)], stage, speed=speed, max_idle_ns=2 * SECOND, clock=stage.clock)

    assert stage.times == [0, 2 * SECOND, 2 * SECOND + round(SECOND / 2 / speed)]


def test_a_longest_pause_of_nothing_never_waits():
    stage = Stage()

    replay([written_at(0, 1, 2)], stage, max_idle_ns=0, clock=stage.clock)

    assert stage.sleeps == []
    assert stage.data == b"012"


def test_without_delay_nothing_sleeps():
    stage = Stage()

    replay([written_at(0, 100), written_at(200)], stage, delay=False, clock=stage.clock)

    assert stage.sleeps == []
    assert stage.data == b"010"


def test_oversleeping_does_not_add_up():
    stage = Stage(oversleeps_ns=3_000_000)

    replay([written_at(*(n / 100 for n in range(1000)))], stage, clock=stage.clock)

    assert stage.times[-1] == 9_990_000_000 + 3_000_000
    assert all(at - n * SECOND // 100 <= 3_000_000 for n, at in enumerate(stage.times))


def test_odd_speeds_do_not_drift_either():
    stage = Stage()

    replay([written_at(*(n / 1000 for n in range(3000)))], stage, speed=3, clock=stage.clock)

    assert stage.times[-1] == round(2.999 * SECOND / 3)


def test_a_replay_that_is_late_catches_up_without_losing_a_byte():
    stage = Stage(oversleeps_ns=2 * SECOND)

    replay([written_at(0, 1, 1.5, 2, 10)], stage, clock=stage.clock)

    assert stage.shown == [(0, b"0"), (3 * SECOND, b"123"), (12 * SECOND, b"4")]


def test_writes_of_one_moment_go_out_together():
    stage = Stage()

    replay([written_at(1, 1, 1)], stage, clock=stage.clock)

    assert stage.shown == [(0, b"012")]


def test_a_pause_of_days_is_slept_in_parts():
    stage = Stage()

    replay([written_at(0, 86_400)], stage, clock=stage.clock)

    assert max(stage.sleeps) <= 3600
    assert stage.times == [0, 86_400 * SECOND]


def test_times_that_go_back_are_taken_as_no_pause():
    stage = Stage()

    replay([written_at(5, 3, 4)], stage, clock=stage.clock)

    assert stage.times == [0, SECOND]


@pytest.mark.parametrize(
    ("returned", "played", "missing"),
    [(6, b"hello\n", 0), (3, b"hel", 0), (0, b"", 0), (-32, b"", 0), (10, b"hello\n", 4)],
)
def test_only_what_the_kernel_took_is_played(returned, played, missing):
    stage = Stage()

    result = replay([batch_of(write(count=10, returned=returned))], stage, clock=stage.clock)

    assert stage.data == played
    assert (result.bytes, result.missing, result.unknown) == (len(played), missing, 0)
    assert result.writes == (1 if played else 0)


@pytest.mark.parametrize("flag", [EventFlag.UNFINISHED, EventFlag.RESULT_LOST])
@pytest.mark.parametrize("delay", [True, False])
def test_a_write_without_a_result_is_played_as_captured_and_counted(flag, delay):
    stage = Stage()

    result = replay(
        [batch_of(write(returned=0, flags=flag, count=2**64 - 1))],
        stage,
        delay=delay,
        clock=stage.clock,
    )

    assert stage.data == b"hello\n"
    assert (result.writes, result.missing, result.unknown) == (1, 0, 1)


def test_an_unreadable_write_is_missing_in_full():
    unread = write(b"", count=9, returned=9, flags=EventFlag.UNREADABLE)

    result = replay([batch_of(unread, write())], Stage(), delay=False)

    assert (result.writes, result.missing) == (1, 9)


def test_what_a_call_without_a_payload_wrote_is_a_hole_of_its_own():
    moved = write(b"", count=9, returned=7, flags=EventFlag.NO_PAYLOAD, syscall="sendfile")
    failed = write(b"", count=9, returned=-32, flags=EventFlag.NO_PAYLOAD)

    result = replay([batch_of(moved, write(), failed)], Stage(), delay=False)

    assert (result.writes, result.missing, result.moved, result.unknown) == (1, 0, 7, 0)
    assert not result.complete


def test_a_message_that_was_not_sent_is_neither_played_nor_missing():
    stage = Stage()

    result = replay([batch_of(write(flags=EventFlag.UNSENT))], stage, delay=False)

    assert stage.data == b""
    assert (result.writes, result.complete) == (0, True)


def test_huge_results_are_counted_exactly():
    stage = Stage()

    result = replay([batch_of(*[write(returned=2**63 - 1)] * 3)], stage, delay=False)

    assert result.missing == 3 * (2**63 - 1 - 6)


def test_failed_writes_do_not_start_the_clock():
    failed, fine = write(returned=-4), write(b"x", after_ns=5 * SECOND)
    stage = Stage()

    replay([batch_of(failed, fine)], stage, clock=stage.clock)

    assert stage.shown == [(0, b"x")]


def test_nothing_to_play_plays_nothing():
    stage = Stage()

    result = replay([batch_of(), batch_of(write(returned=-1))], stage, clock=stage.clock)

    assert (stage.shown, result.writes) == ([], 0)


@given(
    st.lists(st.tuples(st.binary(max_size=20), st.integers(0, 5 * SECOND)), max_size=20),
    st.booleans(),
)
def test_every_byte_is_played_once_and_in_order(events, delay):
    stage, at, writes = Stage(), 0, []
    for data, pause in events:
        at += pause
        writes.append(write(data, after_ns=at))

    result = replay([batch_of(*writes)], stage, delay=delay, clock=stage.clock)

    assert stage.data == b"".join(data for data, _ in events)
    assert result.bytes == len(stage.data)
