from __future__ import annotations

import errno
import os
import platform
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest

from wcap.errors import NotPermittedError, UnsupportedKernelError
from wcap.recorder import kernel

CAPABILITIES = {"CAP_SYS_ADMIN": 1 << 21, "CAP_PERFMON": 1 << 38, "CAP_BPF": 1 << 39}


def running(monkeypatch, release):
    monkeypatch.setattr(kernel.os, "uname", lambda: SimpleNamespace(release=release))


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.18.0", (6, 18)),
        ("5.4.0-150-generic", (5, 4)),
        ("6.1.0-13-amd64", (6, 1)),
        ("6.12-rc3", (6, 12)),
        ("5.15.153.1-microsoft-standard-WSL2", (5, 15)),
        ("6.6+", (6, 6)),
        ("4.18.0-553.el8_10.x86_64", (4, 18)),
        ("unheard of", (0, 0)),
    ],
)
def test_the_version_is_the_first_two_numbers_of_the_release(release, version, monkeypatch):
    running(monkeypatch, release)

    assert kernel.version() == version


@pytest.fixture
def refused_limit(monkeypatch):
    """Make the kernel refuse to raise the limit, as it does without CAP_SYS_RESOURCE."""

    def refuse(which, limits):
        assert which == resource.RLIMIT_MEMLOCK
        assert limits == (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(kernel.resource, "setrlimit", refuse)


@pytest.mark.parametrize("release", ["5.11.0", "5.15.0", "6.1.0"])
def test_a_limit_on_locked_memory_is_no_matter_on_kernels_that_do_not_count_it(
    release, refused_limit, monkeypatch
):
    running(monkeypatch, release)

    kernel.raise_memlock()


@pytest.mark.parametrize("release", ["5.10.200", "4.19.0", "5.4.0-1-generic"])
def test_a_limit_on_locked_memory_is_an_error_on_kernels_that_count_it(
    release, refused_limit, monkeypatch
):
    running(monkeypatch, release)

    with pytest.raises(NotPermittedError, match=r"RLIMIT_MEMLOCK .*not allowed.*before 5\.11"):
        kernel.raise_memlock()


def test_a_limit_that_can_be_raised_is_raised(monkeypatch):
    raised = []
    monkeypatch.setattr(kernel.resource, "setrlimit", lambda *given: raised.append(given))
    running(monkeypatch, "4.9.0")

    kernel.raise_memlock()

    unlimited = resource.RLIM_INFINITY
    assert raised == [(resource.RLIMIT_MEMLOCK, (unlimited, unlimited))]


def locked_down(monkeypatch, tmp_path, text):
    lockdown = tmp_path / "lockdown"
    if text is not None:
        lockdown.write_text(text)
    monkeypatch.setattr(kernel, "_LOCKDOWN", lockdown)


def holding(monkeypatch, *names):
    held = sum(CAPABILITIES[name] for name in names)
    monkeypatch.setattr(kernel, "_capabilities", lambda: held)


def test_a_kernel_locked_down_for_confidentiality_is_named(monkeypatch, tmp_path):
    locked_down(monkeypatch, tmp_path, "none integrity [confidentiality]\n")
    holding(monkeypatch, "CAP_SYS_ADMIN")

    with pytest.raises(UnsupportedKernelError, match=r"locked down .*lockdown=integrity"):
        kernel.check_permission()


@pytest.mark.parametrize("text", [None, "[none] integrity confidentiality\n", "none [integrity]\n"])
@pytest.mark.parametrize("held", [["CAP_SYS_ADMIN"], ["CAP_BPF", "CAP_PERFMON"]])
def test_root_and_the_two_capabilities_are_enough(text, held, monkeypatch, tmp_path):
    locked_down(monkeypatch, tmp_path, text)
    holding(monkeypatch, *held)

    kernel.check_permission()


@pytest.mark.parametrize("held", [[], ["CAP_BPF"], ["CAP_PERFMON"]])
def test_less_is_refused_and_the_way_out_is_named(held, monkeypatch, tmp_path):
    locked_down(monkeypatch, tmp_path, None)
    holding(monkeypatch, *held)

    with pytest.raises(NotPermittedError, match=r"root, or CAP_BPF and CAP_PERFMON.*sudo"):
        kernel.check_permission()


def test_capabilities_are_those_in_effect():
    with Path("/proc/self/status").open() as status:
        line = next(line for line in status if line.startswith("CapEff:"))

    assert kernel._capabilities() == int(line.split()[1], 16)


def answering(monkeypatch, ring, array=0):
    """Let map creation give these error numbers."""
    answers = {kernel._MAP_RINGBUF: ring, kernel._MAP_ARRAY: array}
    monkeypatch.setattr(kernel, "_try_map", lambda kind, *_: answers[kind])


def test_a_kernel_that_makes_a_ring_buffer_has_it(monkeypatch):
    answering(monkeypatch, ring=0, array=errno.EPERM)

    assert kernel.has_ring_buffer() is True


def test_a_kernel_that_makes_other_maps_only_has_none(monkeypatch):
    answering(monkeypatch, ring=errno.EINVAL)

    assert kernel.has_ring_buffer() is False


@pytest.mark.parametrize(
    ("ring", "array", "error", "told"),
    [
        (errno.EPERM, 0, NotPermittedError, "Operation not permitted.*seccomp"),
        (errno.EACCES, 0, NotPermittedError, "Permission denied"),
        (errno.EINVAL, errno.EPERM, NotPermittedError, "Operation not permitted"),
        (errno.ENOSYS, 0, UnsupportedKernelError, "CONFIG_BPF_SYSCALL"),
        (errno.EINVAL, errno.ENOSYS, UnsupportedKernelError, "CONFIG_BPF_SYSCALL"),
    ],
)
def test_a_refused_call_is_told_apart_from_a_missing_one(ring, array, error, told, monkeypatch):
    answering(monkeypatch, ring, array)

    with pytest.raises(error, match=told):
        kernel.has_ring_buffer()


def test_the_calls_answer_is_an_error_number_or_a_descriptor_that_is_closed(monkeypatch):
    made, _ = os.pipe()
    os.close(_)
    answers = iter([made, -1])
    libc = SimpleNamespace(syscall=lambda *given: next(answers))
    monkeypatch.setattr(kernel.ctypes, "CDLL", lambda name, use_errno: libc)
    monkeypatch.setattr(kernel.ctypes, "get_errno", lambda: errno.EPERM)

    assert kernel._try_map(kernel._MAP_ARRAY, 4, 4, 1) == 0
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made)
    assert kernel._try_map(kernel._MAP_ARRAY, 4, 4, 1) == errno.EPERM


