from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from wcap.errors import RecordError, UsageError
from wcap.filters import CommPattern
from wcap.recorder.choice import KINDS, OF_CALLS, Cgroup, Conditions
from wcap.recorder.target import Command, Target, descendants, readers_of_stdout

PATTERN = CommPattern.parse("hello")
# The largest number that a process can have is 2**22.
NOBODY = 5_000_000
# Python warns of any fork in a process with threads, which numpy has.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_nothing_chosen_is_refused_and_the_ways_out_are_named():
    with pytest.raises(UsageError, match=r"-c COMM.*-p PID.*-- COMMAND.*--all"):
        Target()
    with pytest.raises(UsageError, match="nothing chosen"):
        Target(follow=True)


@pytest.mark.parametrize("also", [{"comms": (PATTERN,)}, {"pids": (1,)}, {"command": ("ls",)}])
def test_everything_is_chosen_alone(also):
    with pytest.raises(UsageError, match="--all records everything"):
        Target(everything=True, **also)


def test_what_is_only_left_out_takes_saying_everything():
    with pytest.raises(UsageError, match=r"a ! leaves out.*--all"):
        Target(left_out=Conditions(users=(0,)))

    assert Target(left_out=Conditions(users=(0,)), everything=True).left_out.users == (0,)


@pytest.mark.parametrize("kind", OF_CALLS)
def test_where_a_write_goes_may_be_all_that_is_chosen_and_narrow_everything(kind):
    for everything in (False, True):
        target = Target(**{kind: ("x",)}, everything=everything)
        assert (target.by_number, target.either, target.follows) == (False, False, False)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_chosen_and_left_out_again_is_refused(kind):
    with pytest.raises(UsageError, match=r"nothing is left of the .* that are chosen"):
        Target(**{kind: ("x", "y"), "left_out": Conditions(**{kind: ("y", "x", "z")})})

    Target(**{kind: ("x", "y"), "left_out": Conditions(**{kind: ("y",)})})


@pytest.mark.parametrize("also", [{"follow": True}, {"command": ("ls",)}])
def test_threads_are_chosen_without_children(also):
    with pytest.raises(UsageError, match="-t chooses threads alone"):
        Target(tids=(1,), **also)


@pytest.mark.parametrize(
    ("chosen", "by_number", "either", "follows"),
    [
        ("everything", False, False, False),
        ("everything follow", False, False, False),
        ("comms", False, False, False),
        ("comms follow", True, True, True),
        ("pids", True, False, False),
        ("pids follow", True, False, True),
        ("command", True, False, True),
        ("command follow", True, False, True),
        ("comms pids", True, False, False),
        ("users follow", True, True, True),
        ("users comms cgroups follow", True, True, True),
        ("users pids follow", True, False, True),
        ("fds follow", False, False, False),
        ("comms pids follow", True, False, True),
        ("comms command", True, False, True),
        ("comms pids command follow", True, False, True),
    ],
)
def test_what_was_chosen_says_how_the_kernel_side_chooses(chosen, by_number, either, follows):
    facts = {"comms": (PATTERN,), "pids": (1,), "command": ("ls",), "users": (0,), "fds": (1,)}
    facts["cgroups"] = (Cgroup("/sys/fs/cgroup", "/a"),)
    target = Target(**{word: facts.get(word, True) for word in chosen.split()})

    assert (target.by_number, target.either, target.follows) == (by_number, either, follows)


def test_a_process_that_is_not_there_is_refused_by_number():
    with pytest.raises(RecordError, match=f"{NOBODY} is no process: -p takes"):
        Target(pids=(os.getpid(), NOBODY)).check()


def test_a_thread_is_not_taken_for_a_process():
    number, done = threading.Event(), threading.Event()
    found = []

    def live():
        found.append(threading.get_native_id())
        number.set()
        done.wait()

    thread = threading.Thread(target=live)
    thread.start()
    number.wait()
    try:
        with pytest.raises(RecordError, match=f"a thread of process {os.getpid()}"):
            Target(pids=(found[0],)).check()
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("kind", ["pids", "tids"])
def test_numbers_that_are_left_out_must_be_there_too_or_they_would_come_to_mean_others(kind):
    with pytest.raises(RecordError, match=f"{NOBODY} is no"):
        Target(everything=True, left_out=Conditions(**{kind: (NOBODY,)})).check()


def test_a_thread_that_is_not_there_is_refused_by_number():
    with pytest.raises(RecordError, match=f"{NOBODY} is no thread: -t takes"):
        Target(tids=(os.getpid(), NOBODY)).check()


def test_a_thread_of_another_process_than_those_chosen_is_refused():
    with pytest.raises(RecordError, match=f"{os.getpid()} is a thread of process {os.getpid()}"):
        Target(tids=(os.getpid(),), pids=(os.getppid(),)).check()

    Target(tids=(os.getpid(),), pids=(os.getpid(), os.getppid())).check()


def test_a_command_that_cannot_be_found_is_refused_by_name(tmp_path):
    text = tmp_path / "text"
    text.write_text("not a program")

    for name in ("wcap-no-such-command", str(text)):
        with pytest.raises(RecordError, match=f"{name}: command not found, or not executable"):
            Target(command=(name, "argument")).check()


