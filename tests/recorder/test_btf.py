from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from wcap.recorder.btf import kernel_types


def libbpf_is_there() -> bool:
    try:
        ctypes.CDLL("libbpf.so.1")
    except OSError:
        return False
    return Path("/sys/kernel/btf/vmlinux").exists()


needs_btf = pytest.mark.skipif(not libbpf_is_there(), reason="needs libbpf.so.1 and BTF")


@pytest.fixture
def types():
    with kernel_types() as found:
        yield found


@needs_btf
def test_offsets_are_bytes_from_the_start_of_the_structure_by_the_names_given(types):
    wanted = {"list_head": {"next": "NEXT", "prev": "PREVIOUS"}}

    assert types.offsets(wanted) == {"NEXT": 0, "PREVIOUS": 8}


@needs_btf
def test_members_of_unnamed_members_are_found_where_they_lie(types):
    # include/net/sock.h: the addresses share an unnamed union with skc_addrpair.
    names = ("skc_addrpair", "skc_daddr", "skc_rcv_saddr", "skc_family")

    assert types.offsets({"sock_common": {name: name for name in names}}) == {
        "skc_addrpair": 0,
        "skc_daddr": 0,
        "skc_rcv_saddr": 4,
        "skc_family": 16,
    }


@needs_btf
def test_a_member_that_is_not_there_makes_all_of_them_unknown(types):
    assert types.offsets({"list_head": {"next": "NEXT", "no_such_member": "NONE"}}) is None
    assert types.offsets({"no_such_struct": {"next": "NEXT"}}) is None
    assert types.offsets({}) == {}


@needs_btf
def test_of_members_with_one_name_one_suffices(types):
    assert types.offsets({"list_head": {"prev": "BACK", "no_such_member": "BACK"}}) == {"BACK": 8}


@needs_btf
def test_structures_have_sizes_and_numbers_and_functions_have_numbers(types):
    assert types.size("list_head") == 16
    assert types.size("no_such_struct") == 0
    assert types.number("list_head") > 0
    assert types.number("no_such_struct") is None
    assert types.function("no_such_function") is None


def test_without_libbpf_nothing_is_known(monkeypatch):
    def refuse(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", refuse)

    with kernel_types() as found:
        assert found is None
