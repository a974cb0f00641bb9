"""Whether a running process meets the conditions on who is recorded, by what /proc says of it.

The kernel side decides for every call. This is for what has to be known before the first one: whose
children are followed, and which names nobody has.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wcap.recorder.choice import Conditions


@dataclass(frozen=True, slots=True)
class Running:
    """A process as /proc shows it: names of its threads, the leader's first, and their numbers."""

    pid: int
    comms: tuple[str, ...]
    tids: tuple[int, ...]
    user: int
    pid_namespace: int | None
    cgroup: str


def running() -> Iterator[Running]:
    """Yield the processes that run."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            yield _look(place)
        except (OSError, ValueError, IndexError):  # it has ended
            continue


def meets(process: Running, conditions: Conditions) -> bool:
    """Tell whether a process meets all kinds of conditions that have values, but for numbers of
    processes.
    """
    return all(
        (
            not conditions.tids or not set(conditions.tids).isdisjoint(process.tids),
            not conditions.users or process.user in conditions.users,
            not conditions.comms
            or any(pattern.matches(comm) for pattern in conditions.comms for comm in process.comms),
            not conditions.pid_namespaces or process.pid_namespace in conditions.pid_namespaces,
            not conditions.cgroups
            or any(
                f"{process.cgroup}/".startswith(f"{cgroup.path}/") for cgroup in conditions.cgroups
            ),
        )
    )


def _look(place: Path) -> Running:
    pid = int(place.name)
    threads = sorted(
        (task.name != place.name, int(task.name), (task / "comm").read_bytes().rstrip(b"\n"))
        for task in (place / "task").iterdir()
    )
    status = (place / "status").read_text("utf-8", "replace")
    cgroups = (place / "cgroup").read_text("utf-8", "surrogateescape")
    try:
        namespace = (place / "ns/pid").stat().st_ino
    except OSError:  # a zombie has none
        namespace = None
    return Running(
        pid=pid,
        comms=tuple(comm.decode("utf-8", "surrogateescape") for _, _, comm in threads),
        tids=tuple(tid for _, tid, _ in threads),
        user=int(status.partition("\nUid:")[2].split()[0]),
        pid_namespace=namespace,
        # Of version 2, whose number is 0 (cgroups(7)).
        cgroup=f"\n{cgroups}".partition("\n0::")[2].split("\n", 1)[0].rstrip("/"),
    )
