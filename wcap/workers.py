"""Child processes that work side by side, and hand over what they make in messages.

They are forked, so they have all that their parent had read, and nothing is loaded or parsed
again. What a child sends is taken in the order in which the parent asks for it. A child that is
ahead of that waits once as much as `_MOST_WAITING` of its messages lies ready, so memory is bounded
whatever the file. A child that fails sends its exception, which is raised in its place in that
order. However the parent ends, none is left behind: it ends them, or they find nobody reading.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pickle
import select
import signal
import struct
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import NoReturn, Self

# Bytes of messages of one child that are kept until they are asked for: a chunk of log lines takes
# some 25 MiB as CSV.
_MOST_WAITING = 32 << 20
# Bytes that a pipe holds, where the kernel lets it: as many as anybody may ask for (pipe(7)).
_PIPE = 1 << 20
# What stands before a message: its kind, and how many bytes follow.
_HEAD = struct.Struct("<BQ")
_FAILED = 255

Data = bytes | bytearray
Message = tuple[int, Data]
Work = Callable[[int], Iterable[Message]]

available = hasattr(os, "fork")


class Workers:
    """Some child processes.

    Args:
        count: how many.
        work: called in each with its number, from 0; yields messages, a kind below 255 and bytes.
    """

    def __init__(self, count: int, work: Work) -> None:
        self._children: list[_Child] = []
        try:
            for number in range(count):
                self._children.append(self._start(number, work))
        except BaseException:
            self.close()
            raise

    def _start(self, number: int, work: Work) -> _Child:
        source, sink = os.pipe()
        with contextlib.suppress(ImportError, AttributeError, OSError):
            import fcntl

            fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, _PIPE)
        try:
            process = os.fork()
        except BaseException:
            os.close(source)
            os.close(sink)
            raise
        if process == 0:
            # A child that held the others' pipes open would keep them from seeing their parent go.
            for other in (source, *(child.source for child in self._children)):
                os.close(other)
            _work(sink, number, work)
        os.close(sink)
        return _Child(process, source)

    def next_of(self, number: int) -> Message:
        """Return a child's next message.

        Raises:
            ChildProcessError: it was killed.
            Exception: what it failed with.
        """
        wanted = self._children[number]
        while not wanted.ready:
            waited_for = select.poll()
            sources = {}
            for child in self._children:
                if child is wanted or (child.waiting < _MOST_WAITING and not child.ended):
                    sources[child.source] = child
                    waited_for.register(child.source, select.POLLIN)
            for source, _ in waited_for.poll():
                sources[source].take()
            if wanted.ended and not wanted.ready:
                raise ChildProcessError(errno.ECHILD, "a process of --jobs was killed")
        kind, data = wanted.pop()
        if kind == _FAILED:
            raise pickle.loads(data)  # noqa: S301  # of our own child
        return kind, data

    def close(self) -> None:
        """End them all."""
        while self._children:
            child = self._children.pop()
            os.close(child.source)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.process, signal.SIGKILL)
            os.waitpid(child.process, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class _Child:
    """A child process, and what it has sent."""

    def __init__(self, process: int, source: int) -> None:
        self.process = process
        self.source = source
        self.ready: deque[Message] = deque()
        self.waiting = 0
        self.ended = False
        self._head = bytearray(_HEAD.size)
        self._taken, self._missing = self._head, memoryview(self._head)

    def take(self) -> None:
        """Take some of what has come, at least a byte unless it has ended."""
        came = os.readv(self.source, [self._missing])
        self.ended = not came
        self.waiting += came
        self._missing = self._missing[came:]
        if self._missing:
            return
        kind, length = _HEAD.unpack(self._head)
        if self._taken is self._head and length:
            self._begin(bytearray(length))
            return
        self.ready.append((kind, self._taken if length else b""))
        self._begin(self._head)

    def _begin(self, part: bytearray) -> None:
        self._taken = part
        self._missing = memoryview(part)

    def pop(self) -> Message:
        """Return the next message that is ready."""
        kind, data = self.ready.popleft()
        self.waiting -= _HEAD.size + len(data)
        return kind, data


def _work(sink: int, number: int, work: Work) -> NoReturn:
    """Be a child; never return, whatever happens."""
    try:
        # Ctrl-C is for the parent, which ends its children.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for kind, data in work(number):
                _send(sink, kind, data)
        except BrokenPipeError:
            pass
        except BaseException as error:  # noqa: BLE001  # it is raised in the parent
            _send(sink, _FAILED, pickle.dumps(error))
    finally:
        os._exit(0)


def _send(sink: int, kind: int, data: Data) -> None:
    for part in (_HEAD.pack(kind, len(data)), data):
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(sink, rest) :]
