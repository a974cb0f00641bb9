"""Instructions that bcc has no way to write, put into the program that it compiled.

The program calls a helper whose number no helper has. The calls are made ones of the kernel's
bpf_rdonly_cast (6.2), which tells the verifier what a number points to: with that, it lets the
program read the kernel's structures by plain loads, and makes these safe. And it names a map by a
number that no map has, where bcc knows no method of the map's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

FUNCTION = "bpf_rdonly_cast"
CAST, EVENTS_MAP = 0x7FFF_FF01, 0x7FFF_FF02
# struct bpf_insn (include/uapi/linux/bpf.h), little-endian: opcode, registers, offset, immediate.
_OPCODE = 0xFF
_CALL, _LOAD_MAP = 0x85, 0x18
_REGISTERS = 0xFF00
_KERNEL_FUNCTION = 2 << 12  # BPF_PSEUDO_KFUNC_CALL as source register


def put_in_place(library: Any, module: int, *, cast: int | None, events_map: int) -> None:
    """Put in place what the program's stand-ins stand for.

    Args:
        library: libbcc.
        module: bcc's compiled program, not loaded yet.
        cast: the BTF number of the kernel function, None if there is none to be called.
        events_map: file descriptor of the map of events.
    """
    for code in _functions(library, ctypes.c_void_p(module)):
        for place, instruction in enumerate(code):
            opcode, immediate = instruction & _OPCODE, instruction >> 32
            if (opcode, immediate) == (_CALL, CAST):
                assert cast is not None
                code[place] = cast << 32 | _KERNEL_FUNCTION | _CALL
            elif (opcode, immediate) == (_LOAD_MAP, EVENTS_MAP):
                code[place] = events_map << 32 | instruction & (_REGISTERS | _OPCODE)


def _functions(library: Any, module: ctypes.c_void_p) -> Iterator[ctypes.Array[ctypes.c_uint64]]:
    for number in range(library.bpf_num_functions(module)):
        name = library.bpf_function_name(module, number)
        size, start = (
            library.bpf_function_size(module, name),
            library.bpf_function_start(module, name),
        )
        yield (ctypes.c_uint64 * (size // 8)).from_address(start)
