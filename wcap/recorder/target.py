"""Whom to record: the options resolved to what the kernel side compares, and commands launched.

Options of different kinds narrow each other; several values of one kind widen it. With ``follow``
the processes chosen bring their children along, those alive already and those to come.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from wcap.errors import RecordError
from wcap.filters import CommPattern

# What a shell answers for a command that it cannot run.
_CANNOT_RUN = 127


@dataclass(frozen=True, slots=True)
class Target:
    """What to record, as it was asked for.

    Attributes:
        comms: names of a thread or of its process's leader.
        pids: processes.
        follow: their children too.
        command: a program to launch, followed always.
        everything: all processes, wcap itself excepted.
    """

    comms: tuple[CommPattern, ...] = ()
    pids: tuple[int, ...] = ()
    follow: bool = False
    command: tuple[str, ...] | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        if not (self.comms or self.pids or self.command or self.everything):
            raise RecordError(
                "nothing chosen: name processes with -c COMM or -p PID, launch one with "
                "-- COMMAND, or record everything with --all"
            )
        if self.everything and (self.comms or self.pids or self.command):
            raise RecordError("--all records everything: leave out -c, -p and the command")

    @property
    def by_number(self) -> bool:
        """Whether processes are recorded by their numbers."""
        return bool(self.pids or self.command or (self.follow and self.comms))

    @property
    def either(self) -> bool:
        """Whether a name or a number suffices: names whose bearers' children are followed."""
        return self.follow and bool(self.comms) and not (self.pids or self.command)

    @property
    def follows(self) -> bool:
        """Whether children are followed."""
        return self.by_number and (self.follow or self.command is not None)

    def check(self) -> None:
        """See that what was named is there.

        Raises:
            RecordError: a process is not, or the command cannot be found.
        """
        for pid in self.pids:
            if not Path(f"/proc/{pid}").is_dir():
                raise RecordError(f"no process {pid}: -p takes the PIDs of running processes")
        if self.command and shutil.which(self.command[0]) is None:
            raise RecordError(f"{self.command[0]}: command not found, or not executable")

    def roots(self) -> set[int]:
        """Return the running processes that are chosen themselves, by number or by name."""
        if not self.either:
            return set(self.pids)
        return {
            pid
            for pid, comm in _running_comms()
            if any(pattern.matches(comm) for pattern in self.comms)
        }


def _running_comms() -> Iterable[tuple[int, str]]:
    for place in Path("/proc").glob("[0-9]*"):
        try:
            name = (place / "comm").read_bytes().rstrip(b"\n")
        except OSError:
            continue
        yield int(place.name), name.decode("utf-8", "surrogateescape")


def descendants(roots: Iterable[int]) -> set[int]:
    """Return running processes and their children, and the children's."""
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat = (place / "stat").read_bytes()
        except OSError:
            continue
        # The name, in parentheses, may hold anything; state and parent follow the last one.
        parents[int(place.name)] = int(stat[stat.rindex(b")") + 2 :].split()[1])
    found = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def readers_of_stdout() -> set[int]:
    """Return the processes that read the pipe that is our standard output, if it is one.

    What they write because of what we write must not be recorded, or it would never end.
    """
    try:
        pipe = Path("/proc/self/fd/1").readlink()
    except OSError:
        return set()
    if not str(pipe).startswith("pipe:"):
        return set()
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if any(link.readlink() == pipe for link in (place / "fd").iterdir()):
                found.add(int(place.name))
        except OSError:
            continue
    return found - {os.getpid()}


class Command:
    """A launched command, held before its first instruction until `start`.

    It is forked at once, so that its number can be given to the kernel side before it runs.

    Attributes:
        pid: of the command.
        status: its exit status once it has ended, or minus the signal that ended it.
        ended: set when it has.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = tuple(arguments)
        gate, self._gate = os.pipe()
        self._failure, failure = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become(self.arguments, gate, failure)
        os.close(gate)
        os.close(failure)
        self.status: int | None = None
        self.ended = threading.Event()

    def start(self) -> None:
        """Let the command run.

        Raises:
            OSError: it could not be executed.
        """
        os.write(self._gate, b"!")
        os.close(self._gate)
        with os.fdopen(self._failure, "rb") as failure:
            code = failure.read()
        if code:
            self.wait()
            number = int(code)
            raise OSError(number, os.strerror(number), self.arguments[0])

    def wait(self) -> int:
        """Wait for the command's end.

        Returns:
            Its exit status, or minus the signal that ended it; `status` has it from then on.
        """
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        self.ended.set()
        return self.status

    def abandon(self) -> None:
        """End a command that was never let run."""
        os.close(self._gate)
        os.close(self._failure)
        self.wait()

    def terminate(self) -> None:
        """Ask the command to end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


def _become(arguments: Sequence[str], gate: int, failure: int) -> NoReturn:
    """Wait at the gate, then turn into the command; this is the child, which never returns."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if os.read(gate, 1):
            os.execvp(arguments[0], list(arguments))  # noqa: S606  # a shell is not wanted
    except OSError as error:
        os.write(failure, str(error.errno or errno.EIO).encode())
    finally:
        os._exit(_CANNOT_RUN)
