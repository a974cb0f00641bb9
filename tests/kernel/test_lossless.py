"""Writers are stopped rather than lose anything, and nobody is left stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from kernel.support import PATIENCE_SECONDS, Puppet, Recorder, python, record

pytestmark = pytest.mark.kernel

WRITES = 200_003
# Two processes at once, each of which says at the end that it was not disturbed.
TWO_WRITERS = f"""
other = os.fork()
for _ in range({WRITES}):
    os.write(null, b'x' * 64)
if other:
    assert os.waitpid(other, 0)[1] == 0
    os.write(1, b'done')
"""
FOREVER = "while True: os.write(null, b'x' * 64)"


def state_of(pid):
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat[stat.rindex(")") + 2]


def wait_until(holds):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.001)


@pytest.mark.parametrize("buffer", ["256K", "64M"])
def test_two_writers_flat_out_lose_nothing_and_are_not_disturbed(buffer, tmp_path):
    options = ("--lossless", "-B", buffer, "-s", "64", "-e", "write")

    done = record(*options, "--", *python(TWO_WRITERS), output=tmp_path / "a.wcap")

    assert (done.status, done.stdout) == (0, b"done")
    assert done.gaps == []
    assert done.count == 2 * WRITES + 1
    assert done.end.exit_status == 0


def test_without_it_the_same_writers_lose_something_from_so_small_a_buffer(tmp_path):
    """Or the test above would show nothing."""
    options = ("-B", "256K", "-s", "64", "-e", "write")

    done = record(*options, "--", *python(TWO_WRITERS), output=tmp_path / "a.wcap")

    assert done.status == 3
    assert sum(gap.count for gap in done.gaps) == 2 * WRITES + 1 - done.count


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_recorder_that_ends_leaves_nobody_stopped(number, tmp_path):
    with Puppet(FOREVER) as writer:
        options = ("-p", str(writer.pid), "--lossless", "-B", "64K", "-s", "64")
        with Recorder(*options, output=tmp_path / "a.wcap") as recorder:
            recorder.wait_until_recording()
            writer.go()
            wait_until(lambda: state_of(writer.pid) == "T")
            recorder.signal(number)
            recorder.process.wait(PATIENCE_SECONDS)

        wait_until(lambda: state_of(writer.pid) in "RS")
        # It runs on: nobody stops it any more.
        used = os.times()
        time.sleep(0.2)
        assert state_of(writer.pid) in "RS", used


def test_the_guardian_ends_with_the_recorder(tmp_path):
    with Recorder("-p", str(os.getpid()), "--lossless", output=tmp_path / "a.wcap") as recorder:
        recorder.wait_until_recording()
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(recorder.process.pid)],
            capture_output=True, text=True, check=False,
        ).stdout.split()  # fmt: skip
        recorder.signal(signal.SIGINT)
        recorder.finish()

    assert len(children) == 1
    wait_until(lambda: not Path(f"/proc/{children[0]}").exists())
