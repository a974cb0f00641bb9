"""The recorders of whole programs: how each is put above a command and all its children.

They are asked for the system calls that wcap records by default. What strace and wcap print of a
call is the same but for the target: payload up to 4096 bytes, result, time and duration.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.recorders import (
    BARE,
    BPFTRACE,
    PERF_TRACE,
    STRACE,
    STRACE_SECCOMP,
    WCAP,
    WCAP_EXIT,
    WCAP_RECORD,
    Kept,
    Recorder,
    kept_by_wcap,
    occurrences,
)

_PAYLOADS = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg")
_WITHOUT = ("sendfile", "splice", "tee", "vmsplice", "copy_file_range")
_SYSCALLS = ",".join((*_PAYLOADS, *_WITHOUT))
_PRINTED = {
    "write": "buf(args->buf, args->count)",
    "pwrite64": "buf(args->buf, args->count)",
    "sendto": "buf(args->buff, args->len)",
}


@dataclass(frozen=True, slots=True)
class Tracer:
    """A way to record a command and its children.

    Attributes:
        recorder: of which this is a variant: its name and its program.
        command: the command line, from the output's path, the command's, and the numeric id of
            the user that it runs as.
        events: what was recorded, from the output's path; None where nothing is.
        share: of the requests that it is given: the slow ones would take minutes.
    """

    recorder: Recorder
    command: Callable[[Path, Sequence[str], int], list[str]]
    events: Callable[[Path], Kept] | None
    share: float

    @property
    def name(self) -> str:
        """As the table calls it."""
        return self.recorder.name


def _wcap(*options: str) -> Callable[[Path, Sequence[str], int], list[str]]:
    words = (*WCAP, "record", *options, "-o")
    return lambda output, command, _: [*words, str(output), "--", *command]


def _strace(*options: str) -> Callable[[Path, Sequence[str], int], list[str]]:
    chosen = ("-s", "4096", "-ttt", "-T", "-e", f"trace={_SYSCALLS}", "-o")
    words = ("strace", "-f", *options, *chosen)
    return lambda output, command, _: [*words, str(output), *command]


def _perf_trace(output: Path, command: Sequence[str], _: int) -> list[str]:
    return ["perf", "trace", "-e", _SYSCALLS, "-o", str(output), "--", *command]


def _bpftrace(output: Path, command: Sequence[str], uid: int) -> list[str]:
    return ["bpftrace", "-o", str(output), "-e", bpftrace_program(uid), "-c", shlex.join(command)]


def bpftrace_program(uid: int) -> str:
    """Return a program that prints the calls of a user: it cannot be told to follow children."""
    parts = []
    for syscall in _PAYLOADS:
        printed = _PRINTED.get(syscall)
        # Vectors are not followed.
        form, values = ("%d %d %r", f", {printed}") if printed else ("%d %d", "")
        parts.append(
            f"tracepoint:syscalls:sys_enter_{syscall} /uid == {uid}/ "
            f'{{ printf("{syscall} {form}\\n", pid, args->fd{values}); }}'
        )
    return " ".join(parts)


def _of_wcap(output: Path) -> Kept:
    return kept_by_wcap(output, None)


def _lines(output: Path) -> Kept:
    return Kept(occurrences(output, b"\n"))


def _of_strace(output: Path) -> Kept:
    # A call that another thread interrupts is two lines; ends and signals are one each.
    others = (b" resumed>", b" +++ ", b" --- ")
    return Kept(occurrences(output, b"\n") - sum(occurrences(output, one) for one in others))


ALL = (
    Tracer(BARE, lambda _, command, __: [*command], None, 1),
    Tracer(WCAP_RECORD, _wcap(), _of_wcap, 1),
    Tracer(WCAP_EXIT, _wcap("--at", "exit"), _of_wcap, 1),
    Tracer(BPFTRACE, _bpftrace, _lines, 1),
    Tracer(PERF_TRACE, _perf_trace, _lines, 1 / 4),
    Tracer(STRACE, _strace(), _of_strace, 1 / 8),
    Tracer(STRACE_SECCOMP, _strace("--seccomp-bpf"), _of_strace, 1 / 8),
)
# Enough to see whether a recorder works, in a short run.
FEW = tuple(one for one in ALL if one.recorder in (BARE, WCAP_RECORD, STRACE_SECCOMP))
