"""How to record, and what follows from it on this machine."""

from __future__ import annotations

import mmap
from dataclasses import dataclass

from wcap.errors import UnsupportedKernelError
from wcap.recorder import kernel
from wcap.syscalls import SYSCALLS

RING_BUFFER, PERF_BUFFER = "ring-buffer", "perf-buffer"
# What is kept of one write at most, so that a chunk can hold it (SPEC.md section 9).
MAX_SNAPLEN = 32 << 20
# What one record carries of a payload (bpf/state.h).
_PIECE = 32 << 10
# The largest power of two that the size of a BPF map, a u32, can be.
MAX_BUFFER = 2 << 30
RING_PAGE = 4096
# At most this much of a record is not payload (bpf/record.h).
_RECORD_HEAD = 256


@dataclass(frozen=True, slots=True)
class Settings:
    """How to record.

    Attributes:
        snaplen: bytes of payload kept of a write, up to `MAX_SNAPLEN`.
        buffer_bytes: size of the kernel's buffer; a power of two is made of it.
        transport: ``ring-buffer``, ``perf-buffer``, or None for what the kernel has.
        most: stop after so many events.
        duration_ns: stop after so long.
        syscalls: the calls recorded.
        at_exit: record calls when they have ended, not when they begin.
        lossless: stop writers rather than lose what they write; takes a ring buffer.
        stop_on_loss: end the recording when something is lost.
        part_bytes, part_ns, part_count: begin another file when one would be larger than this,
            and when so much time is over; with a time, end after so many.
        kept_bytes, kept_ns: keep the newest events in memory, so many bytes and so long, and write
            them to a file only when asked for and at the end.
    """

    snaplen: int = 4096
    buffer_bytes: int = 64 << 20
    transport: str | None = None
    most: int | None = None
    duration_ns: int | None = None
    syscalls: tuple[str, ...] = SYSCALLS
    at_exit: bool = False
    lossless: bool = False
    stop_on_loss: bool = False
    part_bytes: int | None = None
    part_ns: int | None = None
    part_count: int | None = None
    kept_bytes: int | None = None
    kept_ns: int | None = None

    @property
    def rotates(self) -> bool:
        """Whether the recording goes to several files."""
        return self.part_bytes is not None or self.part_ns is not None

    @property
    def keeps(self) -> bool:
        """Whether events are kept in memory."""
        return self.kept_bytes is not None or self.kept_ns is not None

    @property
    def lasts_ns(self) -> int | None:
        """How long all parts take, if both are limited."""
        if self.part_ns is None or self.part_count is None:
            return None
        return self.part_ns * self.part_count


def choose_transport(settings: Settings) -> str:
    """Return the transport that the settings ask for and the kernel has.

    Raises:
        UnsupportedKernelError: there is none.
    """
    if settings.transport == PERF_BUFFER:
        return PERF_BUFFER
    if kernel.has_ring_buffer():
        return RING_BUFFER
    if settings.transport == RING_BUFFER:
        raise UnsupportedKernelError(
            "this kernel has no BPF ring buffer (it came with 5.8): use --transport perf"
        )
    if settings.lossless:
        raise UnsupportedKernelError(
            "this kernel has no BPF ring buffer (it came with 5.8), which --lossless needs"
        )
    return PERF_BUFFER


def buffer_size(settings: Settings, transport: str) -> int:
    """Return the buffer's size: a power of two, and room for two of the largest records.

    Perf buffers share it, and each must have that room.
    """
    largest = min(settings.snaplen, _PIECE) + _RECORD_HEAD
    if settings.lossless:  # above where writers are stopped, there is room for a write of each CPU
        largest = 2 * len(kernel.online_cpus()) * (settings.snaplen + _RECORD_HEAD)
    least = max(mmap.PAGESIZE, RING_PAGE, 2 * largest)
    if transport == PERF_BUFFER:
        least *= 2 * len(kernel.online_cpus())
    return 1 << (max(settings.buffer_bytes, least) - 1).bit_length()
