"""Recordings of real processes: a recorder to start and stop, and processes for it to record."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import wcap
from wcap.batch import EventBatch
from wcap.cli import main
from wcap.events import Event, Gap, Process
from wcap.format import End, Header

# Nothing here takes that long; what does is stuck.
PATIENCE_SECONDS = 20
# The wcap that this process imports, wherever the recorder runs.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(wcap.__file__).parents[1])}
WCAP = (sys.executable, "-m", "wcap")

# What workloads start with. Threads get their names by prctl, for a name written to /proc would
# be one more write.
_PRELUDE = """
import ctypes, errno, mmap, os, signal, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
null = os.open("/dev/null", os.O_WRONLY)

def rename(name):
    libc.prctl(15, name)  # PR_SET_NAME

def raw_write(fd, address, count):
    return libc.write(fd, ctypes.c_void_p(address), ctypes.c_size_t(count))
"""


# What workloads that call the kernel in ways of their own go on with. `note` leaves a fact for the
# test to find: it writes to NOTES, which is /dev/null.
NOTES = 99
CALLS = f"""
import json, socket, struct

PAGE = mmap.PAGESIZE
NOTES = {NOTES}
os.dup2(null, NOTES)
libc.mmap.restype = ctypes.c_void_p

def note(name, value):
    os.write(NOTES, json.dumps([name, value]).encode())

def at(fd, opened):
    os.dup2(opened, fd)
    os.close(opened)

def pipe_at(fd, capacity=1 << 20):
    reading, writing = os.pipe()
    at(fd, writing)
    libc.fcntl(fd, 1031, capacity)  # F_SETPIPE_SZ
    return reading

def null_at(fd):
    os.dup2(null, fd)

def call(name, fd, *arguments):
    # Make a system call; what are no numbers are buffers.
    words = [ctypes.c_long(fd)]
    for argument in arguments:
        words.append(ctypes.c_long(argument) if isinstance(argument, int) else argument)
    return libc.syscall(ctypes.c_long(NUMBERS[name]), *words)

NUMBERS = dict(write=1, pwrite64=18, writev=20, sendto=44, sendmsg=46, tee=276, splice=275,
    vmsplice=278, pwritev=296, sendmmsg=307, pwritev2=328, copy_file_range=326, sendfile=40)
if os.uname().machine == "aarch64":
    NUMBERS = dict(write=64, pwrite64=68, writev=66, sendto=206, sendmsg=211, tee=77, splice=76,
        vmsplice=75, pwritev=70, sendmmsg=269, pwritev2=287, copy_file_range=285, sendfile=71)

def vector(segments):
    # An array of struct iovec; a segment is bytes, None for a null pointer, or (address, size).
    words, kept = [], []
    for segment in segments:
        if isinstance(segment, bytes):
            kept.append(ctypes.create_string_buffer(segment, max(len(segment), 1)))
            segment = (ctypes.addressof(kept[-1]), len(segment))
        words += segment or (0, 0)
    array = (ctypes.c_uint64 * max(len(words), 1))(*words)
    array.kept = kept
    return array

def header(segments, address=None):
    # A struct msghdr as words.
    iov = vector(segments)
    name = ctypes.create_string_buffer(address, len(address)) if address else None
    words = (ctypes.c_uint64 * 7)(ctypes.addressof(name) if name else 0, len(address or b""),
        ctypes.addressof(iov), len(segments))
    words.kept = iov, name
    return words

def headers(messages):
    # An array of struct mmsghdr: each message is (segments, address).
    made = [header(*message) for message in messages]
    array = (ctypes.c_uint64 * (8 * len(made)))(*[word for one in made for word in (*one, 0)])
    array.kept = made
    return array

def pages(count, protection=3):
    return libc.mmap(None, ctypes.c_size_t(count * PAGE), protection, 0x22, -1, 0)

def wait_until_in_call(pid, tid=None):
    # Wait until a thread is held up in one of the calls that write.
    place = f"/proc/{{pid}}/task/{{tid or pid}}/syscall"
    while open(place).read().split()[0] not in map(str, NUMBERS.values()):
        time.sleep(0.001)
