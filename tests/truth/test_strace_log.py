"""Lines of every kind that ``strace -ff -v -xx`` prints become the writes that they tell of."""

from __future__ import annotations

import errno

import pytest
from truth.strace_log import SYSCALLS, Payload, Write, read_line, read_log
from truth.strace_values import Pointer, StraceError, read_arguments

AB = r'{iov_base="\x61\x62", iov_len=2}'
CDE = r'{iov_base="\x63\x64\x65", iov_len=3}'
GONE = "{iov_base=0x7efe6116bffa, iov_len=20}"


def message(segments, *, sent=None):
    """Return how strace prints one message of sendmmsg."""
    header = (
        f"{{msg_name=NULL, msg_namelen=0, msg_iov=[{', '.join(segments)}], "
        f"msg_iovlen={len(segments)}, msg_controllen=0, msg_flags=0}}"
    )
    return f"{{msg_hdr={header}{'' if sent is None else f', msg_len={sent}'}}}"


@pytest.mark.parametrize(
    ("line", "write"),
    [
        (r'write(1, "\x61\x00\xff", 3)            = 3', Write("write", 1, 3, 3, b"a\0\xff")),
        (r'write(7, "", 0) = 0', Write("write", 7, 0, 0)),
        (r'pwrite64(8, "\x61", 1, 7) = 1', Write("pwrite64", 8, 1, 1, b"a", offset=7)),
        (
            r'pwrite64(8, "\x61", 1, -1) = -1 EINVAL (Invalid argument)',
            Write("pwrite64", 8, 1, -errno.EINVAL, b"a", offset=-1),
        ),
        (f"writev(7, [{AB}, {CDE}], 2) = 5", Write("writev", 7, 5, 5, b"abcde")),
        ("writev(7, [], 0) = 0", Write("writev", 7, 0, 0)),
        (f"pwritev(8, [{AB}], 1, 5) = 2", Write("pwritev", 8, 2, 2, b"ab", offset=5)),
        (
            f"pwritev2(8, [{AB}], 1, 5, RWF_DSYNC) = 2",
            Write("pwritev2", 8, 2, 2, b"ab", offset=5),
        ),
        (f"pwritev2(8, [{AB}], 1, -1, 0) = 2", Write("pwritev2", 8, 2, 2, b"ab")),
        (r'sendto(3, "\x61", 1, 0, NULL, 0) = 1', Write("sendto", 3, 1, 1, b"a")),
        (
            r'sendto(5, "\x78", 1, MSG_DONTWAIT|MSG_NOSIGNAL, {sa_family=AF_INET, '
            r'sin_port=htons(9), sin_addr=inet_addr("\x31\x32")}, 16) = 1',
            Write("sendto", 5, 1, 1, b"x"),
        ),
        (
            r"sendmsg(3, {msg_name={sa_family=AF_UNIX, sun_path=@" + r'"\x61"}, msg_namelen=3, '
            rf'msg_iov=[{AB}, {{iov_base="", iov_len=0}}, {CDE}], msg_iovlen=3, '
            r"msg_control=[{cmsg_len=20, cmsg_level=SOL_SOCKET, cmsg_type=SCM_RIGHTS, "
            r"cmsg_data=[3]}], msg_controllen=24, msg_flags=0}, MSG_NOSIGNAL) = 5",
            Write("sendmsg", 3, 5, 5, b"abcde"),
        ),
        (
            r"sendmsg(3, {msg_name={sa_family=AF_INET6, sin6_port=htons(1), "
            r'sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "\x3a\x3a", &sin6_addr), '
            rf"sin6_scope_id=0}}, msg_namelen=28, msg_iov=[{AB}], msg_iovlen=1, "
            r"msg_controllen=0, msg_flags=0}, 0) = 2",
            Write("sendmsg", 3, 2, 2, b"ab"),
        ),
        ("sendfile(6, 7, [5] => [8], 3) = 3", Write("sendfile", 6, 3, 3, source_fd=7)),
        ("sendfile(6, 7, NULL, 3) = 0", Write("sendfile", 6, 3, 0, source_fd=7)),
        (
            "splice(5, NULL, 7, [20] => [23], 3, SPLICE_F_MOVE|SPLICE_F_MORE) = 3",
            Write("splice", 7, 3, 3, offset=20, source_fd=5),
        ),
        ("tee(6, 11, 5, 0) = 5", Write("tee", 11, 5, 5, source_fd=6)),
        (f"vmsplice(7, [{AB}, {GONE}], 2, 0) = 22", Write("vmsplice", 7, 22, 22)),
        (
            "copy_file_range(8, [0] => [1], 9, [20] => [21], 1, 0) = 1",
            Write("copy_file_range", 9, 1, 1, offset=20, source_fd=8),
        ),
    ],
    ids=lambda value: value.split("(")[0] if isinstance(value, str) else "",
)
def test_a_call_is_read_with_all_that_it_tells(line, write):
    assert read_line(line) == [write]


