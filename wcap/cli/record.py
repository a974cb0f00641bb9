"""``wcap record``: record what chosen processes write."""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

import typer

from wcap.cli.choosing import (
    AllOption,
    CgroupOption,
    CommandArgument,
    CommOption,
    ContainerOption,
    FdOption,
    FollowOption,
    KindOption,
    PathOption,
    PidnsOption,
    PidOption,
    TidOption,
    UserOption,
    described,
    target_of,
)
from wcap.cli.destination import capture_output
from wcap.cli.options import ForceOption
from wcap.cli.output import refuse_no_file
from wcap.cli.parts import Parts
from wcap.cli.recording import (
    AtOption,
    BufferOption,
    CaptureOutputOption,
    CountOption,
    DurationOption,
    FailOption,
    LosslessOption,
    PartCountOption,
    PartSizeOption,
    PartTimeOption,
    PrintOption,
    QuietOption,
    RingOption,
    SnaplenOption,
    SyscallOption,
    TransportOption,
    settings_of,
)
from wcap.cli.status import ExitStatus
from wcap.cli.threads import load_numpy
from wcap.errors import UsageError
from wcap.escape import escape_text

if TYPE_CHECKING:
    from wcap.recorder import Result, Session, Settings, Target
    from wcap.seams import Cut

# What stands for --print without a style.
_DEFAULT_STYLE = "line"
_DEFAULT_NAME = "wcap-%Y%m%d-%H%M%S.wcap"


def record(
    context: typer.Context,
    command: CommandArgument = None,
    *,
    comm: CommOption = None,
    pid: PidOption = None,
    tid: TidOption = None,
    user: UserOption = None,
    cgroup: CgroupOption = None,
    container: ContainerOption = None,
    pidns: PidnsOption = None,
    fd: FdOption = None,
    path: PathOption = None,
    target_kind: KindOption = None,
    follow: FollowOption = False,
    everything: AllOption = False,
    syscall: SyscallOption = None,
    snaplen: SnaplenOption = "4096",
    output: CaptureOutputOption = None,
    force: ForceOption = False,
    part_size: PartSizeOption = None,
    part_time: PartTimeOption = None,
    part_count: PartCountOption = None,
    ring: RingOption = None,
    count: CountOption = None,
    duration: DurationOption = None,
    buffer: BufferOption = "64M",
    transport: TransportOption = "auto",
    at: AtOption = "enter",
    lossless: LosslessOption = False,
    fail_on_loss: FailOption = False,
    print_style: PrintOption = None,
    quiet: QuietOption = False,
) -> None:
    """Record what chosen processes write, until Ctrl-C, -n, --duration or the command's end.

    Options of different kinds narrow the choice; several values of one kind widen it, and a value
    with a ! before it is taken away.

    \b
    wcap record -c client-tcp -o run.wcap
    wcap record -p 812,815 -f --duration 30s
    wcap record -- make -j8
    """  # noqa: D301  # to typer, that control character says: keep these lines

    def say(remark: str) -> None:
        if not quiet:
            print(f"wcap: {escape_text(remark)}", file=sys.stderr, flush=True)

    given: list[str] = context.obj
    _check_separator(command or [], given)
    load_numpy()
    settings = settings_of(
        syscall=syscall,
        snaplen=snaplen,
        count=count,
        duration=duration,
        buffer=buffer,
        transport=transport,
        at=at,
        lossless=lossless,
        fail_on_loss=fail_on_loss,
        part_size=part_size,
        part_time=part_time,
        part_count=part_count,
        ring=ring,
    )
    target = target_of(
        command=command,
        comm=comm,
        pid=pid,
        tid=tid,
        user=user,
        cgroup=cgroup,
        container=container,
        pidns=pidns,
        fd=fd,
        path=path,
        kind=target_kind,
        follow=follow,
        everything=everything,
        say=say,
    )
    if lossless and everything:
        raise UsageError(
            "--lossless --all: whoever shows what wcap says could be stopped for ever; choose "
            "processes"
        )
    timed = settings.part_ns is not None or settings.keeps
    if output == "":
        raise UsageError("-o: a file's name expected, '' found")
    name = output or (_DEFAULT_NAME if timed else time.strftime(_DEFAULT_NAME))
    _check_output(name, print_style, several=settings.rotates or settings.keeps)
    _run(target, settings, name, given=given, force=force, print_style=print_style, say=say)


