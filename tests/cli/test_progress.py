from __future__ import annotations

import io
import itertools
from types import SimpleNamespace

import pytest
from support import batch_of, write, write_capture

import wcap
from wcap.cli.progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def capture():
    return SimpleNamespace(size=1000, position=0)


def follow(capture, positions, stream, *, seconds_each=1.5, **options):
    """Read a capture whose every item takes some seconds; return what was passed on."""

    def items():
        for position in positions:
            capture.position = position
            yield position

    ticks = itertools.count(0, seconds_each)
    return list(progress(capture, items(), stream=stream, clock=lambda: next(ticks), **options))


def lines(stream):
    return [line.rstrip() for line in stream.getvalue().split("\r") if line.strip()]


def test_long_work_shows_how_far_it_is(capture):
    stream = Terminal()

    passed_on = follow(capture, [0, 250, 990], stream)

    assert passed_on == [0, 250, 990]
    assert lines(stream) == ["0 % read", "25 % read", "99 % read"]


def test_the_line_is_cleared_at_the_end(capture):
    stream = Terminal()

    follow(capture, [0, 500], stream)

    assert stream.getvalue().endswith("\r         \r")
    assert "\n" not in stream.getvalue()


def test_the_line_is_cleared_when_the_work_breaks_off(capture):
    stream = Terminal()
    ticks = itertools.count(0, 2)
    watched = progress(capture, iter("abc"), stream=stream, clock=lambda: next(ticks))

    next(watched)
    watched.close()

    assert stream.getvalue().endswith("\r        \r")


def test_short_work_shows_nothing(capture):
    stream = Terminal()

    follow(capture, range(9), stream, seconds_each=0.05)

    assert stream.getvalue() == ""


def test_the_line_changes_at_most_ten_times_a_second(capture):
    stream = Terminal()

    follow(capture, range(0, 1000, 10), stream, seconds_each=0.02)

    assert 2 < len(lines(stream)) <= 20


def test_nothing_is_shown_where_stderr_is_no_terminal(capture):
    stream = io.StringIO()

    assert follow(capture, [0, 500], stream) == [0, 500]
    assert stream.getvalue() == ""


def test_a_command_that_prints_to_the_same_terminal_shows_nothing(capture):
    stream = Terminal()

    follow(capture, [0, 500], stream, terminal=False)

    assert stream.getvalue() == ""


def test_of_a_pipe_the_amount_is_shown(capture):
    capture.size = None
    stream = Terminal()

    follow(capture, [3 << 20], stream)

    assert lines(stream) == ["3 MiB read"]


def test_a_capture_tells_how_far_it_is(tmp_path):
    path = write_capture(
        tmp_path / "x.wcap", *(batch_of(write(), first_sequence=n) for n in (1, 2, 3))
    )

    with wcap.open(path) as capture:
        positions = [capture.position for _ in capture.batches()]

    assert positions == sorted(set(positions))
    assert 0 < positions[0] < positions[-1] < path.stat().st_size
