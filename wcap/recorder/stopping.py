"""Stopping writers rather than losing what they write (``--lossless``), and letting them go on.

The kernel side sends SIGSTOP to a process that writes while the buffer is fuller than it may be,
and puts it into a map, in this order. When the buffer has been drained, everyone in the map is
taken out of it and then gets SIGCONT, so that who is stopped anew meanwhile is in it again. A
guardian, a process of its own that holds little more than the maps, does so when the recorder dies,
whatever it dies of; before, it tells the kernel side to stop nobody any more. Whom the recorder has
just taken out stands in memory that both share until the signal is sent: it may die in between.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import time
from collections.abc import Iterable
from typing import Protocol

from wcap.recorder.closing import close_all_but
from wcap.recorder.proc import runs

# The buffer's part from which on writers are stopped, and that below which they go on.
STOP_ABOVE, GO_ON_BELOW = 1 / 4, 1 / 16
# A program that runs on another CPU has put its process into the map by then.
_ROUNDS, _PAUSE_SECONDS = 10, 0.05
_LOOK_SECONDS = 0.02


class Stopped(Protocol):
    """The kernel side's map of the processes that it has stopped, and its switch."""

    def pids(self) -> list[int]:
        """Who is in the map."""
        ...

    def forget(self, pids: Iterable[int]) -> None:
        """Take them out of the map."""
        ...

    def stop_nobody_any_more(self) -> None:
        """Switch stopping off: who was being stopped just then comes into the map before long."""
        ...

    @property
    def descriptors(self) -> Iterable[int]:
        """What these three need to stay open."""
        ...


class Stopper:
    """Lets stopped processes go on, for as long as the recorder lives and when it dies.

    Args:
        buffer_bytes: size of the kernel's buffer.
        stopped: who has been stopped.
    """

    def __init__(self, buffer_bytes: int, stopped: Stopped) -> None:
        self._below = int(buffer_bytes * GO_ON_BELOW)
        self._release = _Release(stopped)
        alive, self._alive = os.pipe()
        self._guardian = os.fork()
        if self._guardian == 0:
            with contextlib.suppress(BaseException):
                _guard(alive, stopped, self._release)
            os._exit(0)
        os.close(alive)

    def drained(self, left: int) -> None:
        """Take in that so many bytes are left in the buffer."""
        if left < self._below:
            self._release.some()

    def close(self) -> None:
        """Let everyone go on; the kernel side stops nobody any more."""
        os.close(self._alive)
        os.waitpid(self._guardian, 0)


class _Release:
    """Lets the stopped go on, such that another process can finish what this one began."""

    _AT_ONCE = 1023

    def __init__(self, stopped: Stopped) -> None:
        self._stopped = stopped
        # How many of those that follow have been taken out, and may not have been signalled.
        self._taken_out = memoryview(mmap.mmap(-1, 4 * (1 + self._AT_ONCE))).cast("I")

    def some(self) -> bool:
        """Let as many as there is room for go on; return whether there were any."""
        pids = self._stopped.pids()[: self._AT_ONCE]
        for place, pid in enumerate(pids, 1):
            self._taken_out[place] = pid
        self._taken_out[0] = len(pids)
        self._stopped.forget(pids)
        self.taken_out()
        self._taken_out[0] = 0
        return bool(pids)

    def taken_out(self) -> None:
        """Let those go on who were taken out and may not have been."""
        for pid in self._taken_out[1 : 1 + self._taken_out[0]]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGCONT)


def _guard(alive: int, stopped: Stopped, release: _Release) -> None:
    """Wait for the recorder's end, or its word, then let everyone go on."""
    recorder = os.getppid()
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    close_all_but([alive, *stopped.descriptors])
    # One that was killed is a zombie long before the kernel has closed its tracepoints and pipes.
    while not select.select([alive], [], [], _LOOK_SECONDS)[0] and runs(recorder):
        pass
    stopped.stop_nobody_any_more()
    release.taken_out()
    for _ in range(_ROUNDS):
        while release.some():
            pass
        time.sleep(_PAUSE_SECONDS)