def test_every_call_that_wcap_records_is_known():
    assert set(SYSCALLS) == {
        *("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg"),
        *("sendfile", "splice", "tee", "vmsplice", "copy_file_range"),
    }


@pytest.mark.parametrize(
    ("text", "returned"),
    [
        ("0", 0),
        ("-1 EPIPE (Broken pipe)", -errno.EPIPE),
        ("-1 EAGAIN (Resource temporarily unavailable)", -errno.EAGAIN),
        ("? ERESTARTSYS (To be restarted if SA_RESTART is set)", -512),
        ("? ERESTARTNOINTR (To be restarted)", -513),
        ("?", None),
    ],
)
def test_a_result_is_a_number_an_error_or_unknown(text, returned):
    assert read_line(rf'write(9, "\x61", 1) = {text}') == [Write("write", 9, 1, returned, b"a")]


@pytest.mark.parametrize(
    ("line", "count", "data"),
    [
        ("write(6, 0x7efe6116bffa, 20) = -1 EFAULT (Bad address)", 20, b""),
        ("write(6, NULL, 3) = -1 EFAULT (Bad address)", 3, b""),
        (f"writev(6, [{AB}, {GONE}, {CDE}], 3) = 2", 25, b"ab"),
        (f"writev(6, [{AB}, ... /* 0x7efe6116c000 */], 3) = -1 EFAULT (Bad address)", None, b"ab"),
        ("writev(6, 0x8, 3) = -1 EFAULT (Bad address)", None, b""),
        ("sendmsg(3, NULL, 0) = -1 EFAULT (Bad address)", None, b""),
    ],
)
def test_memory_that_is_not_there_leaves_what_comes_before_it(line, count, data):
    [write] = read_line(line)

    assert (write.count, write.data, write.payload) == (count, data, Payload.UNREADABLE)


def test_no_bytes_are_whole_wherever_they_lie():
    [plain] = read_line("write(6, NULL, 0) = 0")
    [vector] = read_line("writev(6, [{iov_base=NULL, iov_len=0}, " + AB + "], 2) = 2")

    assert (plain.data, plain.payload) == (b"", Payload.WHOLE)
    assert (vector.data, vector.payload) == (b"ab", Payload.WHOLE)


def test_a_netlink_message_is_known_to_be_decoded():
    line = (
        "sendto(3, [{nlmsg_len=20, nlmsg_type=RTM_GETADDR, nlmsg_flags=NLM_F_REQUEST|NLM_F_DUMP}, "
        "{ifa_family=AF_UNSPEC, ...}], 20, 0, {sa_family=AF_NETLINK, nl_pid=0}, 12) = 20"
    )

    assert read_line(line) == [Write("sendto", 3, 20, 20, b"", Payload.UNKNOWN)]


