"""Who wrote: what the kernel side saw of each process, completed from /proc while it lives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.events import Process
from wcap.fields import text
from wcap.recorder.descriptions import Seen

# As many processes as the kernel side remembers (bpf/state.h); who wrote or was seen longest ago
# is forgotten first.
_REMEMBERED = 65536
# How often one may call exec before its writes are told; of more, the first are forgotten.
_VERSIONS = 64
# What is kept of a command line, in bytes.
_CMDLINE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class _Version:
    """A process from a certain record on, until it calls exec again."""

    order: int
    process: Process


class ProcessTable:
    """The processes that have written."""

    def __init__(self) -> None:
        self._versions: dict[int, list[_Version]] = {}

    def see(self, seen: Seen) -> None:
        """Take in a process that the kernel side saw."""
        process = Process(
            pid=seen.pid,
            comm=text(seen.comm),
            leader=None if seen.leader is None else text(seen.leader),
            ppid=seen.ppid,
            uid=seen.uid,
            start_ns=seen.start_ns,
            exe=seen.exe,
            cmdline=seen.cmdline,
            gid=seen.gid,
            cgroup=seen.cgroup,
            ns_pid=seen.ns_pid,
        )
        if seen.exe is None:
            process = replace(process, exe=_exe(seen.pid), cmdline=_cmdline(seen.pid))
            self._disown(process)
        if seen.ppid is None:
            process = _with_status(process)
        self._add(seen.pid, _Version(seen.order, process))

    def _disown(self, process: Process) -> None:
        """Take from a process's former self what /proc tells of it now.

        Of a program that called exec at once, /proc was read too late: it told of the next one.
        """
        versions = self._versions.get(process.pid)
        if not versions:
            return
        was = versions[-1].process
        if (was.start_ns, was.exe, was.cmdline) == (process.start_ns, process.exe, process.cmdline):
            versions[-1] = replace(versions[-1], process=replace(was, exe=None, cmdline=None))

    def column(
        self,
        pids: npt.NDArray[Any],
        orders: npt.NDArray[Any],
        names: list[str],
        name: npt.NDArray[Any],
    ) -> tuple[npt.NDArray[np.uint32], list[Process]]:
        """Return each event's position in a table of processes, and that table.

        Args:
            pids: of each event.
            orders: the number of each event's record.
            names: thread names.
            name: position in ``names`` of each event, for processes that were not seen.
        """
        column = np.zeros(len(pids), dtype=np.uint32)
        table: list[Process] = []
        for pid, rows in _by_pid(pids):
            if pid not in self._versions:
                self._add(pid, _Version(0, _found(pid, names[int(name[rows[0]])])))
            # Who writes goes to the end, and is forgotten last.
            versions = self._versions[pid] = self._versions.pop(pid)
            after = np.searchsorted([version.order for version in versions], orders[rows], "right")
            column[rows] = len(table) + np.maximum(after, 1) - 1
            table += [version.process for version in versions]
            # Events come in order: what was the process before these is not asked for again.
            del versions[: max(int(after.min()), 1) - 1]
        return column, table

    def _add(self, pid: int, version: _Version) -> None:
        versions = self._versions[pid] = self._versions.pop(pid, [])
        versions.append(version)
        del versions[:-_VERSIONS]
        if len(self._versions) > _REMEMBERED:
            del self._versions[next(iter(self._versions))]


def _by_pid(pids: npt.NDArray[Any]) -> Iterator[tuple[int, npt.NDArray[np.intp]]]:
    """Yield each process and the rows of its events."""
    if bool((pids == pids[0]).all()):
        yield int(pids[0]), np.arange(len(pids))
        return
    order = np.argsort(pids, kind="stable")
    starts = np.flatnonzero(np.diff(pids[order], prepend=-1))
    for rows in np.split(order, starts[1:]):
        yield int(pids[rows[0]]), rows


def _found(pid: int, comm: str) -> Process:
    """Describe a process that the kernel side did not, from /proc as far as it is there."""
    return _with_status(Process(pid, comm, exe=_exe(pid), cmdline=_cmdline(pid)))


def _with_status(process: Process) -> Process:
    facts = {}
    for line in _read(process.pid, "status").decode("utf-8", "replace").splitlines():
        key, _, value = line.partition(":")
        facts[key] = value.split()
    if "PPid" not in facts:
        return process
    return replace(
        process,
        leader=text(_read(process.pid, "comm").rstrip(b"\n")),
        ppid=int(facts["PPid"][0]),
        uid=int(facts["Uid"][0]),
        gid=int(facts["Gid"][0]),
    )


def _exe(pid: int) -> str | None:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return None


def _cmdline(pid: int) -> tuple[str, ...] | None:
    raw = _read(pid, "cmdline")[:_CMDLINE_BYTES]
    return tuple(map(text, raw.rstrip(b"\0").split(b"\0"))) if raw else None


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
