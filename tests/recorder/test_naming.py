from __future__ import annotations

import os
import pwd

import pytest

from wcap.errors import FilterError
from wcap.recorder import kernel, naming
from wcap.recorder.choice import Cgroup
from wcap.recorder.naming import find_cgroup, find_container, find_pid_namespace, find_user

LONG = "0123456789abcdef" * 4


@pytest.fixture
def mount(tmp_path, monkeypatch):
    """Make folders that look like cgroups, and a list of mounts that says so; yield their place."""
    place = tmp_path / "c group"
    for name in ("a/b", f"system.slice/docker-{LONG}.scope/init", "machine/web", "ab"):
        (place / name).mkdir(parents=True)
    mounts = tmp_path / "mountinfo"
    escaped = str(place).replace(" ", "\\040")
    mounts.write_text(
        "12 33 0:28 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
        f"20 41 0:38 / {escaped} rw,relatime shared:9 - cgroup2 cgroup2 rw\n"
    )
    monkeypatch.setattr(naming, "_MOUNTS", mounts)
    return str(place)


def test_a_user_is_named_by_number_or_by_name():
    assert find_user("root") == find_user("0") == 0
    assert find_user("4294967294") == 4294967294
    last = pwd.getpwall()[-1]
    assert find_user(last.pw_name) == last.pw_uid


@pytest.mark.parametrize("word", ["wcap-no-such-user", "", "-1", "1.5", "a\0b", "٣"])
def test_a_user_that_is_not_there_is_refused(word):
    with pytest.raises(FilterError, match="--user: no user is named"):
        find_user(word)


def test_the_number_that_stands_for_no_user_is_refused():
    with pytest.raises(FilterError, match="--user: 0 to 4294967294 expected, 4294967295 found"):
        find_user("4294967295")


def test_a_cgroup_is_named_with_the_mount_or_without(mount):
    expected = Cgroup(mount, "/a/b")

    for word in ("/a/b", "a/b", "/a/b/", "//a/./b", "a/../a/b", f"{mount}/a/b", f"{mount}/a/b/"):
        assert find_cgroup(word) == expected
    assert str(expected) == "/a/b"
    assert expected.folder.is_dir()


def test_the_first_cgroup_is_a_slash(mount):
    for word in ("/", "../..", mount):
        assert find_cgroup(word) == Cgroup(mount, "")
    assert str(find_cgroup("/")) == "/"


@pytest.mark.parametrize("word", ["", "/nowhere", "/a/b/c"])
def test_a_cgroup_that_is_not_there_is_refused(word, mount):
    with pytest.raises(FilterError, match="--cgroup: there is no cgroup"):
        find_cgroup(word)


def test_a_container_is_found_by_its_id_or_the_beginning_of_it_or_its_whole_name(mount):
    whole = Cgroup(mount, f"/system.slice/docker-{LONG}.scope")

    for word in (LONG, LONG[:12], f"docker-{LONG}.scope"):
        assert find_container(word) == (whole,)
    assert find_container("web") == (Cgroup(mount, "/machine/web"),)


def test_too_little_of_an_id_or_of_a_name_finds_no_container(mount):
    with pytest.raises(FilterError, match="12 hexadecimal digits or more"):
        find_container(LONG[:11])
    with pytest.raises(FilterError, match=r"no cgroup below .* is named 'we' "):
        find_container("we")
    with pytest.raises(FilterError, match=r"is named 'f{12}'$"):
        find_container("f" * 12)


@pytest.mark.parametrize("find", [find_cgroup, find_container])
def test_without_version_2_there_are_no_cgroups_to_choose(find, mount, monkeypatch, tmp_path):
    naming._MOUNTS.write_text("12 33 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n")

    with pytest.raises(FilterError, match="cgroup2 is not mounted here"):
        find("/a")


def test_a_pid_namespace_is_named_in_four_ways():
    here = os.stat("/proc/self/ns/pid").st_ino  # noqa: PTH116  # pathlib has no shorter way

    for word in ("self", str(os.getpid()), str(here)):
        assert find_pid_namespace(word) == here
    assert find_pid_namespace("host") == kernel.FIRST_PID_NAMESPACE


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("somewhere", "a PID, an inode, self or host expected"),
        ("", "expected, '' found"),
        ("-1", "expected, '-1' found"),
        ("1" * 11, "expected"),
        ("4194304", "4194304 is no process"),
        ("4194305", "no process is in a PID namespace 4194305"),
    ],
)
def test_a_pid_namespace_that_is_not_there_is_refused(word, told):
    with pytest.raises(FilterError, match=f"--pidns: .*{told}"):
        find_pid_namespace(word)
