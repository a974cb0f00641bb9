from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys

import numpy as np
import pytest

from wcap.events import UNKNOWN_TARGET, Target
from wcap.recorder import targets
from wcap.recorder.targets import TargetTable

# No process has such a number: /proc knows nothing of it.
NOBODY = 5_000_000


def file(number):
    return Target("file", path=f"/{number}", inode=number)


def table_of(*numbers):
    table = TargetTable()
    for number in numbers:
        table.see(number, file(number))
    return table


def look_up(table, *columns, pids=None, fds=None):
    """Return the targets of columns of numbers."""
    length = len(columns[0])
    found, among = table.columns(
        [np.array(column, dtype=np.uint32) for column in columns],
        np.array(pids or [NOBODY] * length, dtype=np.uint32),
        [np.array(column, dtype=np.int32) for column in fds or [[0] * length] * len(columns)],
    )
    assert all(column.dtype == np.uint32 for column in found)
    assert len(set(among)) == len(among)
    return [[among[place] for place in column.tolist()] for column in found]


def test_events_of_one_target_or_of_several_each_have_theirs():
    table = table_of(1, 2, 3)

    assert look_up(table, [2, 2, 2]) == [[file(2)] * 3]
    assert look_up(table, [3, 1, 3]) == [[file(3), file(1), file(3)]]


def test_columns_share_one_table():
    table = table_of(1, 2)

    assert look_up(table, [1, 2], [2, 1]) == [[file(1), file(2)], [file(2), file(1)]]


def test_a_number_that_was_never_described_or_none_is_a_target_that_is_not_known():
    assert look_up(table_of(1), [0, 1, 9]) == [[UNKNOWN_TARGET, file(1), UNKNOWN_TARGET]]


def test_numbers_that_were_never_described_are_not_remembered():
    table = table_of(1)

    for number in range(100, 200):
        look_up(table, [number])

    assert len(table._targets) == 1


def test_what_was_not_used_for_longest_is_forgotten_first(monkeypatch):
    monkeypatch.setattr(targets, "_REMEMBERED", 3)
    table = table_of(1, 2, 3)

    look_up(table, [1])
    table.see(4, file(4))

    assert look_up(table, [1, 2, 3, 4]) == [[file(1), UNKNOWN_TARGET, file(3), file(4)]]
    assert len(table._targets) == 3


def test_a_number_that_is_described_again_stands_for_the_latter():
    table = table_of(1)
    table.see(1, file(7))

    assert look_up(table, [1]) == [[file(7)]]


@pytest.fixture
def in_proc():
    """Look up a descriptor of this process in /proc, as on a kernel without BTF."""
    table = TargetTable(from_proc=True)
    return lambda fd: look_up(table, [7], pids=[os.getpid()], fds=[[fd]])[0][0]


def test_a_file_that_is_looked_up_is_said_to_be_so(in_proc, tmp_path):
    place = tmp_path / "file"
    with place.open("wb") as stream:
        facts = os.fstat(stream.fileno())
        device = (os.major(facts.st_dev), os.minor(facts.st_dev))
        expected = Target("file", str(place), device, facts.st_ino, from_proc=True)
        assert in_proc(stream.fileno()) == expected

        place.unlink()
        found = in_proc(stream.fileno())
        assert (found.path, found.deleted, found.from_proc) == (str(place), True, True)


def test_what_is_no_file_is_looked_up_by_what_the_system_says_of_it(in_proc, tmp_path):
    read, write = os.pipe()
    event = os.eventfd(0)
    directory = os.open(tmp_path, os.O_RDONLY)
    null = os.open("/dev/null", os.O_WRONLY)
    main, terminal = pty.openpty()
    one, other = socket.socketpair()
    try:
        inode = os.fstat(write).st_ino
        assert in_proc(write) == Target("pipe", inode=inode, from_proc=True)
        assert in_proc(event) == Target("anonymous", path="[eventfd]", from_proc=True)
        assert (in_proc(directory).kind, in_proc(directory).path) == ("directory", str(tmp_path))
        assert (in_proc(null).kind, in_proc(null).path) == ("character", "/dev/null")
        assert in_proc(terminal).kind == "tty"
        assert in_proc(one.fileno()).name == f"socket:[{os.fstat(one.fileno()).st_ino}]"
    finally:
        for descriptor in (read, write, event, directory, null, main, terminal):
            os.close(descriptor)
        one.close()
        other.close()


def test_what_is_gone_or_never_was_is_not_known(in_proc):
    assert in_proc(-1) == UNKNOWN_TARGET
    assert in_proc(9999) == UNKNOWN_TARGET
    gone = TargetTable(from_proc=True)
    assert look_up(gone, [7], pids=[NOBODY], fds=[[1]]) == [[UNKNOWN_TARGET]]


def test_descriptors_of_several_processes_are_looked_up_each_in_its_own():
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as child:
        table = TargetTable(from_proc=True)
        null = os.open("/dev/null", os.O_WRONLY)
        pids, fds = [os.getpid(), child.pid, NOBODY, child.pid], [null, 1, 1, 1]

        [found] = look_up(table, [0] * 4, pids=pids, fds=[fds])

        os.close(null)
        child.communicate(b"\n")
    assert [target.path for target in found] == ["/dev/null", "/dev/null", None, "/dev/null"]
    assert [target.from_proc for target in found] == [True, True, False, True]