def test_each_message_of_a_sendmmsg_has_its_own_length_and_result():
    messages = ", ".join([message([AB, CDE], sent=5), message([], sent=0), message([AB])])

    assert read_line(f"sendmmsg(3, [{messages}], 3, 0) = 2") == [
        Write("sendmmsg", 3, 5, 5, b"abcde"),
        Write("sendmmsg", 3, 0, 0),
        Write("sendmmsg", 3, 2, None, b"ab", unsent=True),
    ]
    assert read_line("sendmmsg(3, [], 0, 0) = 0") == []


def test_the_first_message_of_a_sendmmsg_that_failed_has_its_error():
    messages = ", ".join([message([GONE]), message([AB])])

    assert read_line(f"sendmmsg(3, [{messages}], 2, 0) = -1 EFAULT (Bad address)") == [
        Write("sendmmsg", 3, 20, -errno.EFAULT, b"", Payload.UNREADABLE),
        Write("sendmmsg", 3, 2, None, b"ab", unsent=True),
    ]


def test_messages_in_memory_that_is_not_there_are_still_counted():
    assert read_line("sendmmsg(3, 0x8, 2, 0) = -1 EFAULT (Bad address)") == [
        Write("sendmmsg", 3, None, -errno.EFAULT, b"", Payload.UNREADABLE),
        Write("sendmmsg", 3, None, None, b"", Payload.UNREADABLE, unsent=True),
    ]
    assert read_line(f"sendmmsg(3, [{message([AB], sent=2)}, ... /* 0x8 */], 2, 0) = 1") == [
        Write("sendmmsg", 3, 2, 2, b"ab"),
        Write("sendmmsg", 3, None, None, b"", Payload.UNREADABLE, unsent=True),
    ]


def test_of_a_vector_with_too_many_segments_nothing_is_known():
    [write] = read_line(f"writev(3, [{', '.join([AB] * 1025)}], 1025) = -1 EINVAL (Invalid)")

    assert (write.count, write.data, write.payload) == (None, b"", Payload.UNKNOWN)


@pytest.mark.parametrize(
    "line",
    ["+++ exited with 0 +++", "+++ killed by SIGKILL +++", "--- SIGPIPE {si_signo=SIGPIPE} ---"],
)
def test_an_end_or_a_signal_is_no_write(line):
    assert read_line(line) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "read(0, 0x7ffe, 5) = 0",
        r"<... write resumed>) = 3",
        r'write(1, "\x61\x62"..., 3) = 3',
        r'write(1, "\x61\x62", 3) = 3',
        r'write(1, "\x61", 1 <unfinished ...>',
        r'write(1, "\x61", 1)',
        r'write(1, "\x61", 1) = 1 (INJECTED)',
        f"writev(1, [{AB}, ...], 3) = 3",
    ],
)
def test_what_is_cut_or_not_known_is_an_error(line):
    with pytest.raises(StraceError):
        read_line(line)


def test_values_become_what_they_stand_for():
    text = r'-1, 0x1f, NULL, "\x61", [1, {a=2, b=X|Y}], f("\x62"), [3] => [4], ...) = 0'

    values, end = read_arguments(text.replace("...", "[5, ... /* 0x2 */]"))

    assert values == [
        -1, Pointer(0x1F), Pointer(0), b"a", [1, {"a": 2, "b": "X|Y"}], b"b", [3], [5, ...],
    ]  # fmt: skip
    assert text.replace("...", "[5, ... /* 0x2 */]")[end:] == " = 0"


def test_a_log_holds_the_writes_of_each_thread_in_order(tmp_path):
    lines = ['write(1, "\\x61", 1) = 1', "+++ exited with 0 +++", 'write(2, "\\x62", 1) = 1']
    (tmp_path / "thread.41").write_text("\n".join(lines))
    (tmp_path / "thread.42").write_text("+++ exited with 0 +++\n")

    log = {tid: list(writes) for tid, writes in read_log(tmp_path).items()}

    assert log == {41: [Write("write", 1, 1, 1, b"a"), Write("write", 2, 1, 1, b"b")], 42: []}
