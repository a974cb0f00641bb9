"""Read what ``strace -ff -A -xx -v`` wrote: every thread's writes, in order.

With ``-ff`` each thread has a file of its own, so no line is broken by another thread's, and with
``-A`` a number that is used again adds to its file. A line becomes as many writes as wcap has
events for that call: one, or one for each message of sendmmsg. What strace cannot know is None, and
what it prints in a way not known here is a `StraceError`, so nothing is passed over in silence.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

from truth.strace_values import Pointer, StraceError, read_arguments

# The kernel's internal codes (include/linux/errno.h): the call is begun again, or ends with EINTR.
_ERRORS = {name: number for number, name in errno.errorcode.items()} | {
    "ERESTARTSYS": 512,
    "ERESTARTNOINTR": 513,
    "ERESTARTNOHAND": 514,
    "ERESTART_RESTARTBLOCK": 516,
}
_RESULT = re.compile(r"\s*= (?:(?P<number>\d+)|(?:-1|\?) (?P<error>E\w+) \(.*\)|\?)\s*")
_NOT_A_CALL = ("+++ ", "--- ")
# Of more segments than this (UIO_MAXIOV) the kernel looks at none, and wcap at as many as it likes.
_MOST_SEGMENTS = 1024


class Payload(Enum):
    """How much of a payload strace shows."""

    WHOLE = auto()
    UNREADABLE = auto()  # memory is not there: the bytes before it are known
    UNKNOWN = auto()  # a netlink message, printed as what it means; a vector that was refused


@dataclass(frozen=True, slots=True)
class Write:
    """One write as strace saw it.

    ``count`` is None if the program gave lengths that could not be read. ``returned`` is None if
    the thread was killed, or, with ``unsent``, if sendmmsg did not get as far as this message.
    """

    syscall: str
    fd: int
    count: int | None
    returned: int | None
    data: bytes = b""
    payload: Payload = Payload.WHOLE
    offset: int | None = None
    source_fd: int | None = None
    unsent: bool = False


def read_log(folder: Path) -> dict[int, Iterator[Write]]:
    """Return the writes of every thread, by thread number, of logs named ``*.NUMBER``.

    A thread's lines are read at the first look at them.
    """
    return {int(path.suffix[1:]): _read_thread(path) for path in folder.iterdir()}


def _read_thread(path: Path) -> Iterator[Write]:
    for line in path.read_text("ascii").splitlines():
        yield from read_line(line)


def read_line(line: str) -> list[Write]:
    """Return the writes that one line of a log tells of."""
    if line.startswith(_NOT_A_CALL):
        return []
    name, found, _ = line.partition("(")
    shape = _SHAPES.get(name)
    if shape is None or not found:
        raise StraceError(f"not a call that is known: {line[:80]!r}")
    arguments, end = read_arguments(line, len(name) + 1)
    return shape(name, arguments, _result(line[end:]))


def _result(text: str) -> int | None:
    match = _RESULT.fullmatch(text)
    if match is None:
        raise StraceError(f"not a result: {text[:80]!r}")
    if match["error"]:
        return -_ERRORS[match["error"]]
    return int(match["number"]) if match["number"] else None


def _buffer(name: str, arguments: list[Any], returned: int | None) -> list[Write]:
    fd, buffer, count = arguments[:3]
    offset = arguments[3] if name == "pwrite64" else None
    return [Write(name, fd, count, returned, *_content(buffer, count), offset)]


def _vector(name: str, arguments: list[Any], returned: int | None) -> list[Write]:
    fd, segments, number = arguments[:3]
    offset = arguments[3] if name in ("pwritev", "pwritev2") else None
    if name == "pwritev2" and offset == -1:  # where the file stands: no place is given
        offset = None
    if number > _MOST_SEGMENTS:
        return [Write(name, fd, None, returned, b"", Payload.UNKNOWN, offset)]
    return [Write(name, fd, _total(segments), returned, *_joined(segments), offset)]


def _message(name: str, arguments: list[Any], returned: int | None) -> list[Write]:
    fd, header = arguments[:2]
    segments = header if isinstance(header, Pointer) else header["msg_iov"]
    return [Write(name, fd, _total(segments), returned, *_joined(segments))]


def _messages(name: str, arguments: list[Any], returned: int | None) -> list[Write]:
    fd, shown, number = arguments[:3]
    messages = [] if isinstance(shown, Pointer) else [each for each in shown if each is not ...]
    messages += [{"msg_hdr": {"msg_iov": ...}}] * (number - len(messages))
    if messages and (returned is None or returned < 0):
        # The call's error is the first message's; of a later one's nobody is told.
        messages[0] = {**messages[0], "msg_len": returned}
    return [_one_of_many(name, fd, message) for message in messages]


def _one_of_many(name: str, fd: int, message: dict[str, Any]) -> Write:
    segments = message["msg_hdr"]["msg_iov"]
    unsent = "msg_len" not in message
    content = _joined(segments)
    return Write(name, fd, _total(segments), message.get("msg_len"), *content, unsent=unsent)


def _spliced(name: str, arguments: list[Any], returned: int | None) -> list[Write]:
    fd, segments = arguments[:2]
    return [Write(name, fd, _total(segments), returned)]


def _transfer(
    source: int, target: int, count: int, offset: int | None = None
) -> Callable[..., list[Write]]:
    """Return how to read a call with its arguments at these places; the offset is the target's."""

    def read(name: str, arguments: list[Any], returned: int | None) -> list[Write]:
        fd, asked, source_fd = (arguments[place] for place in (target, count, source))
        given = None if offset is None else arguments[offset]
        place = given[0] if isinstance(given, list) else None
        return [Write(name, fd, asked, returned, offset=place, source_fd=source_fd)]

    return read


