from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from wcap.events import Process
from wcap.recorder import processes
from wcap.recorder.descriptions import Seen
from wcap.recorder.processes import ProcessTable

# No process has such a number: /proc knows nothing of it.
PID = 5_000_000


def seen(pid=PID, *, order=0, **facts):
    given = {"comm": b"comm", "uid": 7, "gid": 8, "leader": b"leader", "ppid": 3, "start_ns": 99}
    return Seen(order=order, pid=pid, **{**given, **facts})


def look_up(table, *events):
    """Return the processes of events given as (pid, order, comm)."""
    names = sorted({comm for _, _, comm in events})
    column, found = table.column(
        np.array([pid for pid, _, _ in events], dtype=np.uint32),
        np.array([order for _, order, _ in events]),
        names,
        np.array([names.index(comm) for _, _, comm in events], dtype=np.uint32),
    )
    return [found[place] for place in column.tolist()]


def test_a_process_that_was_seen_is_as_it_was_seen():
    table = ProcessTable()
    table.see(seen())

    assert look_up(table, (PID, 1, "comm")) == [
        Process(PID, "comm", leader="leader", ppid=3, uid=7, start_ns=99, gid=8)
    ]


def test_a_process_that_was_not_seen_and_is_gone_has_its_threads_name_only():
    table = ProcessTable()

    assert look_up(table, (PID, 1, "first"), (PID, 2, "second"), (PID + 1, 3, "other")) == [
        Process(PID, "first"),
        Process(PID, "first"),
        Process(PID + 1, "other"),
    ]
    assert look_up(table, (PID, 9, "third")) == [Process(PID, "first")]


def this_process(pid):
    """Check what /proc adds to what is known of this very process."""
    table = ProcessTable()
    table.see(seen(pid))
    return look_up(table, (pid, 1, "comm"))[0]


def test_a_process_that_lives_is_completed_from_proc():
    found = this_process(os.getpid())

    assert found.exe == str(Path(sys.executable).resolve())
    assert found.cmdline[0] == Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
    assert len(found.cmdline) == Path("/proc/self/cmdline").read_bytes().count(b"\0")
    assert (found.leader, found.ppid, found.uid, found.start_ns) == ("leader", 3, 7, 99)


def test_without_btf_parent_and_leader_come_from_proc():
    table = ProcessTable()
    table.see(seen(os.getpid(), leader=None, ppid=None, start_ns=None))

    found = look_up(table, (os.getpid(), 1, "comm"))[0]

    assert found.comm == "comm"
    assert found.leader == Path("/proc/self/comm").read_text().rstrip("\n")
    assert (found.ppid, found.uid, found.start_ns) == (os.getppid(), os.getuid(), None)


def test_a_process_that_was_not_seen_is_found_in_proc():
    found = look_up(ProcessTable(), (os.getpid(), 1, "thread"))[0]

    assert found.comm == "thread"
    assert (found.ppid, found.uid) == (os.getppid(), os.getuid())
    assert found.exe == str(Path(sys.executable).resolve())


def test_no_more_of_a_command_line_is_kept_than_a_page(monkeypatch):
    monkeypatch.setattr(processes, "_read", lambda pid, name: b"abc\0" * 2000)

    found = this_process(PID)

    assert found.cmdline == ("abc",) * 1024


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", None),
        (b"ls\0", ("ls",)),
        (b"a\0\0b\0", ("a", "", "b")),
        (b"bad \xff\0", ("bad \udcff",)),
    ],
)
def test_a_command_line_is_split_at_its_nuls(raw, words, monkeypatch):
    monkeypatch.setattr(processes, "_read", lambda pid, name: raw)

    assert this_process(PID).cmdline == words


def test_names_that_are_not_utf_8_survive():
    table = ProcessTable()
    table.see(seen(comm=b"\xff", leader=b"\xfe"))

    found = look_up(table, (PID, 1, "x"))[0]

    assert (found.comm, found.leader) == ("\udcff", "\udcfe")


