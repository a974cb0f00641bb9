"""What the running kernel can do and allows; what can be mended is mended, the rest is named."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import resource
from pathlib import Path

from wcap.errors import NotPermittedError, UnsupportedKernelError

_TRACING = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_TIME_NAMESPACE = Path("/proc/self/ns/time")
_TIME_OFFSETS = Path("/proc/self/timens_offsets")
# include/uapi/linux/capability.h
_CAP_SYS_ADMIN, _CAP_PERFMON, _CAP_BPF = 21, 38, 39
# include/linux/proc_ns.h: PROC_PID_INIT_INO
FIRST_PID_NAMESPACE = 0xEFFF_FFFC
# The same: PROC_TIME_INIT_INO
_FIRST_TIME_NAMESPACE = 0xEFFF_FFFA
# The bpf system call, by machine; asm-generic/unistd.h gives 280 to those not named.
_BPF_CALL = {"x86_64": 321}.get(platform.machine(), 280)
# include/uapi/linux/bpf.h
_BPF_MAP_CREATE, _MAP_ARRAY, _MAP_RINGBUF = 0, 2, 27
# bpf_get_ns_current_pid_tgid came with this version.
_NAMESPACES = (5, 7)
# Since then BPF memory is counted by memory cgroups, not against RLIMIT_MEMLOCK.
_NO_MEMLOCK = (5, 11)


def version() -> tuple[int, int]:
    """Return the running kernel's version, such as (6, 18)."""
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def check_permission() -> None:
    """See that BPF programs may be loaded.

    Raises:
        NotPermittedError: neither root nor the capabilities are there.
        UnsupportedKernelError: the kernel is locked down, or processes have other numbers here.
    """
    lockdown = _LOCKDOWN.read_text() if _LOCKDOWN.exists() else ""
    if "[confidentiality]" in lockdown:
        raise UnsupportedKernelError(
            "the kernel is locked down (confidentiality): it lets no one read user memory by BPF; "
            "boot with lockdown=integrity or none"
        )
    held = _capabilities()
    if not (held >> _CAP_SYS_ADMIN & 1 or (held >> _CAP_BPF & 1 and held >> _CAP_PERFMON & 1)):
        raise NotPermittedError(
            "to record, wcap needs root, or CAP_BPF and CAP_PERFMON: try sudo "
            "(show, stats and the other readers need neither)"
        )
    if Path("/proc/self/ns/pid").stat().st_ino != FIRST_PID_NAMESPACE:
        raise UnsupportedKernelError(
            "BPF knows processes by the host's numbers, and this container has its own: run wcap "
            "on the host, or the container with --pid=host"
        )


def check_namespaces() -> None:
    """See that BPF programs can tell the PID namespace of a task.

    Raises:
        UnsupportedKernelError: they cannot.
    """
    if version() < _NAMESPACES:
        raise UnsupportedKernelError(
            "BPF can tell PID namespaces since Linux 5.7: leave out --pidns, or choose by --cgroup"
        )


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def has_ring_buffer() -> bool:
    """Tell whether the kernel has BPF ring buffers (5.8 and later).

    Raises:
        NotPermittedError: the bpf system call is refused.
        UnsupportedKernelError: there is no bpf system call.
    """
    if (error := _try_map(_MAP_RINGBUF, 0, 0, 1 << 16)) == 0:
        return True
    if error != errno.EINVAL or (error := _try_map(_MAP_ARRAY, 4, 4, 1)) != 0:
        if error == errno.ENOSYS:
            raise UnsupportedKernelError("this kernel has no BPF (CONFIG_BPF_SYSCALL)")
        raise NotPermittedError(
            f"the bpf system call is refused ({os.strerror(error)}): in a container it needs "
            "CAP_BPF and a seccomp profile that allows it"
        )
    return False


