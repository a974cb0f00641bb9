from __future__ import annotations

import pytest
from support import STARTED_NS, batch_of, write

from wcap.events import EventFlag, Target, error_name


def test_an_event_says_what_was_asked_captured_and_returned():
    one = write(b"hel", count=6, returned=-32, flags=EventFlag.TRUNCATED, ppid=None, fd=2)
    (event,) = batch_of(one)

    assert (event.count, event.captured, event.returned) == (6, 3, -32)
    assert (event.pid, event.ppid, event.comm, event.fd) == (100, None, "hello", 2)
    assert event.flags.names == ["truncated"]
    assert event.time_ns == STARTED_NS


@pytest.mark.parametrize("flag", [EventFlag.UNFINISHED, EventFlag.RESULT_LOST])
def test_an_event_without_a_result_has_none(flag):
    (event,) = batch_of(write(flags=flag, returned=5))
    assert (event.returned, event.duration_ns) == (None, None)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (Target(), None),
        (Target(path="/x"), None),
        (Target("anonymous", "[eventfd]", inode=7), "anon_inode:[eventfd]"),
        (Target("anonymous"), "anon_inode:?"),
        (Target("file", "/tmp/x", (8, 1), 7), "/tmp/x"),
        (Target("pipe", "x", partial=True, deleted=True), "…/x (deleted)"),
        (Target("pipe", inode=7), "pipe:[7]"),
        (Target("socket"), "socket:[?]"),
        (Target("tcp", local="[::1]:5", peer="[::1]:80"), "tcp [::1]:5→[::1]:80"),
        (Target("udp", local="0.0.0.0:53"), "udp 0.0.0.0:53"),
        (Target("unix", inode=7, peer="@bus"), "unix [7]→@bus"),
        (Target("unix", peer="[9]"), "unix [?]→[9]"),
    ],
)
def test_a_target_has_the_name_that_section_4_2_of_the_spec_gives_it(target, name):
    assert target.name == name


def test_flags_have_names_and_unknown_ones_are_kept():
    """SPEC R6"""
    flags = EventFlag(1 | 8 | 1 << 20)

    assert flags.names == ["truncated", "unfinished"]
    assert int(flags) == 1 | 8 | 1 << 20
    assert EventFlag(0).names == []


@pytest.mark.parametrize(
    ("returned", "name"),
    [
        (-32, "EPIPE"),
        (-11, "EAGAIN"),
        (-512, "ERESTARTSYS"),
        (-40, "ELOOP"),
        (-4000, "errno 4000"),
        (-(2**63), "errno 9223372036854775808"),
    ],
)
def test_errors_have_their_linux_names(returned, name):
    assert error_name(returned) == name
