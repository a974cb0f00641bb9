"""The comparison finds whatever is not the same, and nothing that is."""

from __future__ import annotations

import errno

import pytest
from truth.comparison import MOST_TOLD, Comparison, compare, differences
from truth.strace_log import Payload, Write

from wcap.events import Event, EventFlag

WRITE = Write("write", 3, 5, 5, b"hello")


def event(**changes):
    """Return the event of `WRITE`, changed."""
    facts = {
        "time_ns": 1, "pid": 7, "tid": 7, "ppid": 1, "comm": "writer", "syscall": "write", "fd": 3,
        "count": 5, "returned": 5, "duration_ns": 1, "flags": EventFlag(0), "cpu": 0, "sequence": 1,
        "data": b"hello",
    }  # fmt: skip
    return Event(**{**facts, **changes})


def log(**threads):
    return {int(name[1:]): iter(writes) for name, writes in threads.items()}


def compared(writes, events):
    comparison = Comparison()
    compare(writes, events, comparison)
    return comparison


def test_what_is_the_same_does_not_differ():
    found = compared(log(t7=[WRITE, WRITE], t8=[]), [event(), event()])

    assert (found.writes, found.bytes, found.differing, found.told) == (2, 10, 0, [])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"syscall": "writev"}, "syscall write but writev in wcap"),
        ({"fd": 4}, "fd 3 but 4 in wcap"),
        ({"count": 6}, "count 5 but 6 in wcap"),
        ({"returned": 4}, "returned 5 but 4 in wcap"),
        ({"returned": None}, "returned 5 but None in wcap"),
        ({"returned": -errno.EPIPE}, "returned 5 but -32 in wcap"),
        ({"offset": 0}, "offset None but 0 in wcap"),
        ({"source_fd": 0}, "source_fd None but 0 in wcap"),
        ({"flags": EventFlag.UNSENT}, "unsent False but True in wcap"),
        ({"flags": EventFlag.UNREADABLE}, "payload whole but flags ['unreadable'] in wcap"),
        ({"data": b"hellO"}, "payload of 5 bytes but 5 in wcap, alike up to 4"),
        ({"data": b"hell"}, "payload of 5 bytes but 4 in wcap, alike up to 4"),
        ({"data": b"hello!"}, "payload of 5 bytes but 6 in wcap, alike up to 5"),
        ({"data": b""}, "payload of 5 bytes but 0 in wcap, alike up to 0"),
    ],
)
def test_a_field_that_is_not_the_same_is_found_and_told(changes, told):
    assert differences(WRITE, event(**changes)) == [told]


def test_a_write_without_an_event_is_found():
    found = compared(log(t7=[WRITE, WRITE], t8=[WRITE]), [event()])

    assert (found.writes, found.differing) == (3, 2)
    assert found.told == [
        "thread 7: write(3) was not recorded",
        "thread 8: write(3) was not recorded",
    ]


def test_an_event_without_a_write_is_found_also_of_a_thread_that_strace_does_not_know():
    found = compared(log(t7=[WRITE]), [event(), event(), event(tid=9)])

    assert (found.writes, found.differing) == (1, 2)


def test_writes_in_another_order_are_found():
    other = Write("write", 3, 5, 5, b"world")

    found = compared(log(t7=[WRITE, other]), [event(data=b"world"), event()])

    assert found.differing == 2


def test_threads_are_compared_each_for_itself():
    other = Write("write", 3, 5, 5, b"world")

    found = compared(log(t7=[WRITE], t8=[other]), [event(tid=8, data=b"world"), event()])

    assert (found.writes, found.differing) == (2, 0)


def test_memory_that_strace_could_not_read_must_be_unreadable_in_wcap_too():
    write = Write("write", 3, 9, -errno.EFAULT, b"he", Payload.UNREADABLE)
    failed = {"count": 9, "returned": -errno.EFAULT}

    assert differences(write, event(**failed, flags=EventFlag.UNREADABLE)) == []
    assert differences(write, event(**failed)) != []
    assert differences(write, event(**failed, flags=EventFlag.UNREADABLE, data=b"h")) != []


def test_what_strace_does_not_know_is_not_compared():
    killed = Write("write", 3, None, None, b"hello")
    decoded = Write("sendto", 3, 5, 5, b"", Payload.UNKNOWN)

    assert differences(killed, event(returned=-512, count=99)) == []
    assert differences(decoded, event(syscall="sendto")) == []


def test_of_many_differences_the_first_are_told_and_all_are_counted():
    found = compared(log(t7=[WRITE] * 100), [])

    assert (found.differing, len(found.told)) == (100, MOST_TOLD)
