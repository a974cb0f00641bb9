"""Calls of a kernel function in a program that bcc compiled, which has no way to write them.

The program calls a helper whose number no helper has. Here the calls are made ones of the kernel's
bpf_rdonly_cast (6.2), which tells the verifier what a number points to: with that, it lets the
program read the kernel's structures by plain loads, and makes these safe.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

FUNCTION = "bpf_rdonly_cast"
STAND_IN = 0x7FFF_FF01
# struct bpf_insn (include/uapi/linux/bpf.h), little-endian: opcode, registers, offset, immediate.
_CALL = 0x85
_KERNEL_FUNCTION = 2 << 12  # BPF_PSEUDO_KFUNC_CALL as source register
_OPCODE_AND_IMMEDIATE = 0xFFFF_FFFF_0000_00FF


def put_in_place(library: Any, module: int, function: int) -> None:
    """Make the calls of the stand-in calls of a kernel function.

    Args:
        library: libbcc.
        module: bcc's compiled program, not loaded yet.
        function: the BTF number of the kernel function.
    """
    for code in _functions(library, ctypes.c_void_p(module)):
        for place, instruction in enumerate(code):
            if instruction & _OPCODE_AND_IMMEDIATE == STAND_IN << 32 | _CALL:
                code[place] = function << 32 | _KERNEL_FUNCTION | _CALL


def _functions(library: Any, module: ctypes.c_void_p) -> Iterator[ctypes.Array[ctypes.c_uint64]]:
    for number in range(library.bpf_num_functions(module)):
        name = library.bpf_function_name(module, number)
        size, start = (
            library.bpf_function_size(module, name),
            library.bpf_function_start(module, name),
        )
        yield (ctypes.c_uint64 * (size // 8)).from_address(start)
