"""The clock that the kernel side stamps records with."""

from __future__ import annotations

import time

from wcap.recorder import kernel

# bpf_ktime_get_boot_ns came with 5.8, as the ring buffer did.
_BOOTTIME = (5, 8)
# A reading of both clocks is as good as the time between them is short: the best of so many.
_READINGS = 5


class CaptureClock:
    """The kernel's clock that goes on during suspend, or on older kernels the one that does not.

    Nobody can set it, and it is the kernel's own in every time namespace.

    Attributes:
        name: ``boottime`` or ``monotonic``, as the header has it.
    """

    def __init__(self) -> None:
        boottime = kernel.version() >= _BOOTTIME
        self.name = "boottime" if boottime else "monotonic"
        self._number = time.CLOCK_BOOTTIME if boottime else time.CLOCK_MONOTONIC
        self._namespace_ns = kernel.time_offset_ns(self.name)

    def now(self) -> int:
        """Read the clock, in nanoseconds."""
        return time.clock_gettime_ns(self._number) - self._namespace_ns

    def moment(self) -> tuple[int, int]:
        """Read this clock and the wall clock, as close together as can be, in nanoseconds."""
        tries = []
        for _ in range(_READINGS):
            before = self.now()
            wall = time.time_ns()
            after = self.now()
            tries.append((after - before, before + (after - before) // 2, wall))
        _, clock_ns, wall_ns = min(tries)
        return clock_ns, wall_ns
