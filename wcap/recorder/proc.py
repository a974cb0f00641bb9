"""What /proc says of running processes: whose thread, whose child, alive, who reads a pipe."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

# States of a process that has ended (proc_pid_stat(5)).
_ENDED = ("Z", "X")


def process_of(task: int) -> int | None:
    """Return the process that a thread belongs to: /proc knows threads by number too."""
    try:
        status = Path(f"/proc/{task}/status").read_text("utf-8", "replace")
    except OSError:
        return None
    return int(status.partition("\nTgid:")[2].split()[0])


def runs(pid: int) -> bool:
    """Tell whether a process runs: a zombie does not."""
    found = _state_and_parent(pid)
    return found is not None and found[0] not in _ENDED


def _state_and_parent(pid: int) -> tuple[str, int] | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The name, in parentheses, may hold anything; state and parent follow the last one.
    state, parent = stat[stat.rindex(b")") + 2 :].split()[:2]
    return state.decode(), int(parent)


def descendants(roots: Iterable[int]) -> set[int]:
    """Return running processes and their children, and the children's."""
    parents: dict[int, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        pid = int(place.name)
        if (found := _state_and_parent(pid)) is not None:
            _, parents[pid] = found
    family = set(roots)
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


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
