"""Calls that do not go through: refused, cut short, interrupted, killed, or never ending."""

from __future__ import annotations

import errno

import pytest
from kernel.support import CALLS, as_code, numbered, record_whole

from wcap.events import EventFlag

pytestmark = pytest.mark.kernel

PATTERN = bytes(range(251)) * 4000
CALLS_THAT_BLOCK = ("WRITE", "WRITEV", "SENDMSG", "SENDMMSG", "SPLICE")
FDS = numbered(
    *("SHORT_WRITE", "SHORT_WRITEV", "SHORT_SENDTO", "SHORT_SENDMSG", "SHORT_SPLICE"),
    *("CLOSED_WRITEV", "CLOSED_SENDTO", "CLOSED_SENDMSG", "CLOSED_SENDMMSG"),
    *("PART", *(f"KILLED_{name}" for name in CALLS_THAT_BLOCK)),
    *(f"BROKEN_{name}" for name in CALLS_THAT_BLOCK),
    *(f"RESTARTED_{name}" for name in CALLS_THAT_BLOCK),
    *("EXECUTED", *(f"STUCK_{name}" for name in CALLS_THAT_BLOCK)),
)
# ERESTARTSYS (include/linux/errno.h): the program sees EINTR, or the call is made again.
BROKEN_OFF = -512
NOTHING_SPECIAL = EventFlag(0)

