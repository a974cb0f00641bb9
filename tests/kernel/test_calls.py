"""Every call that writes: its payload, its arguments and its result, recorded at entry or at exit.

One workload makes all of them, each to a file descriptor of its own.
"""

from __future__ import annotations

import errno

import pytest
from kernel.support import CALLS, as_code, numbered, record_whole

from wcap.events import EventFlag

pytestmark = pytest.mark.kernel

PATTERN = bytes(range(251)) * 300
# Segments of every length from 0 to 6.
MANY = [PATTERN[n : n + n % 7] for n in range(1024)]

FDS = numbered(
    *("WRITE", "EMPTY", "PWRITE", "WRITEV", "WRITEV_EMPTY", "WRITEV_MANY", "WRITEV_TOO_MANY"),
    *("PWRITEV", "PWRITEV2", "PWRITEV2_HERE", "PWRITEV2_FLAGS", "SEND", "SENDTO4", "SENDTO6"),
    *("SENDTO_PATH", "SENDTO_ABSTRACT", "SENDTO_EMPTY", "SENDMSG", "SENDMSG4", "SENDMSG_EMPTY"),
    *("SENDMSG_MANY", "SENDMMSG", "SENDMMSG_1024", "SENDMMSG_PART", "SENDMMSG_NONE"),
    *("SENDFILE", "SENDFILE_OFFSET", "SPLICE", "SPLICE_OUT", "SPLICE_IN", "TEE", "VMSPLICE"),
    *("COPY", "COPY_OFFSETS", "SOURCE", "SOURCE_PIPE", "NOT_OPEN"),
)