def test_what_is_there_passes():
    Target(pids=(os.getpid(),), command=(sys.executable,), comms=(PATTERN,)).check()


class Tree:
    """A shell, a child of it and a grandchild, all of which wait for our word."""

    def __init__(self):
        self._root = subprocess.Popen(
            ["sh", "-c", "sh -c 'sh -c \"echo \\$\\$; read line\"; :'; :"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.root = self._root.pid
        self.youngest = int(self._root.stdout.readline())

    def close(self):
        self._root.communicate("\n")


@pytest.fixture
def tree():
    tree = Tree()
    yield tree
    tree.close()


def test_descendants_are_the_children_and_theirs(tree):
    found = descendants([tree.root])

    assert {tree.root, tree.youngest} < found
    assert len(found) == 3
    assert os.getpid() not in found
    assert descendants([os.getpid()]) >= {os.getpid(), *found}


def test_a_process_without_children_has_itself_for_descendant(tree):
    assert descendants([tree.youngest]) == {tree.youngest}
    assert descendants([]) == set()


def test_a_name_with_parentheses_and_spaces_hides_no_parent(tmp_path):
    program = tmp_path / "a) S 1 (b"
    program.write_text("#!/bin/sh\necho ready\nread line\n")
    program.chmod(0o755)
    child = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"

    assert Path(f"/proc/{child.pid}/comm").read_text() == "a) S 1 (b\n"
    assert child.pid in descendants([os.getpid()])

    child.communicate("\n")


def test_roots_are_the_processes_given_unless_names_are_followed(tree):
    shell = CommPattern.parse("sh")

    assert Target(pids=(1, 2), comms=(shell,), follow=True).roots() == {1, 2}
    assert Target(comms=(shell,)).roots() == set()
    followed = Target(comms=(shell,), follow=True).roots()
    assert {tree.root, tree.youngest} <= followed
    assert os.getpid() not in followed
    assert {tree.root, tree.youngest} <= Target(
        comms=(CommPattern.parse("s*"),), follow=True
    ).roots()


def test_whoever_is_left_out_is_no_root(tree):
    shell = CommPattern.parse("sh")

    one, all_shells = Conditions(pids=(tree.root,)), Conditions(comms=(shell,))

    for left_out, others in ((one, True), (all_shells, False)):
        target = Target(users=(os.getuid(),), follow=True, left_out=left_out)
        assert tree.root not in target.roots()
        assert (tree.youngest in target.roots()) is others


def test_a_process_of_which_a_thread_is_left_out_is_chosen_still(tree):
    left_out = Conditions(tids=(tree.root,))

    assert tree.root in Target(users=(os.getuid(),), follow=True, left_out=left_out).roots()


def test_processes_are_named_by_numbers_of_threads_too():
    assert Target(tids=(os.getpid(), NOBODY)).named() == {os.getpid()}
    assert Target(pids=(1, 2)).named() == {1, 2}


@contextlib.contextmanager
def piped_stdout():
    """Make our standard output a pipe; yield its two ends."""
    saved = os.dup(1)
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    try:
        yield reading, writing
    finally:
        os.dup2(saved, 1)
        for number in (saved, reading, writing):
            os.close(number)


@contextlib.contextmanager
def waiting_with(**ends):
    """Run a process that has an end of a pipe, until the block is left."""
    hold, let_go = os.pipe()
    child = subprocess.Popen(
        ["cat", f"/dev/fd/{hold}"], pass_fds=(hold,), stderr=subprocess.DEVNULL, **ends
    )
    try:
        yield child.pid
    finally:
        os.close(let_go)
        child.wait()
        os.close(hold)


def test_the_reader_of_our_output_is_found_and_one_that_writes_to_it_is_not():
    with (
        piped_stdout() as (reading, writing),
        waiting_with(stdin=reading, stdout=subprocess.DEVNULL) as reader,
        waiting_with(stdin=subprocess.DEVNULL, stdout=writing) as writer,
    ):
        found = readers_of_stdout()

    assert found == {reader}
    assert writer not in found


def test_who_gets_our_output_through_another_process_is_found_too():
    between, onward = os.pipe()
    with (
        piped_stdout() as (reading, _),
        waiting_with(stdin=reading, stdout=onward) as first,
        waiting_with(stdin=between, stdout=subprocess.DEVNULL) as second,
    ):
        found = readers_of_stdout(onward=True)
    os.close(between)
    os.close(onward)

    assert found == {first, second}


def test_a_closed_output_has_no_readers():
    saved = os.dup(1)
    os.close(1)
    try:
        found = readers_of_stdout()
    finally:
        os.dup2(saved, 1)
        os.close(saved)

    assert found == set()


def test_we_are_not_our_own_reader():
    with piped_stdout() as (reading, _):
        assert Path("/proc/self/fd/1").readlink() == Path(f"/proc/self/fd/{reading}").readlink()
        assert readers_of_stdout() == set()


def test_an_output_that_is_no_pipe_has_no_readers(tmp_path):
    saved = os.dup(1)
    with (tmp_path / "output").open("wb") as output:
        os.dup2(output.fileno(), 1)
    try:
        assert readers_of_stdout() == set()
    finally:
        os.dup2(saved, 1)
        os.close(saved)


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
        "from wcap.recorder.target import Command\n"
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
