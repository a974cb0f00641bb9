from __future__ import annotations

import ctypes

import pytest

from wcap.recorder.casting import CAST, EVENTS_MAP, ITERATOR, STAND_INS, put_in_place


def instruction(opcode, *, destination=0, source=0, offset=0, immediate=0):
    """One of struct bpf_insn (include/uapi/linux/bpf.h), as a number."""
    return opcode | destination << 8 | source << 12 | offset << 16 | immediate << 32


RETURN = instruction(0x95)


class Library:
    """libbcc with functions of these instructions."""

    def __init__(self, *functions):
        self.code = [(ctypes.c_uint64 * len(function))(*function) for function in functions]

    def bpf_num_functions(self, module):
        return len(self.code)

    def bpf_function_name(self, module, number):
        return str(number).encode()

    def bpf_function_size(self, module, name):
        return ctypes.sizeof(self.code[int(name)])

    def bpf_function_start(self, module, name):
        return ctypes.addressof(self.code[int(name)])


def put(*code, functions=None, events_map=5):
    library = Library(*code)
    put_in_place(
        library, 0, functions={CAST: 77} if functions is None else functions, events_map=events_map
    )
    return [list(code) for code in library.code]


def test_the_stand_in_for_the_kernels_function_becomes_a_call_of_it_in_every_program():
    call = instruction(0x85, immediate=STAND_INS[CAST])
    wanted = instruction(0x85, source=2, immediate=77)  # BPF_PSEUDO_KFUNC_CALL

    assert put([call, RETURN], [RETURN, call, call]) == [[wanted, RETURN], [RETURN, wanted, wanted]]


def test_each_function_has_a_stand_in_of_its_own():
    numbers = {name: 80 + place for place, name in enumerate(ITERATOR)}
    calls = [instruction(0x85, immediate=STAND_INS[name]) for name in ITERATOR]

    (code,) = put(calls, functions=numbers)
    assert code == [instruction(0x85, source=2, immediate=numbers[name]) for name in ITERATOR]


def test_the_stand_in_for_the_map_becomes_its_descriptor_and_registers_stay():
    load = instruction(0x18, destination=1, source=1, immediate=EVENTS_MAP)
    second_half = instruction(0)

    (code,) = put([load, second_half])
    assert code == [instruction(0x18, destination=1, source=1, immediate=5), second_half]


@pytest.mark.parametrize(
    "other",
    [
        instruction(0x85, immediate=14),  # another helper
        instruction(0x18, destination=1, source=1, immediate=4),  # another map
        instruction(0xB7, immediate=STAND_INS[CAST]),  # a number that only looks like it
        instruction(0x00, immediate=EVENTS_MAP),  # the second half of one
    ],
)
def test_nothing_else_is_touched(other):
    assert put([other, RETURN], functions={}) == [[other, RETURN]]


def test_a_call_of_what_the_kernel_has_not_is_never_loaded():
    with pytest.raises(AssertionError):
        put([instruction(0x85, immediate=STAND_INS[CAST])], functions={})
