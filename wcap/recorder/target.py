"""Whom to record: the options resolved to what the kernel side compares.

Options of different kinds narrow each other; several values of one kind widen it. With ``follow``
the processes chosen bring their children along, those alive already and those to come.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from wcap import events
from wcap.errors import RecordError, UsageError
from wcap.filters import CommPattern
from wcap.recorder.choice import ANYONE, OF_TASKS, Conditions
from wcap.recorder.matching import Running, meets, meets_any, running
from wcap.recorder.proc import descendants, process_of

# What the values of a kind are.
_WORDS = {
    "pids": "processes",
    "tids": "threads",
    "users": "users",
    "comms": "names",
    "pid_namespaces": "PID namespaces",
    "cgroups": "cgroups",
    "fds": "descriptors",
    "kinds": "kinds of targets",
    "paths": "paths",
}


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
            if self.left_out.given():
                raise UsageError(
                    "a ! leaves out, and nothing is chosen: say --all for everyone else"
                )
            raise UsageError(
                "nothing chosen: name processes with -c COMM or -p PID, launch one with "
                "-- COMMAND, or record everything with --all"
            )
        if self.everything and (self.given(OF_TASKS) or self.command):
            raise UsageError(
                "--all records everything: leave out what chooses processes, or take some away "
                "with a !, as in -c '!NAME'"
            )
        if self.tids and (self.follow or self.command):
            raise UsageError("-t chooses threads alone: leave out -f and the command, or use -p")
        for kind in self.given():
            if set(getattr(self, kind)) <= set(getattr(self.left_out, kind)):
                raise UsageError(f"nothing is left of the {_WORDS[kind]} that are chosen")

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
        for pid in self.pids + self.left_out.pids:
            process = process_of(pid)
            if process != pid:
                found = "no process" if process is None else f"a thread of process {process}"
                raise RecordError(
                    f"{pid} is {found}: -p takes the PIDs of running processes, -t those of threads"
                )
        for tid in self.tids + self.left_out.tids:
            process = process_of(tid)
            if process is None:
                raise RecordError(f"{tid} is no thread: -t takes the TIDs of running threads")
            if self.pids and tid in self.tids and process not in self.pids:
                raise RecordError(f"{tid} is a thread of process {process}, not of those of -p")
        if self.command and shutil.which(self.command[0]) is None:
            raise RecordError(f"{self.command[0]}: command not found, or not executable")

    def named(self) -> set[int]:
        """Return the processes that are chosen by their numbers, or by those of their threads."""
        return {*self.pids, *filter(None, map(process_of, self.tids))}

    def roots(self) -> set[int]:
        """Return the running processes that are chosen themselves, by number or by conditions."""
        if not self.either:
            return set(self.pids)
        return {
            process.pid
            for process in running()
            if self._chooses(replace(process, comms=process.comms[:1]))
        }

    def running(self) -> set[int]:
        """Return the running processes that are chosen, by number or conditions, or all of them."""
        if self.pids or self.command:
            roots = self.roots()
            return descendants(roots) if self.follow else roots
        return {process.pid for process in running() if self._chooses(process)}

    def _chooses(self, process: Running) -> bool:
        # Who has only some threads left out is not left out.
        return meets(process, self) and not meets_any(process, replace(self.left_out, tids=()))

    def awaited(self) -> list[CommPattern]:
        """Return the names that no process or thread has so far; a command may yet bring them."""
        if self.command is not None or not self.comms:
            return []
        comms = {comm for process in running() for comm in process.comms}
        return [
            pattern for pattern in self.comms if not any(pattern.matches(comm) for comm in comms)
        ]
