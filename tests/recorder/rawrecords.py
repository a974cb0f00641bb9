"""Records as the kernel side lays them out (bpf/record.h), and spans of them.

Nothing is taken from the modules under test but the class of a span.
"""

from __future__ import annotations

import struct

import numpy as np

from wcap.recorder.records import Span

ENTER, EXIT, REREAD, PROCESS, PART, TARGET, SENT, BYPASS = range(1, 9)
UNREADABLE, KNOWN_TASK, PART_LOST = 1, 2, 4
OFFSET, SOURCE, ADDRESS, NO_PAYLOAD, UNSENT = 8, 16, 32, 64, 128
PARTIAL, DETACHED, DELETED, NO_CGROUP = 256, 512, 1024, 2048

PREFIX = "=BBHIQQ"
ENTER_LAYOUT = struct.Struct(PREFIX + "QQiI16sII")
EXTRA_LAYOUT = struct.Struct("=qiIII128s")
EXIT_LAYOUT = struct.Struct(PREFIX + "q")
REREAD_LAYOUT = struct.Struct(PREFIX + "qII")
PART_LAYOUT = struct.Struct(PREFIX + "QQ")
PROCESS_LAYOUT = struct.Struct(PREFIX + "QIIII16s16sIIII")
TARGET_LAYOUT = struct.Struct(PREFIX + "IIIHHQIIHHHH16s16sQIHH")
BYPASS_LAYOUT = struct.Struct(PREFIX + "16sQ")
RING_HEADER = struct.Struct("=II")


def both(pid: int, tid: int) -> int:
    """Put a process's and a thread's number in one word, as the kernel does."""
    return pid << 32 | tid


def enter(
    payload: bytes = b"",
    *,
    pid: int = 100,
    tid: int | None = None,
    cpu: int = 0,
    time_ns: int = 0,
    sequence: int = 1,
    fd: int = 1,
    count: int | None = None,
    comm: bytes = b"hello",
    unreadable: bool = False,
    flags: int = 0,
    syscall: int = 0,
    target: int = 0,
    extra: bytes = b"",
    returned: int | None = None,
) -> bytes:
    """Make the record of a call's beginning; with ``returned``, of one recorded at its exit."""
    task = both(pid, pid if tid is None else tid)
    head = ENTER_LAYOUT.pack(
        *(ENTER, syscall, flags | UNREADABLE * unreadable, cpu, time_ns, task),
        *(sequence, len(payload) if count is None else count, fd, len(payload), comm),
        *(target, len(extra)),
    )
    return head + (b"" if returned is None else struct.pack("=q", returned)) + extra + payload


def extra_of(
    *, offset: int = 0, source_fd: int = 0, source: int = 0, message: int = 0, address: bytes = b""
) -> bytes:
    """Make what stands between a record and its payload for calls that have more to say."""
    return EXTRA_LAYOUT.pack(offset, source_fd, source, message, len(address), address)


def leave(
    returned: int = 0, *, pid: int = 100, tid: int | None = None, cpu: int = 0, time_ns: int = 0
) -> bytes:
    """Make the record of a call's end."""
    task = both(pid, pid if tid is None else tid)
    return EXIT_LAYOUT.pack(EXIT, 0, 0, cpu, time_ns, task, returned)


def reread(
    payload: bytes,
    returned: int = 0,
    *,
    failed: bool = False,
    flags: int = 0,
    pid: int = 100,
    tid: int | None = None,
    cpu: int = 0,
    time_ns: int = 0,
    asked: int = 0,
    kind: int = REREAD,
) -> bytes:
    """Make the record of a call's end that brings payload; ``asked`` is the size of a vector."""
    task = both(pid, pid if tid is None else tid)
    return (
        REREAD_LAYOUT.pack(
            *(kind, 0, flags | UNREADABLE * failed, cpu, time_ns, task),
            *(returned, len(payload), asked),
        )
        + payload
    )


def sent(lengths: list[int], returned: int, **of: int) -> bytes:
    """Make the record of the end of a sendmmsg, with how much of each message was sent."""
    return reread(struct.pack(f"={len(lengths)}I", *lengths), returned, kind=SENT, **of)


def part(
    payload: bytes,
    *,
    sequence: int = 0,
    end_ns: int | None = None,
    pid: int = 100,
    tid: int | None = None,
    cpu: int = 0,
    time_ns: int = 0,
) -> bytes:
    """Make the record of a part of a payload; with ``end_ns``, of what a call's end then brings."""
    task = both(pid, pid if tid is None else tid)
    of = sequence if end_ns is None else 1 << 63 | end_ns
    return PART_LAYOUT.pack(PART, 0, 0, cpu, time_ns, task, of, len(payload)) + payload


def process(
    pid: int = 100,
    *,
    comm: bytes = b"hello",
    leader: bytes = b"hello",
    ppid: int = 1,
    uid: int = 0,
    gid: int = 0,
    ns_pid: int = 0,
    start_ns: int = 7,
    known: bool = True,
    exe: bytes = b"",
    cgroup: bytes = b"",
    cmdline: bytes = b"",
    flags: int = 0,
) -> bytes:
    """Make the record of a process; paths have their last component first."""
    return (
        PROCESS_LAYOUT.pack(
            *(PROCESS, 0, flags | KNOWN_TASK * known, 0, 0, both(pid, pid)),
            *(start_ns, ppid, uid, gid, ns_pid, comm, leader),
            *(len(exe), len(cgroup), len(cmdline), 0),
        )
        + exe
        + cgroup
        + cmdline
    )


def target(
    number: int,
    *,
    kind: int = 0,
    path: bytes = b"",
    flags: int = 0,
    inode: int = 0,
    device: int = 0,
    family: int = 0,
    local: bytes = b"",
    peer: bytes = b"",
    ports: tuple[int, int] = (0, 0),
    unix: tuple[bytes, bytes] = (b"", b""),
    peer_inode: int = 0,
) -> bytes:
    """Make the record of a target; of ``ports`` the peer's is in network order."""
    return (
        TARGET_LAYOUT.pack(
            *(TARGET, 0, flags, 0, 0, 0),
            *(number, device, 0, 0, family, inode, 0, kind, 0, 0, *ports, local, peer, peer_inode),
            *(len(path), len(unix[0]), len(unix[1])),
        )
        + path
        + unix[0]
        + unix[1]
    )


def bypass(how: int, *, pid: int = 100, comm: bytes = b"hello") -> bytes:
    """Make the record of a process that writes past the tracepoints."""
    return BYPASS_LAYOUT.pack(BYPASS, 0, 0, 0, 0, both(pid, pid), comm, how)


def in_ring(record: bytes, flags: int = 0) -> bytes:
    """Give a record the ring buffer's header and padding."""
    return RING_HEADER.pack(len(record) | flags, 0) + record + bytes(-len(record) % 8)


def span_of(*records: bytes) -> Span:
    """Lay records out as they come from the ring buffer."""
    pieces = [in_ring(record) for record in records]
    ends = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    starts = ends - np.array([len(piece) for piece in pieces], dtype=np.int64) + RING_HEADER.size
    return Span(b"".join(pieces), starts)
