"""Loads the BPF program, attaches it and reads its maps."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from wcap.errors import UnsupportedKernelError
from wcap.events import BUFFER_FULL, OTHER, TARGET_KINDS
from wcap.recorder import casting, choice, kernel, program, records
from wcap.recorder.choice import Conditions
from wcap.recorder.closing import leave_closing
from wcap.recorder.compiler import explained, give_back_memory, import_bcc, messages_kept
from wcap.recorder.descriptions import HOW
from wcap.recorder.gaps import Run
from wcap.recorder.members import Layout, layout
from wcap.syscalls import SYSCALLS

# Why an event or a result was lost (SPEC.md section 14).
_FORK, _EXEC = "task:task_newtask", "sched:sched_process_exec"
_FREE, _URING = "sched:sched_process_free", "io_uring:io_uring_submit_req"
# Whose tracepoint has another name than the call.
_TRACEPOINTS = {"sendfile": "sendfile64"}
# What the programs of enum program in bpf/state.h are.
_PROGRAMS = ("route", "gather", "describe_process", "describe_file", "sent")
# enum phase of bpf/state.h.
_ENDING, _ENDED = 1, 2
# PERF_EVENT_IOC_DISABLE of include/uapi/linux/perf_event.h.
_EVENT_DISABLE = 0x2401
# How many runs of lost events a CPU remembers (bpf/state.h).
_RUNS = 4096


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """What the kernel side is to do.

    Attributes:
        snaplen: bytes of payload kept of a write.
        ring_pages: size of the ring buffer in units of 4 KiB; None for a perf buffer.
        clock: ``boottime`` or ``monotonic``.
        excluded: processes never recorded.
        chosen: what must hold of who is recorded; processes are given to `Probe.add_target`.
        left_out: whoever meets one of these is not recorded.
        targets: whether only processes given to `Probe.add_target` are recorded.
        either: being a target or all other conditions suffice; otherwise both are needed.
        follow: some targets' children become targets.
        syscalls: the calls recorded.
        at_exit: record calls when they have ended.
        stop_at: bytes in the ring buffer from which on writers are stopped; None means never.
    """

    snaplen: int
    ring_pages: int | None
    clock: str
    excluded: Sequence[int]
    chosen: Conditions = choice.ANYONE
    left_out: Conditions = choice.ANYONE
    targets: bool = False
    either: bool = False
    follow: bool = False
    syscalls: Sequence[str] = SYSCALLS
    at_exit: bool = False
    stop_at: int | None = None


class _Run(ctypes.Structure):
    """``struct run`` of state.h."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("first", "last", "tgid"))


class _Losses(ctypes.Structure):
    """``struct losses`` of state.h."""

    _fields_ = tuple(
        (name, ctypes.c_uint64)
        for name in (
            "enters_full",
            "enters_other",
            "exits_full",
            "exits_other",
            "processes",
            "targets",
            "follows",
            "runs",
        )
    )


@dataclass(frozen=True, slots=True)
class Losses:
    """What the kernel side counted as lost so far, on one CPU or on all."""

    events: dict[str, int]
    results: dict[str, int]
    processes: int
    targets: int
    follows: int


