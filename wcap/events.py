"""Events, one write each, and the facts that they refer to: processes, targets, gaps."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import IntFlag


class EventFlag(IntFlag):
    """What is special about an event; the bits of the ``flags`` column (SPEC.md section 5.3)."""

    TRUNCATED = 1
    READ_AT_EXIT = 2
    UNREADABLE = 4
    UNFINISHED = 8
    RESULT_LOST = 16
    PAYLOAD_LOST = 32
    AT_EXIT = 64
    NO_PAYLOAD = 128
    UNSENT = 256
    HAS_OFFSET = 512
    HAS_SOURCE = 1024
    HAS_ADDRESS = 2048

    @property
    def names(self) -> list[str]:
        """What is special, in lowercase, lowest bit first; that a fact is there is not."""
        special = self & ~_PRESENT
        return [flag.name.lower() for flag in EventFlag if flag in special and flag.name]


# These say no more than that an optional column means something in this row.
_PRESENT = EventFlag.HAS_OFFSET | EventFlag.HAS_SOURCE | EventFlag.HAS_ADDRESS
NO_RESULT = EventFlag.UNFINISHED | EventFlag.RESULT_LOST | EventFlag.UNSENT
NO_DURATION = NO_RESULT | EventFlag.AT_EXIT

# The kernel's internal codes, which reach a program only as a restarted call or as EINTR
# (include/linux/errno.h).
_INTERNAL_ERRORS = {
    512: "ERESTARTSYS",
    513: "ERESTARTNOINTR",
    514: "ERESTARTNOHAND",
    516: "ERESTART_RESTARTBLOCK",
}
# Linux numbers: a capture may be read on a system whose own numbers differ.
_LINUX_ERRORS = {
    1: "EPERM", 4: "EINTR", 5: "EIO", 6: "ENXIO", 9: "EBADF", 11: "EAGAIN", 12: "ENOMEM",
    13: "EACCES", 14: "EFAULT", 16: "EBUSY", 22: "EINVAL", 25: "ENOTTY", 26: "ETXTBSY",
    27: "EFBIG", 28: "ENOSPC", 29: "ESPIPE", 30: "EROFS", 32: "EPIPE", 71: "EPROTO",
    88: "ENOTSOCK", 89: "EDESTADDRREQ", 90: "EMSGSIZE", 104: "ECONNRESET", 105: "ENOBUFS",
    106: "EISCONN", 107: "ENOTCONN", 110: "ETIMEDOUT", 111: "ECONNREFUSED", 113: "EHOSTUNREACH",
    122: "EDQUOT",
}  # fmt: skip


def error_name(returned: int) -> str:
    """Name the error that a negative return value stands for, such as ``EPIPE`` for -32."""
    code = -returned
    return (
        _LINUX_ERRORS.get(code)
        or _INTERNAL_ERRORS.get(code)
        or errno.errorcode.get(code)
        or f"errno {code}"
    )


@dataclass(frozen=True, slots=True)
class Process:
    """A process that wrote, as far as it could be known; unknown facts are None.

    ``comm`` is the name of the thread that wrote first, ``leader`` that of the thread group's
    leader. ``start_ns`` is the start of the process in nanoseconds on the capture's clock
    (`Header.clock`); with ``pid`` it tells processes apart when a number is used again.
    """

    pid: int
    comm: str
    leader: str | None = None
    ppid: int | None = None
    uid: int | None = None
    start_ns: int | None = None
    exe: str | None = None
    cmdline: tuple[str, ...] | None = None
    gid: int | None = None
    cgroup: str | None = None
    ns_pid: int | None = None


# What a file descriptor can stand for (SPEC.md section 14): what `Target.kind` may be.
TARGET_KINDS = (
    "file", "directory", "pipe", "tty", "character", "block", "tcp", "udp", "unix", "socket",
    "anonymous",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """What a file descriptor stood for when it was written to; unknown facts are None.

    ``path`` is absolute in the writer's mount namespace (of an anonymous inode, its name, such as
    ``[eventfd]``); with ``partial`` its beginning is not known, and ``deleted`` says that the file
    had no name any more. ``device`` (major and minor number) and ``inode`` tell files apart, and
    ``inode`` alone pipes and sockets. ``local`` and ``peer`` are a socket's addresses:
    ``127.0.0.1:80``, ``[::1]:80``, a path, or ``@name`` for an abstract one. ``from_proc`` says
    that all this was found in /proc after the write, not by the kernel during it.
    """

    kind: str | None = None
    path: str | None = None
    device: tuple[int, int] | None = None
    inode: int | None = None
    local: str | None = None
    peer: str | None = None
    partial: bool = False
    deleted: bool = False
    from_proc: bool = False

    @property
    def name(self) -> str | None:
        """The target in one text, such as ``/var/log/x`` or ``tcp 127.0.0.1:5→127.0.0.1:80``."""
        if self.kind is None:
            return None
        if self.kind == "anonymous":
            return f"anon_inode:{'?' if self.path is None else self.path}"
        if self.path is not None:
            return f"{'…/' * self.partial}{self.path}{' (deleted)' * self.deleted}"
        inode = "?" if self.inode is None else self.inode
        if self.local is None and self.peer is None:
            return f"{self.kind}:[{inode}]"
        peer = "" if self.peer is None else f"→{self.peer}"
        return f"{self.kind} {f'[{inode}]' if self.local is None else self.local}{peer}"


UNKNOWN_TARGET = Target()


# How a process can pass the tracepoints by, and what is said of it.
BYPASSES = {"io_uring": "wrote through io_uring", "compat": "is a 32-bit program"}


@dataclass(frozen=True, slots=True)
class Bypass:
    """A recorded process that wrote in a way that no tracepoint of a system call sees.

    ``how`` is ``io_uring`` or ``compat`` (a 32-bit program); ``count`` is how many requests to
    write were seen to pass by, None where they cannot be counted.
    """

    pid: int
    comm: str
    how: str
    count: int | None = None

    @property
    def told(self) -> str:
        """What the process did, such as ``process 812 (foo) wrote through io_uring``."""
        what = BYPASSES.get(self.how, f"wrote past the recorder ({self.how})")
        return f"process {self.pid} ({self.comm}) {what}"


# SPEC.md section 14: the causes of gaps, and of lost results, that a recorder tells of.
BUFFER_FULL, OTHER = "buffer-full", "other"
# SPEC.md section 14: the cause of a gap whose events were lost when the file was damaged.
DAMAGE = "damage"
# The same, where a part of a recording was not at hand when the others were put together.
MISSING_PART = "missing-part"


@dataclass(frozen=True, slots=True)
class Gap:
    """Events that one CPU lost: ``count`` of its sequence numbers ``first_sequence`` to
    ``last_sequence`` (all of them, unless several holes were written as one gap).

    The lost events happened after ``first_ns`` and before ``last_ns`` (wall clock, nanoseconds),
    which are the times of the CPU's neighbouring events or of the recording's ends. ``processes``
    are (pid, events) pairs: whose they were, as far as that is known.
    """

    cpu: int
    first_sequence: int
    last_sequence: int
    count: int
    first_ns: int
    last_ns: int
    cause: str
    processes: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One write: what was asked, what was captured and what the kernel returned.

    ``time_ns`` is the wall clock at entry, in nanoseconds since 1970 (at exit, if ``flags`` has
    ``AT_EXIT``). ``returned`` (bytes, or a negative errno) and ``duration_ns`` are None when they
    were not seen; ``flags`` says why. ``sequence`` counts the events of one ``cpu`` without a
    hole, unless events were lost. ``offset`` is the place in the file that the call gave,
    ``source_fd`` and ``source`` are what sendfile and its like read from, and ``address`` is where
    a message was sent to, each None where the call has no such thing. ``host`` is the name of the
    machine that it was recorded on, None where it is not known.
    """

    time_ns: int
    pid: int
    tid: int
    ppid: int | None
    comm: str
    syscall: str
    fd: int
    count: int
    returned: int | None
    duration_ns: int | None
    flags: EventFlag
    cpu: int
    sequence: int
    data: bytes
    target: Target = UNKNOWN_TARGET
    offset: int | None = None
    source_fd: int | None = None
    source: Target | None = None
    address: str | None = None
    host: str | None = None

    @property
    def captured(self) -> int:
        """Bytes of payload that were captured."""
        return len(self.data)