def _try_map(kind: int, key: int, value: int, entries: int) -> int:
    """Create a map and drop it again; return 0 or an error number."""
    attributes = (ctypes.c_uint32 * 32)(kind, key, value, entries)
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.syscall(
        _BPF_CALL, _BPF_MAP_CREATE, ctypes.byref(attributes), ctypes.sizeof(attributes)
    )
    if descriptor < 0:
        return ctypes.get_errno()
    os.close(descriptor)
    return 0


def mount_tracefs() -> bool:
    """Mount tracefs if it is mounted nowhere; tell whether that was needed.

    Raises:
        UnsupportedKernelError: it cannot be mounted, or the kernel has no system call tracepoints.
    """
    mounted = False
    if not any(map(_is_readable, _TRACING)):
        place = _TRACING[0]
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tracefs", bytes(place), b"tracefs", 0, None) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise UnsupportedKernelError(
                f"tracefs is not mounted and cannot be ({reason}): mount -t tracefs tracefs {place}"
            )
        mounted = True
    if not any((place / "events/syscalls/sys_enter_write").is_dir() for place in _TRACING):
        raise UnsupportedKernelError(
            "this kernel has no tracepoint syscalls:sys_enter_write (CONFIG_FTRACE_SYSCALLS)"
        )
    return mounted


def has_tracepoint(name: str) -> bool:
    """Tell whether the kernel has a tracepoint, such as ``sched:sched_process_exec``."""
    event = name.replace(":", "/")
    return any((place / "events" / event).is_dir() for place in _TRACING)


def _is_readable(place: Path) -> bool:
    try:
        return (place / "events").is_dir()
    except PermissionError as error:
        raise NotPermittedError(
            f"{place} may be read by root only: use sudo, or make it readable: "
            f"mount -o remount,mode=755 {place}"
        ) from error


def raise_memlock() -> None:
    """Lift the limit on locked memory, which only old kernels count BPF maps against.

    Raises:
        NotPermittedError: it cannot be lifted, and this kernel needs it.
    """
    unlimited = resource.RLIM_INFINITY
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (unlimited, unlimited))
    except (OSError, ValueError) as error:
        if version() < _NO_MEMLOCK:
            raise NotPermittedError(
                f"RLIMIT_MEMLOCK cannot be raised ({error}), and kernels before 5.11 need it for "
                "BPF: run as root with CAP_SYS_RESOURCE"
            ) from error


def facts() -> dict[str, str]:
    """Describe the running kernel: release, version and machine."""
    system = os.uname()
    return {"release": system.release, "version": system.version, "machine": system.machine}


def time_offset_ns(clock: str) -> int:
    """Return what this process's time namespace adds to a clock; BPF reads clocks without it.

    Args:
        clock: ``boottime`` or ``monotonic``.
    """
    try:
        # The offsets are those of the namespace that children get: usually this process's own, but
        # not yet so where it has just made one.
        if _TIME_NAMESPACE.stat().st_ino == _FIRST_TIME_NAMESPACE:
            return 0
        lines = _TIME_OFFSETS.read_text().splitlines()
    except FileNotFoundError:  # a kernel without time namespaces
        return 0
    offsets = {name: (int(seconds), int(rest)) for name, seconds, rest in map(str.split, lines)}
    seconds, rest = offsets.get(clock, (0, 0))
    return seconds * 1_000_000_000 + rest


def boot_id() -> str | None:
    """Return the random number of this boot, if there is one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None


def possible_cpus() -> int:
    """Return one more than the highest CPU number that the kernel may ever use."""
    text = Path("/sys/devices/system/cpu/possible").read_text().strip()
    return int(text.replace("-", ",").split(",")[-1]) + 1


def online_cpus() -> list[int]:
    """Return the numbers of the CPUs that are running."""
    cpus: list[int] = []
    for part in Path("/sys/devices/system/cpu/online").read_text().strip().split(","):
        first, _, last = part.partition("-")
        cpus += range(int(first), int(last or first) + 1)
    return cpus
