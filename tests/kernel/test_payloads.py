"""What is in the capture of a write: its bytes, its result, how long it took, what is absent.

One workload makes every kind of write, each to a file descriptor of its own, and is recorded
through both transports.
"""

from __future__ import annotations

import errno
import subprocess

import pytest
from kernel.support import python, record

import wcap
from wcap.cli import main
from wcap.events import EventFlag

pytestmark = [pytest.mark.kernel, pytest.mark.smoke]

SNAPLEN = 32 << 10
SIZES = (0, 1, 255, 256, 4095, 4096, 4097, 8191, 8192, 32767, 32768, 32769)
BORDER_SIZES = (1, 64, 4095, 4096, 4097)
PATTERN = bytes(range(256)) * 256

# The file descriptors that the workload writes to.
FDS = {
    name: 100 + place
    for place, name in enumerate(
        (
            "SIZED",
            "BORDER",
            "NOT_RESIDENT",
            "NEVER_READ",
            "UNMAPPED",
            "HALF_MAPPED",
            "NO_READER",
            "FULL",
            "NOT_OPEN",
            "SLOW",
            "KILLED",
            "STUCK",
        )
    )
}

WORKLOAD = (
    "\n".join(f"{name} = {fd}" for name, fd in FDS.items())
    + f"""
import fcntl, tempfile

PAGE = mmap.PAGESIZE
PATTERN = bytes(range(256)) * 256
libc.mmap.restype = ctypes.c_void_p

def pipe_at(fd, capacity=1 << 20):
    reading, writing = os.pipe()
    os.dup2(writing, fd)
    os.close(writing)
    fcntl.fcntl(fd, 1031, capacity)  # F_SETPIPE_SZ
    return reading

def pages_before_a_hole(count):
    start = libc.mmap(None, ctypes.c_size_t((count + 1) * PAGE), 3, 0x22, -1, 0)
    ctypes.memmove(start, PATTERN, count * PAGE)
    libc.munmap(ctypes.c_void_p(start + count * PAGE), ctypes.c_size_t(PAGE))
    return start + count * PAGE

def wait_until_asleep(pid):
    while open(f"/proc/{{pid}}/stat").read().rsplit(")", 1)[1].split()[0] != "S":
        time.sleep(0.01)

def child_blocked_at(fd, payload):
    reading = pipe_at(fd, PAGE)
    os.write(fd, bytes(PAGE))
    pid = os.fork()
    if pid == 0:
        for number in (0, 1, 2):
            os.close(number)
        os.write(fd, payload)
        os._exit(0)
    wait_until_asleep(pid)
    return pid

sized = pipe_at(SIZED)
for size in {SIZES}:
    os.write(SIZED, PATTERN[:size])
os.close(sized)

border = pipe_at(BORDER)
hole = pages_before_a_hole(2)
for size in {BORDER_SIZES}:
    raw_write(BORDER, hole - size, size)

# Fault-around brings in 16 pages at once: use one of every 64.
pipe_at(NOT_RESIDENT)
with tempfile.TemporaryFile() as file:
    for page in range(256):
        file.write(page.to_bytes(4, "little") * (PAGE // 4))
    file.flush()
    mapped = libc.mmap(None, ctypes.c_size_t(256 * PAGE), 1, 2, file.fileno(), 0)
for page in (0, 64, 128):
    raw_write(NOT_RESIDENT, mapped + page * PAGE, 100)
os.dup2(os.open("/dev/null", os.O_WRONLY), NEVER_READ)
raw_write(NEVER_READ, mapped + 192 * PAGE, 100)

pipe_at(UNMAPPED)
raw_write(UNMAPPED, hole, 23)
pipe_at(HALF_MAPPED)
raw_write(HALF_MAPPED, hole - PAGE, 2 * PAGE)

os.close(pipe_at(NO_READER))
libc.write(NO_READER, b"nobody", 6)

pipe_at(FULL, PAGE)
os.set_blocking(FULL, False)
libc.write(FULL, PATTERN[:3 * PAGE], 3 * PAGE)
libc.write(FULL, b"no room", 7)

libc.write(NOT_OPEN, b"nowhere", 7)

slow = pipe_at(SLOW, PAGE)
os.write(SLOW, bytes(PAGE))
writer = threading.Thread(target=os.write, args=(SLOW, b"patience"))
writer.start()

killed = child_blocked_at(KILLED, b"cut down")
os.kill(killed, signal.SIGKILL)
os.waitpid(killed, 0)

time.sleep(2.6)  # a write is handed on as unfinished within two seconds
os.read(slow, PAGE)
writer.join()

child_blocked_at(STUCK, b"for ever")
"""
)


