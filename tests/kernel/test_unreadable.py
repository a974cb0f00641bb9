"""Payload that cannot be read when a call begins: the rest is read when it ends, or flagged.

Memory is out of reach because it is protected, which never changes, or because it is a page of a
mapped file that nobody has touched yet, which the kernel itself brings in when it needs it.
"""

from __future__ import annotations

import errno

import pytest
from kernel.support import CALLS, as_code, numbered, record_whole

from wcap.events import EventFlag

pytestmark = pytest.mark.kernel

PAGE = 4096
PAGES = 512
# The content of the mapped file: every page differs.
CONTENT = b"".join(page.to_bytes(4, "little") * (PAGE // 4) for page in range(PAGES))
PATTERN = bytes(range(251)) * 20_000

FDS = numbered(
    *("BEGINNING", "MIDDLE", "END", "FAR", "SEGMENT_BEGINNING", "SEGMENT_MIDDLE", "SEGMENT_END"),
    *("MESSAGE", "MESSAGES", "ABSENT_PIPE", "ABSENT_FILE", "ABSENT_LARGE", "ABSENT_SEGMENT"),
    *("ABSENT_MESSAGE", "NEVER_READ", "NEVER_READ_SEGMENT", "VECTOR", "HALF_VECTOR"),
    *("NULL_VECTOR", "HEADER", "ABSENT_VECTOR", "ABSENT_HEADER", "ABSENT_HEADERS", "ADDRESS"),
    "ABSENT_VMSPLICE",
)

WORKLOAD = (
    CALLS
    + as_code(FDS)
    + """
import socket, tempfile
PATTERN = bytes(range(251)) * 20_000

def with_hole(before, after):
    # Return the address of `before` pages of the pattern, a protected page and `after` more.
    start = pages(before + 1 + after)
    ctypes.memmove(start, PATTERN, (before + 1 + after) * PAGE)
    libc.mprotect(ctypes.c_void_p(start + before * PAGE), ctypes.c_size_t(PAGE), 0)
    return start

def mapped(content):
    # Map a file of this content, none of which is in memory then.
    file = tempfile.TemporaryFile()
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
    start = libc.mmap(None, ctypes.c_size_t(len(content)), 3, 2, file.fileno(), 0)
    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(len(content)), 1)  # MADV_RANDOM
    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(len(content)), 4)  # MADV_DONTNEED
    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return start

def content():
    return mapped(b"".join(page.to_bytes(4, "little") * (PAGE // 4) for page in range(512)))

def stream_at(fd):
    one, other = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    one.setblocking(False)
    kept.append(other)
    at(fd, one.detach())

def file_at(fd):
    at(fd, os.open(tempfile.mktemp(), os.O_WRONLY | os.O_CREAT))

def buffers():
    for fd in (BEGINNING, MIDDLE, END, FAR):
        pipe_at(fd)
    raw_write(BEGINNING, with_hole(0, 1) + 100, 2 * PAGE - 100)
    raw_write(MIDDLE, with_hole(1, 1) + 100, 3 * PAGE - 100)
    raw_write(END, with_hole(2, 0) + 100, 3 * PAGE - 100)
    raw_write(FAR, with_hole(200, 3) + 1, 204 * PAGE - 1)

def segments():
    for fd in (SEGMENT_BEGINNING, SEGMENT_MIDDLE, SEGMENT_END):
        pipe_at(fd)
    call("writev", SEGMENT_BEGINNING, vector([b"first", (with_hole(0, 1), 9), b"last"]), 3)
    middle = (with_hole(1, 1) + 7, 3 * PAGE - 7)
    call("writev", SEGMENT_MIDDLE, vector([b"first", middle, b"last"]), 3)
    end = (with_hole(1, 0) + 7, 2 * PAGE - 7)
    call("writev", SEGMENT_END, vector([b"first", b"second", end, b"last"]), 4)

def messages():
    stream_at(MESSAGE)
    call("sendmsg", MESSAGE, header([b"first", (with_hole(0, 1), 9), b"last"]), 0)
    stream_at(MESSAGES)
    some = headers([([b"one"],), ([b"two", (with_hole(0, 1), 9)],), ([b"three"],)])
    call("sendmmsg", MESSAGES, some, 3, 0)

def absent():
    pipe_at(ABSENT_PIPE); raw_write(ABSENT_PIPE, content() + 11, 3 * PAGE)
    file_at(ABSENT_FILE); raw_write(ABSENT_FILE, content() + 11, 3 * PAGE)
    file_at(ABSENT_LARGE); raw_write(ABSENT_LARGE, content() + 11, 511 * PAGE)
    pipe_at(ABSENT_SEGMENT)
    call("writev", ABSENT_SEGMENT, vector([b"first", (content(), 3 * PAGE), b"last"]), 3)
    stream_at(ABSENT_MESSAGE)
    call("sendmsg", ABSENT_MESSAGE, header([b"first", (content(), 3 * PAGE), b"last"]), 0)

def never_read():
    null_at(NEVER_READ)
    start = content()
    ctypes.string_at(start + 100 * PAGE, 1)
    raw_write(NEVER_READ, start + 100 * PAGE, 400 * PAGE)
    raw_write(NEVER_READ, content(), 3 * PAGE)
    null_at(NEVER_READ_SEGMENT)
    call("writev", NEVER_READ_SEGMENT, vector([b"first", (content(), 3 * PAGE), b"last"]), 3)

def arrays():
    for fd in (VECTOR, HALF_VECTOR, NULL_VECTOR):
        pipe_at(fd)
    protected = with_hole(1, 0) + PAGE
    call("writev", VECTOR, ctypes.c_void_p(protected), 3)
    whole = vector([b"one", b"two", b"three"])
    ctypes.memmove(protected - 32, whole, 32)
    call("writev", HALF_VECTOR, ctypes.c_void_p(protected - 32), 3)
    call("writev", NULL_VECTOR, 0, 3)
    stream_at(HEADER)
    call("sendmsg", HEADER, header([b"before"]), 0)
    call("sendmsg", HEADER, ctypes.c_void_p(protected), 0)
    call("sendmmsg", HEADER, ctypes.c_void_p(protected), 2, 0)

def absent_arrays():
    pipe_at(ABSENT_VECTOR)
    pipe_at(ABSENT_VMSPLICE)
    whole = vector([b"one", b"two", b"three"])
    call("writev", ABSENT_VECTOR, ctypes.c_void_p(mapped(bytes(whole))), 3)
    call("vmsplice", ABSENT_VMSPLICE, ctypes.c_void_p(mapped(bytes(whole))), 3, 0)
    stream_at(ABSENT_HEADER)
    one = header([b"one", b"two"])
    call("sendmsg", ABSENT_HEADER, ctypes.c_void_p(mapped(bytes(one))), 0)
    stream_at(ABSENT_HEADERS)
    some = headers([([b"one"],), ([b"three"],)])
    call("sendmmsg", ABSENT_HEADERS, ctypes.c_void_p(mapped(bytes(some))), 2, 0)
    at(ADDRESS, socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach())
    call("sendto", ADDRESS, b"to nobody", 9, 0, ctypes.c_void_p(with_hole(0, 0)), 16)

kept = []
for part in (buffers, segments, messages, absent, never_read, arrays, absent_arrays):
    part()
"""
)


@pytest.fixture(scope="module", params=["enter", "exit"])
def recorded(request, tmp_path_factory):
    output = tmp_path_factory.mktemp("unreadable") / "run.wcap"
    return record_whole(WORKLOAD, "--at", request.param, output=output)


@pytest.fixture
def at_exit(recorded):
    return recorded.header.at == "exit"


@pytest.fixture
def told(recorded):
    """Return of each event to a descriptor: payload, count, result, whether it is unreadable."""

    def told_of(name):
        return [
            (event.data, event.count, event.returned, bool(event.flags & EventFlag.UNREADABLE))
            for event in recorded.events
            if event.fd == FDS[name]
        ]

    return told_of


@pytest.fixture
def read_late(recorded, at_exit):
    """Return payloads to a descriptor; what was absent at entry must have been read at exit."""

    def payloads(name):
        events = [event for event in recorded.events if event.fd == FDS[name]]
        flag = EventFlag.AT_EXIT if at_exit else EventFlag.READ_AT_EXIT
        assert {event.flags for event in events} == {flag}
        return [event.data for event in events]

    return payloads


def test_a_buffer_is_recorded_up_to_what_is_protected(told):
    assert told("BEGINNING") == [(b"", 2 * PAGE - 100, -errno.EFAULT, True)]
    [(data, count, _, unreadable)] = told("MIDDLE")
    assert (data, count, unreadable) == (PATTERN[100:PAGE], 3 * PAGE - 100, True)
    [(data, count, returned, unreadable)] = told("END")
    assert (data, count, unreadable) == (PATTERN[100 : 2 * PAGE], 3 * PAGE - 100, True)
    assert returned == PAGE  # a pipe takes whole pages
    [(data, count, _, unreadable)] = told("FAR")
    assert (data == PATTERN[1 : 200 * PAGE], count, unreadable) == (True, 204 * PAGE - 1, True)


def test_a_vector_is_recorded_up_to_what_is_protected(told):
    assert told("SEGMENT_BEGINNING") == [(b"first", 18, -errno.EFAULT, True)]
    [(data, count, _, unreadable)] = told("SEGMENT_MIDDLE")
    assert (data, unreadable) == (b"first" + PATTERN[7:PAGE], True)
    assert count == 3 * PAGE - 7 + 9
    [(data, count, _, unreadable)] = told("SEGMENT_END")
    assert (data, unreadable) == (b"firstsecond" + PATTERN[7:PAGE], True)
    assert count == 2 * PAGE - 7 + 15


def test_a_message_is_recorded_up_to_what_is_protected(told):
    assert told("MESSAGE") == [(b"first", 18, -errno.EFAULT, True)]
    assert told("MESSAGES") == [
        (b"one", 3, 3, False),
        (b"two", 12, None, True),
        (b"three", 5, None, False),
    ]


def test_what_is_absent_at_entry_is_read_at_exit_and_is_whole(read_late):
    assert read_late("ABSENT_PIPE") == [CONTENT[11 : 3 * PAGE + 11]]
    assert read_late("ABSENT_FILE") == [CONTENT[11 : 3 * PAGE + 11]]
    assert read_late("ABSENT_LARGE") == [CONTENT[11 : 511 * PAGE + 11]]
    assert read_late("ABSENT_SEGMENT") == [b"first" + CONTENT[: 3 * PAGE] + b"last"]
    assert read_late("ABSENT_MESSAGE") == [b"first" + CONTENT[: 3 * PAGE] + b"last"]


def test_what_nobody_reads_is_flagged_and_what_is_there_of_it_recorded(told):
    partly, none = told("NEVER_READ")
    data = partly[0]

    assert 0 < len(data) < 400 * PAGE
    assert data == CONTENT[100 * PAGE : 100 * PAGE + len(data)]
    assert partly[1:] == (400 * PAGE, 400 * PAGE, True)
    assert none == (b"", 3 * PAGE, 3 * PAGE, True)
    assert told("NEVER_READ_SEGMENT") == [(b"first", 3 * PAGE + 9, 3 * PAGE + 9, True)]


def test_of_a_vector_that_cannot_be_read_nothing_is_made_up(told):
    assert told("VECTOR") == [(b"", 0, -errno.EFAULT, True)]
    assert told("HALF_VECTOR") == [(b"onetwo", 6, -errno.EFAULT, True)]
    assert told("NULL_VECTOR") == [(b"", 0, -errno.EFAULT, True)]


def test_of_a_message_that_cannot_be_read_nothing_is_made_up(told):
    before, message, *messages = told("HEADER")

    assert before == (b"before", 6, 6, False)
    assert message == (b"", 0, -errno.EFAULT, True)
    assert messages == [(b"", 0, -errno.EFAULT, True), (b"", 0, None, True)]


def test_vectors_and_messages_that_are_absent_at_entry_are_read_at_exit(read_late, told):
    assert read_late("ABSENT_VECTOR") == [b"onetwothree"]
    assert read_late("ABSENT_HEADER") == [b"onetwo"]
    assert told("ABSENT_VECTOR") == [(b"onetwothree", 11, 11, False)]
    assert told("ABSENT_HEADER") == [(b"onetwo", 6, 6, False)]


def test_of_several_messages_that_are_absent_at_entry_each_is_flagged(told, at_exit):
    if at_exit:
        assert told("ABSENT_HEADERS") == [(b"one", 3, 3, False), (b"three", 5, 5, False)]
    else:
        assert told("ABSENT_HEADERS") == [(b"", 0, 3, True), (b"", 0, 5, True)]


def test_a_call_without_payload_has_none_read_at_exit_either(recorded, at_exit):
    [event] = [event for event in recorded.events if event.fd == FDS["ABSENT_VMSPLICE"]]

    assert (event.data, event.returned) == (b"", 11)
    assert event.flags & EventFlag.NO_PAYLOAD
    assert bool(event.flags & EventFlag.UNREADABLE) != at_exit
    assert not event.flags & EventFlag.READ_AT_EXIT


def test_an_address_that_cannot_be_read_is_absent_and_the_payload_is_there(recorded):
    [event] = [event for event in recorded.events if event.fd == FDS["ADDRESS"]]

    assert (event.data, event.returned, event.address) == (b"to nobody", -errno.EFAULT, None)
