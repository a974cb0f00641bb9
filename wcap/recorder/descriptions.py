"""The kernel side's descriptions of processes and of what file descriptors stand for.

Their layout is that of bpf/record.h. Paths come as components, the last one first, each with a
NUL behind it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from wcap.events import TARGET_KINDS, Bypass, Target
from wcap.fields import text

# What is not read of a record is left out of its layout.
_PROCESS = struct.Struct("=2xH12xQ QIIII 16s16s III4x")
_TARGET = struct.Struct("=2xH20x II6xH Q4xI 4xHH 16s16s Q IHH")
_BYPASS = struct.Struct("=16xQ 16s Q")
PROCESS_SIZE, TARGET_SIZE, BYPASS_SIZE = _PROCESS.size, _TARGET.size, _BYPASS.size
# Flags of bpf/record.h.
_KNOWN_TASK, _PARTIAL, _DELETED, _NO_CGROUP = 2, 256, 1024, 2048
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


class _ProcessRecord(NamedTuple):
    """What ``_PROCESS`` reads; sizes are in bytes."""

    flags: int
    pid_tgid: int
    start_ns: int
    ppid: int
    uid: int
    gid: int
    ns_pid: int
    comm: bytes
    leader: bytes
    exe_size: int
    cgroup_size: int
    cmdline_size: int


class _TargetRecord(NamedTuple):
    """What ``_TARGET`` reads; sizes are in bytes, and the peer's port is in network order."""

    flags: int
    number: int
    device: int
    family: int
    inode: int
    kind: int
    local_port: int
    peer_port: int
    local: bytes
    peer: bytes
    peer_inode: int
    path_size: int
    local_size: int
    peer_size: int


def process(data: bytes, start: int, order: int) -> Seen:
    """Read the description of a process."""
    found = _ProcessRecord(*_PROCESS.unpack_from(data, start))
    known = bool(found.flags & _KNOWN_TASK)
    sizes = (found.exe_size, found.cgroup_size, found.cmdline_size)
    exe, cgroup, cmdline = _cut(data, start + PROCESS_SIZE, sizes)
    return Seen(
        order=order,
        pid=found.pid_tgid >> 32,
        comm=_name(found.comm),
        uid=found.uid,
        gid=found.gid,
        leader=_name(found.leader) if known else None,
        ppid=found.ppid if known else None,
        start_ns=found.start_ns if known else None,
        ns_pid=found.ns_pid or None,
        exe=_path(exe) if exe and not found.flags & _PARTIAL else None,
        # The root has no name; who has a program has a cgroup too, if they are known at all.
        cgroup=_path(cgroup) if (exe or cgroup) and not found.flags & _NO_CGROUP else None,
        cmdline=tuple(map(text, cmdline.rstrip(b"\0").split(b"\0"))) if cmdline else None,
    )


def target(data: bytes, start: int) -> tuple[int, Target]:
    """Read the description of a target; return the number that stands for it, and the target."""
    found = _TargetRecord(*_TARGET.unpack_from(data, start))
    sizes = (found.path_size, found.local_size, found.peer_size)
    path, local_path, peer_path = _cut(data, start + TARGET_SIZE, sizes)
    kind = TARGET_KINDS[found.kind] if found.kind < len(TARGET_KINDS) else None
    inode = found.inode
    if found.family in (_INET, _INET6):
        local = _internet(found.family, found.local, found.local_port)
        peer = _internet(found.family, found.peer, socket.ntohs(found.peer_port))
        return found.number, Target(kind, inode=inode, local=local, peer=peer)
    if found.family == _UNIX:
        named_peer = _unix(peer_path) or (f"[{found.peer_inode}]" if found.peer_inode else None)
        return found.number, Target(kind, inode=inode, local=_unix(local_path), peer=named_peer)
    if kind == "anonymous":
        return found.number, Target(kind, path=_path(path)[1:] or None, inode=inode)
    if not path and kind != "directory":  # the root directory has no name
        return found.number, Target(kind, inode=inode)
    partial = bool(found.flags & _PARTIAL)
    return found.number, Target(
        kind,
        path=_path(path).removeprefix("/") if partial else _path(path),
        device=(found.device >> _MINOR_BITS, found.device & ((1 << _MINOR_BITS) - 1)),
        inode=inode,
        partial=partial,
        deleted=bool(found.flags & _DELETED),
    )


def bypass(data: bytes, start: int) -> Bypass:
    """Read that a process writes in a way that cannot be recorded."""
    pid_tgid, comm, how = _BYPASS.unpack_from(data, start)
    return Bypass(pid_tgid >> 32, text(_name(comm)), HOW.get(how, str(how)))


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


def _cut(data: bytes, start: int, sizes: Iterable[int]) -> list[bytes]:
    pieces = []
    for size in sizes:
        pieces.append(data[start : start + size])
        start += size
    return pieces


def _name(raw: bytes) -> bytes:
    return raw.split(b"\0", 1)[0]


def _path(components: bytes) -> str:
    return "/" + text(b"/".join(reversed(components.rstrip(b"\0").split(b"\0"))))


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
