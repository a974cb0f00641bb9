"""A recorder launched with the writer under it, bounded in time, and what it cost in CPU time."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

_SAMPLE_SECONDS = 0.25


class MeasurementError(Exception):
    """Something could not be measured; the message says why in one line."""


class Launched:
    """A recorder, and the writer under it, which has its standard input and output.

    Attributes:
        pid: of the recorder.
    """

    def __init__(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._process = process
        self._gate, self._reports = process.stdin, process.stdout
        self._errors = errors

    def await_writer(self) -> None:
        """Wait until the writer is ready, which the recorder then is as well.

        Raises:
            MeasurementError: the recorder ended without starting the writer.
        """
        for line in self._reports:
            if line == b"ready\n":
                return
        raise self._failure()

    def let_write(self, sample: Callable[[int], None] | None) -> str:
        """Open the writer's gate, and return its report.

        Args:
            sample: called with the recorder's process id several times a second meanwhile.

        Raises:
            MeasurementError: the writer ended without a report.
        """
        self._gate.write(b"!")
        if sample is not None:
            while not select.select([self._reports], [], [], _SAMPLE_SECONDS)[0]:
                sample(self.pid)
        report = self._reports.readline()
        if not report:
            raise self._failure()
        return report.decode()

    def finish(self) -> str:
        """Wait for the recorder's end, and return what it said on standard error.

        Raises:
            MeasurementError: it failed.
        """
        if self._process.wait() != 0:
            raise self._failure()
        return self._said()

    def _failure(self) -> MeasurementError:
        status = self._process.wait()
        return MeasurementError(last_line(self._said()) or f"it ended with status {status}")

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")


@contextlib.contextmanager
def launched(command: Sequence[str], patience_seconds: float) -> Iterator[Launched]:
    """Launch a recorder. When the block ends, the recorder has, and all that it started.

    Args:
        command: the recorder's, with the writer's in it.
        patience_seconds: after which both are killed.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
        watchdog = threading.Timer(patience_seconds, _kill, (process,))
        watchdog.start()
        try:
            yield Launched(process, errors)
        except BaseException:
            _kill(process)
            raise
        finally:
            watchdog.cancel()
            with process:  # closes the pipes, then waits
                pass


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def last_line(said: str) -> str:
    """Return the last line of what a program said: its errors are there."""
    return said.strip().rpartition("\n")[2]


def ended_children_ns() -> int:
    """Return the CPU time of all children that have ended, and of theirs, in nanoseconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return int((usage.ru_utime + usage.ru_stime) * 1e9)


def cpu_ns(pid: int) -> int:
    """Return the CPU time that a running process has used, its children's left out."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    # The name, in parentheses, may hold anything; the state follows the last one.
    words = stat[stat.rindex(")") + 2 :].split()
    return (int(words[11]) + int(words[12])) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def memory_bytes(pid: int) -> int:
    """Return what a process has in memory, shared pages included."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