WORKLOAD = (
    CALLS
    + as_code(FDS)
    + """
import tempfile

PATTERN = bytes(range(251)) * 300
MANY = [PATTERN[n : n + n % 7] for n in range(1024)]
folder = tempfile.mkdtemp()

def file_at(fd, content=b""):
    at(fd, os.open(f"{folder}/{fd}", os.O_RDWR | os.O_CREAT))
    os.write(fd, content) if content else None

def words(*values):
    return (ctypes.c_int64 * len(values))(*values)

def buffers():
    pipe_at(WRITE); call("write", WRITE, b"written", 7)
    pipe_at(EMPTY); call("write", EMPTY, b"", 0); call("write", EMPTY, 0, 0)
    file_at(PWRITE); call("pwrite64", PWRITE, b"placed", 6, 1 << 40)

def vectors():
    pipe_at(WRITEV); call("writev", WRITEV, vector([b"one", b"", b"three", PATTERN]), 4)
    pipe_at(WRITEV_EMPTY)
    call("writev", WRITEV_EMPTY, 0, 0)
    call("writev", WRITEV_EMPTY, vector([None, b"", None]), 3)
    call("writev", WRITEV_EMPTY, vector([None, b"x", None, b"y"]), 4)
    pipe_at(WRITEV_MANY); call("writev", WRITEV_MANY, vector(MANY), 1024)
    pipe_at(WRITEV_TOO_MANY)
    call("writev", WRITEV_TOO_MANY, vector([b"x"] * 1025), 1025)
    call("writev", WRITEV_TOO_MANY, vector([b"x"] * 2049), 2049)
    file_at(PWRITEV); call("pwritev", PWRITEV, vector([b"at ", b"77"]), 2, 77, 0)
    file_at(PWRITEV2); call("pwritev2", PWRITEV2, vector([b"at ", b"78"]), 2, 78, 0, 0)
    file_at(PWRITEV2_HERE); call("pwritev2", PWRITEV2_HERE, vector([b"he", b"re"]), 2, -1, -1, 0)
    file_at(PWRITEV2_FLAGS)
    for flags in (2, 16, 1 << 30):  # RWF_DSYNC, RWF_APPEND, and none that exists
        call("pwritev2", PWRITEV2_FLAGS, vector([b"fl", b"ags"]), 2, 5, 0, flags)

def receiver(family, address):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind(address)
    receivers.append(sock)
    return sock.getsockname()

def sender_at(fd, family, to=None):
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    sock.connect(to) if to else None
    at(fd, sock.detach())

def inet(to):
    return struct.pack("=H", 2) + struct.pack(">H", to[1]) + socket.inet_aton(to[0]) + bytes(8)

def inet6(to):
    return struct.pack("=HHI", 10, socket.htons(to[1]), 0) + bytes(15) + b"\\1" + bytes(4)

def unix(path):
    return struct.pack("=H", 1) + path

def datagrams():
    global four
    four = receiver(socket.AF_INET, ("127.0.0.1", 0))
    six = receiver(socket.AF_INET6, ("::1", 0))
    path = receiver(socket.AF_UNIX, f"{folder}/socket")
    name = receiver(socket.AF_UNIX, "\\0abstract %d" % os.getpid())
    note("ports", [four[1], six[1]])
    note("paths", [path, name.decode()])
    sender_at(SEND, 2, four); call("sendto", SEND, b"connected", 9, 0, 0, 0)
    to_each = ((SENDTO4, 2, inet(four)), (SENDTO6, 10, inet6(six)),
               (SENDTO_PATH, 1, unix(path.encode() + b"\\0")), (SENDTO_ABSTRACT, 1, unix(name)))
    for fd, family, address in to_each:
        sender_at(fd, family)
        call("sendto", fd, b"addressed", 9, 0, address, len(address))
    sender_at(SENDTO_EMPTY, 2)
    call("sendto", SENDTO_EMPTY, 0, 0, 0, inet(four), 16)

def messages():
    sender_at(SENDMSG, 2, four); call("sendmsg", SENDMSG, header([b"in ", b"", b"parts"]), 0)
    sender_at(SENDMSG4, 2); call("sendmsg", SENDMSG4, header([b"ad", b"dressed"], inet(four)), 0)
    sender_at(SENDMSG_EMPTY, 2, four)
    call("sendmsg", SENDMSG_EMPTY, header([]), 0)
    call("sendmsg", SENDMSG_EMPTY, header([None, b""]), 0)
    sender_at(SENDMSG_MANY, 2, four); call("sendmsg", SENDMSG_MANY, header(MANY), 0)
    sender_at(SENDMMSG, 2)
    some = [([b"first"], inet(four)), ([b"se", b"", b"cond"], inet(four)), ([], inet(four))]
    call("sendmmsg", SENDMMSG, headers(some[:1]), 1, 0)
    call("sendmmsg", SENDMMSG, headers(some), 3, 0)
    call("sendmmsg", SENDMMSG, headers(some), 0, 0)
    sender_at(SENDMMSG_1024, 2, four)
    call("sendmmsg", SENDMMSG_1024, headers([([b"%d" % n],) for n in range(1024)]), 1024, 0)
    large = ([bytes(70_000)],)
    sender_at(SENDMMSG_PART, 2, four)
    call("sendmmsg", SENDMMSG_PART, headers([([b"a"],), ([b"b"],), large, ([b"d"],)]), 4, 0)
    sender_at(SENDMMSG_NONE, 2, four)
    call("sendmmsg", SENDMMSG_NONE, headers([large, ([b"b"],)]), 2, 0)

def moves():
    file_at(SOURCE, PATTERN); os.lseek(SOURCE, 0, 0)
    pipe_at(SENDFILE); call("sendfile", SENDFILE, SOURCE, 0, 101)
    pipe_at(SENDFILE_OFFSET); call("sendfile", SENDFILE_OFFSET, SOURCE, words(1000), 103)
    at(SOURCE_PIPE, pipe_at(SPLICE_IN)); call("splice", SOURCE, words(7), SPLICE_IN, 0, 107, 0)
    pipe_at(TEE); call("tee", SOURCE_PIPE, TEE, 53, 0)
    file_at(SPLICE); call("splice", SOURCE_PIPE, 0, SPLICE, 0, 11, 0)
    file_at(SPLICE_OUT); call("splice", SOURCE_PIPE, 0, SPLICE_OUT, words(4096), 13, 0)
    pipe_at(VMSPLICE); call("vmsplice", VMSPLICE, vector([b"spl", b"", b"iced"]), 3, 0)
    file_at(COPY); call("copy_file_range", SOURCE, 0, COPY, 0, 109, 0)
    file_at(COPY_OFFSETS)
    call("copy_file_range", SOURCE, words(3), COPY_OFFSETS, words(8192), 113, 0)

def refused():
    for fd in (NOT_OPEN, -1):
        call("write", fd, b"nowhere", 7)
        call("pwrite64", fd, b"nowhere", 7, 3)
        call("writev", fd, vector([b"no", b"where"]), 2)
        call("pwritev", fd, vector([b"no", b"where"]), 2, 3, 0)
        call("pwritev2", fd, vector([b"no", b"where"]), 2, 3, 0, 0)
        call("sendto", fd, b"nowhere", 7, 0, 0, 0)
        call("sendmsg", fd, header([b"nowhere"]), 0)
        call("sendmmsg", fd, headers([([b"nowhere"],)]), 1, 0)
        call("sendfile", fd, SOURCE, 0, 7)
        call("splice", SOURCE_PIPE, 0, fd, 0, 7, 0)
        call("tee", SOURCE_PIPE, fd, 7, 0)
        call("vmsplice", fd, vector([b"nowhere"]), 1, 0)
        call("copy_file_range", SOURCE, 0, fd, 0, 7, 0)
    call("sendfile", SENDFILE, NOT_OPEN, 0, 7)

receivers = []
for part in (buffers, vectors, datagrams, messages, moves, refused):
    part()
"""
)


