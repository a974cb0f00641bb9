from __future__ import annotations

import io
import sys
from functools import partial

import pytest
from support import batch_of, write, write_capture

from wcap.cli import main
from wcap.events import EventFlag, Gap, Target
from wcap.replay import Clock, replay

SECOND = 1_000_000_000


@pytest.fixture
def capture(tmp_path):
    return write_capture(
        tmp_path / "run.wcap",
        batch_of(
            write(b"out\xff\n", after_ns=0, fd=1),
            write(b"socket\n", after_ns=SECOND, fd=3),
            write(b"err\x1b[2J\n", after_ns=2 * SECOND, fd=2, pid=200, comm="other"),
            write(b"refused\n", after_ns=3 * SECOND, fd=1, returned=-32),
            write(b"end\n", after_ns=9 * SECOND, fd=1, returned=2),
        ),
    )


@pytest.fixture
def sleeps(monkeypatch):
    """Let time pass only by sleeping, and return the list of sleeps in seconds."""
    taken: list[float] = []
    clock = Clock(now=lambda: round(sum(taken) * SECOND), sleep=taken.append)
    monkeypatch.setattr("wcap.replay.replay", partial(replay, clock=clock))
    return taken


class Terminal(io.TextIOWrapper):
    """A standard output that is a terminal."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self):
        return True


def on_a_terminal(monkeypatch, arguments):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    status = main(arguments)
    monkeypatch.undo()
    return status, terminal.buffer.getvalue()


def test_what_went_to_fd_1_and_2_is_played_in_time_order(capture, sleeps, capsysbinary):
    assert main(["replay", str(capture)]) == 0

    out, err = capsysbinary.readouterr()
    assert out == b"out\xff\nerr\x1b[2J\nen"
    assert err == b""
    assert sleeps == [2.0, 7.0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--speed", "4"], [0.5, 1.75]),
        (["--max-idle", "3s"], [2.0, 3.0]),
        (["--max-idle", "1500ms", "--speed", "2"], [1.0, 1.5]),
        (["--no-delay"], []),
    ],
)
def test_options_change_the_pauses(options, expected, capture, sleeps, capsysbinary):
    assert main(["replay", str(capture), *options]) == 0

    assert sleeps == expected
    assert capsysbinary.readouterr().out.endswith(b"en")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--fd", "3"], b"socket\n"),
        (["--fd", "3,2"], b"socket\nerr\x1b[2J\n"),
        (["--pid", "200"], b"err\x1b[2J\n"),
        (["--tid", "100"], b"out\xff\nen"),
        (["--comm", "hel*"], b"out\xff\nen"),
        (["--since", "+1s", "--until", "+9s"], b"err\x1b[2J\n"),
    ],
)
def test_filters_choose_the_stream(options, expected, capture, capsysbinary):
    assert main(["replay", str(capture), "--no-delay", *options]) == 0

    assert capsysbinary.readouterr().out == expected


def test_a_terminal_gets_no_control_sequences(capture, monkeypatch):
    status, shown = on_a_terminal(monkeypatch, ["replay", str(capture), "--no-delay"])

    assert status == 0
    assert shown == b"out\\xff\nerr\\x1b[2J\nen"


def test_a_terminal_gets_every_byte_when_asked(capture, monkeypatch):
    _, shown = on_a_terminal(monkeypatch, ["replay", str(capture), "--no-delay", "--raw"])

    assert shown == b"out\xff\nerr\x1b[2J\nen"


def test_ctrl_c_ends_a_replay_with_130_and_resets_colours(tmp_path, monkeypatch):
    def interrupted(seconds):
        raise KeyboardInterrupt

    clock = Clock(now=lambda: 0, sleep=interrupted)
    monkeypatch.setattr("wcap.replay.replay", partial(replay, clock=clock))
    run = write_capture(
        tmp_path / "run.wcap", batch_of(write(b"\x1b[31mred"), write(b"late", after_ns=SECOND))
    )

    status, shown = on_a_terminal(monkeypatch, ["replay", str(run)])

    assert status == 130
    assert shown == b"\x1b[31mred\x1b[0m"


def test_bytes_that_were_not_captured_are_told_and_make_the_status_3(tmp_path, capsys):
    cut = write(b"head", count=1000, flags=EventFlag.TRUNCATED)
    run = write_capture(tmp_path / "run.wcap", batch_of(cut, cut))

    assert main(["replay", str(run), "--no-delay"]) == 3

    out, err = capsys.readouterr()
    assert out == "headhead"
    assert err == f"wcap: {run}: 1,992 bytes written but not in the capture\n"


def test_writes_without_a_result_are_told_and_make_the_status_3(tmp_path, capsys):
    unfinished = write(b"asking", returned=0, flags=EventFlag.UNFINISHED)
    run = write_capture(tmp_path / "run.wcap", batch_of(unfinished))

    assert main(["replay", str(run), "--no-delay"]) == 3

    out, err = capsys.readouterr()
    assert out == "asking"
    assert "1 write of unknown result" in err


def test_bytes_that_no_payload_was_recorded_of_are_told_and_make_the_status_3(tmp_path, capsys):
    moved = write(b"", count=4096, syscall="sendfile", flags=EventFlag.NO_PAYLOAD)
    run = write_capture(tmp_path / "run.wcap", batch_of(write(), moved))

    assert main(["replay", str(run), "--no-delay"]) == 3

    out, err = capsys.readouterr()
    assert out == "hello\n"
    said = "4,096 bytes written by calls such as sendfile, which have no payload"
    assert err == f"wcap: {run}: {said}\n"


@pytest.fixture
def reused(tmp_path):
    """Descriptors 1 and 3 that stood for one thing after the other."""
    log, page = Target("file", "/var/log/x"), Target("file", "/srv/page")
    return write_capture(
        tmp_path / "run.wcap",
        batch_of(
            write(b"a", fd=1, target=log),
            write(b"b", fd=3, target=page),
            write(b"c", fd=3, target=log),
            write(b"d", fd=1, target=page),
            write(b"e", fd=2),
        ),
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], b"ade"),
        (["--fd", "3"], b"bc"),
        (["--target", "/var/log/x"], b"ac"),
        (["--target", "/var/log/x", "--fd", "1,2"], b"a"),
        (["--target-kind", "file"], b"abcd"),
        (["--target", "!/srv/*"], b"ae"),
        (["--fd", "!2"], b"ad"),
    ],
)
def test_targets_choose_among_descriptors_that_were_used_again(
    options, expected, reused, capsysbinary
):
    assert main(["replay", str(reused), "--no-delay", *options]) == 0

    assert capsysbinary.readouterr().out == expected


def test_lost_events_make_the_status_3(tmp_path, capsys):
    gap = Gap(
        cpu=0, first_sequence=2, last_sequence=3, count=2, first_ns=1, last_ns=2, cause="full"
    )
    run = write_capture(tmp_path / "run.wcap", batch_of(write()), gaps=[gap])

    assert main(["replay", str(run), "--no-delay"]) == 3

    out, err = capsys.readouterr()
    assert out == "hello\n"
    assert err == f"wcap: {run}: 2 events lost while recording\n"


def test_a_stream_that_is_not_there_is_told(capture, capsys):
    assert main(["replay", str(capture), "--fd", "9"]) == 0

    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"wcap: {capture}: no such writes: wcap stats shows what there is\n"


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "1e-300"])
def test_a_speed_that_makes_no_sense_is_wrong_usage(speed, capture, capsys):
    assert main(["replay", str(capture), "--speed", speed]) == 2

    assert "--speed: a factor from 0.001 to 1000000 expected" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--speed", "2"], ["--max-idle", "2s"]])
def test_no_delay_leaves_nothing_to_change(options, capture, capsys):
    assert main(["replay", str(capture), "--no-delay", *options]) == 2

    assert "--no-delay leaves no pauses" in capsys.readouterr().err


def test_a_longest_pause_that_is_no_duration_is_wrong_usage(capture, capsys):
    assert main(["replay", str(capture), "--max-idle", "soon"]) == 2

    assert "'soon' found" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error(capture, monkeypatch, tmp_path):
    class Closed(io.BytesIO):
        def write(self, data):
            raise BrokenPipeError(32, "Broken pipe")

        def fileno(self):
            return spare.fileno()

    with (tmp_path / "spare").open("wb") as spare:
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Closed()))
        status = main(["replay", str(capture), "--no-delay"])
        monkeypatch.undo()

    assert status == 0