class Probe:
    """The BPF program in the kernel.

    Raises:
        MissingDependencyError: bcc is not installed.
        ProbeError: the program does not compile or load.
        UnsupportedKernelError: calls cannot be recorded at their exit here.
    """

    def __init__(self, options: ProbeOptions) -> None:
        bcc = import_bcc()
        self.bcc_version = str(getattr(bcc, "__version__", "unknown"))
        self._options = options
        self._cpus = kernel.possible_cpus()
        self._layout = layout()
        if options.at_exit and not self._layout.arguments:
            raise UnsupportedKernelError(
                "--at exit needs BTF and bpf_task_pt_regs (Linux 5.15, on x86-64 or arm64): "
                "record at entry"
            )
        self._runs: dict[int, dict[int, Run]] = {}
        os.environ["BCC_KERNEL_SOURCE"] = str(program.HEADERS)
        with messages_kept() as messages:
            try:
                self._bpf = bcc.BPF(
                    text=program.source(), cflags=_flags(options, self._cpus, self._layout)
                )
                casting.put_in_place(
                    bcc.lib,
                    self._bpf.module,
                    functions=self._layout.functions,
                    events_map=self.events_fd,
                )
                self._load_programs(bcc)
                module = ctypes.c_void_p(self._bpf.module)
                self._state_size = bcc.lib.bpf_table_leaf_size(module, b"cpus")
            except Exception as error:  # bcc raises bare Exception
                raise explained(error, messages()) from error
        give_back_memory()

    def _load_programs(self, bcc: ModuleType) -> None:
        programs = self._bpf.get_table("programs", ctypes.c_int, ctypes.c_int)
        for number, name in enumerate(_PROGRAMS):
            if name == "describe_file" and not self._layout.files:
                continue
            if name == "sent" and self._options.at_exit:
                continue
            function = self._bpf.load_func(name, bcc.BPF.TRACEPOINT)
            programs[ctypes.c_int(number)] = ctypes.c_int(function.fd)

    @property
    def knows_tasks(self) -> bool:
        """Whether parents, leaders and starts of processes are known."""
        return self._layout.tasks

    @property
    def knows_files(self) -> bool:
        """Whether the kernel side tells what file descriptors stand for."""
        return self._layout.files

    @property
    def events_fd(self) -> int:
        """File descriptor of the map that records arrive in."""
        return int(self._bpf["events"].map_fd)

    def set_perf_buffer(self, cpu: int, descriptor: int) -> None:
        """Send what happens on a CPU to this perf event."""
        events = self._bpf.get_table("events", ctypes.c_int, ctypes.c_int)
        events[ctypes.c_int(cpu)] = ctypes.c_int(descriptor)

    def add_target(self, pid: int, *, follow: bool) -> None:
        """Record this process from now on, and its children if ``follow``."""
        targets = self._bpf.get_table("targets", ctypes.c_uint32, ctypes.c_uint8)
        targets[ctypes.c_uint32(pid)] = ctypes.c_uint8(follow)

    def ignore(self, number: int) -> None:
        """Leave out what goes to the target of this number, 0 for those that are not known."""
        ignored = self._bpf.get_table("ignored", ctypes.c_uint32, ctypes.c_uint8)
        ignored[ctypes.c_uint32(number)] = ctypes.c_uint8(1)

    def attach_processes(self) -> None:
        """Attach to what happens to processes, so that children are followed."""
        self._fill()
        if self._options.follow:
            self._attach(_FORK, "on_new_task")
        self._attach(_EXEC, "on_process_exec")
        self._attach(_FREE, "on_process_free")

    def _fill(self) -> None:
        """Tell the kernel side the numbers and cgroups that conditions name."""
        chosen, left_out = self._options.chosen, self._options.left_out
        for number, what in choice.numbered(chosen, left_out).items():
            table = self._bpf.get_table("numbered", ctypes.c_uint32, ctypes.c_uint8)
            table[ctypes.c_uint32(number)] = ctypes.c_uint8(what)
        for index, cgroup in enumerate(chosen.cgroups + left_out.cgroups):
            self._bpf["cgroups"][index] = str(cgroup.folder)

    def attach_writes(self) -> None:
        """Start recording; exits come first, so that no entry is left without its exit."""
        if kernel.has_tracepoint(_URING):
            self._attach(_URING, "on_uring_submit")
        for call in self._options.syscalls:
            self._attach(_exit(call), f"on_{call}" if self._options.at_exit else "on_exit")
        if not self._options.at_exit:
            for call in self._options.syscalls:
                self._attach(_enter(call), f"on_{call}")

    def end_entries(self) -> None:
        """Take in no new calls; what is under way may still end."""
        self._enter_phase(_ENDING)

    def end_exits(self) -> None:
        """Take in nothing any more, or busy writers would fill the buffer as fast as it empties."""
        self._enter_phase(_ENDED)

    def _enter_phase(self, phase: int) -> None:
        self._bpf["phase"][ctypes.c_int(0)] = ctypes.c_uint32(phase)

    def close(self) -> None:
        """Free the maps, and detach everything, which goes on for a moment after this returns.

        For each tracepoint the kernel waits until no CPU can be in it any more, altogether for
        seconds. A process of its own waits for that; the programs do nothing meanwhile.
        """
        self.end_exits()
        leave_closing([*self._bpf.tracepoint_fds.values()])
        self._bpf.cleanup()

    @property
    def stopped(self) -> StoppedMap:
        """The processes that were stopped, with `ProbeOptions.stop_at`."""
        descriptors = [int(self._bpf[name].map_fd) for name in ("stopped", "phase")]
        return StoppedMap(self._bpf["stopped"], descriptors, self.end_exits)

    def losses(self) -> list[Losses]:
        """Return what each CPU lost so far."""
        table = self._bpf.get_table("losses", ctypes.c_int, _Losses)
        return [_named(table[ctypes.c_int(cpu)]) for cpu in range(self._cpus)]

    def sequences(self) -> dict[int, int]:
        """Return how many events each CPU has seen, lost ones included, if any."""
        state = ctypes.c_uint8 * self._state_size  # bcc cannot tell what is in it
        states = self._bpf.get_table("cpus", ctypes.c_int, state)
        seen = {
            cpu: int.from_bytes(bytes(states[ctypes.c_int(cpu)])[:8], sys.byteorder)
            for cpu in range(self._cpus)
        }
        return {cpu: last for cpu, last in seen.items() if last}

    def losers(self, cpu: int) -> list[Run]:
        """Return whose events a CPU lost, as far as it remembers."""
        runs = self._bpf.get_table("runs", ctypes.c_int, _Run)
        known = self._runs.setdefault(cpu, {})
        total = self._count_runs(cpu)
        # The latest that is known may have grown since.
        for number in range(max(total - _RUNS, max(known, default=0), 0), total):
            run = runs[ctypes.c_int(cpu * _RUNS + number % _RUNS)]
            known[number] = (run.first, run.last, run.tgid)
        # Meanwhile the kernel went on: it may be writing over the oldest that it remembers.
        oldest = self._count_runs(cpu) - _RUNS + 1
        for number in [number for number in known if number < oldest]:
            del known[number]
        return list(known.values())

    def _count_runs(self, cpu: int) -> int:
        losses = self._bpf.get_table("losses", ctypes.c_int, _Losses)
        return int(losses[ctypes.c_int(cpu)].runs)

    def bypasses(self) -> dict[tuple[int, str], int]:
        """Return how often each process wrote past the tracepoints: (pid, how) → count."""
        return {
            (passer.tgid, HOW.get(passer.how, str(passer.how))): count.value
            for passer, count in self._bpf["bypasses"].items()
        }

    def _attach(self, tracepoint: str, function: str) -> None:
        """Run a program whenever a CPU comes to a tracepoint.

        It hangs on a perf event of the first CPU, which would take a sample there each time as
        well, for nobody to read. The program runs whether the event is enabled or not.
        """
        with messages_kept() as messages:
            try:
                self._bpf.attach_tracepoint(tp=tracepoint, fn_name=function)
            except Exception as error:  # bcc raises bare Exception
                raise explained(error, messages()) from error
        fcntl.ioctl(self._bpf.tracepoint_fds[tracepoint.encode()], _EVENT_DISABLE, 0)


