from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wcap.recorder.stopping import GO_ON_BELOW, Stopper

# Python warns of any fork in a process with threads, which numpy has.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
BUFFER = 1 << 20
LEFT = int(BUFFER * GO_ON_BELOW)


def is_stopped(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def comes_to(condition):
    """Whether a condition is met before long."""
    until = time.monotonic() + 10
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


@pytest.fixture
def stopped():
    """The PID of a process that has been stopped."""
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    child.send_signal(signal.SIGSTOP)
    assert comes_to(lambda: is_stopped(child.pid))
    yield child.pid
    child.send_signal(signal.SIGCONT)
    child.communicate()


def test_the_stopped_go_on_when_the_buffer_is_nearly_empty_and_not_before(stopped):
    taken = []

    def take():
        taken.append(stopped)
        return [stopped]

    stopper = Stopper(BUFFER, take, lambda: None, [])
    stopper.drained(LEFT)
    assert (taken, is_stopped(stopped)) == ([], True)

    stopper.drained(LEFT - 1)
    assert taken == [stopped]
    assert comes_to(lambda: not is_stopped(stopped))
    stopper.close()


def test_at_the_end_nobody_is_stopped_any_more_and_then_everyone_goes_on(stopped):
    reading, writing = os.pipe()

    def take():
        os.write(writing, b"take ")
        return [stopped]

    stopper = Stopper(BUFFER, take, lambda: os.write(writing, b"disarm ") and None, [writing])
    stopper.close()
    os.close(writing)
    with os.fdopen(reading) as told:
        done = told.read().split()

    assert done[:2] == ["disarm", "take"]
    assert set(done[2:]) == {"take"}
    assert not is_stopped(stopped)


def test_who_is_gone_meanwhile_is_passed_over(stopped):
    gone = subprocess.Popen(["true"])
    gone.wait()
    stopper = Stopper(BUFFER, lambda: [gone.pid, stopped], lambda: None, [])
    stopper.drained(0)

    assert comes_to(lambda: not is_stopped(stopped))
    stopper.close()


def test_a_recorder_that_is_killed_leaves_nobody_stopped(stopped):
    code = (
        "import sys, time\n"
        "from wcap.recorder.stopping import Stopper\n"
        f"Stopper(1 << 20, lambda: [{stopped}], lambda: None, [])\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    recorder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert recorder.stdout.readline() == "ready\n"
    assert is_stopped(stopped)

    recorder.kill()
    assert comes_to(lambda: not is_stopped(stopped))
    recorder.wait()
    recorder.stdout.close()


def test_what_ends_a_recorder_from_a_terminal_does_not_end_its_guardian(stopped):
    """Ctrl-C goes to the whole process group: to the recorder, which ends in its own time."""
    code = (
        "import os, signal, time\n"
        "from wcap.recorder.stopping import Stopper\n"
        "signal.signal(signal.SIGINT, lambda number, frame: None)\n"
        f"Stopper(1 << 20, lambda: [{stopped}], lambda: None, [])\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    recorder = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert recorder.stdout.readline() == "ready\n"
    os.killpg(recorder.pid, signal.SIGINT)
    time.sleep(0.2)
    assert is_stopped(stopped)

    recorder.kill()
    assert comes_to(lambda: not is_stopped(stopped))
    recorder.wait()
    recorder.stdout.close()
