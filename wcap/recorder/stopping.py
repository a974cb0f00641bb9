"""Stopping writers rather than losing what they write (``--lossless``), and letting them go on.

The kernel side sends SIGSTOP to a process that writes while the buffer is fuller than it may be,
and puts it into a map, in this order. When the buffer has been drained, everyone in the map gets
SIGCONT. A guardian, a process of its own that holds little more than the maps, does so when the
recorder dies, whatever it dies of; before, it tells the kernel side to stop nobody any more.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterable

from wcap.recorder.closing import close_all_but
from wcap.recorder.proc import runs

# The buffer's part from which on writers are stopped, and that below which they go on.
STOP_ABOVE, GO_ON_BELOW = 1 / 4, 1 / 16
# A program that runs on another CPU has put its process into the map by then.
_ROUNDS, _PAUSE_SECONDS = 10, 0.05
_LOOK_SECONDS = 0.02


class Stopper:
    """Lets stopped processes go on, for as long as the recorder lives and when it dies.

    Args:
        buffer_bytes: size of the kernel's buffer.
        take: empties the map of stopped processes, and returns who was in it.
        disarm: tells the kernel side to do nothing any more.
        descriptors: of the two maps that these need.
    """

    def __init__(
        self,
        buffer_bytes: int,
        take: Callable[[], Iterable[int]],
        disarm: Callable[[], None],
        descriptors: Iterable[int],
    ) -> None:
        self._below = int(buffer_bytes * GO_ON_BELOW)
        self._take = take
        alive, self._alive = os.pipe()
        self._guardian = os.fork()
        if self._guardian == 0:
            with contextlib.suppress(BaseException):
                _guard(alive, take, disarm, descriptors)
            os._exit(0)
        os.close(alive)

    def drained(self, left: int) -> None:
        """Take in that so many bytes are left in the buffer."""
        if left < self._below:
            _resume(self._take())

    def close(self) -> None:
        """Let everyone go on; the kernel side stops nobody any more."""
        os.close(self._alive)
        os.waitpid(self._guardian, 0)


def _resume(stopped: Iterable[int]) -> None:
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGCONT)


def _guard(
    alive: int,
    take: Callable[[], Iterable[int]],
    disarm: Callable[[], None],
    descriptors: Iterable[int],
) -> None:
    """Wait for the recorder's end, or its word, then let everyone go on."""
    recorder = os.getppid()
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    close_all_but([alive, *descriptors])
    # One that was killed is a zombie long before the kernel has closed its tracepoints and pipes.
    while not select.select([alive], [], [], _LOOK_SECONDS)[0] and runs(recorder):
        pass
    disarm()
    for _ in range(_ROUNDS):
        _resume(take())
        time.sleep(_PAUSE_SECONDS)
