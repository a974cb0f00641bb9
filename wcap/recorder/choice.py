"""Conditions on who is recorded, and how the kernel side (bpf/choose.h) is told them.

Each kind of condition is a tuple of values, any of which suffices. What can change its meaning
while a recording lasts goes into maps: numbers, which may be used again, and cgroups. The rest is
compared as constants, which go into the program as -D flags.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from wcap.filters import CommPattern
from wcap.recorder.records import COMM_SIZE

# enum numbered of choose.h.
_THREAD_CHOSEN, _THREAD_LEFT_OUT, _PROCESS_LEFT_OUT = 1, 2, 4
# include/linux/kdev_t.h: where a device number of the kernel has its major number.
_MINOR_BITS = 20


@dataclass(frozen=True, slots=True)
class Cgroup:
    """A cgroup: its place below the mount of the cgroup2 hierarchy, ``/`` for the first."""

    mount: str
    path: str

    @property
    def folder(self) -> Path:
        """Where it can be opened."""
        return Path(self.mount + self.path)

    def __str__(self) -> str:
        return self.path or "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Values by kind; a kind without any leaves everyone in.

    Attributes:
        pids, tids: processes and threads.
        users: numbers of real users.
        comms: names of a thread or of its process's leader.
        pid_namespaces: inodes of the PID namespaces that tasks are in.
        cgroups: that tasks are in, or below.
        fds: descriptors written to.
        kinds: of what is written to (`wcap.events.TARGET_KINDS`).
        paths: patterns of names of what is written to.
    """

    pids: tuple[int, ...] = ()
    tids: tuple[int, ...] = ()
    users: tuple[int, ...] = ()
    comms: tuple[CommPattern, ...] = ()
    pid_namespaces: tuple[int, ...] = ()
    cgroups: tuple[Cgroup, ...] = ()
    fds: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    def given(self, kinds: Iterable[str] | None = None) -> tuple[str, ...]:
        """Return which kinds, of these or of all, have values."""
        return tuple(kind for kind in kinds or KINDS if getattr(self, kind))


KINDS = tuple(field.name for field in fields(Conditions))
# What is said of where a write goes; all others are said of who writes.
OF_CALLS = ("fds", "kinds", "paths")
OF_TASKS = tuple(kind for kind in KINDS if kind not in OF_CALLS)
# Decided by the recorder, after the kernel side has sent an event; all others before.
BY_RECORDER = ("paths",)
ANYONE = Conditions()


def flags(chosen: Conditions, left_out: Conditions) -> list[str]:
    """Return the -D flags that choose.h lists at its top, for the kinds that there are."""
    found = [*_lists("", chosen, 0), *_lists("NOT_", left_out, len(chosen.cgroups))]
    if chosen.pid_namespaces or left_out.pid_namespaces:
        device = Path("/proc/self/ns/pid").stat().st_dev
        found.append(f"-DPIDNS_DEVICE={os.major(device) << _MINOR_BITS | os.minor(device)}")
    if cgroups := chosen.cgroups + left_out.cgroups:
        found.append(f"-DCGROUP_COUNT={len(cgroups)}")
    if chosen.given(OF_CALLS) or left_out.given(OF_CALLS):
        found.append("-DBY_CALL")
    return found + ["-DNUMBERED"] * bool(numbered(chosen, left_out))


def numbered(chosen: Conditions, left_out: Conditions) -> dict[int, int]:
    """Return what the map ``numbered`` says of numbers of threads and processes."""
    said: Counter[int] = Counter()
    for numbers, what in (
        (chosen.tids, _THREAD_CHOSEN),
        (left_out.tids, _THREAD_LEFT_OUT),
        (left_out.pids, _PROCESS_LEFT_OUT),
    ):
        said.update(dict.fromkeys(numbers, what))
    return dict(said)


def _lists(before: str, conditions: Conditions, first_cgroup: int) -> Iterable[str]:
    """Yield the lists of what is chosen or left out; cgroups stand for their places in the map."""
    lists: dict[str, Iterable[object]] = {
        "USERS": conditions.users,
        "COMMS": map(_pattern, conditions.comms),
        "PIDNS": conditions.pid_namespaces,
        "CGROUPS": range(first_cgroup, first_cgroup + len(conditions.cgroups)),
        "FDS": conditions.fds,
    }
    for name, values in lists.items():
        if words := " ".join(f"X({value})" for value in values):
            yield f"-D{before}{name}={words}"
    if conditions.tids:
        yield f"-D{before}TIDS"
    if before and conditions.pids:  # those chosen are targets
        yield f"-D{before}PIDS"


def _pattern(pattern: CommPattern) -> str:
    """Return a pattern as two words and the masks of the bits in them that count.

    An exact name is compared with the NUL behind it; old kernels leave anything after that.
    """
    compared = len(pattern.text) + (not pattern.prefix)
    text = pattern.text.ljust(COMM_SIZE, b"\0")
    mask = (b"\xff" * compared).ljust(COMM_SIZE, b"\0")
    words = [
        int.from_bytes(part, sys.byteorder) for part in (text[:8], mask[:8], text[8:], mask[8:])
    ]
    return "{:#x}ULL, {:#x}ULL, {:#x}ULL, {:#x}ULL".format(*words)
