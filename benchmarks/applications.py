"""Runs real programs under each recorder: how fast they still are, and what is then on the disk."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.launch import Launched, MeasurementError, launched
from benchmarks.processes import below_of, name_of
from benchmarks.programs import (
    SERVERS,
    TASKS,
    USER,
    Asked,
    Server,
    Task,
    absence,
    as_user,
    free_port,
    give_away,
)
from benchmarks.tracers import Tracer

_PATIENCE_SECONDS = 120
_SERVING_SECONDS = 20
_STEP_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Work:
    """A program's run under one recorder.

    Attributes:
        seconds: that it took for each request, or for all it does.
        requests: answered; 1 if it is not asked.
        events: that the recorder has; None where nothing records.
        lost: events that it says it lost; None if it does not say.
        output_bytes: that it put on the disk.
        packed_bytes: what is left of them after zstd -3; None where that is not tried.
        payload_bytes: what is left of the payloads alone after zstd -3; of wcap only.
    """

    seconds: float
    requests: int = 1
    events: int | None = None
    lost: int | None = None
    output_bytes: int | None = None
    packed_bytes: int | None = None
    payload_bytes: int | None = None


@dataclass(slots=True)
class Application:
    """What one program's runs under one recorder came to."""

    program: str
    recorder: str
    asked: bool
    works: list[Work] = field(default_factory=list)
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """How much the programs have to do.

    Attributes:
        tracers: under which they run.
        rounds: of each.
        requests: to redis.
        seconds: of requests to nginx.
    """

    tracers: Sequence[Tracer]

    rounds: int
    requests: int
    seconds: float


def measure(folder: Path, load: Load, say: Callable[[str], None]) -> list[Application]:
    """Run every program under every recorder in turn.

    Args:
        folder: one that is made for it, and in which the ordinary user may look.
        load: how much there is to do.
        say: is told what is going on.
    """
    found = []
    for program in (*SERVERS, *TASKS):
        missing = absence(program)
        asked = isinstance(program, Server)
        rows = [
            Application(program.name, one.name, asked, problem=missing or one.recorder.absence)
            for one in load.tracers
        ]
        found += rows
        if missing is None:
            _in_turn(program, rows, folder / program.name.split()[0], load, say)
    return found


def _in_turn(
    program: Server | Task,
    rows: Sequence[Application],
    folder: Path,
    load: Load,
    say: Callable[[str], None],
) -> None:
    folder.mkdir()
    folder.chmod(0o755)
    if isinstance(program, Task):
        program.make(folder)
    give_away(folder)
    for number in range(1, load.rounds + 1):
        say(f"{program.name}: round {number} of {load.rounds}")
        for tracer, row in zip(load.tracers, rows, strict=True):
            if row.problem is not None:
                continue
            output = folder.with_name("output")
            try:
                row.works.append(_run(program, tracer, folder, output, load))
            except MeasurementError as error:
                row.problem, row.works = f"failed: {error}", []
            finally:
                output.unlink(missing_ok=True)


def _run(program: Server | Task, tracer: Tracer, folder: Path, output: Path, load: Load) -> Work:
    if isinstance(program, Server):
        answered = _serve(program, tracer, folder, output, load)
        seconds, requests = 1 / answered.a_second, answered.requests
    else:
        seconds, requests = _work(program, tracer, folder, output), 1
    if tracer.events is None:
        return Work(seconds, requests)
    kept = tracer.events(output)
    is_wcap = tracer.recorder.tool is None
    return Work(
        seconds,
        requests,
        events=kept.events,
        lost=kept.lost,
        output_bytes=output.stat().st_size,
        packed_bytes=packed_size(["cat", str(output)])
        if tracer.recorder.tool == "strace"
        else None,
        payload_bytes=(
            packed_size([sys.executable, "-m", "benchmarks.payload", str(output)])
            if is_wcap
            else None
        ),
    )


def packed_size(command: Sequence[str]) -> int | None:
    """Return how many bytes are left of what a command prints after zstd -3; None without zstd."""
    if shutil.which("zstd") is None:
        return None
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE) as source,
        subprocess.Popen(
            ["zstd", "-q", "-3", "-c"], stdin=source.stdout, stdout=subprocess.PIPE
        ) as packer,
    ):
        assert packer.stdout is not None
        size = 0
        while block := packer.stdout.read(1 << 20):
            size += len(block)
    return size


def _work(task: Task, tracer: Tracer, folder: Path, output: Path) -> float:
    """Let a task do its work under a recorder, and return how many seconds it took."""
    subprocess.run(as_user(["sh", "-c", f"cd {folder} && {task.reset}"]), check=True)
    script = folder / "script"
    script.write_text(
        f"cd {folder}\nexport HOME={folder} GIT_CONFIG_NOSYSTEM=1\n"
        f"echo ready $$\nread gate\n{task.work} >said 2>&1\necho done $?\n"
    )
    with launched(_command(tracer, ["sh", str(script)], output), _PATIENCE_SECONDS) as process:
        process.await_workload()
        started = time.perf_counter()
        report = process.open_gate()
        seconds = time.perf_counter() - started
        process.finish()
    if report != "done 0\n":
        raise MeasurementError(f"{task.name} failed: {report.strip()}")
    return seconds


def _serve(server: Server, tracer: Tracer, folder: Path, output: Path, load: Load) -> Asked:
    """Ask a server under a recorder."""
    port = free_port()
    command = _command(tracer, server.command(folder, port), output)
    with launched(command, _PATIENCE_SECONDS, folder) as process:
        pid = _await_server(server, process, port)
        try:
            requests = max(int(load.requests * tracer.share), 1)
            answered = server.ask(port, requests, load.seconds)
        finally:
            os.kill(pid, signal.SIGTERM)
        process.finish()
    return answered


def _command(tracer: Tracer, command: list[str], output: Path) -> list[str]:
    return tracer.command(output, as_user(command), pwd.getpwnam(USER).pw_uid)


def _await_server(server: Server, process: Launched, port: int) -> int:
    """Wait until a server answers, and return its process id."""
    deadline = time.monotonic() + _SERVING_SECONDS
    while time.monotonic() < deadline:
        time.sleep(_STEP_SECONDS)
        found = [pid for pid in below_of(process.pid) if name_of(pid) == server.process]
        with socket.socket() as client:
            if found and client.connect_ex(("127.0.0.1", port)) == 0:
                return found[0]
    raise MeasurementError(f"{server.name} does not answer: {process.said().strip()[-200:]}")
