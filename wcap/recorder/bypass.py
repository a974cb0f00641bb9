"""Programs whose writes no tracepoint here sees: those of 32 bits, as far as they run already.

The kernel side tells of those that are executed while it records, and of io_uring.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from wcap.events import Bypass

# The start of an ELF file of 32 bits (ELFCLASS32, elf(5)).
_ELF_32 = b"\x7fELF\x01"


def untold(
    counted: Iterable[tuple[int, str]], told: Collection[tuple[int, str]]
) -> Iterator[Bypass]:
    """Yield those of which the kernel side could not tell, as the buffer was full: (pid, how)."""
    for pid, how in counted:
        if (pid, how) not in told:
            try:
                comm = Path(f"/proc/{pid}/comm").read_bytes().rstrip(b"\n")
            except OSError:  # it has ended
                comm = b"?"
            yield Bypass(pid, comm.decode("utf-8", "surrogateescape"), how)


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