_SHAPES: dict[str, Callable[[str, list[Any], int | None], list[Write]]] = {
    "write": _buffer,
    "pwrite64": _buffer,
    "writev": _vector,
    "pwritev": _vector,
    "pwritev2": _vector,
    "sendto": _buffer,
    "sendmsg": _message,
    "sendmmsg": _messages,
    "sendfile": _transfer(source=1, target=0, count=3),
    "splice": _transfer(source=0, target=2, count=4, offset=3),
    "tee": _transfer(source=0, target=1, count=2),
    "vmsplice": _spliced,
    "copy_file_range": _transfer(source=0, target=2, count=4, offset=3),
}
SYSCALLS = tuple(_SHAPES)


def _content(buffer: Any, count: int) -> tuple[bytes, Payload]:
    if isinstance(buffer, bytes):
        if len(buffer) != count:
            raise StraceError(f"{len(buffer)} of {count} bytes are shown")
        return buffer, Payload.WHOLE
    if isinstance(buffer, Pointer):
        return b"", Payload.UNREADABLE if count else Payload.WHOLE
    return b"", Payload.UNKNOWN


def _joined(segments: Any) -> tuple[bytes, Payload]:
    """Return the bytes of an iovec up to the first that strace does not show."""
    joined = []
    for segment in _listed(segments):
        if segment is ...:
            return b"".join(joined), Payload.UNREADABLE
        data, payload = _content(segment["iov_base"], segment["iov_len"])
        joined.append(data)
        if payload is not Payload.WHOLE:
            return b"".join(joined), payload
    return b"".join(joined), Payload.WHOLE


def _total(segments: Any) -> int | None:
    listed = _listed(segments)
    return None if ... in listed else sum(segment["iov_len"] for segment in listed)


def _listed(segments: Any) -> list[Any]:
    """Return an iovec's segments, and last `...` if memory ends before they do."""
    listed: list[Any] = segments if isinstance(segments, list) else [...]
    if any(isinstance(segment, str) for segment in listed):
        raise StraceError("segments are left out")
    return listed
