"""Real programs as workloads: two servers asked over loopback, a compile, and git packing.

They run as an ordinary user, in a folder of their own; those who ask are not recorded.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.launch import MeasurementError, last_line

USER = "nobody"
_SOURCES, _FUNCTIONS = 30, 20
_FILES, _COMMITS = 1_000, 4
_CLIENTS = 8
_PATIENCE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Asked:
    """What a server answered: so many requests, so many in a second."""

    requests: int
    a_second: float


@dataclass(frozen=True, slots=True)
class Server:
    """A program that is asked.

    Attributes:
        name: as the table calls it.
        tools: the programs that it takes.
        process: the name of its process.
        command: its command line, from its folder and port; makes what it needs in the folder.
        ask: asks it, from the port, the requests and the seconds: whichever the client can do.
    """

    name: str
    tools: tuple[str, ...]
    process: str
    command: Callable[[Path, int], list[str]]
    ask: Callable[[int, int, float], Asked]


@dataclass(frozen=True, slots=True)
class Task:
    """A program that does its work and ends.

    Attributes:
        name: as the table calls it.
        tools: the programs that it takes.
        make: what it works on, in a folder; done once.
        reset: a shell command before each run, which is not measured.
        work: the shell command that is measured.
    """

    name: str
    tools: tuple[str, ...]
    make: Callable[[Path], None]
    reset: str
    work: str


def absence(program: Server | Task) -> str | None:
    """Say which of its programs are not installed; None if all are."""
    missing = [tool for tool in (*program.tools, "setpriv") if not shutil.which(tool)]
    return f"absent: no {', '.join(missing)} on this machine" if missing else None


def as_user(command: list[str]) -> list[str]:
    """Return the command run as the ordinary user; only root may."""
    user = pwd.getpwnam(USER)
    ids = ["--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"]
    # bpftrace wants to be told which of /bin and /usr/bin is meant.
    return [shutil.which("setpriv") or "setpriv", *ids, *command]


def give_away(folder: Path) -> None:
    """Let the ordinary user own a folder and all in it."""
    user = pwd.getpwnam(USER)
    for place in (folder, *folder.rglob("*")):
        os.chown(place, user.pw_uid, user.pw_gid, follow_symlinks=False)


def free_port() -> int:
    """Return a port of loopback that nobody uses."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def redis_rates(printed: str) -> list[float]:
    """Read the requests in a second out of what redis-benchmark --csv printed, test by test."""
    return [float(rate) for rate in re.findall(r'^"[A-Z]+","([\d.]+)"', printed, re.MULTILINE)]


def ab_answers(printed: str) -> Asked:
    """Read what ab printed.

    Raises:
        MeasurementError: it made no requests, or some failed.
    """
    values = dict(re.findall(r"^([A-Z][A-Za-z0-9 -]+):\s+([\d.]+)", printed, re.MULTILINE))
    try:
        made, a_second = int(values["Complete requests"]), float(values["Requests per second"])
        failed = int(values["Failed requests"]) + int(values.get("Non-2xx responses", 0))
    except (KeyError, ValueError):
        raise MeasurementError(f"ab: {last_line(printed) or 'it said nothing'}") from None
    if failed or not made:
        raise MeasurementError(f"ab: {failed} of {made} requests failed")
    return Asked(made, a_second)


def _said(command: list[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
    )
    if done.returncode != 0:
        reason = last_line(done.stderr) or f"it returned {done.returncode}"
        raise MeasurementError(f"{command[0]}: {reason}")
    return done.stdout


def _redis(folder: Path, port: int) -> list[str]:
    shutil.rmtree(folder / "appendonlydir", ignore_errors=True)
    listening = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    return ["redis-server", *listening, "--save", "", "--appendonly", "yes", "--logfile", "log"]


def _ask_redis(port: int, requests: int, _: float) -> Asked:
    how = ["-p", str(port), "-n", str(requests), "-c", str(_CLIENTS), "-d", "64", "-r", "10000"]
    rates = redis_rates(_said(["redis-benchmark", *how, "-t", "set,get", "--csv"]))
    if len(rates) != 2 or not all(rates):
        raise MeasurementError("redis-benchmark: the rates of two tests expected")
    return Asked(2 * requests, 2 / sum(1 / rate for rate in rates))


def _nginx(folder: Path, port: int) -> list[str]:
    (folder / "page").write_text("".join(f"line {n} of the page\n" for n in range(180)))
    scratch = "".join(
        f"    {kind}_temp_path {kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    configuration = (
        f"daemon off;\nworker_processes 1;\npid pid;\nerror_log errors;\nevents {{ }}\nhttp {{\n"
        f"{scratch}    access_log requests;\n    keepalive_requests 1000000;\n"
        f"    server {{ listen 127.0.0.1:{port}; root .; sendfile off; }}\n}}\n"
    )
    (folder / "conf").write_text(configuration)
    return ["nginx", "-p", str(folder), "-e", "errors", "-c", "conf"]


def _ask_nginx(port: int, _: int, seconds: float) -> Asked:
    how = ["-q", "-k", "-c", str(_CLIENTS), "-t", f"{seconds:.0f}", "-n", "10000000"]
    return ab_answers(_said(["ab", *how, f"http://127.0.0.1:{port}/page"]))


def _make_sources(folder: Path) -> None:
    for number in range(_SOURCES):
        functions = (
            f"int f{number}_{n}(const char *name, int count)\n{{\n"
            f"    int sum = {n};\n    for (int i = 0; i < count; i++)\n"
            f"        sum = sum * {n + 3} + name[i % {n + 1}] - i / {number + 1};\n"
            f'    printf("%s has %d of kind {n}\\n", name, sum);\n    return sum;\n}}\n'
            for n in range(_FUNCTIONS)
        )
        text = "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n"
        (folder / f"part{number}.c").write_text(text + "".join(functions))
    objects = " ".join(f"part{number}.o" for number in range(_SOURCES))
    rules = f"library.a: {objects}\n\tar rcs $@ $^\n%.o: %.c\n\tgcc -O1 -g -c -o $@ $<\n"
    (folder / "Makefile").write_text(rules)


def _make_repository(folder: Path) -> None:
    git = ["git", "-C", str(folder / "made"), "-c", "user.name=a", "-c", "user.email=a@b"]
    (folder / "made").mkdir()
    _said([*git, "init", "-q"])
    for commit in range(_COMMITS):
        for number in range(_FILES):
            lines = (f"{number * 7919 + line * (commit + 1)} of {number}\n" for line in range(60))
            (folder / "made" / f"file{number}").write_text("".join(lines))
        _said([*git, "add", "."])
        _said([*git, "-c", "gc.auto=0", "commit", "-q", "-m", f"commit {commit}"])


SERVERS = (
    Server("redis-server", ("redis-server", "redis-benchmark"), "redis-server", _redis, _ask_redis),
    Server("nginx", ("nginx", "ab"), "nginx", _nginx, _ask_nginx),
)
TASKS = (
    Task(
        f"compile {_SOURCES} files",
        ("gcc", "make", "ar"),
        _make_sources,
        "rm -f *.o library.a",
        "make -s -j2",
    ),
    Task(
        "git gc",
        ("git",),
        _make_repository,
        "rm -rf work && cp -a made work",
        "git -C work gc -q --prune=now",
    ),
)
