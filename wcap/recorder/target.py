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
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NoReturn

from wcap import events
from wcap.errors import RecordError, UsageError
from wcap.filters import CommPattern
from wcap.recorder.choice import ANYONE, OF_TASKS, Conditions
from wcap.recorder.matching import meets, running

# What a shell answers for a command that it cannot run.
_CANNOT_RUN = 127


@dataclass(frozen=True, slots=True, kw_only=True)
class Target(Conditions):
    """What to record, as it was asked for: whoever meets the conditions.

    Attributes:
        left_out: whoever meets one of these is not.
        follow: their children too.
        command: a program to launch, followed always.
        everything: all processes, wcap itself excepted.
    """

    left_out: Conditions = ANYONE
    follow: bool = False
    command: tuple[str, ...] | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        if not (self.given() or self.command or self.everything):
            raise UsageError(
                "nothing chosen: name processes with -c COMM or -p PID, launch one with "
                "-- COMMAND, or record everything with --all"
            )
        if self.everything and (self.given(OF_TASKS) or self.command):
            raise UsageError(
                "--all records everything: leave out what chooses processes, or take some away "
                "with a !, as in -c '!NAME'"
            )

    @property
    def by_number(self) -> bool:
        """Whether processes are recorded by their numbers."""
        return bool(self.pids or self.command) or self.either

    @property
    def either(self) -> bool:
        """Whether the conditions or a number suffice: children of those who meet them follow."""
        return self.follow and bool(self.given(OF_TASKS)) and not (self.pids or self.command)

    @property
    def follows(self) -> bool:
        """Whether children are followed."""
        return self.by_number and (self.follow or self.command is not None)

    def wants(self, target: events.Target) -> bool:
        """Tell whether what goes to a target is recorded, as far as its path tells."""
        names = [name for name in (target.path, target.name) if name is not None]
        chosen, left_out = (
            any(fnmatchcase(name, pattern) for name in names for pattern in conditions.paths)
            for conditions in (self, self.left_out)
        )
        return (chosen or not self.paths) and not left_out

    def check(self) -> None:
        """See that what was named is there.

        Raises:
            RecordError: a process is not, or the command cannot be found.
        """
        for pid in self.pids:
            process = _process_of(pid)
            if process != pid:
                found = "no process" if process is None else f"a thread of process {process}"
                raise RecordError(
                    f"{pid} is {found}: -p takes the PIDs of running processes, -t those of threads"
                )
        for tid in self.tids:
            if _process_of(tid) is None:
                raise RecordError(f"{tid} is no thread: -t takes the TIDs of running threads")
        if self.command and shutil.which(self.command[0]) is None:
            raise RecordError(f"{self.command[0]}: command not found, or not executable")

    def roots(self) -> set[int]:
        """Return the running processes that are chosen themselves, by number or by conditions."""
        if not self.either:
            return set(self.pids)
        return {
            process.pid
            for process in running()
            if meets(replace(process, comms=process.comms[:1]), self)
        }

    def running(self) -> set[int]:
        """Return the running processes that are chosen, by number or conditions, or all of them."""
        if self.pids or self.command:
            roots = self.roots()
            return descendants(roots) if self.follow else roots
        return {process.pid for process in running() if meets(process, self)}

    def awaited(self) -> list[CommPattern]:
        """Return the names that no process or thread has so far; a command may yet bring them."""
        if self.command is not None or not self.comms:
            return []
        comms = {comm for process in running() for comm in process.comms}
        return [
            pattern for pattern in self.comms if not any(pattern.matches(comm) for comm in comms)
        ]


def _process_of(task: int) -> int | None:
    """Return the process that a thread belongs to: /proc knows threads by number too."""
    try:
        status = Path(f"/proc/{task}/status").read_text("utf-8", "replace")
    except OSError:
        return None
    return int(status.partition("\nTgid:")[2].split()[0])


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


def readers_of_stdout(*, onward: bool = False) -> set[int]:
    """Return the processes that read what we write to standard output, if it is a pipe.

    What they write because of what we write must not be recorded, or it would never end.

    Args:
        onward: those, too, that read what these may write to other pipes.
    """
    try:
        reached = {str(Path("/proc/self/fd/1").readlink())}
    except OSError:  # it is closed
        return set()
    readers: dict[str, set[int]] = defaultdict(set)
    written: dict[int, set[str]] = defaultdict(set)
    for place in Path("/proc").glob("[0-9]*"):
        pid = int(place.name)
        for pipe, writes in _pipes(place):
            if writes:
                written[pid].add(pipe)
            else:
                readers[pipe].add(pid)
    found: set[int] = set()
    while new := set().union(*(readers[pipe] for pipe in reached)) - found - {os.getpid()}:
        found |= new
        reached = set().union(*(written[pid] for pid in new)) if onward else set()
    return found


def _pipes(process: Path) -> Iterator[tuple[str, bool]]:
    """Yield each pipe that a process under /proc has open, and whether it can write to it."""
    with contextlib.suppress(OSError):  # it ended, or a descriptor was closed meanwhile
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                pipe = str(link.readlink())
                if pipe.startswith("pipe:"):
                    facts = (process / "fdinfo" / link.name).read_text()
                    flags = int(facts.partition("flags:")[2].split()[0], 8)
                    yield pipe, flags & os.O_ACCMODE != os.O_RDONLY


class Command:
    """A launched command, held before its first instruction until `start`.

    It is forked at once, so that its number can be given to the kernel side before it runs.

    Attributes:
        pid: of the command.
        started: whether it was let run.
        status: its exit status once it has ended, or minus the signal that ended it.
        ended: set when it has.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = tuple(arguments)
        gate, self._gate = os.pipe()
        self._failure, failure = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become(self.arguments, gate, self._gate, failure)
        os.close(gate)
        os.close(failure)
        self.started = False
        self.status: int | None = None
        self.ended = threading.Event()

    def start(self) -> None:
        """Let the command run.

        Raises:
            OSError: it could not be executed.
        """
        self.started = True
        with contextlib.suppress(BrokenPipeError):  # killed while it was held: wait() tells
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


def _become(arguments: Sequence[str], gate: int, key: int, failure: int) -> NoReturn:
    """Wait at the gate, then turn into the command; this is the child, which never returns."""
    try:
        os.close(key)  # or the gate would not close when the recorder ends
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if os.read(gate, 1):
            os.execvp(arguments[0], list(arguments))  # noqa: S606  # a shell is not wanted
    except OSError as error:
        os.write(failure, str(error.errno or errno.EIO).encode())
    finally:
        os._exit(_CANNOT_RUN)
