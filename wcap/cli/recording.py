"""Options of ``record`` that say how to record; `choosing` has those that say whom."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from wcap.cli.options import LEAST_PART, naming, part_bytes
from wcap.errors import UsageError
from wcap.units import parse_duration, parse_size

if TYPE_CHECKING:
    from wcap.recorder import Settings

# How a transport is called on the command line, and in a capture's header.
_TRANSPORTS = {"auto": None, "ring": "ring-buffer", "perf": "perf-buffer"}
_MOMENTS = ("enter", "exit")
_LEAST_PERIOD_NS = 1_000_000_000
# What --ring takes. The case tells mebibytes from minutes.
_RING_SIZE = re.compile(r"\d{1,9}[KMG](i?B)?", re.ASCII)
_RING_TIME = re.compile(r"\d{1,9}(\.\d{1,9})?(s|m|min|h|d)", re.ASCII)
# So much is kept in memory at most when only a time is given.
_MOST_KEPT = 1 << 30

SyscallOption = Annotated[
    list[str] | None,
    typer.Option(
        "--syscall",
        "-e",
        metavar="SYSCALL,…",
        help="These system calls, or file or net; with a ! before them, all others.",
    ),
]
SnaplenOption = Annotated[
    str,
    typer.Option(
        "--snaplen", "-s", metavar="BYTES", help="Bytes kept of a write, up to 32M; 0 is all."
    ),
]
CaptureOutputOption = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        "-w",
        metavar="FILE",
        help="Write the capture here; - is standard output. Default: wcap-DATE-TIME.wcap.",
    ),
]
CountOption = Annotated[
    int | None, typer.Option("--count", "-n", min=1, metavar="N", help="Stop after N events.")
]
DurationOption = Annotated[
    str | None,
    typer.Option("--duration", metavar="TIME", help="Stop after this time, such as 30s."),
]
BufferOption = Annotated[
    str,
    typer.Option(
        "--buffer",
        "-B",
        metavar="SIZE",
        help="Size of the kernel's buffer, rounded up to a power of two.",
    ),
]
TransportOption = Annotated[
    str,
    typer.Option(
        metavar="auto|ring|perf",
        help="Buffer kind; auto takes the ring buffer where the kernel has one (5.8).",
    ),
]
AtOption = Annotated[
    str,
    typer.Option(
        "--at",
        metavar="enter|exit",
        help="Record calls when they begin and when they end, or with less only when they end.",
    ),
]
LosslessOption = Annotated[
    bool,
    typer.Option("--lossless", help="Stop those who write rather than lose what they write."),
]
FailOption = Annotated[
    bool, typer.Option("--fail-on-loss", help="End the recording when something is lost.")
]
PartSizeOption = Annotated[
    str | None,
    typer.Option("-C", metavar="SIZE", help="Begin another file before one is larger than this."),
]
PartTimeOption = Annotated[
    str | None,
    typer.Option(
        "-G",
        metavar="SECONDS",
        help="Begin another file after this time; in -o, %H%M%S and the like are its time.",
    ),
]
PartCountOption = Annotated[
    int | None,
    typer.Option(
        "-W",
        min=1,
        metavar="COUNT",
        help="With -C, overwrite so many files in turn; with -G, end after so many.",
    ),
]
RingOption = Annotated[
    str | None,
    typer.Option(
        "--ring",
        metavar="SIZE|TIME",
        help="Keep the newest 64M, or 30s, in memory; write them on SIGUSR1 and at the end.",
    ),
]
PrintOption = Annotated[
    str | None,
    typer.Option(
        "--print",
        metavar="[=STYLE]",
        help="Show events as they are recorded: line, snoop, block, hex or text.",
    ),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing but errors on standard error.")
]


def settings_of(
    *,
    syscall: list[str] | None,
    snaplen: str,
    count: int | None,
    duration: str | None,
    buffer: str,
    transport: str,
    at: str,
    lossless: bool,
    fail_on_loss: bool,
    part_size: str | None,
    part_time: str | None,
    part_count: int | None,
    ring: str | None,
) -> Settings:
    """Read how to record.

    Raises:
        UsageError: an option does not take what was given.
    """
    from wcap.recorder import Settings
    from wcap.syscalls import chosen_syscalls

    for option, given, known in (("--transport", transport, _TRANSPORTS), ("--at", at, _MOMENTS)):
        if given not in known:
            raise UsageError(f"{option}: {', '.join(known)} expected, {given!r} found")
    if lossless and transport == "perf":
        raise UsageError("--lossless needs the ring buffer: leave out --transport perf")
    if part_count is not None and (part_size is None) == (part_time is None):
        raise UsageError("-W counts files: give -C SIZE or -G SECONDS with it, and not both")
    if ring is not None and (part_size or part_time):
        raise UsageError("--ring keeps events in memory: leave out -C and -G")
    kept_bytes, kept_ns = (None, None) if ring is None else _kept(ring)
    return Settings(
        snaplen=_snaplen(snaplen),
        buffer_bytes=_buffer_bytes(buffer),
        transport=_TRANSPORTS[transport],
        most=count,
        duration_ns=None if duration is None else _duration_ns(duration),
        syscalls=chosen_syscalls(syscall or ()),
        at_exit=at == "exit",
        lossless=lossless,
        stop_on_loss=fail_on_loss,
        part_bytes=None if part_size is None else part_bytes("-C", part_size),
        part_ns=None if part_time is None else _part_ns(part_time),
        part_count=part_count,
        kept_bytes=kept_bytes,
        kept_ns=kept_ns,
    )


def _snaplen(given: str) -> int:
    from wcap.recorder import MAX_SNAPLEN

    with naming("--snaplen"):
        snaplen = parse_size(given)
    if snaplen > MAX_SNAPLEN:
        raise UsageError(f"--snaplen: 0 to {MAX_SNAPLEN} bytes expected, {given} found")
    return snaplen or MAX_SNAPLEN


def _buffer_bytes(given: str) -> int:
    from wcap.recorder import MAX_BUFFER

    with naming("--buffer"):
        size = parse_size(given)
    if not 0 < size <= MAX_BUFFER:
        raise UsageError(f"--buffer: 1 byte to {MAX_BUFFER >> 30} GiB expected, {given} found")
    return size


def _duration_ns(given: str) -> int:
    with naming("--duration"):
        duration_ns = parse_duration(given)
    if duration_ns == 0:
        raise UsageError("--duration: more than 0 expected")
    return duration_ns


def _part_ns(given: str) -> int:
    with naming("-G"):
        period_ns = parse_duration(given)
    if period_ns < _LEAST_PERIOD_NS:
        raise UsageError(f"-G: a second or more expected, {given} found")
    return period_ns


def _kept(given: str) -> tuple[int, int | None]:
    """Read how much ``--ring`` keeps in memory: bytes, and nanoseconds or None."""
    size, age = _MOST_KEPT, None
    for word in given.split(","):
        if _RING_SIZE.fullmatch(word):
            size = parse_size(word)
        elif _RING_TIME.fullmatch(word):
            age = parse_duration(word)
        else:
            raise UsageError(
                f"--ring: a size such as 64M (K, M, G), a time such as 30s (s, m, h), or both as "
                f"30s,64M expected, {given!r} found"
            )
    if size < LEAST_PART or (age is not None and age < _LEAST_PERIOD_NS):
        raise UsageError(f"--ring: 64K and a second or more expected, {given} found")
    return size, age
