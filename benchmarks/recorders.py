"""The recorders that are compared: how each is started, and what it kept.

Each launches the writer itself, so that it is attached before the writer says that it is ready.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.launch import MeasurementError, last_line

WCAP = (sys.executable, "-m", "wcap")
_ENTER, _EXIT = "tracepoint:syscalls:sys_enter_write", "tracepoint:syscalls:sys_exit_write"
_EMPTY = f"{_ENTER} {{ }} {_EXIT} {{ }}"
_COUNT = (
    f"{_ENTER} /pid == cpid/ {{ @entered = count(); }} "
    f"{_EXIT} /pid == cpid/ {{ @returned = count(); }}"
)
_PRINT = (
    f"{_ENTER} /pid == cpid/ "
    r'{ printf("write %d %d %d %r\n", pid, tid, args->fd, buf(args->buf, args->count)); }'
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a recorder has of the writes: ``events``, and how many of them it says it lost."""

    events: int
    lost: int | None = None


@dataclass(frozen=True, slots=True)
class Recorder:
    """A way to record the writer.

    Attributes:
        name: as the table calls it.
        tool: the program that must be installed; None for wcap, and for no recorder at all.
        command: the command line, from the output's path and the writer's command line.
        kept: what it recorded, from the output's path and what it said on standard error;
            None where it records nothing.
        share: of the round's writes that it is given: the slow ones would take minutes.
        waits: whether it waits for the writer's end, whose CPU time is then counted with its own.
        stores: whether it stores something of each write.
    """

    name: str
    tool: str | None
    command: Callable[[Path, Sequence[str]], list[str]]
    kept: Callable[[Path, str], Kept] | None
    share: float
    waits: bool = True
    stores: bool = True

    @property
    def absence(self) -> str | None:
        """Why it cannot be used: its program is not installed. None when it is."""
        if self.tool is None or shutil.which(self.tool):
            return None
        return f"absent: no {self.tool} on this machine"


def _wcap(*options: str) -> Callable[[Path, Sequence[str]], list[str]]:
    def command(output: Path, writer: Sequence[str]) -> list[str]:
        return [*WCAP, "record", *options, "-o", str(output), "--", *writer]

    return command


def _bpftrace(program: str) -> Callable[[Path, Sequence[str]], list[str]]:
    def command(output: Path, writer: Sequence[str]) -> list[str]:
        return ["bpftrace", "-o", str(output), "-e", program, "-c", shlex.join(writer)]

    return command


def _bpftrace_buffered(output: Path, writer: Sequence[str]) -> list[str]:
    # Pages of 4 KiB for each CPU: as much as wcap has for all.
    return ["env", "BPFTRACE_PERF_RB_PAGES=16384", *_bpftrace(_PRINT)(output, writer)]


def _strace(*options: str) -> Callable[[Path, Sequence[str]], list[str]]:
    def command(output: Path, writer: Sequence[str]) -> list[str]:
        chosen = ["-s", "4096", "-ttt", "-T", "-e", "trace=write", "-o", str(output)]
        return ["strace", "-f", *options, *chosen, *writer]

    return command


def _perf_trace(output: Path, writer: Sequence[str]) -> list[str]:
    return ["perf", "trace", "-e", "write", "-o", str(output), "--", *writer]


def _perf_record(output: Path, writer: Sequence[str]) -> list[str]:
    events = "syscalls:sys_enter_write,syscalls:sys_exit_write"
    return ["perf", "record", "-e", events, "-o", str(output), "--", *writer]


def kept_by_wcap(output: Path, syscall: str | None = "write") -> Kept:
    """Read what a capture has: events of one system call, or all; and how many it says it lost.

    Raises:
        MeasurementError: it cannot be read.
    """
    stats = [*WCAP, "stats", "--json", "--by", "syscall", str(output)]
    done = subprocess.run(stats, capture_output=True, text=True, check=False)
    # Status 3 says that events are missing, and so does what is printed.
    if done.returncode not in (0, 3):
        raise MeasurementError(last_line(done.stderr) or f"wcap stats returned {done.returncode}")
    found = json.loads(done.stdout)
    events = {of["syscall"]: of["events"] for of in found["by"]["syscall"]}
    return Kept(sum(events.values()) if syscall is None else events.get(syscall, 0), found["lost"])


