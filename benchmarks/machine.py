"""The machine that a result belongs to."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import wcap

# The peers and the programs that are recorded, and what each says its version to.
_TOOLS = {
    "bpftrace": "--version",
    "perf": "--version",
    "strace": "--version",
    "zstd": "--version",
    "redis-server": "--version",
    "nginx": "-v",
    "gcc": "--version",
    "git": "--version",
}


@dataclass(frozen=True, slots=True)
class Machine:
    """What a reader of the figures must know of the machine and of the programs compared.

    ``load`` is the number of processes that wanted a core in the minute before: above a few
    tenths, others were using the machine and the figures are worse than they need be.
    """

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    load: float
    date: str
    versions: dict[str, str]


def describe() -> Machine:
    """Describe this machine."""
    versions = {"wcap": wcap.__version__, "python": platform.python_version()}
    for tool, option in _TOOLS.items():
        if shutil.which(tool):
            versions[tool] = _version(tool, option)
    return Machine(
        processor=processor(Path("/proc/cpuinfo").read_text()) or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.release()} {platform.machine()}",
        load=os.getloadavg()[0],
        date=time.strftime("%Y-%m-%d"),
        versions=versions,
    )


def processor(cpuinfo: str) -> str | None:
    """Find the processor's name in the text of /proc/cpuinfo; arm64 has none there."""
    found = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    return " ".join(found[1].split()) if found else None


def _version(tool: str, option: str) -> str:
    said = subprocess.run([tool, option], capture_output=True, text=True, check=False)
    found = re.search(r"\d+(\.\d+)+", said.stdout + said.stderr)
    return found[0] if found else "unknown"
