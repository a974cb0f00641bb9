from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from recorder import rawrecords
from recorder.rawrecords import DELETED, DETACHED, NO_CGROUP, PARTIAL

from wcap.events import TARGET_KINDS, Bypass, Target
from wcap.recorder import descriptions
from wcap.recorder.descriptions import address

FILE, DIRECTORY, PIPE, TTY, _, _, TCP, UDP, UNIX, _, ANONYMOUS = range(len(TARGET_KINDS))
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=9)
PORTS = st.integers(0, 65535)


def components(*names):
    """Return names as the kernel side sends a path: the last one first, a NUL behind each."""
    return b"".join(name.encode() + b"\0" for name in reversed(names))


def target_of(raw):
    return descriptions.target(raw, 0)[1]


def seen_of(raw):
    return descriptions.process(raw, 0, 0)


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_a_path_is_put_together_from_its_last_component_to_its_first(names):
    found = target_of(rawrecords.target(1, path=components(*names)))

    assert found.path == "/" + "/".join(names)


def test_a_file_is_told_apart_by_device_and_inode():
    raw = rawrecords.target(
        77, kind=FILE, path=components("tmp", "x"), device=(253 << 20) | 5, inode=4711
    )

    assert descriptions.target(raw, 0) == (
        77,
        Target("file", path="/tmp/x", device=(253, 5), inode=4711),
    )


@pytest.mark.parametrize(
    ("flags", "path", "partial", "deleted"),
    [
        (DELETED, "/a/b", False, True),
        (PARTIAL, "a/b", True, False),
        (PARTIAL | DELETED, "a/b", True, True),
        (DETACHED, "/a/b", False, False),
    ],
)
def test_what_is_not_the_whole_path_of_a_file_that_is_there_is_said_to_be_so(
    flags, path, partial, deleted
):
    found = target_of(rawrecords.target(1, flags=flags, path=components("a", "b")))

    assert (found.path, found.partial, found.deleted) == (path, partial, deleted)


def test_the_root_directory_has_a_path_although_it_has_no_name():
    found = target_of(rawrecords.target(1, kind=DIRECTORY, device=(8 << 20) | 1, inode=2))

    assert found == Target("directory", path="/", device=(8, 1), inode=2)


def test_a_pipe_without_a_name_has_its_inode_only():
    assert target_of(rawrecords.target(1, kind=PIPE, inode=9)) == Target("pipe", inode=9)


def test_a_pipe_with_a_name_has_a_path():
    found = target_of(rawrecords.target(1, kind=PIPE, inode=9, path=components("run", "fifo")))

    assert (found.kind, found.path) == ("pipe", "/run/fifo")


def test_an_anonymous_inode_has_its_name_and_is_never_deleted():
    raw = rawrecords.target(
        1, kind=ANONYMOUS, flags=DELETED | DETACHED, inode=3, path=components("[eventfd]")
    )

    assert target_of(raw) == Target("anonymous", path="[eventfd]", inode=3)


@given(st.ip_addresses(v=4), PORTS, st.ip_addresses(v=4), PORTS)
def test_internet_addresses_of_version_4_are_told_with_their_ports(local, port, peer, peer_port):
    raw = rawrecords.target(
        1,
        kind=TCP,
        family=socket.AF_INET,
        local=local.packed,
        peer=peer.packed,
        ports=(port, socket.htons(peer_port)),
    )

    found = target_of(raw)

    assert found.local == (f"{local}:{port}" if int(local) or port else None)
    assert found.peer == (f"{peer}:{peer_port}" if int(peer) or peer_port else None)


