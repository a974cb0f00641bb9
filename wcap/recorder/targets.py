"""What file descriptors stood for: the kernel side's descriptions by number, or else /proc.

The kernel side forgets the target that was not used for longest when it knows too many, and
numbers it anew when it is used again; so no more than it can know have to be remembered here.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.events import UNKNOWN_TARGET, Target

# Several times as many as the kernel side knows (`known_targets` of bpf/state.h).
_REMEMBERED = 1 << 17
_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "pipe",
    stat.S_IFCHR: "character",
    stat.S_IFBLK: "block",
    stat.S_IFSOCK: "socket",
}


class TargetTable:
    """The targets that have been described.

    Args:
        from_proc: the kernel side describes none, so look in /proc.
    """

    def __init__(self, *, from_proc: bool = False) -> None:
        self._from_proc = from_proc
        self._targets: dict[int, Target] = {}

    def see(self, number: int, target: Target) -> None:
        """Take in a description."""
        self._targets[number] = target
        if len(self._targets) > _REMEMBERED:
            del self._targets[next(iter(self._targets))]

    def get(self, number: int) -> Target:
        """Return the target of that number."""
        return self._targets.get(number, UNKNOWN_TARGET)

    def columns(
        self,
        numbers: Sequence[npt.NDArray[Any]],
        pids: npt.NDArray[Any],
        fds: Sequence[npt.NDArray[Any]],
    ) -> tuple[list[npt.NDArray[np.uint32]], list[Target]]:
        """Return for each column of numbers the positions in a table of targets, and that table.

        Args:
            numbers: columns of the kernel side's numbers, 0 where it knew none.
            pids: of each event.
            fds: the descriptors that the numbers belong to.
        """
        table: dict[Target, int] = {}
        if self._from_proc:
            found = [_looked_up(pids, column, table) for column in fds]
        else:
            found = [self._positions(column, table) for column in numbers]
        return found, list(table)

    def _positions(
        self, numbers: npt.NDArray[Any], table: dict[Target, int]
    ) -> npt.NDArray[np.uint32]:
        first = int(numbers[0])
        if bool((numbers == first).all()):
            return np.full(len(numbers), self._position(first, table), dtype=np.uint32)
        distinct, codes = np.unique(numbers, return_inverse=True)
        places = [self._position(number, table) for number in distinct.tolist()]
        return np.array(places, dtype=np.uint32)[codes]

    def _position(self, number: int, table: dict[Target, int]) -> int:
        target = self._targets.pop(number, None)
        if target is None:
            target = UNKNOWN_TARGET
        else:  # what is used goes to the end, and is forgotten last
            self._targets[number] = target
        return table.setdefault(target, len(table))


def _looked_up(
    pids: npt.NDArray[Any], fds: npt.NDArray[Any], table: dict[Target, int]
) -> npt.NDArray[np.uint32]:
    both = pids.astype(np.int64) << 32 | fds.astype(np.int64) & 0xFFFF_FFFF
    distinct, codes = np.unique(both, return_inverse=True)
    places = [
        table.setdefault(_in_proc(key >> 32, key & 0xFFFF_FFFF), len(table))
        for key in distinct.tolist()
    ]
    return np.array(places, dtype=np.uint32)[codes]


def _in_proc(pid: int, fd: int) -> Target:
    """Say what a descriptor stands for now, which need not be what it stood for."""
    link = Path(f"/proc/{pid}/fd/{fd}")
    try:
        path, facts = str(link.readlink()), link.stat()
    except OSError:
        return UNKNOWN_TARGET
    if path.startswith("anon_inode:"):
        return Target("anonymous", path=path.removeprefix("anon_inode:"), from_proc=True)
    kind = _KINDS.get(stat.S_IFMT(facts.st_mode), "file")
    if not path.startswith("/"):
        return Target(kind, inode=facts.st_ino, from_proc=True)
    if kind == "character" and path.startswith(("/dev/pts/", "/dev/tty", "/dev/console")):
        kind = "tty"
    return Target(
        kind,
        path=path.removesuffix(" (deleted)"),
        device=(os.major(facts.st_dev), os.minor(facts.st_dev)),
        inode=facts.st_ino,
        deleted=path.endswith(" (deleted)"),
        from_proc=True,
    )