WORKLOAD = (
    CALLS
    + as_code(FDS)
    + """
PATTERN = bytes(range(251)) * 4000
kept = []

def stream_at(fd, blocking=True):
    one, other = socket.socketpair()
    one.setblocking(blocking)
    at(fd, one.detach())
    return other

def full_pipe_at(fd):
    kept.append(pipe_at(fd, PAGE))
    fill_by_dup(fd)
    return kept[-1]

def full_stream_at(fd):
    kept.append(stream_at(fd))
    fill_by_dup(fd)
    return kept[-1].fileno()

def fill_by_dup(fd):
    # By another descriptor, so that only what is tested is written to this one.
    other = os.dup(fd)
    os.set_blocking(fd, False)
    for size in (PAGE, 1):
        try:
            while True: os.write(other, bytes(size))
        except BlockingIOError:
            pass
    os.set_blocking(fd, True)
    os.close(other)

def by_write(fd): return call("write", fd, b"in vain", 7)
def by_writev(fd): return call("writev", fd, vector([b"in ", b"vain"]), 2)
def by_sendmsg(fd): return call("sendmsg", fd, header([b"in ", b"vain"]), 0)
def by_sendmmsg(fd): return call("sendmmsg", fd, headers([([b"in "],), ([b"vain"],)]), 2, 0)
def by_splice(fd): return call("splice", source, 0, fd, 0, 7, 0)

source, writing = os.pipe()
os.write(writing, bytes(1000))
BLOCKING = dict(WRITE=(full_pipe_at, by_write), WRITEV=(full_pipe_at, by_writev),
    SENDMSG=(full_stream_at, by_sendmsg), SENDMMSG=(full_stream_at, by_sendmmsg),
    SPLICE=(full_pipe_at, by_splice))

def refused_and_short():
    for fd in (SHORT_WRITE, SHORT_WRITEV, SHORT_SPLICE):
        kept.append(pipe_at(fd, PAGE)); os.set_blocking(fd, False)
    for fd in (SHORT_SENDTO, SHORT_SENDMSG):
        kept.append(stream_at(fd, blocking=False))
    for _ in range(2):
        call("write", SHORT_WRITE, PATTERN, 3 * PAGE)
        call("writev", SHORT_WRITEV, vector([PATTERN[:PAGE - 5], PATTERN[PAGE - 5:3 * PAGE]]), 2)
        call("sendto", SHORT_SENDTO, PATTERN, len(PATTERN), 0, 0, 0)
        call("sendmsg", SHORT_SENDMSG, header([b"", PATTERN]), 0)
        call("splice", source, 0, SHORT_SPLICE, 0, 7, 2)
    os.close(pipe_at(CLOSED_WRITEV)); call("writev", CLOSED_WRITEV, vector([b"no", b"body"]), 2)
    for fd in (CLOSED_SENDTO, CLOSED_SENDMSG, CLOSED_SENDMMSG):
        stream_at(fd).close()
    call("sendto", CLOSED_SENDTO, b"nobody", 6, 0, 0, 0)
    call("sendmsg", CLOSED_SENDMSG, header([b"no", b"body"]), 0)
    call("sendmmsg", CLOSED_SENDMMSG, headers([([b"nobody"],), ([b"never"],)]), 2, 0)

def blocked_child(action, fd, restart=None):
    pid = os.fork()
    if pid == 0:
        for number in (0, 1, 2):
            os.close(number)
        if restart is not None:
            signal.signal(signal.SIGUSR1, lambda *_: None)
            signal.siginterrupt(signal.SIGUSR1, not restart)
        action(fd)
        os._exit(0)
    wait_until_in_call(pid)
    return pid

def pending_signals(pid):
    status = open(f"/proc/{pid}/status").read()
    return int(status.partition("ShdPnd:")[2].split()[0], 16)

def killed():
    for name, (full_at, action) in BLOCKING.items():
        fd = globals()["KILLED_" + name]
        full_at(fd)
        pid = blocked_child(action, fd)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

def interrupted():
    for name, (full_at, action) in BLOCKING.items():
        fd = globals()["BROKEN_" + name]
        full_at(fd)
        pid = blocked_child(action, fd, restart=False)
        os.kill(pid, signal.SIGUSR1)
        os.waitpid(pid, 0)

def restarted():
    for name, (full_at, action) in BLOCKING.items():
        fd = globals()["RESTARTED_" + name]
        reading = full_at(fd)
        pid = blocked_child(action, fd, restart=True)
        os.kill(pid, signal.SIGUSR1)
        while pending_signals(pid):
            time.sleep(0.001)
        wait_until_in_call(pid)
        os.set_blocking(reading, False)
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            try:
                os.read(reading, 1 << 20)
            except BlockingIOError:
                time.sleep(0.001)

def partly():
    reading = pipe_at(PART, PAGE)
    kept.append(reading)
    pid = blocked_child(lambda fd: call("write", fd, PATTERN, 3 * PAGE), PART, restart=False)
    os.kill(pid, signal.SIGUSR1)
    os.waitpid(pid, 0)

def executed():
    full_pipe_at(EXECUTED)
    pid = os.fork()
    if pid == 0:
        thread = threading.Thread(target=by_write, args=(EXECUTED,), daemon=True)
        thread.start()
        while not thread.native_id:
            time.sleep(0.001)
        wait_until_in_call(os.getpid(), thread.native_id)
        os.execv("/bin/true", ["true"])
    os.waitpid(pid, 0)

signal.signal(signal.SIGPIPE, signal.SIG_IGN)
for part in (refused_and_short, killed, interrupted, restarted, partly, executed):
    part()
for name, (full_at, action) in BLOCKING.items():
    full_at(globals()["STUCK_" + name])
    blocked_child(action, globals()["STUCK_" + name])
"""
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    output = tmp_path_factory.mktemp("interrupted") / "run.wcap"
    return record_whole(WORKLOAD, output=output)


@pytest.fixture
def told(recorded):
    """Return of each event to a descriptor: payload, result, flags."""

    def told_of(name):
        return [
            (event.data, event.returned, event.flags)
            for event in recorded.events
            if event.fd == FDS[name]
        ]

    return told_of


def in_vain(name, returned, flags=NOTHING_SPECIAL):
    """Return what is told of a call of that kind that came to this."""
    if name == "SENDMMSG":
        of_next = flags or EventFlag.UNSENT
        return [(b"in ", returned, flags), (b"vain", None, of_next)]
    if name == "SPLICE":
        flags |= EventFlag.NO_PAYLOAD | EventFlag.HAS_SOURCE
        return [(b"", returned, flags)]
    return [(b"in vain", returned, flags)]


@pytest.mark.parametrize("name", ["SHORT_WRITE", "SHORT_WRITEV", "SHORT_SENDTO", "SHORT_SENDMSG"])
def test_a_short_write_has_all_that_was_asked_and_the_next_is_refused(name, told):
    (first, taken, _), (again, refused, _) = told(name)

    whole = PATTERN[: 3 * 4096] if "WRITE" in name else PATTERN
    assert first == again == whole
    assert 0 < taken < len(whole)
    assert refused == -errno.EAGAIN


def test_a_splice_to_what_is_full_is_refused(told):
    assert [returned for _, returned, _ in told("SHORT_SPLICE")] == [7, -errno.EAGAIN]


def test_what_is_sent_to_nobody_has_its_payload_and_its_error(told):
    for name in ("CLOSED_WRITEV", "CLOSED_SENDTO", "CLOSED_SENDMSG"):
        assert told(name) == [(b"nobody", -errno.EPIPE, NOTHING_SPECIAL)]
    first, second = told("CLOSED_SENDMMSG")
    assert first == (b"nobody", -errno.EPIPE, NOTHING_SPECIAL)
    assert second == (b"never", None, EventFlag.UNSENT)


@pytest.mark.parametrize("name", CALLS_THAT_BLOCK)
def test_a_thread_killed_in_a_call_leaves_what_it_tried(name, told):
    assert told(f"KILLED_{name}") == in_vain(name, BROKEN_OFF)


@pytest.mark.parametrize("name", CALLS_THAT_BLOCK)
def test_a_call_interrupted_for_good_is_one_event(name, told):
    assert told(f"BROKEN_{name}") == in_vain(name, BROKEN_OFF)


@pytest.mark.parametrize("name", CALLS_THAT_BLOCK)
def test_a_call_that_the_kernel_restarts_is_another_event_with_the_result(name, told):
    events = told(f"RESTARTED_{name}")

    assert events[: len(events) // 2] == in_vain(name, BROKEN_OFF)
    sent = [event[1] for event in events[len(events) // 2 :]]
    assert sent == ([3, 4] if name == "SENDMMSG" else [7])
    assert [event[0] for event in events[len(events) // 2 :]] == [
        event[0] for event in in_vain(name, 7)
    ]


def test_a_call_interrupted_on_the_way_is_a_short_one(told):
    assert told("PART") == [(PATTERN[: 3 * 4096], 4096, NOTHING_SPECIAL)]


def test_a_thread_that_an_exec_of_another_ends_leaves_what_it_tried(told):
    assert told("EXECUTED") == in_vain("WRITE", BROKEN_OFF)


@pytest.mark.parametrize("name", CALLS_THAT_BLOCK)
def test_a_call_that_never_ends_is_unfinished(name, recorded, told):
    assert told(f"STUCK_{name}") == in_vain(name, None, EventFlag.UNFINISHED)
    assert recorded.end.lost_results == {}
