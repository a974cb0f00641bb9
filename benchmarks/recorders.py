"""The recorders that are compared: how each is started, and what it kept.

Each launches the writer itself, so that it is attached before the writer says that it is ready.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.launch import MeasurementError, last_line

WCAP = (sys.executable, "-m", "wcap")
PAYLOAD = b"x" * 64

_BPFTRACE = (
    "tracepoint:syscalls:sys_enter_write /pid == cpid/ "
    r'{ printf("%d %d %d %r\n", pid, tid, args->fd, buf(args->buf, args->count)); }'
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
    """

    name: str
    tool: str | None
    command: Callable[[Path, Sequence[str]], list[str]]
    kept: Callable[[Path, str], Kept] | None
    share: float
    waits: bool = True


def _wcap(output: Path, writer: Sequence[str]) -> list[str]:
    return [*WCAP, "record", "-o", str(output), "--", *writer]


def _bpftrace(output: Path, writer: Sequence[str]) -> list[str]:
    return ["bpftrace", "-o", str(output), "-e", _BPFTRACE, "-c", shlex.join(writer)]


def _bpftrace_buffered(output: Path, writer: Sequence[str]) -> list[str]:
    # Pages of 4 KiB for each CPU: as much as wcap has for all.
    return ["env", "BPFTRACE_PERF_RB_PAGES=16384", *_bpftrace(output, writer)]


def _strace(output: Path, writer: Sequence[str]) -> list[str]:
    return ["strace", "-f", "-s", "4096", "-e", "trace=write", "-o", str(output), *writer]


def _perf_trace(output: Path, writer: Sequence[str]) -> list[str]:
    return ["perf", "trace", "-e", "write", "-o", str(output), "--", *writer]


def _perf_record(output: Path, writer: Sequence[str]) -> list[str]:
    events = "syscalls:sys_enter_write,syscalls:sys_exit_write"
    return ["perf", "record", "-e", events, "-o", str(output), "--", *writer]


def _kept_by_wcap(output: Path, _: str) -> Kept:
    stats = [*WCAP, "stats", "--json", "--by", "syscall", str(output)]
    done = subprocess.run(stats, capture_output=True, text=True, check=False)
    # Status 3 says that events are missing, and so does what is printed.
    if done.returncode not in (0, 3):
        raise MeasurementError(last_line(done.stderr) or f"wcap stats returned {done.returncode}")
    found = json.loads(done.stdout)
    # What the writer says of itself, by writev, is recorded too, but is no part of the workload.
    events = {of["syscall"]: of["events"] for of in found["by"]["syscall"]}
    return Kept(events.get("write", 0), found["lost"])


def _payloads(output: Path, _: str) -> Kept:
    return Kept(output.read_bytes().count(PAYLOAD))


def _calls(output: Path, _: str) -> Kept:
    return Kept(output.read_bytes().count(b" write("))


def _samples(_: Path, said: str) -> Kept:
    """Read what perf record kept out of its last words; a write is two samples."""
    found = re.search(r"\((\d+) samples\)", said)
    if found is None:
        raise MeasurementError("it took no samples; does another program trace write(2)?")
    return Kept(int(found[1]) // 2)


BARE = Recorder("nothing attached", None, lambda _, writer: [*writer], None, 1)
WCAP_RECORD = Recorder("wcap record", None, _wcap, _kept_by_wcap, 1)
PERF_RECORD = Recorder("perf record, no payload", "perf", _perf_record, _samples, 1 / 4)
BPFTRACE = Recorder("bpftrace", "bpftrace", _bpftrace, _payloads, 1 / 4)
BPFTRACE_BUFFERED = Recorder(
    "bpftrace, 64 MiB buffers", "bpftrace", _bpftrace_buffered, _payloads, 1 / 20
)
PERF_TRACE = Recorder("perf trace, no payload", "perf", _perf_trace, _calls, 1 / 100, waits=False)
STRACE = Recorder("strace", "strace", _strace, _payloads, 1 / 100)

RECORDERS = (BARE, WCAP_RECORD, PERF_RECORD, BPFTRACE, BPFTRACE_BUFFERED, PERF_TRACE, STRACE)