@dataclass(frozen=True, slots=True)
class StoppedMap:
    """The map of the processes that the kernel side has stopped (`stopping.Stopped`)."""

    _table: Any
    descriptors: Sequence[int]
    stop_nobody_any_more: Callable[[], None]

    def pids(self) -> list[int]:
        """Return who is in the map."""
        return [key.value for key in self._table.keys()]  # noqa: SIM118 (bcc's table)

    def forget(self, pids: Iterable[int]) -> None:
        """Take them out of the map."""
        for pid in pids:
            with contextlib.suppress(KeyError):
                del self._table[ctypes.c_uint32(pid)]


def _enter(call: str) -> str:
    return f"syscalls:sys_enter_{_TRACEPOINTS.get(call, call)}"


def _exit(call: str) -> str:
    return f"syscalls:sys_exit_{_TRACEPOINTS.get(call, call)}"


def _flags(options: ProbeOptions, cpus: int, known: Layout) -> list[str]:
    """Return the -D flags that write.c and choose.h list at their tops."""
    clock = "bpf_ktime_get_boot_ns" if options.clock == "boottime" else "bpf_ktime_get_ns"
    chosen, left_out = options.chosen, options.left_out
    kinds = frozenset(chosen.kinds or TARGET_KINDS) - frozenset(left_out.kinds)
    flags = [
        "-g0",  # bcc asks for debug information, and takes a tenth longer
        f"-DCPUS={cpus}",
        f"-DSNAPLEN={options.snaplen}",
        f"-DCLOCK={clock}",
        f"-DKINDS={sum(1 << TARGET_KINDS.index(kind) for kind in kinds)}",
        f"-DUNKNOWN_WANTED={int(not chosen.kinds)}",
        "-DEXCLUDED=" + " ".join(f"X({pid})" for pid in options.excluded),
        *(f"-D{name}={size}" for name, size in records.sizes(at_exit=options.at_exit).items()),
        *(f"-DCALL_{call.upper()}={number}" for number, call in enumerate(SYSCALLS)),
        *known.flags,
    ]
    flags.append("-DPERF" if options.ring_pages is None else f"-DRING_PAGES={options.ring_pages}")
    if kernel.has_tracepoint(_URING):
        flags.append("-DURING")
    if options.stop_at is not None:
        flags += [f"-DLOSSLESS={options.stop_at}", f"-DEVENTS_MAP={casting.EVENTS_MAP}"]
    if chosen.paths or left_out.paths:
        flags.append("-DPATHS")
    flags += choice.flags(chosen, left_out)
    switches = ("targets", "either", "follow", "at_exit")
    return flags + [f"-D{name.upper()}" for name in switches if getattr(options, name)]


def _named(losses: _Losses) -> Losses:
    def by_cause(full: int, other: int) -> dict[str, int]:
        return {cause: n for cause, n in ((BUFFER_FULL, full), (OTHER, other)) if n}

    return Losses(
        events=by_cause(losses.enters_full, losses.enters_other),
        results=by_cause(losses.exits_full, losses.exits_other),
        processes=losses.processes,
        targets=losses.targets,
        follows=losses.follows,
    )