@pytest.fixture(scope="module", params=["ring", "perf"])
def recorded(request, tmp_path_factory):
    output = tmp_path_factory.mktemp(request.param) / "run.wcap"
    command = ("--", *python(WORKLOAD))
    recorded = record("-s", "32K", "--transport", request.param, *command, output=output)
    assert recorded.status == 0, recorded.said
    return recorded


@pytest.fixture
def written(recorded):
    def written_to(name):
        return [event for event in recorded.events if event.fd == FDS[name]]

    return written_to


def test_a_payload_is_exactly_what_was_written_up_to_the_snaplen(written):
    events = written("SIZED")

    assert [event.count for event in events] == list(SIZES)
    assert [event.returned for event in events] == list(SIZES)
    assert [event.data == PATTERN[: min(event.count, SNAPLEN)] for event in events] == [True] * 12
    assert [event.flags for event in events] == [EventFlag(0)] * 11 + [EventFlag.TRUNCATED]


def test_a_payload_that_ends_where_memory_ends_is_read_in_full(written):
    events = written("BORDER")

    assert [event.data for event in events] == [(PATTERN[:8192])[-n:] for n in BORDER_SIZES]
    assert {event.flags for event in events} == {EventFlag(0)}


def test_what_is_not_in_memory_yet_is_read_when_the_write_ends(written):
    events = written("NOT_RESIDENT")

    assert [event.data for event in events] == [bytes([n, 0, 0, 0]) * 25 for n in (0, 64, 128)]
    assert {event.flags for event in events} == {EventFlag.READ_AT_EXIT}
    assert {event.returned for event in events} == {100}


def test_what_nobody_ever_read_is_flagged_though_the_write_succeeded(written):
    [event] = written("NEVER_READ")

    assert (event.count, event.returned, event.data) == (100, 100, b"")
    assert event.flags == EventFlag.UNREADABLE


def test_memory_that_is_not_there_is_flagged_and_never_shown_as_empty(recorded, written, capsys):
    [event] = written("UNMAPPED")

    assert (event.count, event.returned, event.data) == (23, -errno.EFAULT, b"")
    assert event.flags == EventFlag.UNREADABLE
    main(["show", str(recorded.path), "--fd", str(FDS["UNMAPPED"])])
    line = capsys.readouterr().out
    assert "EFAULT" in line
    assert '""' not in line


def test_of_memory_half_of_which_is_there_that_half_is_recorded(written):
    [event] = written("HALF_MAPPED")

    assert (event.count, event.returned) == (8192, 4096)
    assert event.data == PATTERN[:4096]
    assert event.flags == EventFlag.UNREADABLE


def test_a_failed_write_has_its_payload_and_its_error(written):
    def outcomes(name):
        return [(event.data, event.returned) for event in written(name)]

    assert outcomes("NO_READER") == [(b"nobody", -errno.EPIPE)]
    assert outcomes("NOT_OPEN") == [(b"nowhere", -errno.EBADF)]
    assert outcomes("FULL")[1] == (b"no room", -errno.EAGAIN)


def test_a_short_write_tells_what_was_asked_and_what_was_taken(written):
    event = written("FULL")[0]

    assert (event.count, event.returned) == (12288, 4096)
    assert event.data == PATTERN[:12288]


def test_a_write_that_waits_long_is_completed_by_a_late_result(recorded, written):
    _, event = written("SLOW")

    assert event.data == b"patience"
    assert (event.returned, event.flags) == (8, EventFlag(0))
    assert event.duration_ns > 1_400_000_000
    assert recorded.late_results[event.cpu, event.sequence] == (8, event.duration_ns)


def test_a_pipe_shows_a_write_that_waits_as_unfinished(recorded):
    with subprocess.Popen(["cat", str(recorded.path)], stdout=subprocess.PIPE) as pipe:
        events = [event for event in wcap.Capture(pipe.stdout) if event.fd == FDS["SLOW"]]

    assert (events[1].data, events[1].returned) == (b"patience", None)
    assert events[1].flags == EventFlag.UNFINISHED


def test_a_writer_killed_inside_a_write_leaves_what_it_tried(written):
    event = written("KILLED")[1]

    assert event.data == b"cut down"
    assert event.returned == -512  # ERESTARTSYS: the write was broken off


def test_a_write_under_way_at_the_end_is_unfinished(recorded, written):
    event = written("STUCK")[1]

    assert event.data == b"for ever"
    assert (event.returned, event.duration_ns) == (None, None)
    assert event.flags == EventFlag.UNFINISHED
    assert recorded.end.lost_results == {}


def test_events_are_in_order_of_time_and_numbered_without_a_hole(recorded):
    times = [event.time_ns for event in recorded.events]

    assert times == sorted(times)
    for cpu, last in recorded.end.sequences.items():
        numbers = [event.sequence for event in recorded.events if event.cpu == cpu]
        assert numbers == list(range(1, last + 1))
