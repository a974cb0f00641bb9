from __future__ import annotations

import os
import sys
import threading

import pytest

from wcap.errors import RecordError, UsageError
from wcap.filters import CommPattern
from wcap.recorder.choice import KINDS, OF_CALLS, Cgroup, Conditions
from wcap.recorder.target import Target

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
