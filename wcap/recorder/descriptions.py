"""The kernel side's descriptions of processes and of what file descriptors stand for.

Their layout is that of bpf/record.h. Paths come as components, the last one first, each with a
NUL behind it.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

from wcap.events import TARGET_KINDS, Bypass, Target
from wcap.fields import text

_COMM = "16s"
_PROCESS = struct.Struct(f"=BBHIQQ QIIII {_COMM}{_COMM} IIII")
_TARGET = struct.Struct("=BBHIQQ IIIHH QII HHHH 16s16s Q IHH")
_BYPASS = struct.Struct(f"=BBHIQQ {_COMM} Q")
PROCESS_SIZE, TARGET_SIZE = _PROCESS.size, _TARGET.size
# Flags of bpf/record.h.
_KNOWN_TASK, _PARTIAL, _DETACHED, _DELETED, _NO_CGROUP = 2, 256, 512, 1024, 2048
# include/linux/socket.h
_UNIX, _INET, _INET6 = 1, 2, 10
# include/linux/kdev_t.h
_MINOR_BITS = 20
# enum how of bpf/record.h, as SPEC.md section 14 calls them.
HOW = {1: "io_uring", 2: "compat"}


@dataclass(frozen=True, slots=True)
class Seen:
    """A process that the kernel side saw for the first time, or that called exec."""

    order: int
    pid: int
    comm: bytes
    uid: int
    gid: int
    leader: bytes | None
    ppid: int | None
    start_ns: int | None
    ns_pid: int | None = None
    exe: str | None = None
    cgroup: str | None = None
    cmdline: tuple[str, ...] | None = None


def process(data: bytes, start: int, order: int) -> Seen:
    """Read the description of a process."""
    (_, _, flags, _, _, pid_tgid, start_ns, ppid, uid, gid, ns_pid, comm, leader, *sizes, _) = (
        _PROCESS.unpack_from(data, start)
    )
    known = bool(flags & _KNOWN_TASK)
    exe, cgroup, cmdline = _cut(data, start + PROCESS_SIZE, sizes)
    return Seen(
        order=order,
        pid=pid_tgid >> 32,
        comm=_name(comm),
        uid=uid,
        gid=gid,
        leader=_name(leader) if known else None,
        ppid=ppid if known else None,
        start_ns=start_ns if known else None,
        ns_pid=ns_pid or None,
        exe=_path(exe) if exe and not flags & _PARTIAL else None,
        cgroup=_path(cgroup) if known and not flags & _NO_CGROUP else None,
        cmdline=tuple(map(text, cmdline.rstrip(b"\0").split(b"\0"))) if cmdline else None,
    )


def target(data: bytes, start: int) -> tuple[int, Target]:
    """Read the description of a target; return the number that stands for it, and the target."""
    (_, _, flags, _, _, _, number, device, _, _, family, inode, _, kind, *rest) = (
        _TARGET.unpack_from(data, start)
    )
    _, _, local_port, peer_port, local, peer, peer_inode, *sizes = rest
    path, local_path, peer_path = _cut(data, start + TARGET_SIZE, sizes)
    name = TARGET_KINDS[kind]
    found: dict[str, Any] = {"kind": name, "inode": inode}
    if family in (_INET, _INET6):
        found["local"] = _internet(family, local, local_port)
        found["peer"] = _internet(family, peer, socket.ntohs(peer_port))
    elif family == _UNIX:
        found["local"] = _unix(local_path)
        found["peer"] = _unix(peer_path) or (f"[{peer_inode}]" if peer_inode else None)
    elif path:
        if name != "anonymous":
            found["device"] = _device(device)
        found["path"] = _target_path(name, path, flags)
        found["partial"] = bool(flags & _PARTIAL)
        found["deleted"] = bool(flags & _DELETED) and name != "anonymous"
    return number, Target(**found)


def bypass(data: bytes, start: int) -> Bypass:
    """Read that a process writes in a way that cannot be recorded."""
    _, _, _, _, _, pid_tgid, comm, how = _BYPASS.unpack_from(data, start)
    return Bypass(pid_tgid >> 32, text(_name(comm)), HOW[how])


def address(raw: bytes) -> str:
    """Return a socket address (``struct sockaddr``) as text, as `Target` gives addresses."""
    if len(raw) >= 2:
        (family,) = struct.unpack_from("=H", raw)
        if family == _INET and len(raw) >= 8:
            (port,) = struct.unpack_from(">H", raw, 2)
            return f"{socket.inet_ntop(socket.AF_INET, raw[4:8])}:{port}"
        if family == _INET6 and len(raw) >= 24:
            (port,) = struct.unpack_from(">H", raw, 2)
            return f"[{socket.inet_ntop(socket.AF_INET6, raw[8:24])}]:{port}"
        if family == _UNIX and (path := _unix(raw)):
            return path
    return f"sockaddr {raw.hex()}"


def _cut(data: bytes, start: int, sizes: list[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[start : start + size])
        start += size
    return pieces


def _name(raw: bytes) -> bytes:
    return raw.split(b"\0", 1)[0]


def _path(components: bytes) -> str:
    return "/" + text(b"/".join(reversed(components.rstrip(b"\0").split(b"\0"))))


def _target_path(kind: str, components: bytes, flags: int) -> str:
    """Return a path; what has no place in the tree, as an anonymous inode, has one name only."""
    path = _path(components)
    return path[1:] if flags & _PARTIAL or kind == "anonymous" else path


def _device(number: int) -> tuple[int, int]:
    return number >> _MINOR_BITS, number & ((1 << _MINOR_BITS) - 1)


def _internet(family: int, raw: bytes, port: int) -> str | None:
    """Return an internet address, None for one that is not set."""
    size = 4 if family == _INET else 16
    if not any(raw[:size]) and not port:
        return None
    if family == _INET:
        return f"{socket.inet_ntop(socket.AF_INET, raw[:4])}:{port}"
    return f"[{socket.inet_ntop(socket.AF_INET6, raw)}]:{port}"


def _unix(raw: bytes) -> str | None:
    """Return the path of a unix address, an abstract one with an ``@``, None for one without."""
    path = raw[2:]
    if path.startswith(b"\0"):
        return "@" + text(path[1:])
    return text(path.split(b"\0", 1)[0]) or None
