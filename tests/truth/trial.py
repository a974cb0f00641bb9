"""Run scenarios under wcap and strace, together and apart.

Together, strace launches the program and wcap records it by its process number: a tracer's stops do
not disturb tracepoints. The program waits at a gate until both look. But strace reads a payload
before the tracepoint does, so all of it is in memory by then. Apart, wcap meets the program as it
is.

Every run of a scenario takes place in the same folder, ``work`` in the one given, emptied first.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from kernel.support import Recorded, Recorder
from truth.comparison import Comparison, compare
from truth.scenarios import Scenario
from truth.strace_log import SYSCALLS, read_log

import wcap

# The buffer bridges the moments in which a server, its clients and strace leave wcap no core.
RECORD_OPTIONS = ("-f", "-s", "0", "-B", "256M")
PATIENCE_SECONDS = 900
# More than any payload here has, so strace cuts none.
LONGEST = 32 << 20
# Runs a command in a child, of which strace says that it is there, once a line can be read.
GATE = ("bash", "-c", '(read -r _; exec "$@" </dev/null); exit $?', "gate")


def observe(scenario: Scenario, size: int, folder: Path) -> Comparison:
    """Record and trace a scenario at once; return what the two differ in.

    A scenario that fails, and a recording that is not complete, are differences too.
    """
    logs = folder / "together"
    with _traced_at_gate(scenario.command(size), logs, folder) as (strace, pid):
        options = (*RECORD_OPTIONS, "-p", str(pid))
        with Recorder(*options, output=folder / "run.wcap") as recorder:
            recorder.wait_until_recording()
            _, said = strace.communicate(b"\n", timeout=PATIENCE_SECONDS)
            recorder.signal(signal.SIGINT)
            recorded = recorder.finish(PATIENCE_SECONDS)
    comparison = Comparison()
    if strace.returncode != 0:
        comparison.differ("the program", f"status {strace.returncode}: {said[-500:]!r}")
    if recorded.status != 0:
        comparison.differ("wcap", f"status {recorded.status}: {recorded.said}")
    with wcap.open(recorded.path) as capture:
        compare(read_log(logs), capture, comparison)
    return comparison


@contextmanager
def _traced_at_gate(
    command: Sequence[str], logs: Path, folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a command under strace, at the gate; yield strace and the process that waits there."""
    work, surroundings = _prepare(folder)
    strace = subprocess.Popen(
        traced([*GATE, *command], logs),
        cwd=work,
        env=surroundings,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        said = strace.stderr.readline()
        attached = re.fullmatch(rb"strace: Process (\d+) attached\n", said)
        assert attached is not None, f"strace does not trace: {said!r}"
        yield strace, int(attached[1])
    finally:
        with suppress(ProcessLookupError):
            os.killpg(strace.pid, signal.SIGKILL)
        strace.communicate()


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
        env=surroundings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def traced(command: Sequence[str], logs: Path) -> list[str]:
    """Return a command that runs another and has strace log to a folder what its threads write."""
    logs.mkdir(parents=True)
    output = ("-ff", "-A", "-o", str(logs / "thread"))
    detail = ("-v", "-xx", "-s", str(LONGEST), "-e", "signal=none")
    chosen = ("--seccomp-bpf", "-e", f"trace={','.join(SYSCALLS)}")
    talk = ("-e", "quiet=exit")  # with -o it would not say of new processes that they are there
    return ["strace", *output, *detail, *chosen, *talk, *command]


def _prepare(folder: Path) -> tuple[Path, dict[str, str]]:
    """Return an empty folder to work in, and the environment that scenarios rely on."""
    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return work, {
        **os.environ,
        "HOME": str(work),
        "LC_ALL": "C",
        "TZ": "UTC",
        "PORT": str(port),
        "PYTHON": sys.executable,
    }
