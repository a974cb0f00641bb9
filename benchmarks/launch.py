"""A recorder launched with the workload under it, or beside it, bounded in time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

# A recorder that lost events says so with its exit status; it is no failure of the measurement.
_GOOD_STATUSES = (0, 3)


class MeasurementError(Exception):
    """Something could not be measured; the message says why in one line."""


class Launched:
    """A recorder, and the workload under it, which has its standard input and output.

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

    def await_workload(self) -> int:
        """Wait until the workload is ready, which the recorder then is as well.

        Returns:
            The workload's process id.

        Raises:
            MeasurementError: the recorder ended without starting it.
        """
        for line in self._reports:
            if line.startswith(b"ready "):
                return int(line.split()[1])
        raise self._failure()

    def open_gate(self) -> str:
        """Let the workload begin, and return what it reports at its end.

        Raises:
            MeasurementError: it ended without a report.
        """
        self._gate.write(b"!\n")
        report = self._reports.readline()
        if not report:
            raise self._failure()
        return report.decode()

    def await_words(self, words: str, patience_seconds: float) -> None:
        """Wait until something stands on standard error.

        Raises:
            MeasurementError: the recorder ended before, or does not say it in time.
        """
        deadline = time.monotonic() + patience_seconds
        while words not in self.said():
            if self._process.poll() is not None:
                raise self._failure()
            if time.monotonic() > deadline:
                raise MeasurementError(f"it did not say {words!r} in {patience_seconds:g} s")
            time.sleep(0.002)

    def interrupt(self) -> None:
        """Ask the recorder to end, as Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    def finish(self) -> str:
        """Wait for the recorder's end, and return what it said on standard error.

        Raises:
            MeasurementError: it failed.
        """
        if self._process.wait() not in _GOOD_STATUSES:
            raise self._failure()
        return self.said()

    def said(self) -> str:
        """Return what the recorder has said on standard error until now."""
        size = os.fstat(self._errors.fileno()).st_size
        return os.pread(self._errors.fileno(), size, 0).decode(errors="replace")

    def _failure(self) -> MeasurementError:
        status = self._process.wait()
        return MeasurementError(last_line(self.said()) or f"it ended with status {status}")


@contextlib.contextmanager
def launched(
    command: Sequence[str], patience_seconds: float, folder: Path | None = None
) -> Iterator[Launched]:
    """Launch a recorder. When the block ends, the recorder has, and all that it started.

    Args:
        command: the recorder's, with the workload's in it.
        patience_seconds: after which both are killed.
        folder: in which it runs.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command,
            bufsize=0,
            cwd=folder,
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
