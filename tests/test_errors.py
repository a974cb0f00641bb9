from __future__ import annotations

import inspect
import re

import pytest

from wcap import errors
from wcap.errors import CorruptionError, FormatError, ProbeError, TruncatedError, WcapError

CLASSES = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception)
]


def test_every_exception_is_in_the_picture_under_its_parent():
    assert errors.__doc__ is not None
    drawn, parents = {}, {}
    for line in errors.__doc__.splitlines():
        found = re.match(r"(?P<lead>[ │├└─]*)(?P<name>\w+Error)\b", line)
        if found:
            depth = len(found["lead"]) // 4
            parents[depth] = found["name"]
            drawn[found["name"]] = parents.get(depth - 1)
    expected = {cls.__name__: cls.__base__.__name__ for cls in CLASSES}

    assert drawn == {**expected, "WcapError": None}


def test_a_fault_says_its_place_when_it_knows_it():
    assert str(FormatError("odd")) == "odd"
    assert str(FormatError("odd", 7)) == "odd (at byte 7)"


def test_a_place_is_added_but_not_changed():
    fault = CorruptionError("odd").at(7)

    assert isinstance(fault, CorruptionError)
    assert (fault.reason, fault.offset) == ("odd", 7)
    assert fault.at(9) is fault


def test_a_refused_program_carries_the_whole_log():
    assert ProbeError("refused", "line 1\nline 2").log == "line 1\nline 2"


@pytest.mark.parametrize("cls", CLASSES)
def test_every_exception_is_a_wcap_error_and_can_be_hashed(cls):
    assert issubclass(cls, WcapError)
    assert hash(cls("what")) is not None


def test_a_cut_file_is_told_from_a_damaged_one():
    assert not issubclass(TruncatedError, CorruptionError)
