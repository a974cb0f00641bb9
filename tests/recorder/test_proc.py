from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

from wcap.recorder.proc import descendants, readers_of_stdout, runs


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


def test_a_process_runs_until_it_has_ended_collected_or_not():
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    assert runs(child.pid)

    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not runs(child.pid)  # a zombie

    child.wait()
    assert not runs(child.pid)


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