"""


def numbered(*names: str, first: int = 100) -> dict[str, int]:
    """Give each name a file descriptor, for a workload to write to and a test to look for."""
    return {name: first + place for place, name in enumerate(names)}


def as_code(fds: Mapping[str, int]) -> str:
    """Return the Python that knows file descriptors by name."""
    return "".join(f"{name} = {fd}\n" for name, fd in fds.items())


def python(code: str) -> tuple[str, ...]:
    """Return a command that runs some Python, after ``import os`` and its like."""
    return (sys.executable, "-S", "-c", _PRELUDE + code)


@dataclass
class Recorded:
    """A recording that has ended.

    Attributes:
        status: of wcap; minus the signal if one ended it.
        said: the lines on standard error.
        stdout: of wcap and the command that it launched.
        path: of the capture.
    """

    status: int
    said: list[str]
    stdout: bytes
    path: Path

    @property
    def batches(self) -> list[EventBatch]:
        """All that was recorded; any damage raises."""
        return self._read[1]

    @property
    def count(self) -> int:
        """How many events were recorded."""
        return sum(map(len, self.batches))

    @cached_property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]

    @property
    def header(self) -> Header:
        return self._capture.header

    @property
    def end(self) -> End:
        end = self._capture.end
        assert end is not None
        return end

    @property
    def late_results(self) -> Mapping[tuple[int, int], tuple[int, int]]:
        return self._capture.late_results

    @property
    def gaps(self) -> list[Gap]:
        return self._capture.gaps

    @property
    def processes(self) -> list[Process]:
        """The processes that wrote, in the order in which they first did."""
        found = [batch.processes[row] for batch in self.batches for row in batch.process.tolist()]
        return list(dict.fromkeys(found))

    @property
    def payloads(self) -> list[bytes]:
        return [event.data for event in self.events]

    @property
    def notes(self) -> dict[str, Any]:
        """What the workload noted."""
        return dict(json.loads(event.data) for event in self.events if event.fd == NOTES)

    @property
    def whole(self) -> bool:
        """Whether the file was closed in the usual way."""
        return self._capture.indexed

    @property
    def _capture(self) -> wcap.Capture:
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[wcap.Capture, list[EventBatch]]:
        with wcap.open(self.path) as capture:
            return capture, list(capture.batches())


class Recorder:
    """A running ``wcap record``; leaving the context ends it, and what it launched."""

    def __init__(
        self,
        *options: str,
        output: Path | str | None,
        before: Sequence[str] = (),
        environment: dict[str, str] | None = None,
        stdout: int = subprocess.PIPE,
        stdin: int = subprocess.DEVNULL,
        folder: Path | None = None,
    ) -> None:
        self.path = Path(output or "-")
        self._said = b""
        chosen = () if output is None else ("-o", str(output))
        self.process = subprocess.Popen(
            [*before, *WCAP, "record", *chosen, *options],
            bufsize=0,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env={**ENVIRONMENT, **(environment or {})},
            cwd=folder,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    def wait_until_recording(self) -> Self:
        """Return when the recorder says that it records."""
        return self.wait_until_said("recording")

    def wait_until_said(self, words: str) -> Self:
        """Return when the recorder has said a line with these words."""
        assert self.process.stderr is not None
        while words.encode() not in self._said:
            line = self.process.stderr.readline()
            assert line, f"the recorder ended: {self._said.decode()}"
            self._said += line
        return self

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def finish(self, patience_seconds: float = PATIENCE_SECONDS) -> Recorded:
        """Wait until the recorder has ended."""
        stdout, said = self.process.communicate(timeout=patience_seconds)
        lines = (self._said + said).decode().splitlines()
        return Recorded(self.process.returncode, lines, stdout or b"", self.path)


def record(
    *options: str,
    output: Path | str | None,
    during: Callable[[], object] | None = None,
    **how: object,
) -> Recorded:
    """Record until Ctrl-C after ``during``; without it, until the recording ends by itself."""
    with Recorder(*options, output=output, **how) as recorder:
        if during is not None:
            recorder.wait_until_recording()
            during()
            recorder.signal(signal.SIGINT)
        return recorder.finish()


def record_whole(code: str, *options: str, output: Path) -> Recorded:
    """Record every byte that some Python writes; it must end well, and nothing be missing."""
    recorded = record("-s", "0", *options, "--", *python(code), output=output)
    assert recorded.status == 0, recorded.said
    assert (recorded.gaps, recorded.end.exit_status) == ([], 0), recorded.said
    return recorded


def assert_seamless(
    paths: Sequence[Path], *, first: Mapping[int, int] | None = None
) -> list[Event]:
    """See that each part proves itself, and goes on where the one before ended."""
    reached, events = dict(first or {}), list[Event]()
    for path in paths:
        assert main(["info", str(path)]) == 0, path
        with wcap.open(path) as capture:
            assert capture.header.after == reached
            part = [event for batch in capture.batches() for event in batch]
            for event in sorted(part, key=lambda event: event.sequence):
                assert event.sequence == reached.get(event.cpu, 0) + 1
                reached[event.cpu] = event.sequence
            assert {cpu: n for cpu, n in capture.end.sequences.items() if n} == reached
            events += part
    return events


def dumped(path: Path) -> tuple[Header, End | None, list[Event]]:
    """Return the events of a dump once it is whole; it must prove itself."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        assert time.monotonic() < deadline, path
        if path.exists() and path.stat().st_size:
            with wcap.open(path, errors="salvage") as capture:
                if capture.indexed and not capture.growing:
                    break
        time.sleep(0.01)
    assert main(["info", str(path)]) == 0
    with wcap.open(path) as capture:
        return capture.header, capture.end, list(capture)


class Puppet:
    """A process that runs some Python when told to, and until then waits.

    Args:
        code: what to run; it must read nothing from standard input.
        before: what to run first, before this constructor returns.
    """

    def __init__(self, code: str, *, before: str = "") -> None:
        waiting = f"{before}\nos.write(1, b'+')\nos.read(0, 1)\n"
        self.process = subprocess.Popen(
            python(waiting + code), bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.read(1) == b"+"

    @property
    def pid(self) -> int:
        return self.process.pid

    def go(self) -> None:
        """Let it run, and do not wait for its end."""
        self.process.stdin.write(b"!")

    def perform(self) -> bytes:
        """Let it run; return what it wrote to standard output once it has ended."""
        stdout, _ = self.process.communicate(b"!", timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0
        return stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            self.process.kill()
        self.process.communicate()
