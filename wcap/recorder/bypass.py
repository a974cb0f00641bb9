"""Programs whose writes no tracepoint here sees: those of 32 bits, as far as they run already.

The kernel side tells of those that are executed while it records, and of io_uring.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from wcap.events import Bypass

# The start of an ELF file of 32 bits (ELFCLASS32, elf(5)).
_ELF_32 = b"\x7fELF\x01"


def of_32_bits(pids: Iterable[int]) -> Iterator[Bypass]:
    """Yield those of these processes that run a 32-bit program."""
    for pid in pids:
        process = Path("/proc", str(pid))
        try:
            with (process / "exe").open("rb") as program:
                is_compat = program.read(len(_ELF_32)) == _ELF_32
            comm = (process / "comm").read_bytes().rstrip(b"\n")
        except OSError:  # it has ended, or is the kernel's own
            continue
        if is_compat:
            yield Bypass(pid, comm.decode("utf-8", "surrogateescape"), "compat")
