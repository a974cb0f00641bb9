"""Commands that are launched to be recorded."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections.abc import Sequence
from typing import NoReturn

# What a shell answers for a command that it cannot run.
_CANNOT_RUN = 127


class Command:
    """A launched command, held before its first instruction until `start`.

    It is forked at once, so that its number can be given to the kernel side before it runs.

    Attributes:
        pid: of the command.
        started: whether it was let run.
        status: its exit status once it has ended, or minus the signal that ended it.
        ended: set when it has.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = tuple(arguments)
        gate, self._gate = os.pipe()
        self._failure, failure = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _become(self.arguments, gate, self._gate, failure)
        os.close(gate)
        os.close(failure)
        self.started = False
        self.status: int | None = None
        self.ended = threading.Event()

    def start(self) -> None:
        """Let the command run.

        Raises:
            OSError: it could not be executed.
        """
        self.started = True
        with contextlib.suppress(BrokenPipeError):  # killed while it was held: wait() tells
            os.write(self._gate, b"!")
        os.close(self._gate)
        with os.fdopen(self._failure, "rb") as failure:
            code = failure.read()
        if code:
            self.wait()
            number = int(code)
            raise OSError(number, os.strerror(number), self.arguments[0])

    def wait(self) -> int:
        """Wait for the command's end.

        Returns:
            Its exit status, or minus the signal that ended it; `status` has it from then on.
        """
        _, status = os.waitpid(self.pid, 0)
        self.status = os.waitstatus_to_exitcode(status)
        self.ended.set()
        return self.status

    def abandon(self) -> None:
        """End a command that was never let run."""
        os.close(self._gate)
        os.close(self._failure)
        self.wait()

    def terminate(self) -> None:
        """Ask the command to end."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)


def _become(arguments: Sequence[str], gate: int, key: int, failure: int) -> NoReturn:
    """Wait at the gate, then turn into the command; this is the child, which never returns."""
    try:
        os.close(key)  # or the gate would not close when the recorder ends
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        if os.read(gate, 1):
            os.execvp(arguments[0], list(arguments))  # noqa: S606  # a shell is not wanted
    except OSError as error:
        os.write(failure, str(error.errno or errno.EIO).encode())
    finally:
        os._exit(_CANNOT_RUN)