@given(st.ip_addresses(v=6), st.integers(1, 65535))
def test_internet_addresses_of_version_6_stand_in_brackets(local, port):
    raw = rawrecords.target(
        1, kind=UDP, family=socket.AF_INET6, local=local.packed, ports=(port, 0)
    )

    found = target_of(raw)

    host, _, number = found.local.rpartition(":")
    assert (ipaddress.ip_address(host.strip("[]")), int(number)) == (local, port)
    assert found.peer is None


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"\1\0/run/x.sock\0", "/run/x.sock"),
        (b"\1\0/run/x.sock", "/run/x.sock"),
        (b"\1\0\0name", "@name"),
        (b"\1\0", None),
        (b"", None),
    ],
    ids=["path", "path without its NUL", "abstract", "unnamed", "no address"],
)
def test_unix_addresses_are_paths_or_abstract_names(raw, told):
    found = target_of(
        rawrecords.target(1, kind=UNIX, family=socket.AF_UNIX, inode=5, unix=(raw, raw))
    )

    assert found == Target("unix", inode=5, local=told, peer=told)


def test_a_unix_peer_without_a_name_is_told_by_its_inode():
    facts = {"kind": UNIX, "family": socket.AF_UNIX, "inode": 5, "peer_inode": 6}

    assert target_of(rawrecords.target(1, **facts)).peer == "[6]"
    named = rawrecords.target(1, **facts, unix=(b"", b"\1\0/p"))
    assert target_of(named).peer == "/p"


@pytest.mark.parametrize("kind", range(len(TARGET_KINDS)))
def test_every_kind_of_target_has_a_name_that_begins_with_what_it_is(kind):
    path = components("[eventfd]") if kind == ANONYMOUS else components("a", "b")
    word = TARGET_KINDS[kind]
    sockets = {
        TCP: (socket.AF_INET, "tcp 127.0.0.1:5→127.0.0.1:80"),
        UDP: (socket.AF_INET, "udp 127.0.0.1:5→127.0.0.1:80"),
        UNIX: (socket.AF_UNIX, "unix /s→[8]"),
        TARGET_KINDS.index("socket"): (16, "socket:[7]"),
    }
    if kind in sockets:
        family, name = sockets[kind]
        internet = {"ports": (5, socket.htons(80)), "local": b"\x7f\0\0\1", "peer": b"\x7f\0\0\1"}
        unix = {"unix": (b"\1\0/s", b""), "peer_inode": 8}
        more = {socket.AF_INET: internet, socket.AF_UNIX: unix}.get(family, {})
        raw = rawrecords.target(1, kind=kind, family=family, inode=7, **more)
        assert target_of(raw).name == name
        return
    name = "anon_inode:[eventfd]" if kind == ANONYMOUS else "/a/b"
    found = target_of(rawrecords.target(1, kind=kind, path=path))
    assert (found.kind, found.name) == (word, name)


def test_targets_that_are_little_known_have_names_too():
    assert Target().name is None
    assert Target("file").name == "file:[?]"
    assert Target("pipe", inode=9).name == "pipe:[9]"
    assert Target("anonymous").name == "anon_inode:?"
    assert Target("file", path="a/b", partial=True).name == "…/a/b"
    assert Target("file", path="/a", deleted=True).name == "/a (deleted)"
    assert Target("udp", inode=4, peer="1.2.3.4:5").name == "udp [4]→1.2.3.4:5"
    assert Target("tcp", inode=4, local="1.2.3.4:5").name == "tcp 1.2.3.4:5"


def test_a_process_is_described_with_its_program_cgroup_and_words():
    raw = rawrecords.process(
        7,
        gid=8,
        ns_pid=3,
        exe=components("usr", "bin", "ls"),
        cgroup=components("user.slice", "x.scope"),
        cmdline=b"ls\0\0-l\0",
    )

    found = seen_of(raw)

    assert (found.pid, found.gid, found.ns_pid) == (7, 8, 3)
    assert found.exe == "/usr/bin/ls"
    assert found.cgroup == "/user.slice/x.scope"
    assert found.cmdline == ("ls", "", "-l")


def test_who_is_in_the_root_cgroup_is_told_from_whose_cgroup_is_not_known():
    assert seen_of(rawrecords.process(exe=components("ls"))).cgroup == "/"
    assert seen_of(rawrecords.process()).cgroup is None
    assert seen_of(rawrecords.process(exe=components("ls"), flags=NO_CGROUP)).cgroup is None


