from __future__ import annotations

import os
import threading

import pytest

from wcap.filters import CommPattern
from wcap.recorder.choice import ANYONE, Cgroup, Conditions
from wcap.recorder.matching import Running, meets, meets_any, running

PROCESS = Running(
    pid=7, comms=("leader", "helper"), tids=(7, 8), user=1000, pid_namespace=42, cgroup="/a/b"
)
MET = {
    "pids": (7,),
    "tids": (8,),
    "users": (0, 1000),
    "comms": (CommPattern.parse("help*"),),
    "pid_namespaces": (42,),
    "cgroups": (Cgroup("/sys", "/a"),),
}
NOT_MET = {
    "pids": (8,),
    "tids": (9,),
    "users": (0,),
    "comms": (CommPattern.parse("help"),),
    "pid_namespaces": (41,),
    "cgroups": (Cgroup("/sys", "/a/bc"),),
}


@pytest.mark.parametrize("kind", MET)
def test_a_process_meets_a_kind_with_one_of_its_values(kind):
    met, missed = Conditions(**{kind: MET[kind]}), Conditions(**{kind: NOT_MET[kind]})

    assert (meets(PROCESS, met), meets_any(PROCESS, met)) == (True, True)
    assert (meets(PROCESS, missed), meets_any(PROCESS, missed)) == (False, False)
    both = Conditions(**{kind: NOT_MET[kind] + MET[kind]})
    assert meets(PROCESS, both)


@pytest.mark.parametrize("kind", MET)
def test_kinds_narrow_who_is_chosen_and_widen_who_is_left_out(kind):
    all_but_one = Conditions(**{**MET, kind: NOT_MET[kind]})
    only_one = Conditions(**{**NOT_MET, kind: MET[kind]})

    assert meets(PROCESS, Conditions(**MET))
    assert not meets(PROCESS, all_but_one)
    assert meets_any(PROCESS, only_one)
    assert not meets_any(PROCESS, Conditions(**NOT_MET))


def test_without_conditions_everyone_is_chosen_and_no_one_left_out():
    assert meets(PROCESS, ANYONE)
    assert not meets_any(PROCESS, ANYONE)


def test_every_process_is_below_the_first_cgroup():
    first = Conditions(cgroups=(Cgroup("/sys", ""),))

    assert meets(PROCESS, first)
    assert meets(Running(1, ("init",), (1,), 0, None, ""), first)


def test_a_process_is_seen_with_its_threads():
    named, leave = threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: (named.set(), leave.wait()))
    thread.start()
    named.wait()
    try:
        [mine] = [process for process in running() if process.pid == os.getpid()]
    finally:
        leave.set()
        thread.join()

    assert {os.getpid(), thread.native_id} <= set(mine.tids)
    assert len(mine.comms) == len(mine.tids)
    assert mine.user == os.getuid()
    assert mine.pid_namespace == os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116