def test_exec_changes_the_process_from_that_record_on():
    table = ProcessTable()
    table.see(seen(order=10, leader=b"sh"))
    table.see(seen(order=20, leader=b"ls"))

    orders = (11, 19, 21)
    found = look_up(table, *((PID, order, "x") for order in orders))
    assert [process.leader for process in found] == ["sh", "sh", "ls"]
    again = look_up(table, (PID, 30, "x"))
    assert [process.leader for process in again] == ["ls"]


def test_events_of_many_processes_each_get_their_own():
    table = ProcessTable()
    for pid in (7, 3, 5):
        table.see(seen(pid, leader=b"p%d" % pid))

    found = look_up(table, *((pid, 1, "x") for pid in (5, 7, 3, 7, 5)))

    assert [process.leader for process in found] == ["p5", "p7", "p3", "p7", "p5"]


def test_a_process_that_only_ever_calls_exec_is_not_remembered_for_ever():
    table = ProcessTable()
    for order in range(1000):
        table.see(seen(order=order, leader=b"%d" % order))

    assert len(table._versions[PID]) == 64
    assert look_up(table, (PID, 1000, "x"))[0].leader == "999"


def test_events_of_before_a_process_was_seen_are_those_of_its_first_self():
    table = ProcessTable()
    table.see(seen(order=10, leader=b"sh"))
    table.see(seen(order=20, leader=b"ls"))

    assert look_up(table, (PID, 5, "x"))[0].leader == "sh"


def test_former_selves_are_forgotten_once_events_are_past_them():
    table = ProcessTable()
    for order in range(0, 100, 10):
        table.see(seen(order=order, leader=b"%d" % order))

    assert [look_up(table, (PID, order, "x"))[0].leader for order in (5, 55, 95)] == [
        "0",
        "50",
        "90",
    ]
    assert len(table._versions[PID]) == 1


def test_the_oldest_processes_are_forgotten_first(monkeypatch):
    monkeypatch.setattr(processes, "_REMEMBERED", 3)
    table = ProcessTable()

    for place in range(5):
        table.see(seen(PID + place, leader=b"%d" % place))

    found = look_up(table, *((PID + place, 1, "x") for place in (2, 3, 4)))
    assert [process.leader for process in found] == ["2", "3", "4"]
    assert look_up(table, (PID, 1, "forgotten")) == [Process(PID, "forgotten")]


def test_more_processes_than_are_remembered_fit_in_one_batch(monkeypatch):
    monkeypatch.setattr(processes, "_REMEMBERED", 2)
    many = [(PID + place, place, f"name {place}") for place in range(6)]

    found = look_up(ProcessTable(), *many)

    assert [(process.pid, process.comm) for process in found] == [
        (pid, comm) for pid, _, comm in many
    ]


def test_who_still_writes_is_remembered_longer_than_who_was_only_seen(monkeypatch):
    monkeypatch.setattr(processes, "_REMEMBERED", 3)
    table = ProcessTable()
    for place in range(3):
        table.see(seen(PID + place, leader=b"%d" % place))

    look_up(table, (PID, 1, "x"))
    for place in (3, 4):
        table.see(seen(PID + place, leader=b"%d" % place))

    assert look_up(table, (PID, 9, "x"))[0].leader == "0"
    assert look_up(table, (PID + 1, 9, "forgotten")) == [Process(PID + 1, "forgotten")]
    assert len(table._versions) == 3


def test_what_the_kernel_side_tells_of_a_process_is_not_asked_of_proc():
    facts = {"exe": "/bin/x", "cmdline": ("x", "-y"), "cgroup": "/c", "ns_pid": 4}
    table = ProcessTable()
    table.see(seen(os.getpid(), **facts))

    found = look_up(table, (os.getpid(), 1, "comm"))[0]

    assert {name: getattr(found, name) for name in facts} == facts
