"""``wcap record``: record what chosen processes write."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from wcap.cli.destination import capture_output
from wcap.cli.filtering import numbers
from wcap.cli.options import ForceOption
from wcap.cli.status import ExitStatus
from wcap.errors import FilterError, UsageError
from wcap.escape import escape_text

if TYPE_CHECKING:
    from wcap.filters import CommPattern
    from wcap.recorder import Result, Session, Settings, Target
    from wcap.recorder.assemble import Cut

# How a transport is called on the command line, and in a capture's header.
_TRANSPORTS = {"auto": None, "ring": "ring-buffer", "perf": "perf-buffer"}
# What stands for --print without a style.
_DEFAULT_STYLE = "line"


CommandArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- COMMAND ARG…]",
        help="Launch a command and record it and its children from their first instruction, "
        "until it ends.",
        show_default=False,
    ),
]
CommOption = Annotated[
    list[str] | None,
    typer.Option(
        "--comm",
        "-c",
        metavar="COMM",
        help="Record threads of this name, and all threads of a process of this name; NAME* "
        "is a prefix. Repeatable.",
    ),
]
PidOption = Annotated[
    list[str] | None,
    typer.Option("--pid", "-p", metavar="PID,…", help="Record these processes."),
]
FollowOption = Annotated[
    bool,
    typer.Option(
        "--follow", "-f", help="Record the children of the chosen processes too, and theirs."
    ),
]
AllOption = Annotated[
    bool, typer.Option("--all", "-a", help="Record every process but wcap itself.")
]
SyscallOption = Annotated[
    list[str] | None,
    typer.Option("--syscall", "-e", metavar="SYSCALL,…", help="Record these system calls: write."),
]
SnaplenOption = Annotated[
    str,
    typer.Option("--snaplen", "-s", metavar="BYTES", help="Bytes kept of a write, up to 32K."),
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


def record(
    command: CommandArgument = None,
    *,
    comm: CommOption = None,
    pid: PidOption = None,
    follow: FollowOption = False,
    everything: AllOption = False,
    syscall: SyscallOption = None,
    snaplen: SnaplenOption = "4096",
    output: CaptureOutputOption = None,
    force: ForceOption = False,
    count: CountOption = None,
    duration: DurationOption = None,
    buffer: BufferOption = "64M",
    transport: TransportOption = "auto",
    print_style: PrintOption = None,
    quiet: QuietOption = False,
) -> None:
    """Record what chosen processes write, until Ctrl-C, -n, --duration or the command's end.

    Options of different kinds narrow the choice; several values of one kind widen it.

    \b
    wcap record -c client-tcp -o run.wcap
    wcap record -p 812,815 -f --duration 30s
    wcap record -- make -j8
    """  # noqa: D301  # to typer, that control character says: keep these lines
    from wcap.recorder import MAX_BUFFER, MAX_SNAPLEN, Settings, Target
    from wcap.syscalls import SYSCALLS
    from wcap.units import parse_duration, parse_size

    def say(remark: str) -> None:
        if not quiet:
            print(f"wcap: {escape_text(remark)}", file=sys.stderr, flush=True)

    _check_syscalls(syscall, SYSCALLS)
    if transport not in _TRANSPORTS:
        raise UsageError(f"--transport: {', '.join(_TRANSPORTS)} expected, {transport!r} found")
    kept = parse_size(snaplen)
    if not 0 < kept <= MAX_SNAPLEN:
        raise UsageError(f"--snaplen: 1 to {MAX_SNAPLEN} bytes expected, {snaplen} found")
    buffer_bytes = parse_size(buffer)
    if not 0 < buffer_bytes <= MAX_BUFFER:
        raise UsageError(f"--buffer: 1 byte to {MAX_BUFFER >> 30} GiB expected, {buffer} found")
    settings = Settings(
        snaplen=kept,
        buffer_bytes=buffer_bytes,
        transport=_TRANSPORTS[transport],
        most=count,
        duration_ns=None if duration is None else parse_duration(duration),
    )
    target = Target(
        comms=tuple(_patterns(comm or [], say)),
        pids=tuple(sorted(numbers("--pid", pid) or ())),
        follow=follow,
        command=tuple(command) if command else None,
        everything=everything,
    )
    name = output or time.strftime("wcap-%Y%m%d-%H%M%S.wcap")
    _check_output(name, print_style)
    _run(target, settings, name, force=force, print_style=print_style, say=say)


def with_print_style(argv: list[str]) -> list[str]:
    """Give ``--print`` its style where it has none: typer has no options of optional value."""
    end = argv.index("--") if "--" in argv else len(argv)
    return [
        f"--print={_DEFAULT_STYLE}" if word == "--print" and place < end else word
        for place, word in enumerate(argv)
    ]


def _check_syscalls(given: list[str] | None, known: tuple[str, ...]) -> None:
    for word in (word for value in given or () for word in value.split(",")):
        if word not in known:
            raise FilterError(f"--syscall: {' or '.join(known)} expected, {word!r} found")


def _patterns(names: list[str], say: Callable[[str], None]) -> Iterator[CommPattern]:
    from wcap.filters import COMM_BYTES, CommPattern

    for name in names:
        pattern = CommPattern.parse(name)
        if len(name.removesuffix("*").encode("utf-8", "surrogateescape")) > COMM_BYTES:
            say(f"-c {name}: the kernel keeps {COMM_BYTES} bytes of a name: comparing {pattern}")
        if " " in name:
            say(f"-c {name}: this is a process's name; a command to launch goes after --")
        yield pattern


def _check_output(name: str, print_style: str | None) -> None:
    if name != "-":
        return
    if sys.stdout.isatty():
        raise UsageError("-o -: standard output is a terminal: pipe it, or name a file")
    if print_style is not None:
        raise UsageError("--print and -o - both want standard output: name a file")


def _run(
    target: Target,
    settings: Settings,
    name: str,
    *,
    force: bool,
    print_style: str | None,
    say: Callable[[str], None],
) -> None:
    from wcap.recorder import Session, readers_of_stdout

    to_stdout = name == "-" or print_style is not None
    excluded = sorted(readers_of_stdout(onward=target.everything)) if to_stdout else ()
    if excluded and target.everything:
        say(f"left out, as they get standard output: {', '.join(map(str, excluded))}")
    watch = None if print_style is None else _Printer(print_style)
    with capture_output(name, force=force) as (stream, replace):
        session = Session(target, settings, given=sys.argv[1:], excluded=excluded, say=say)
        replace()
        if watch is not None:
            watch.session = session
        with _signals(session):
            result = session.run(
                stream,
                started=lambda: say(f"recording {_described(target)} to {_shown(name)}"),
                watch=watch,
            )
    say(_summary(result, name))
    if watch is not None and watch.failure is not None:
        raise OSError(watch.failure.errno, watch.failure.strerror, "standard output")
    if result.lost or result.lost_results or result.bypassed:
        raise typer.Exit(ExitStatus.LOSS)


@contextlib.contextmanager
def _signals(session: Session) -> Iterator[None]:
    """End the recording in the usual way on Ctrl-C, SIGTERM, and when the terminal goes.

    The same signal again ends wcap at once, should the output not take what is left.
    """

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        session.stop("signal")

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Printer:
    """Shows what was recorded on standard output, until nobody reads it any more."""

    def __init__(self, style: str) -> None:
        from wcap.render import make_renderer

        self.session: Session | None = None
        self.failure: OSError | None = None
        self._renderer = make_renderer(style, started_ns=time.time_ns())

    def __call__(self, cut: Cut) -> None:
        text = "".join(map(self._renderer.gap, cut.gaps))
        if cut.batch is not None:
            text += self._renderer.batch(cut.batch)
        if self.failure is not None:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            assert self.session is not None
            self.failure = error
            self.session.stop("output")


def _described(target: Target) -> str:
    if target.everything:
        return "everything"
    chosen = [f"-c {pattern}" for pattern in target.comms]
    if target.pids:
        chosen.append("-p " + ",".join(map(str, target.pids)))
    if target.command:
        chosen.append(shlex.join(target.command))
    return " ".join(chosen) + (" and children" if target.follows else "")


def _shown(name: str) -> str:
    return "standard output" if name == "-" else name


def _summary(result: Result, name: str) -> str:
    parts = [
        f"{result.events:,} event{'' if result.events == 1 else 's'}",
        f"{result.payload_bytes:,} bytes captured",
        f"{result.lost:,} events lost",
    ]
    if result.lost_results:
        parts.append(f"{result.lost_results:,} results lost")
    parts.append(f"{result.duration_ns / 1e9:.1f} seconds")
    advice = "; -B with more, -s with less, or fewer processes lose less" if result.lost else ""
    return f"{', '.join(parts)}: {_shown(name)}{advice}"