@pytest.fixture
def tracing(monkeypatch, tmp_path):
    """Make two places where tracefs may be mounted, neither of which has it."""
    places = (tmp_path / "tracing", tmp_path / "debug/tracing")
    monkeypatch.setattr(kernel, "_TRACING", places)
    return places


def with_mount(monkeypatch, mount):
    libc = SimpleNamespace(mount=mount)
    monkeypatch.setattr(kernel.ctypes, "CDLL", lambda name, use_errno: libc)
    monkeypatch.setattr(kernel.ctypes, "get_errno", lambda: errno.EPERM)


@pytest.mark.parametrize("place", [0, 1])
def test_tracefs_that_is_mounted_is_left_alone(place, tracing, monkeypatch):
    (tracing[place] / "events/syscalls/sys_enter_write").mkdir(parents=True)
    with_mount(monkeypatch, None)

    assert kernel.mount_tracefs() is False


def test_tracefs_that_is_not_mounted_is_mounted(tracing, monkeypatch):
    mounted = []

    def mount(source, place, kind, flags, data):
        mounted.append((place.decode(), kind))
        (tracing[0] / "events/syscalls/sys_enter_write").mkdir(parents=True)
        return 0

    with_mount(monkeypatch, mount)

    assert kernel.mount_tracefs() is True
    assert mounted == [(str(tracing[0]), b"tracefs")]


def test_tracefs_that_cannot_be_mounted_is_an_error_with_the_command_to_run(tracing, monkeypatch):
    with_mount(monkeypatch, lambda *given: -1)

    with pytest.raises(UnsupportedKernelError, match=r"not permitted\): mount -t tracefs"):
        kernel.mount_tracefs()


def test_a_kernel_without_tracepoints_of_system_calls_is_named(tracing):
    (tracing[0] / "events").mkdir(parents=True)

    with pytest.raises(UnsupportedKernelError, match="CONFIG_FTRACE_SYSCALLS"):
        kernel.mount_tracefs()


@pytest.mark.parametrize(("text", "cpus"), [("0\n", 1), ("0-7\n", 8), ("0,2-5\n", 6)])
def test_possible_cpus_is_one_more_than_the_highest(text, cpus, monkeypatch):
    monkeypatch.setattr(kernel.Path, "read_text", lambda path: text)

    assert kernel.possible_cpus() == cpus


def test_the_facts_are_those_of_the_running_kernel():
    assert kernel.facts() == {
        "release": platform.release(),
        "version": platform.version(),
        "machine": platform.machine(),
    }


def test_a_boot_has_its_number_if_the_kernel_gives_one(monkeypatch):
    monkeypatch.setattr(kernel.Path, "read_text", lambda path: "6f1c3b5e-0000\n")
    assert kernel.boot_id() == "6f1c3b5e-0000"

    def absent(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(kernel.Path, "read_text", absent)
    assert kernel.boot_id() is None


@pytest.mark.parametrize(
    ("text", "cpus"), [("0\n", [0]), ("0-3\n", [0, 1, 2, 3]), ("0,2-3,7\n", [0, 2, 3, 7])]
)
def test_the_online_cpus_are_those_that_the_kernel_lists(text, cpus, monkeypatch):
    monkeypatch.setattr(kernel.Path, "read_text", lambda path: text)

    assert kernel.online_cpus() == cpus


def test_a_tracefs_that_may_not_be_read_is_named_with_the_way_out(monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(kernel.Path, "is_dir", refuse)

    with pytest.raises(NotPermittedError, match="may be read by root only: use sudo"):
        kernel.mount_tracefs()


@pytest.mark.parametrize(("release", "known"), [("5.6.19", False), ("5.7.0", True)])
def test_pid_namespaces_are_told_apart_by_newer_kernels_only(release, known, monkeypatch):
    running(monkeypatch, release)

    if known:
        kernel.check_namespaces()
    else:
        with pytest.raises(UnsupportedKernelError, match=r"since Linux 5\.7.*--pidns"):
            kernel.check_namespaces()
