"""Options of ``record`` that say how to record; `choosing` has those that say whom."""

from __future__ import annotations

from typing import Annotated

import typer

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
