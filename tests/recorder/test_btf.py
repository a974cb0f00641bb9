from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from wcap.recorder.btf import member_offsets


def libbpf_is_there() -> bool:
    try:
        ctypes.CDLL("libbpf.so.1")
    except OSError:
        return False
    return Path("/sys/kernel/btf/vmlinux").exists()


needs_btf = pytest.mark.skipif(not libbpf_is_there(), reason="needs libbpf.so.1 and BTF")


@needs_btf
def test_offsets_are_bytes_from_the_start_of_the_structure():
    assert member_offsets("list_head", ["next", "prev"]) == {"next": 0, "prev": 8}


@needs_btf
def test_members_of_unnamed_members_are_found_where_they_lie():
    # include/net/sock.h: the addresses share an unnamed union with skc_addrpair.
    wanted = ["skc_addrpair", "skc_daddr", "skc_rcv_saddr", "skc_family"]

    assert member_offsets("sock_common", wanted) == {
        "skc_addrpair": 0,
        "skc_daddr": 0,
        "skc_rcv_saddr": 4,
        "skc_family": 16,
    }


@needs_btf
def test_what_the_kernel_does_not_have_is_left_out():
    assert member_offsets("list_head", ["next", "no_such_member"]) == {"next": 0}
    assert member_offsets("no_such_struct", ["next"]) == {}
    assert member_offsets("list_head", []) == {}


def test_without_libbpf_nothing_is_known(monkeypatch):
    def refuse(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", refuse)

    assert member_offsets("list_head", ["next"]) == {}
