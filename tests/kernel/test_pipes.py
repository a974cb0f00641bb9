"""Captures that go into pipes: whose reader leaves, and whose reader is slow."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest
from kernel.support import Puppet, Recorder, python

import wcap

pytestmark = pytest.mark.kernel

WRITES = 1009
# Some 4 MB that cannot be compressed, which no pipe holds.
MANY = f"""
for n in range({WRITES}):
    os.write(null, b"%d " % n + os.urandom(4000))
"""
STEADY = """
for n in range(1 << 20):
    os.write(null, b"%d " % n + os.urandom(1000))
    time.sleep(0.002)
"""


def test_a_named_pipe_whose_reader_leaves_ends_a_recording_and_what_was_read_is_whole(tmp_path):
    pipe, read = tmp_path / "pipe", tmp_path / "read.wcap"
    os.mkfifo(pipe)

    with (
        Puppet(STEADY) as puppet,
        Recorder("-p", str(puppet.pid), output=pipe) as recorder,
    ):
        with pipe.open("rb") as stream:
            recorder.wait_until_recording()
            puppet.go()
            # Two chunks or so.
            read.write_bytes(stream.read(800_000))
        recorded = recorder.finish()
    with wcap.open(read, errors="salvage") as capture:
        events = list(capture)
        damage = capture.damage[0]

    assert (recorded.status, recorded.said[1:]) == (0, [])
    assert pipe.is_fifo()
    assert "cut short" in str(damage)
    numbers = [int(event.data.split()[0]) for event in events]
    assert numbers == [*range(len(numbers))]
    assert len(numbers) > 20


def test_a_recording_that_waits_for_its_reader_ends_at_the_second_signal(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    with (
        Recorder("--", *python(MANY + "time.sleep(20)"), output=pipe) as recorder,
        pipe.open("rb"),
    ):
        recorder.wait_until_recording()
        time.sleep(1.2)
        recorder.signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            recorder.process.wait(timeout=1)
        recorder.signal(signal.SIGINT)
        recorded = recorder.finish()

    assert recorded.status == -signal.SIGINT


@pytest.mark.parametrize(("options", "loses"), [((), False), (("-B", "64K"), True)])
def test_a_slow_reader_gets_everything_or_is_told_what_the_buffer_had_no_room_for(
    options, loses, tmp_path
):
    pipe, read = tmp_path / "pipe", tmp_path / "read.wcap"
    os.mkfifo(pipe)

    chosen = ("-e", "write", *options, "--", *python(MANY * (8 if loses else 1)))
    with Recorder(*chosen, output=pipe) as recorder, pipe.open("rb") as stream:
        recorder.wait_until_recording()
        time.sleep(1.5)
        read.write_bytes(stream.read())
        recorded = recorder.finish()
    with wcap.open(read) as capture:
        events = list(capture)
        lost = sum(gap.count for gap in capture.gaps)

    assert recorded.status == (3 if loses else 0), recorded.said
    assert (lost > 0) == loses
    assert len(events) + lost == sum(capture.end.sequences.values())
    if not loses:
        written = [int(event.data.split()[0]) for event in events if len(event.data) > 4000]
        assert written == [*range(WRITES)]
