"""What running processes use, read from /proc: CPU time, and memory without the kernel's buffers.

A recorder may be several processes, and the workload that it launched is below it too: a tree of
processes is looked at without one branch of it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_SAMPLE_SECONDS = 0.1
# A BPF ring buffer maps its pages twice, one after the other, so that no record is split.
_RING_BUFFER, _PERF_BUFFER = "anon_inode:bpf-map", "anon_inode:[perf_event]"


@dataclass(frozen=True, slots=True)
class Memory:
    """What a recorder has in memory, in bytes.

    Attributes:
        own: resident, without the buffers that it shares with the kernel.
        highest: the most that ``own`` has been, as far as can be told.
        buffer: of the kernel, mapped by the recorder; counted once, however often it is mapped.
    """

    own: int
    highest: int
    buffer: int


@dataclass(slots=True)
class Watch:
    """Looks at a recorder's memory several times a second.

    Attributes:
        root: the recorder's process id.
        workload: that of the process below it which is not part of it, once it is known.
        samples: what was seen.
    """

    root: int
    workload: int | None = None
    samples: list[Memory] = field(default_factory=list)
    _mapped: int = 0
    _shared: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)

    def look(self, *, fully: bool = False) -> None:
        """Take one sample; a recorder that has ended has none.

        Args:
            fully: look at its buffers again, though no others are mapped. That takes the recorder
                some milliseconds, and is needed where buffers get resident only as they are used.
        """
        with contextlib.suppress(OSError, ValueError, IndexError):
            mapped = buffers(Path(f"/proc/{self.root}/maps").read_text())[0]
            if fully or mapped != self._mapped:
                self._mapped = mapped
                self._shared = buffers(Path(f"/proc/{self.root}/smaps").read_text())[1]
            self.samples.append(memory(self.root, self.workload, mapped, self._shared))

    @contextlib.contextmanager
    def going(self) -> Iterator[None]:
        """Take samples until the block ends."""

        def run() -> None:
            while not self._ended.wait(_SAMPLE_SECONDS):
                self.look()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    @property
    def summed_up(self) -> Memory | None:
        """The last sample, with the highest of all as ``highest``; None if there is none."""
        if not self.samples:
            return None
        last = self.samples[-1]
        return Memory(last.own, max(one.highest for one in self.samples), last.buffer)


def memory(root: int, workload: int | None, buffer: int, shared: int) -> Memory:
    """Look at the memory of a recorder now.

    Args:
        root: its process id.
        workload: of a process below it to be left out; while that is not known, all below it
            are, since a process that was just forked shares its parent's memory.
        buffer: bytes of the kernel's buffers that it maps, each counted once.
        shared: how much of its resident memory they are.

    Raises:
        OSError, ValueError: it has ended.
    """
    status = Path(f"/proc/{root}/status").read_text()
    own = _status_bytes(status, "VmRSS") - shared
    highest = max(own, _status_bytes(status, "VmHWM") - shared)
    below = below_of(root, workload)[1:] if workload is not None else []
    others = sum(_proportional(pid) for pid in below)
    return Memory(own + others, highest + others, buffer)


def buffers(smaps: str) -> tuple[int, int]:
    """Sum up the kernel's buffers in the text of /proc/PID/maps or smaps.

    Returns:
        Their size, each counted once, and in smaps how much of them is resident, in bytes.
    """
    size = resident = 0
    kind = ""
    for line in smaps.splitlines():
        if line.endswith((_RING_BUFFER, _PERF_BUFFER)):
            kind = line.rpartition(" ")[2]
            start, end = (int(word, 16) for word in line.split(" ", 1)[0].split("-"))
            if kind == _PERF_BUFFER:
                size += end - start
            elif end - start > 2 * _PAGE:  # the first pages of a ring are its two positions
                size += (end - start) // 2
        elif kind and line.startswith("Rss:"):
            resident += int(line.split()[1]) * 1024
            kind = ""
    return size, resident


def below_of(root: int, without: int | None = None) -> list[int]:
    """Return a process and all below it, parents first, but for one branch."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            with contextlib.suppress(OSError):
                parent = int(_stat_words((place / "stat").read_text())[1])
                children.setdefault(parent, []).append(int(place.name))
    found = [root]
    for pid in found:
        found += [child for child in children.get(pid, ()) if child != without]
    return found


def name_of(pid: int) -> str:
    """Return a process's name; nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def cpu_ns(pids: Iterable[int]) -> int:
    """Return the CPU time that running processes have used, in nanoseconds."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            words = _stat_words(Path(f"/proc/{pid}/stat").read_text())
            ticks += int(words[11]) + int(words[12])
    return ticks * _TICK_NS


def ended_children_ns() -> int:
    """Return the CPU time of all children that have ended, and of theirs, in nanoseconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def _stat_words(stat: str) -> list[str]:
    """Return the words of /proc/PID/stat from the state on; the name before may hold anything."""
    return stat[stat.rindex(")") + 2 :].split()


def _status_bytes(status: str, name: str) -> int:
    """Read a size of /proc/PID/status; ValueError if it is not there, as after the end."""
    for line in status.splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no {name}")


def _proportional(pid: int) -> int:
    """Return a process's memory with its share of what several have; 0 if it has ended."""
    try:
        return _status_bytes(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss")
    except (OSError, ValueError):
        return 0