def with_print_style(argv: list[str]) -> list[str]:
    """Give ``--print`` its style where it has none: typer has no options of optional value."""
    end = argv.index("--") if "--" in argv else len(argv)
    return [
        f"--print={_DEFAULT_STYLE}" if word == "--print" and place < end else word
        for place, word in enumerate(argv)
    ]


def _check_separator(command: list[str], given: list[str]) -> None:
    """See that a command was meant as one: it could be what a shell made of a pattern."""
    end = given.index("--") if "--" in given else len(given)
    if command != given[end + 1 :]:
        raise UsageError(
            f"{command[0]!r} stands alone: a command follows --, and patterns need quotes"
        )


def _check_output(name: str, print_style: str | None, *, several: bool) -> None:
    if several:
        refuse_no_file(name, "-C, -G and --ring make several files")
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
    given: list[str],
    force: bool,
    print_style: str | None,
    say: Callable[[str], None],
) -> None:
    from wcap.recorder import Session, readers_of_stdout

    to_stdout = name == "-" or print_style is not None
    # Were one of them stopped, or recorded for what it does with this output, it would never end.
    onward = target.everything or settings.lossless
    excluded = sorted(readers_of_stdout(onward=onward)) if to_stdout else ()
    if excluded and onward:
        say(f"left out, as they get standard output: {', '.join(map(str, excluded))}")
    watch = None if print_style is None else _Printer(print_style)
    parts: Parts | None = None
    to = f"to {_shown(name)}"
    opened: contextlib.AbstractContextManager[tuple[BinaryIO | None, Callable[[], object]]]
    opened = contextlib.nullcontext((None, lambda: None))
    if settings.keeps:
        parts = Parts(name, by_dump=True, force=force)
        first = parts.check()
        name = name if "%" in name else str(first)
        to = f"into memory, and on SIGUSR1 and at the end to {name}"
    elif settings.rotates:
        parts = Parts(
            name,
            period_ns=settings.part_ns,
            by_size=settings.part_bytes is not None,
            ring=None if settings.part_ns is not None else settings.part_count,
            force=force,
        )
        name = parts.first()
        opened = capture_output(name, force=force, final=lambda: parts.last)
    else:
        opened = capture_output(name, force=force)
    with opened as (stream, replace):
        session = Session(target, settings, given=given, excluded=excluded, say=say)
        if watch is not None:
            watch.session = session

        def begins(wall_ns: int) -> None:
            if parts is not None and settings.rotates:
                parts.begin(wall_ns)

        def started() -> None:
            replace()
            where = f"to {parts.last}" if parts is not None and settings.rotates else to
            say(f"recording {described(target)} {where}")

        with _signals(session, keeps=settings.keeps):
            result = session.run(
                stream,
                begins=begins,
                started=started,
                watch=watch,
                parts=parts,
            )
    left = None if settings.part_ns is not None else settings.part_count
    say(_summary(result, name if parts is None else parts.last, left))
    if watch is not None and watch.failure is not None:
        raise OSError(watch.failure.errno, watch.failure.strerror, "standard output")
    if result.lost or result.lost_results or result.lost_payloads or result.bypassed:
        raise typer.Exit(ExitStatus.LOSS)


@contextlib.contextmanager
def _signals(session: Session, *, keeps: bool) -> Iterator[None]:
    """End the recording in the usual way on Ctrl-C, SIGTERM, and when the terminal goes.

    The same signal again ends wcap at once, should the output not take what is left.
    """

    def stop(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        session.stop("signal")

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    if keeps:  # of any other recording the signal is what it is for any program
        before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda *_: session.dump())
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


def _shown(name: str) -> str:
    return "standard output" if name == "-" else name


def _summary(result: Result, name: str, most_left: int | None) -> str:
    """Say what a recording came to; of a ring of files no more than ``most_left`` are left."""
    parts = [
        f"{result.events:,} event{'' if result.events == 1 else 's'}",
        f"{result.payload_bytes:,} bytes captured",
        f"{result.lost:,} events lost",
    ]
    if result.lost_results:
        parts.append(f"{result.lost_results:,} results lost")
    if result.lost_payloads:
        parts.append(f"{result.lost_payloads:,} payloads broken off")
    parts.append(f"{result.duration_ns / 1e9:.1f} seconds")
    advice = "; -B with more, -s with less, or fewer processes lose less" if result.lost else ""
    files = f"{result.parts:,} parts, the last " if result.parts > 1 else ""
    if most_left is not None and result.parts > most_left:
        files = f"{result.parts:,} parts, of which {most_left:,} are left, the last "
    return f"{', '.join(parts)}: {files}{_shown(name)}{advice}"
