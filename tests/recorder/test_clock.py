"""The capture's clock: nobody sets it, it goes on during suspend, and no namespace shifts it."""

from __future__ import annotations

import time

import pytest

from wcap.recorder import kernel
from wcap.recorder.clock import CaptureClock

SECOND = 1_000_000_000
HOUR = 3600 * SECOND


class Clocks:
    """The machine's clocks, of which a test says what happens to them.

    It stands for what cannot be done to a machine that others use: to set its clock, and to
    suspend it. The kernel promises that CLOCK_BOOTTIME goes on during suspend, CLOCK_MONOTONIC
    does not, and neither is ever set (clock_gettime(2)).
    """

    def __init__(self):
        self.boottime = 10 * SECOND
        self.monotonic = 10 * SECOND
        self.wall = 1_767_323_045 * SECOND

    def clock_gettime_ns(self, number):
        self.go_on(100)
        return {time.CLOCK_BOOTTIME: self.boottime, time.CLOCK_MONOTONIC: self.monotonic}[number]

    def time_ns(self):
        self.go_on(100)
        return self.wall

    def go_on(self, span_ns):
        self.boottime += span_ns
        self.monotonic += span_ns
        self.wall += span_ns

    def suspend(self, span_ns):
        self.boottime += span_ns
        self.wall += span_ns


@pytest.fixture
def clocks(monkeypatch):
    clocks = Clocks()
    monkeypatch.setattr(time, "clock_gettime_ns", clocks.clock_gettime_ns)
    monkeypatch.setattr(time, "time_ns", clocks.time_ns)
    monkeypatch.setattr(kernel, "version", lambda: (6, 1))
    monkeypatch.setattr(kernel, "time_offset_ns", lambda clock: 0)
    return clocks


def offset_ns(clock):
    clock_ns, wall_ns = clock.moment()
    return wall_ns - clock_ns


def test_the_clock_and_the_wall_clock_go_on_together_during_suspend(clocks):
    clock = CaptureClock()
    before_ns, offset = clock.now(), offset_ns(clock)

    clocks.suspend(8 * HOUR)

    assert clock.name == "boottime"
    assert clock.now() - before_ns > 8 * HOUR
    assert offset_ns(clock) == pytest.approx(offset, abs=1000)


def test_a_kernel_before_5_8_has_a_clock_that_stands_still_during_suspend(clocks, monkeypatch):
    monkeypatch.setattr(kernel, "version", lambda: (5, 7))
    clock = CaptureClock()
    before_ns, offset = clock.now(), offset_ns(clock)

    clocks.suspend(8 * HOUR)

    assert clock.name == "monotonic"
    assert clock.now() - before_ns < SECOND
    assert offset_ns(clock) == pytest.approx(offset + 8 * HOUR, abs=1000)


@pytest.mark.parametrize("set_by_ns", [-HOUR, HOUR])
def test_setting_the_wall_clock_moves_the_wall_clock_alone(set_by_ns, clocks):
    clock = CaptureClock()
    before_ns, offset = clock.now(), offset_ns(clock)

    clocks.wall += set_by_ns

    assert 0 < clock.now() - before_ns < SECOND
    assert offset_ns(clock) == pytest.approx(offset + set_by_ns, abs=1000)


def test_both_clocks_are_read_where_the_least_time_lies_between(clocks, monkeypatch):
    delays = iter([SECOND, SECOND, 5, SECOND, SECOND])

    def interrupted():
        clocks.go_on(next(delays))
        return clocks.wall

    monkeypatch.setattr(time, "time_ns", interrupted)
    clock = CaptureClock()
    offset = clocks.wall - clocks.boottime

    assert offset_ns(clock) == pytest.approx(offset, abs=1000)


@pytest.mark.parametrize(
    ("offsets", "expected"),
    [
        (
            "monotonic       86400         0\nboottime       172800         7\n",
            172_800 * SECOND + 7,
        ),
        ("monotonic           0         0\nboottime           -1 999999999\n", -1),
        ("", 0),
    ],
)
def test_what_a_time_namespace_adds_is_taken_away(offsets, expected, clocks, tmp_path, monkeypatch):
    monkeypatch.undo()
    namespaced(tmp_path, monkeypatch, offsets)
    now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    assert kernel.time_offset_ns("boottime") == expected
    assert CaptureClock().now() == pytest.approx(now_ns - expected, abs=SECOND)


def test_offsets_of_children_do_not_count_in_the_first_namespace(tmp_path, monkeypatch):
    namespaced(tmp_path, monkeypatch, "boottime 86400 0\n", first=True)

    assert kernel.time_offset_ns("boottime") == 0


def test_a_kernel_without_time_namespaces_adds_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel, "_TIME_NAMESPACE", tmp_path / "none")

    assert kernel.time_offset_ns("boottime") == 0


def namespaced(folder, monkeypatch, offsets, *, first=False):
    """Let this process be in a time namespace, the machine's first or another one."""
    place = folder / "timens_offsets"
    place.write_text(offsets)
    number = place.stat().st_ino
    monkeypatch.setattr(kernel, "_TIME_NAMESPACE", place)
    monkeypatch.setattr(kernel, "_TIME_OFFSETS", place)
    monkeypatch.setattr(kernel, "_FIRST_TIME_NAMESPACE", number if first else number + 1)