def _of_wcap(output: Path, _: str) -> Kept:
    # What the writer says of itself, by writev, is recorded too, but is no part of the workload.
    return kept_by_wcap(output)


def occurrences(output: Path, words: bytes) -> int:
    """Count words in a file that need not fit into memory."""
    count, tail = 0, b""
    with output.open("rb") as stream:
        while block := stream.read(1 << 22):
            # A tail is shorter than the words, so nothing is counted twice.
            count += (tail + block).count(words)
            tail = block[-(len(words) - 1) :]
    return count


def _printed(output: Path, _: str) -> Kept:
    return Kept(occurrences(output, b"\nwrite "))


def _calls(output: Path, _: str) -> Kept:
    return Kept(occurrences(output, b" write("))


def _counted(output: Path, _: str) -> Kept:
    return Kept(counted(output.read_text()))


def counted(printed: str) -> int:
    """Read what bpftrace counted out of what it printed at its end.

    Raises:
        MeasurementError: it counted nothing.
    """
    found = re.search(r"@returned: (\d+)", printed)
    if found is None:
        raise MeasurementError("it counted no writes")
    return int(found[1])


def _samples(_: Path, said: str) -> Kept:
    """Read what perf record kept out of its last words; a write is two samples."""
    found = re.search(r"\((\d+) samples\)", said)
    if found is None:
        raise MeasurementError("it took no samples; does another program trace write(2)?")
    return Kept(int(found[1]) // 2)


BARE = Recorder("nothing attached", None, lambda _, writer: [*writer], None, 1, stores=False)
EMPTY = Recorder("empty probes", "bpftrace", _bpftrace(_EMPTY), None, 1, stores=False)
FLOOR = Recorder("bpftrace, counting", "bpftrace", _bpftrace(_COUNT), _counted, 1, stores=False)
WCAP_RECORD = Recorder("wcap record", None, _wcap(), _of_wcap, 1)
WCAP_EXIT = Recorder("wcap record --at exit", None, _wcap("--at", "exit"), _of_wcap, 1)
WCAP_LOSSLESS = Recorder("wcap record --lossless", None, _wcap("--lossless"), _of_wcap, 1)
WCAP_WHOLE = Recorder("wcap record -s 0", None, _wcap("-s", "0"), _of_wcap, 1 / 4)
PERF_RECORD = Recorder("perf record, no payload", "perf", _perf_record, _samples, 1 / 4)
BPFTRACE = Recorder("bpftrace, printing", "bpftrace", _bpftrace(_PRINT), _printed, 1 / 4)
BPFTRACE_BUFFERED = Recorder(
    "the same, 64 MiB buffers", "bpftrace", _bpftrace_buffered, _printed, 1 / 20
)
PERF_TRACE = Recorder("perf trace, no payload", "perf", _perf_trace, _calls, 1 / 100, waits=False)
STRACE = Recorder("strace", "strace", _strace(), _calls, 1 / 100)
STRACE_SECCOMP = Recorder(
    "strace --seccomp-bpf", "strace", _strace("--seccomp-bpf"), _calls, 1 / 100
)

RECORDERS = (
    BARE,
    EMPTY,
    FLOOR,
    WCAP_RECORD,
    WCAP_EXIT,
    WCAP_LOSSLESS,
    PERF_RECORD,
    BPFTRACE,
    BPFTRACE_BUFFERED,
    PERF_TRACE,
    STRACE,
    STRACE_SECCOMP,
)
# Those that are compared at other sizes, and a few of them in short runs.
PRINCIPAL = (BARE, FLOOR, WCAP_RECORD, WCAP_EXIT, BPFTRACE, STRACE_SECCOMP)
FEW = (BARE, WCAP_RECORD, STRACE_SECCOMP)