@pytest.fixture(scope="module", params=["enter", "exit"])
def recorded(request, tmp_path_factory):
    output = tmp_path_factory.mktemp("calls") / "run.wcap"
    return record_whole(WORKLOAD, "--at", request.param, output=output)


@pytest.fixture
def written(recorded):
    def written_to(name):
        return [event for event in recorded.events if event.fd == FDS[name]]

    return written_to


@pytest.fixture
def told(written):
    """Return of each event to a descriptor: call, payload, count, result."""

    def told_of(name):
        return [(event.syscall, event.data, event.count, event.returned) for event in written(name)]

    return told_of


def test_plain_writes_have_payload_count_and_result(told, written):
    assert told("WRITE") == [("write", b"written", 7, 7)]
    assert told("EMPTY") == [("write", b"", 0, 0)] * 2
    assert told("PWRITE") == [("pwrite64", b"placed", 6, 6)]
    assert [event.offset for event in written("PWRITE")] == [1 << 40]
    assert [event.offset for event in written("WRITE")] == [None]


def test_the_segments_of_a_vector_are_gathered_in_order(told):
    whole = b"onethree" + PATTERN
    assert told("WRITEV") == [("writev", whole, len(whole), len(whole))]
    assert told("WRITEV_EMPTY") == [
        ("writev", b"", 0, 0),
        ("writev", b"", 0, 0),
        ("writev", b"xy", 2, 2),
    ]


def test_a_vector_of_as_many_segments_as_the_kernel_takes_is_whole(told):
    whole = b"".join(MANY)
    assert told("WRITEV_MANY") == [("writev", whole, len(whole), len(whole))]
    assert told("SENDMSG_MANY") == [("sendmsg", whole, len(whole), len(whole))]


def test_of_more_segments_than_the_kernel_takes_one_learns_what_was_asked_up_to_twice_as_many(told):
    asked, beyond = told("WRITEV_TOO_MANY")

    assert asked == ("writev", b"x" * 1025, 1025, -errno.EINVAL)
    assert beyond == ("writev", b"x" * 2048, 2048, -errno.EINVAL)


def test_vectors_have_the_offset_that_was_given(told, written):
    assert told("PWRITEV") == [("pwritev", b"at 77", 5, 5)]
    assert told("PWRITEV2") == [("pwritev2", b"at 78", 5, 5)]
    assert told("PWRITEV2_HERE") == [("pwritev2", b"here", 4, 4)]
    flagged = told("PWRITEV2_FLAGS")
    assert flagged[:2] == [("pwritev2", b"flags", 5, 5)] * 2
    assert flagged[2] == ("pwritev2", b"flags", 5, -errno.EOPNOTSUPP)
    names = ("PWRITEV", "PWRITEV2", "PWRITEV2_HERE")
    assert [event.offset for name in names for event in written(name)] == [77, 78, None]
    assert [event.offset for event in written("PWRITEV2_FLAGS")] == [5, 5, 5]


def test_a_datagram_has_the_address_that_it_was_sent_to(recorded, told, written):
    four, six = recorded.notes["ports"]
    path, name = recorded.notes["paths"]
    expected = {
        "SENDTO4": f"127.0.0.1:{four}",
        "SENDTO6": f"[::1]:{six}",
        "SENDTO_PATH": path,
        "SENDTO_ABSTRACT": "@" + name[1:],
    }

    for sent, address in expected.items():
        assert told(sent) == [("sendto", b"addressed", 9, 9)]
        assert [event.address for event in written(sent)] == [address]
    assert told("SEND") == [("sendto", b"connected", 9, 9)]
    assert [event.address for event in written("SEND")] == [None]
    assert told("SENDTO_EMPTY") == [("sendto", b"", 0, 0)]
    assert [event.address for event in written("SENDTO_EMPTY")] == [expected["SENDTO4"]]


def test_a_message_has_its_segments_and_its_address(recorded, told, written):
    four, _ = recorded.notes["ports"]

    assert told("SENDMSG") == [("sendmsg", b"in parts", 8, 8)]
    assert told("SENDMSG4") == [("sendmsg", b"addressed", 9, 9)]
    assert told("SENDMSG_EMPTY") == [("sendmsg", b"", 0, 0)] * 2
    assert [event.address for event in written("SENDMSG")] == [None]
    assert [event.address for event in written("SENDMSG4")] == [f"127.0.0.1:{four}"]


def test_each_message_of_a_call_that_sends_several_is_an_event(recorded, told, written):
    four, _ = recorded.notes["ports"]

    first = ("sendmmsg", b"first", 5, 5)
    assert told("SENDMMSG") == [
        first,
        first,
        ("sendmmsg", b"second", 6, 6),
        ("sendmmsg", b"", 0, 0),
    ]
    assert {event.address for event in written("SENDMMSG")} == {f"127.0.0.1:{four}"}