def test_a_program_whose_path_is_not_whole_is_not_told():
    raw = rawrecords.process(exe=components("bin", "ls"), cgroup=components("a"), flags=PARTIAL)

    assert (seen_of(raw).exe, seen_of(raw).cgroup) == (None, "/a")


def test_paths_and_words_that_are_not_utf_8_survive():
    raw = rawrecords.process(exe=b"\xff\0", cmdline=b"\xfe\0", cgroup=b"\xfd\0")

    found = seen_of(raw)

    assert (found.exe, found.cmdline, found.cgroup) == ("/\udcff", ("\udcfe",), "/\udcfd")


@pytest.mark.parametrize(("how", "told"), [(1, "io_uring"), (2, "compat"), (9, "9")])
def test_what_passes_by_is_told_by_process_and_way(how, told):
    raw = rawrecords.bypass(how, pid=12, comm=b"evil\0rest")

    assert descriptions.bypass(raw, 0) == Bypass(12, "evil", told)


def sockaddr(family, rest):
    return struct.pack("=H", family) + rest


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (sockaddr(socket.AF_INET, b"\0\x50\x7f\0\0\1" + bytes(8)), "127.0.0.1:80"),
        (sockaddr(socket.AF_INET, b"\0\x50\x7f\0\0\1"), "127.0.0.1:80"),
        (
            sockaddr(socket.AF_INET6, b"\1\xbb" + bytes(4) + bytes(15) + b"\1" + bytes(4)),
            "[::1]:443",
        ),
        (sockaddr(socket.AF_UNIX, b"/run/x\0"), "/run/x"),
        (sockaddr(socket.AF_UNIX, b"/run/x\0" + bytes(90)), "/run/x"),
        (sockaddr(socket.AF_UNIX, b"\0name"), "@name"),
        (sockaddr(socket.AF_UNIX, b""), "sockaddr 0100"),
        (sockaddr(socket.AF_INET, b"\0\x50\x7f"), "sockaddr 020000507f"),
        (sockaddr(socket.AF_INET6, bytes(21)), "sockaddr 0a00" + "00" * 21),
        (sockaddr(16, b"\1\2"), "sockaddr 10000102"),
        (b"\1", "sockaddr 01"),
        (b"", "sockaddr "),
    ],
    ids=[
        *("version 4", "of the least size", "version 6", "path", "path in its room", "abstract"),
        *("unnamed", "version 4 cut off", "version 6 cut off", "another family", "byte", "none"),
    ],
)
def test_an_address_given_to_a_call_is_told_as_a_targets_is_or_else_byte_by_byte(raw, told):
    assert address(raw) == told


@given(st.binary(max_size=140))
@example(bytes(128))
def test_any_bytes_are_an_address_that_can_be_told(raw):
    assert address(raw)


@given(st.sampled_from([1, 2, 10]), st.binary(max_size=126))
def test_any_bytes_of_a_known_family_are_an_address_that_can_be_told(family, rest):
    assert address(sockaddr(family, rest))


@given(st.binary(min_size=512, max_size=1024), st.integers(0, 64))
def test_descriptions_of_garbage_are_read_without_an_error(raw, words):
    """Whatever the numbers are, sizes beyond the end included."""
    start = 8 * (words % 8)

    descriptions.process(raw, start, 0)
    descriptions.target(raw, start)
    descriptions.bypass(raw, start)


@given(
    st.binary(max_size=60),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1) | st.integers(0, 12),
    st.sampled_from([0, 1, 2, 10, 16]),
    st.tuples(st.binary(max_size=110), st.binary(max_size=110)),
)
def test_targets_of_any_kind_and_family_have_a_name_or_no_kind(path, flags, kind, family, unix):
    raw = rawrecords.target(1, kind=kind, flags=flags, family=family, path=path, unix=unix)

    found = target_of(raw)

    assert found.kind == (TARGET_KINDS[kind] if kind < len(TARGET_KINDS) else None)
    assert (found.name is None) == (found.kind is None)
