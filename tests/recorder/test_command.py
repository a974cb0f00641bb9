from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wcap.recorder.command import Command

# Python warns of any fork in a process with threads, which numpy has.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@pytest.fixture(autouse=True)
def no_hanging():
    """Turn a command that never ends into a failure."""

    def give_up(number, frame):
        raise AssertionError("a command did not end")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def open_descriptors():
    return {int(link.name) for link in Path("/proc/self/fd").iterdir()}


def test_a_command_is_held_until_it_is_started(tmp_path):
    made = tmp_path / "made"
    command = Command(["sh", "-c", f"echo $$ > {made}; exit 7"])

    assert Path(f"/proc/{command.pid}").is_dir()
    assert Path(f"/proc/{command.pid}/exe").readlink() == Path("/proc/self/exe").readlink()
    assert not made.exists()
    command.start()

    assert command.wait() == 7
    assert made.read_text() == f"{command.pid}\n"
    assert command.status == 7
    assert command.ended.is_set()


def test_a_held_command_runs_only_on_the_word(tmp_path):
    command = Command(["true"])

    assert os.waitpid(command.pid, os.WNOHANG) == (0, 0)
    assert command.status is None
    assert not command.ended.is_set()

    command.start()
    assert command.wait() == 0


def test_a_command_that_a_signal_ends_has_its_number_as_status():
    command = Command(["sh", "-c", "kill -USR1 $$"])
    command.start()

    assert command.wait() == -signal.SIGUSR1


def test_terminate_ends_a_command_with_sigterm():
    command = Command(["sleep", "1000"])
    command.start()

    command.terminate()

    assert command.wait() == -signal.SIGTERM
    command.terminate()


def test_a_command_that_cannot_be_executed_is_an_error_with_its_name(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF, but no program")
    program.chmod(0o755)
    command = Command([str(program)])

    with pytest.raises(OSError, match="Exec format error") as caught:
        command.start()

    assert caught.value.filename == str(program)
    assert command.status == 127
    assert command.ended.is_set()


def test_a_command_that_is_gone_meanwhile_is_an_error_with_its_name():
    command = Command(["/nowhere/program"])

    with pytest.raises(FileNotFoundError) as caught:
        command.start()

    assert caught.value.filename == "/nowhere/program"


def test_an_abandoned_command_never_runs(tmp_path):
    made = tmp_path / "made"
    before = open_descriptors()
    command = Command(["touch", str(made)])

    command.abandon()

    assert command.status == 127
    assert not made.exists()
    assert open_descriptors() == before


def test_a_held_command_ends_when_its_recorder_is_killed():
    script = (
        "import os, signal\n"
        "from wcap.recorder.command import Command\n"
        "command = Command(['true'])\n"
        "print(command.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as recorder:
        # The child has our pipe too: this ends when both processes have.
        output = recorder.stdout.read()

    assert int(output) > 0
    assert recorder.returncode == -signal.SIGKILL


def test_a_command_killed_while_it_is_held_is_no_error_to_start():
    command = Command(["true"])
    os.kill(command.pid, signal.SIGKILL)
    os.waitid(os.P_PID, command.pid, os.WEXITED | os.WNOWAIT)

    command.start()

    assert command.wait() == -signal.SIGKILL


def test_starting_leaves_no_descriptor_open():
    before = open_descriptors()
    command = Command(["true"])
    command.start()
    command.wait()

    assert open_descriptors() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGPIPE])
def test_a_command_gets_signals_the_usual_way_whatever_wcap_does_with_them(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        command = Command(["sh", "-c", f"kill -{number.value} $$; exit 9"])
        command.start()
        assert command.wait() == -number
    finally:
        signal.signal(number, before)