def test_of_a_thousand_messages_in_one_call_each_has_what_was_sent_of_it(told):
    expected = [("sendmmsg", b"%d" % n, len(str(n)), len(str(n))) for n in range(1024)]
    found = told("SENDMMSG_1024")

    assert [row[:3] for row in found] == [row[:3] for row in expected]
    # UDP may find no room on the way: then the kernel sends no more, and says how far it came.
    sent = [row for row in found if row[3] is not None]
    assert sent
    assert sent == expected[: len(sent)]


def test_messages_after_one_that_failed_are_told_to_be_unsent(told, written):
    assert [row[3] for row in told("SENDMMSG_PART")] == [1, 1, None, None]
    assert [row[3] for row in told("SENDMMSG_NONE")] == [-errno.EMSGSIZE, None]
    flags = [event.flags & EventFlag.UNSENT for event in written("SENDMMSG_PART")]
    assert flags == [0, 0, EventFlag.UNSENT, EventFlag.UNSENT]
    assert [row[2] for row in told("SENDMMSG_PART")] == [1, 1, 70_000, 1]
    assert [row[1] for row in told("SENDMMSG_PART")] == [b"a", b"b", bytes(70_000), b"d"]


@pytest.mark.parametrize(
    ("name", "call", "count", "source", "offset"),
    [
        ("SENDFILE", "sendfile", 101, "SOURCE", None),
        ("SENDFILE_OFFSET", "sendfile", 103, "SOURCE", None),
        ("SPLICE_IN", "splice", 107, "SOURCE", None),
        ("TEE", "tee", 53, "SOURCE_PIPE", None),
        ("SPLICE", "splice", 11, "SOURCE_PIPE", None),
        ("SPLICE_OUT", "splice", 13, "SOURCE_PIPE", 4096),
        ("COPY", "copy_file_range", 109, "SOURCE", None),
        ("COPY_OFFSETS", "copy_file_range", 113, "SOURCE", 8192),
    ],
)
def test_a_call_that_moves_bytes_has_where_from_and_how_many(
    name, call, count, source, offset, written
):
    event = written(name)[0]

    assert (event.syscall, event.count, event.returned) == (call, count, count)
    assert (event.source_fd, event.offset, event.data) == (FDS[source], offset, b"")
    assert event.flags & EventFlag.NO_PAYLOAD
    if source == "SOURCE":
        assert event.source == written("SOURCE")[0].target
    else:
        assert event.source.kind == "pipe"
        assert event.source == written("SPLICE_IN")[0].target


def test_vmsplice_has_a_count_and_no_source(told, written):
    [event] = written("VMSPLICE")

    assert told("VMSPLICE") == [("vmsplice", b"", 7, 7)]
    assert (event.source_fd, event.source) == (None, None)
    assert event.flags & EventFlag.NO_PAYLOAD


def test_a_call_to_what_is_not_open_has_its_payload_its_error_and_no_target(recorded, written):
    negative = [event for event in recorded.events if event.fd == -1]

    for events in (written("NOT_OPEN"), negative):
        assert [event.syscall for event in events] == list(recorded.header.syscalls)
        assert {event.returned for event in events} == {-errno.EBADF}
        assert {event.count for event in events} == {7}
        assert {event.data for event in events[:8]} == {b"nowhere"}
        assert {event.target.kind for event in events} == {None}
        assert {event.offset for event in events[:5]} == {None, 3}
    event = written("SENDFILE")[1]
    assert (event.returned, event.source_fd) == (-errno.EBADF, FDS["NOT_OPEN"])
    assert event.source.kind is None


def test_only_at_entry_it_is_known_how_long_a_call_took(recorded):
    at_exit = recorded.header.at == "exit"

    assert {bool(event.flags & EventFlag.AT_EXIT) for event in recorded.events} == {at_exit}
    for event in recorded.events:
        if at_exit or event.flags & EventFlag.UNSENT:
            assert event.duration_ns is None
        else:
            assert event.duration_ns > 0


def test_nothing_is_flagged_that_is_not_special(recorded):
    special = (
        EventFlag.TRUNCATED | EventFlag.READ_AT_EXIT | EventFlag.UNREADABLE | EventFlag.UNFINISHED
    ) | (EventFlag.RESULT_LOST | EventFlag.PAYLOAD_LOST)

    flagged = [event for event in recorded.events if event.flags & special]
    assert [(event.fd, event.flags & special) for event in flagged] == [
        (FDS["WRITEV_TOO_MANY"], EventFlag.UNREADABLE)
    ]
