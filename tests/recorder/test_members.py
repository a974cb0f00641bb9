from __future__ import annotations

import contextlib
import re

import pytest

from wcap.recorder import casting, kernel, members, program
from wcap.recorder.members import Layout, layout


class FakeTypes:
    """Types of a kernel that has all structures but the missing ones; offsets count up."""

    def __init__(self, missing=(), offsets=None):
        self._missing = {"", *missing}
        self._offsets = offsets or {}

    def offsets(self, wanted):
        if self._missing & wanted.keys():
            return None
        names = [name for names in wanted.values() for name in names.values()]
        return {name: 8 * place for place, name in enumerate(dict.fromkeys(names))} | {
            name: offset for name, offset in self._offsets.items() if name in names
        }

    def size(self, struct):
        return 16

    def number(self, struct):
        return None if struct in self._missing else 1000 + len(struct)

    def function(self, name):
        return None if name in self._missing else 77


@pytest.fixture
def on_kernel(monkeypatch):
    """Ask for the layout on a kernel with these types."""

    def ask(types, *, version=(6, 8), machine="x86_64"):
        monkeypatch.setattr(members, "kernel_types", lambda: contextlib.nullcontext(types))
        monkeypatch.setattr(kernel, "version", lambda: version)
        monkeypatch.setattr(members.platform, "machine", lambda: machine)
        return layout()

    return ask


def names(found):
    return {flag.removeprefix("-D").partition("=")[0] for flag in found.flags}


def good(**facts):
    """Return types whose names lie where the kernel side reads them."""
    return FakeTypes(offsets={"DENTRY_PARENT": 24, "DENTRY_NAME": 32}, **facts)


def test_without_btf_nothing_is_known(on_kernel):
    assert on_kernel(None) == Layout()


def test_where_all_is_there_all_is_known(on_kernel):
    found = on_kernel(good())

    assert (found.tasks, found.files, found.arguments) == (True, True, True)
    assert found.functions == dict.fromkeys((casting.CAST, *casting.ITERATOR), 77)
    assert {"FILES", "CAST", "TYPED_TASK", "TASK_COMM_OFFSET", "SIZEOF_UPID"} <= names(found)


def test_a_structure_that_is_not_there_takes_its_group_with_it_and_no_other(on_kernel):
    found = on_kernel(good(missing=["css_set"]))

    assert (found.tasks, found.files, found.arguments) == (True, False, True)
    assert "FILES" not in names(found)
    assert "FILE_INODE" not in names(found)
    assert "TASK_THREAD_PID" in names(found)


def test_files_are_not_known_where_a_name_does_not_lie_behind_its_parent(on_kernel):
    found = on_kernel(FakeTypes(offsets={"DENTRY_PARENT": 24, "DENTRY_NAME": 48}))

    assert not found.files
    assert found.tasks


@pytest.mark.parametrize("missing", ["unix_sock", casting.CAST])
def test_pointers_are_given_types_only_where_all_types_and_the_function_are_there(
    missing, on_kernel
):
    found = on_kernel(good(missing=[missing]))

    assert set(found.functions) == set(casting.ITERATOR)
    assert not {"CAST", "FILE_TYPE"} & names(found)


@pytest.mark.parametrize("missing", casting.ITERATOR)
def test_rounds_are_counted_by_the_kernel_only_where_it_has_all_of_an_iterator(missing, on_kernel):
    found = on_kernel(good(missing=[missing]))

    assert set(found.functions) == {casting.CAST}
    assert not {name.upper() for name in casting.ITERATOR} & names(found)


@pytest.mark.parametrize(
    ("version", "typed", "arguments"),
    [((5, 10), False, False), ((5, 11), True, False), ((5, 15), True, True)],
)
def test_an_old_kernel_does_without_what_came_later(version, typed, arguments, on_kernel):
    found = on_kernel(good(), version=version)

    assert ("TYPED_TASK" in names(found)) == typed
    assert found.arguments == arguments
    assert ("ARGUMENT_0" in names(found)) == arguments


def test_the_arguments_are_six_on_every_machine_that_is_known(on_kernel):
    arguments = {f"ARGUMENT_{number}" for number in range(6)}

    assert arguments <= names(on_kernel(good()))
    on_arm = on_kernel(good(), machine="aarch64")
    assert arguments <= names(on_arm)
    first, second = (f"-DARGUMENT_{number}=" for number in (1, 2))
    offsets = [
        int(flag.partition("=")[2]) for flag in on_arm.flags if flag.startswith((first, second))
    ]
    assert sorted(offsets)[1] - sorted(offsets)[0] == 8
    assert not on_kernel(good(), machine="riscv64").arguments


def test_the_kernel_side_uses_every_fact_that_it_is_told(on_kernel):
    source = program.source()

    for name in names(on_kernel(good())):
        used = re.sub(r"_[0-5]$", "_##n", name) if name.startswith("ARGUMENT_") else name
        if name not in ("DENTRY_HASH", "HLIST_BL_PPREV", "DENTRY_NAME"):  # told in others
            assert re.search(rf"\b{used}", source), name
