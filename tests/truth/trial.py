"""Run scenarios under wcap and strace, together and apart.

Together, strace is the command that wcap launches, and the program is strace's: a tracer's stops do
not disturb tracepoints, and strace's own writes, which are recorded too, are left out. But strace
reads a payload before the tracepoint does, so all of it is in memory by then. Apart, wcap meets the
program as it is.

Every run of a scenario takes place in the same folder, ``work`` in the one given, emptied first.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from kernel.support import Recorded, Recorder
from truth.comparison import Comparison, compare
from truth.scenarios import Scenario
from truth.strace_log import SYSCALLS, read_log

import wcap

# A buffer so large that two cores and strace beside them lose nothing.
RECORD_OPTIONS = ("-f", "-s", "0", "-B", "1G")
PATIENCE_SECONDS = 900
# More than any payload here has, so strace cuts none.
LONGEST = 32 << 20


def observe(scenario: Scenario, size: int, folder: Path) -> Comparison:
    """Record and trace a scenario at once; return what the two differ in.

    A scenario that fails, and a recording that is not complete, are differences too.
    """
    logs = folder / "together"
    recorded = record(traced(scenario.command(size), logs), folder)
    with wcap.open(recorded.path) as capture:
        comparison = compare(read_log(logs), capture)
    if (recorded.status, recorded.end.exit_status) != (0, 0):
        comparison.differ(
            "the run",
            f"status {recorded.end.exit_status}, wcap's {recorded.status}: {recorded.said}",
        )
    return comparison


def record(command: Sequence[str], folder: Path) -> Recorded:
    """Record everything that a command writes."""
    work, surroundings = _prepare(folder)
    with Recorder(
        *(*RECORD_OPTIONS, "--force", "--", *command),
        output=folder / "run.wcap",
        environment=surroundings,
        folder=work,
    ) as recorder:
        return recorder.finish(PATIENCE_SECONDS)


def run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a command with nothing beside it."""
    work, surroundings = _prepare(folder)
    return subprocess.run(
        command,
        cwd=work,
        env={**os.environ, **surroundings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def traced(command: Sequence[str], logs: Path) -> list[str]:
    """Return a command that runs another and has strace log to a folder what its threads write."""
    logs.mkdir(parents=True)
    output = ("-ff", "-A", "-o", str(logs / "thread"))
    detail = ("-v", "-xx", "-s", str(LONGEST))
    chosen = ("--seccomp-bpf", "-e", "signal=none", "-e", f"trace={','.join(SYSCALLS)}")
    return ["strace", *output, *detail, *chosen, *command]


def _prepare(folder: Path) -> tuple[Path, dict[str, str]]:
    """Return an empty folder to work in, and the environment that scenarios rely on."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return work, {
        "HOME": str(work),
        "LC_ALL": "C",
        "TZ": "UTC",
        "PORT": str(port),
        "PYTHON": sys.executable,
    }
