"""Instructions that bcc has no way to write, put into the program that it compiled.

The program calls helpers whose numbers no helper has. The calls are made ones of functions of the
kernel: bpf_rdonly_cast (6.2) tells the verifier what a number points to: with that, it lets the
program read the kernel's structures by plain loads, and makes these safe. bpf_iter_num_new and the
other two (6.4) count the rounds of a loop, which the verifier then walks once instead of round by
round. And the program names a map by a number that no map has, where bcc knows no method of the
map's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping
from typing import Any

CAST = "bpf_rdonly_cast"
ITERATOR = ("bpf_iter_num_new", "bpf_iter_num_next", "bpf_iter_num_destroy")
# What stands in for each of them.
STAND_INS = {name: 0x7FFF_FF01 + place for place, name in enumerate((CAST, *ITERATOR))}
EVENTS_MAP = 0x7FFF_FF00
# struct bpf_insn (include/uapi/linux/bpf.h), little-endian: opcode, registers, offset, immediate.
_OPCODE = 0xFF
_CALL, _LOAD_MAP = 0x85, 0x18
_REGISTERS = 0xFF00
_KERNEL_FUNCTION = 2 << 12  # BPF_PSEUDO_KFUNC_CALL as source register


def put_in_place(
    library: Any, module: int, *, functions: Mapping[str, int], events_map: int
) -> None:
    """Put in place what the program's stand-ins stand for.

    Args:
        library: libbcc.
        module: bcc's compiled program, not loaded yet.
        functions: the BTF numbers of the kernel functions that it calls.
        events_map: file descriptor of the map of events.
    """
    called = {number: functions.get(name) for name, number in STAND_INS.items()}
    for code in _functions(library, ctypes.c_void_p(module)):
        for place, instruction in enumerate(code):
            opcode, immediate = instruction & _OPCODE, instruction >> 32
            if opcode == _CALL and immediate in called:
                function = called[immediate]
                assert function is not None
                code[place] = function << 32 | _KERNEL_FUNCTION | _CALL
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
