"""Where the running kernel's structures have their members, from its BTF, without headers.

libbpf, which libbcc brings along, parses ``/sys/kernel/btf/vmlinux``; it is called through ctypes.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Mapping

# include/uapi/linux/btf.h: BTF_KIND_STRUCT and so on.
_STRUCT, _UNION, _FUNCTION = 4, 5, 12
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


Members = Mapping[str, Mapping[str, str]]


@contextlib.contextmanager
def kernel_types() -> Iterator[KernelTypes | None]:
    """Load the kernel's BTF; None without libbpf or BTF."""
    try:
        libbpf = ctypes.CDLL("libbpf.so.1")
    except OSError:
        yield None
        return
    libbpf.btf__load_vmlinux_btf.restype = ctypes.c_void_p
    libbpf.btf__type_by_id.restype = ctypes.POINTER(_Type)
    libbpf.btf__type_by_id.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    libbpf.btf__name_by_offset.restype = ctypes.c_char_p
    libbpf.btf__name_by_offset.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    libbpf.btf__find_by_name_kind.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32)
    libbpf.btf__free.argtypes = (ctypes.c_void_p,)
    btf = libbpf.btf__load_vmlinux_btf()
    if not btf:
        yield None
        return
    try:
        yield KernelTypes(libbpf, btf)
    finally:
        libbpf.btf__free(btf)


class KernelTypes:
    """The structures of the running kernel."""

    def __init__(self, libbpf: ctypes.CDLL, btf: int) -> None:
        self._libbpf = libbpf
        self._btf = btf

    def offsets(self, wanted: Members) -> dict[str, int] | None:
        """Return offsets in bytes by the names that ``wanted`` gives them; None if one is missing.

        Args:
            wanted: by structure, and by member of it or of what is unnamed in it, a name for the
                offset. Several members may share one: a kernel has this or that.
        """
        found = {
            names[member]: offset
            for struct, names in wanted.items()
            for member, offset in self._members(struct)
            if member in names
        }
        named = {name for names in wanted.values() for name in names.values()}
        return found if found.keys() == named else None

    def size(self, struct: str) -> int:
        """Return the size of a structure in bytes, 0 if there is none of that name."""
        described = self._find(struct)
        return described.size if described is not None else 0

    def number(self, struct: str) -> int | None:
        """Return the number of a structure's type, None if there is none of that name."""
        return self._number(struct, _STRUCT)

    def function(self, name: str) -> int | None:
        """Return the number of a function, None if there is none of that name."""
        return self._number(name, _FUNCTION)

    def _number(self, name: str, kind: int) -> int | None:
        found: int = self._libbpf.btf__find_by_name_kind(self._btf, name.encode(), kind)
        return found if found > 0 else None

    def _find(self, struct: str) -> _Type | None:
        number = self.number(struct)
        if number is None:
            return None
        found: _Type = self._libbpf.btf__type_by_id(self._btf, number).contents
        return found

    def _members(self, struct: str) -> Iterator[tuple[str, int]]:
        described = self._find(struct)
        if described is not None:
            yield from self._walk(described, 0)

    def _walk(self, described: _Type, base: int) -> Iterator[tuple[str, int]]:
        info = described.info
        if (info >> _KIND_SHIFT) & _KIND_MASK not in (_STRUCT, _UNION):
            return
        first = ctypes.addressof(described) + ctypes.sizeof(_Type)
        for member in (_Member * (info & _COUNT_MASK)).from_address(first):
            bits = member.offset & 0xFFFFFF if info & _BITFIELDS else member.offset
            name = self._libbpf.btf__name_by_offset(self._btf, member.name_off).decode()
            if name:
                yield name, base + bits // 8
            else:
                inner = self._libbpf.btf__type_by_id(self._btf, member.type).contents
                yield from self._walk(inner, base + bits // 8)
