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


class Map:
    """The map of the stopped, of this process only; with a pipe, others see what is done to it."""

    def __init__(self, *pids, tell_to=None):
        self.stopped = set(pids)
        self.descriptors = [] if tell_to is None else [tell_to]

    def pids(self):
        return list(self.stopped)

    def forget(self, pids):
        self.stopped -= set(pids)
        self._tell("forget")

    def stop_nobody_any_more(self):
        self._tell("disarm")

    def _tell(self, what):
        for descriptor in self.descriptors:
            os.write(descriptor, f"{what} ".encode())


def recorder_that(code):
    """Start a recorder of its own whose map is `stopped`; it says when it is ready."""
    text = (
        "import os, signal, sys, time\n"
        f"sys.path[:0] = {[str(Path(__file__).parent)]}\n"
        "from test_stopping import BUFFER, Map, Stopper\n"
        f"{code}\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    recorder = subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert recorder.stdout.readline() == "ready\n"
    return recorder


def kill(recorder):
    recorder.kill()
    recorder.wait()
    recorder.stdout.close()


def test_the_stopped_go_on_when_the_buffer_is_nearly_empty_and_not_before(stopped):
    table = Map(stopped)

    stopper = Stopper(BUFFER, table)
    stopper.drained(LEFT)
    assert (table.pids(), is_stopped(stopped)) == ([stopped], True)

    stopper.drained(LEFT - 1)
    assert table.pids() == []
    assert comes_to(lambda: not is_stopped(stopped))
    stopper.close()


def test_at_the_end_nobody_is_stopped_any_more_and_then_everyone_goes_on(stopped):
    reading, writing = os.pipe()

    stopper = Stopper(BUFFER, Map(stopped, tell_to=writing))
    stopper.close()
    os.close(writing)
    with os.fdopen(reading) as told:
        done = told.read().split()

    assert done[:2] == ["disarm", "forget"]
    assert set(done[2:]) == {"forget"}
    assert not is_stopped(stopped)


def test_who_is_gone_meanwhile_is_passed_over(stopped):
    gone = subprocess.Popen(["true"])
    gone.wait()
    stopper = Stopper(BUFFER, Map(gone.pid, stopped))
    stopper.drained(0)

    assert comes_to(lambda: not is_stopped(stopped))
    stopper.close()


def test_more_than_there_is_room_for_go_on_in_turn(stopped):
    nobody = range(1 << 30, (1 << 30) + 3000)  # above any pid
    table = Map(*nobody, stopped)
    stopper = Stopper(BUFFER, table)
    for _ in range(3):
        stopper.drained(0)

    assert table.pids() == []
    assert comes_to(lambda: not is_stopped(stopped))
    stopper.close()


def test_a_recorder_that_is_killed_leaves_nobody_stopped(stopped):
    recorder = recorder_that(f"stopper = Stopper(BUFFER, Map({stopped}))")
    assert is_stopped(stopped)

    kill(recorder)
    assert comes_to(lambda: not is_stopped(stopped))


def test_a_recorder_that_is_killed_between_taking_out_and_signalling_leaves_nobody_stopped(stopped):
    """The map is the kernel's: what was taken out of it, the guardian does not find there."""
    code = (
        "from multiprocessing import Value\n"
        "class Killing(Map):\n"
        "    forgotten = Value('b', 0)\n"
        "    def pids(self):\n"
        f"        return [] if self.forgotten.value else [{stopped}]\n"
        "    def forget(self, pids):\n"
        "        self.forgotten.value = 1\n"
        "        if os.getpid() == recorder:\n"
        "            print('ready', flush=True)\n"
        "            os.kill(recorder, signal.SIGKILL)\n"
        "recorder = os.getpid()\n"
        "Stopper(BUFFER, Killing()).drained(0)\n"
    )

    kill(recorder_that(code))

    assert comes_to(lambda: not is_stopped(stopped))


def test_what_ends_a_recorder_from_a_terminal_does_not_end_its_guardian(stopped):
    """Ctrl-C goes to the whole process group: to the recorder, which ends in its own time."""
    recorder = recorder_that(
        "signal.signal(signal.SIGINT, lambda number, frame: None)\n"
        f"stopper = Stopper(BUFFER, Map({stopped}))"
    )
    os.killpg(recorder.pid, signal.SIGINT)
    time.sleep(0.2)
    assert is_stopped(stopped)

    kill(recorder)
    assert comes_to(lambda: not is_stopped(stopped))
