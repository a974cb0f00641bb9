"""Programs that write in ways that no tracepoint of a system call sees are told of."""

from __future__ import annotations

import json
import platform
import struct
import subprocess

import pytest
from kernel.support import ENVIRONMENT, WCAP, Puppet, python, record

from wcap.events import Bypass

pytestmark = pytest.mark.kernel

# io_uring_setup and io_uring_enter (425, 426), struct io_uring_params and io_uring_sqe
# (include/uapi/linux/io_uring.h): one request to write.
URING = """
import struct
def ring(flags=0):
    params = bytearray(120)
    struct.pack_into("III", params, 8, flags, 0, 1000)
    where = (ctypes.c_char * 120).from_buffer(params)
    fd = libc.syscall(425, 4, where)
    assert fd >= 0, ctypes.get_errno()
    head, tail, mask, entries, flags, dropped, array = struct.unpack_from("7I", params, 40)
    queue = mmap.mmap(fd, 4096, offset=0)
    requests = mmap.mmap(fd, 4096, offset=0x10000000)
    return fd, queue, requests, tail, array

def write_by(ring, target, text, operation=23, waking=0):
    fd, queue, requests, tail, array = ring
    kept = ctypes.create_string_buffer(text)
    place = struct.unpack_from("I", queue, tail)[0]
    row = place % 4
    struct.pack_into("BBHiQQIIQ", requests, 64 * row,
        operation, 0, 0, target, 0, ctypes.addressof(kept), len(text), 0, 0)
    struct.pack_into("I", queue, array + 4 * row, row)
    struct.pack_into("I", queue, tail, place + 1)
    assert libc.syscall(426, fd, 1, 1, 1 | waking, None, 0) == 1
    kept.value
"""


def uring_is_there() -> bool:
    done = subprocess.run(python(URING + "ring()"), check=False, capture_output=True)
    return done.returncode == 0


needs_uring = pytest.mark.skipif(not uring_is_there(), reason="io_uring is refused here")
needs_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="makes a program for x86")


def info_of(path):
    done = subprocess.run(
        [*WCAP, "info", "--json", path], env=ENVIRONMENT, capture_output=True, check=False
    )
    return done.returncode, json.loads(done.stdout)


@needs_uring
def test_what_is_written_through_io_uring_is_told_everywhere(tmp_path):
    code = (
        "its = ring()\nfor _ in range(7): write_by(its, null, b'unseen')\nos.write(null, b'seen')"
    )

    done = record("--", *python(URING + code), output=tmp_path / "a.wcap")

    [bypass] = done.end.bypassed
    assert (bypass.how, bypass.count) == ("io_uring", 7)
    assert done.payloads == [b"seen"]
    assert done.status == 3
    assert any("wrote through io_uring" in line for line in done.said)
    status, found = info_of(done.path)
    assert (status, found["complete"]) == (3, False)
    [said] = [line for line in found["missing"] if "io_uring" in line]
    assert said.endswith("wrote through io_uring: 7 requests are not in this capture")


@needs_uring
@pytest.mark.parametrize("chosen", ["pid", "comm"])
def test_a_ring_that_was_set_up_before_recording_began_is_told_of(chosen, tmp_path):
    before = URING + "rename(b'ringing'); its = ring(); write_by(its, null, b'before')"

    with Puppet("for _ in range(5): write_by(its, null, b'x')", before=before) as puppet:
        option = ("-p", str(puppet.pid)) if chosen == "pid" else ("-c", "ringing")
        done = record(*option, output=tmp_path / "a.wcap", during=puppet.perform)

    assert done.end.bypassed == (Bypass(puppet.pid, "ringing", "io_uring", 5),)
    assert done.status == 3


@needs_uring
def test_a_ring_that_a_thread_of_the_kernel_empties_is_told_of(tmp_path):
    # IORING_SETUP_SQPOLL and IORING_ENTER_SQ_WAKEUP
    code = URING + "its = ring(2); write_by(its, null, b'x', waking=2)"

    done = record("--", *python(code), output=tmp_path / "a.wcap")

    [bypass] = done.end.bypassed
    assert (bypass.how, bypass.count, done.status) == ("io_uring", 1, 3)


@needs_uring
def test_a_ring_that_is_not_used_to_write_is_not_told_of(tmp_path):
    code = URING + "its = ring()\nfor _ in range(7): write_by(its, null, b'', operation=0)"

    done = record("--", *python(code), output=tmp_path / "a.wcap")

    assert (done.end.bypassed, done.status) == ((), 0)


# A 32-bit ELF program: write(1, "unseen\n", 7), exit(0), by int 0x80.
CODE = (
    b"\xb8\x04\x00\x00\x00\xbb\x01\x00\x00\x00\xb9\x76\x80\x04\x08\xba\x07\x00\x00\x00\xcd\x80"
    b"\xb8\x01\x00\x00\x00\x31\xdb\xcd\x80"
)


def make_32_bit_program(path, code=CODE):
    base, head = 0x08048000, 52 + 32
    text = code + b"unseen\n"
    code = code.replace(b"\x76\x80\x04\x08", struct.pack("<I", base + head + len(code)))
    text = code + b"unseen\n"
    header = b"\x7fELF\x01\x01\x01" + bytes(9)
    header += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + head, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack(
        "<IIIIIIII", 1, 0, base, base, head + len(text), head + len(text), 5, 4096
    )
    path.write_bytes(header + segment + text)
    path.chmod(0o755)
    return path


@needs_x86
def test_a_32_bit_program_is_told_everywhere(tmp_path):
    program = make_32_bit_program(tmp_path / "old")

    done = record("--", "sh", "-c", f"echo seen; {program}; true", output=tmp_path / "a.wcap")

    assert done.stdout == b"seen\nunseen\n"
    assert done.payloads == [b"seen\n"]
    [bypass] = done.end.bypassed
    assert (bypass.comm, bypass.how, bypass.count) == ("old", "compat", None)
    assert done.status == 3
    assert any("(old) is a 32-bit program" in line for line in done.said)
    _, found = info_of(done.path)
    assert any("(old) is a 32-bit program: its writes are not" in m for m in found["missing"])


# pause() (29) instead of the write and exit.
PAUSE = b"\xb8\x1d\x00\x00\x00\xcd\x80"


@needs_x86
@pytest.mark.parametrize("chosen", ["pid", "comm"])
def test_a_32_bit_program_that_runs_already_is_told_too(chosen, tmp_path):
    program = make_32_bit_program(tmp_path / "old32", PAUSE)
    with subprocess.Popen([program]) as running:
        option = ("-p", str(running.pid)) if chosen == "pid" else ("-c", "old32")
        done = record(*option, "--duration", "100ms", output=tmp_path / "a.wcap")
        running.kill()

    assert [(one.pid, one.how) for one in done.end.bypassed] == [(running.pid, "compat")]
    assert done.status == 3


def test_who_uses_neither_is_not_told_of(tmp_path):
    done = record("--", *python("os.write(null, b'x')"), output=tmp_path / "a.wcap")

    assert done.end.bypassed == ()
    assert done.status == 0
