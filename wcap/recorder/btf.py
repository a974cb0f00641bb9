"""Where the running kernel's structures have their members, from its BTF, without headers.

libbpf, which libbcc brings along, parses ``/sys/kernel/btf/vmlinux``; it is called through ctypes.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator

# include/uapi/linux/btf.h: BTF_KIND_STRUCT and BTF_KIND_UNION.
_STRUCT, _UNION = 4, 5
_KIND_SHIFT, _KIND_MASK, _COUNT_MASK, _BITFIELDS = 24, 0x1F, 0xFFFF, 1 << 31


class _Type(ctypes.Structure):
    """``struct btf_type`` (include/uapi/linux/btf.h)."""

    _fields_ = (
        ("name_off", ctypes.c_uint32),
        ("info", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
    )


class _Member(ctypes.Structure):
    """``struct btf_member``, which follows a struct's or union's ``btf_type``."""

    _fields_ = (
        ("name_off", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("offset", ctypes.c_uint32),
    )


def member_offsets(struct: str, members: Iterable[str]) -> dict[str, int]:
    """Return the offsets in bytes of members of a kernel structure, or of unnamed members in it.

    What the kernel does not have is left out; without libbpf or BTF everything is.
    """
    try:
        libbpf = ctypes.CDLL("libbpf.so.1")
    except OSError:
        return {}
    libbpf.btf__load_vmlinux_btf.restype = ctypes.c_void_p
    libbpf.btf__type_by_id.restype = ctypes.POINTER(_Type)
    libbpf.btf__type_by_id.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    libbpf.btf__name_by_offset.restype = ctypes.c_char_p
    libbpf.btf__name_by_offset.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    libbpf.btf__find_by_name_kind.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32)
    libbpf.btf__free.argtypes = (ctypes.c_void_p,)
    btf = libbpf.btf__load_vmlinux_btf()
    if not btf:
        return {}
    try:
        number = libbpf.btf__find_by_name_kind(btf, struct.encode(), _STRUCT)
        if number <= 0:
            return {}
        wanted = set(members)
        found = _walk(libbpf, btf, number, 0)
        return {name: offset for name, offset in found if name in wanted}
    finally:
        libbpf.btf__free(btf)


def _walk(libbpf: ctypes.CDLL, btf: int, number: int, base: int) -> Iterator[tuple[str, int]]:
    described = libbpf.btf__type_by_id(btf, number)
    info = described.contents.info
    if (info >> _KIND_SHIFT) & _KIND_MASK not in (_STRUCT, _UNION):
        return
    first = ctypes.addressof(described.contents) + ctypes.sizeof(_Type)
    for member in (_Member * (info & _COUNT_MASK)).from_address(first):
        bits = member.offset & 0xFFFFFF if info & _BITFIELDS else member.offset
        name = libbpf.btf__name_by_offset(btf, member.name_off).decode()
        if name:
            yield name, base + bits // 8
        else:
            yield from _walk(libbpf, btf, member.type, base + bits // 8)
