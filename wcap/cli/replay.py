"""``wcap replay``: what a process wrote, again, at the pace at which it was written."""

from __future__ import annotations

import sys
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from wcap.cli.filtering import FilterOptions, filtered
from wcap.cli.guard import TerminalGuard
from wcap.cli.layout import plural
from wcap.cli.options import (
    CapturesArgument,
    naming,
    reading,
)
from wcap.cli.output import standard_output, tell_lost
from wcap.cli.status import ExitStatus
from wcap.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wcap.cli.output import Output
    from wcap.replay import Replayed

# What is played unless descriptors or targets are named: standard output and standard error.
STANDARD = frozenset({1, 2})
SLOWEST, FASTEST = 0.001, 1_000_000.0

SpeedOption = Annotated[
    float | None, typer.Option(metavar="FACTOR", help="How many times as fast: 2, 0.5.")
]
MaxIdleOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Pause no longer than this: 2s, 500ms.")
]
NoDelayOption = Annotated[bool, typer.Option("--no-delay", help="Do not pause at all.")]
RawOption = Annotated[
    bool,
    typer.Option(
        "--raw",
        help="Give a terminal every byte as it was written: cursor movement, and whatever else "
        "the recorded program sent.",
    ),
]


@filtered(without=("grep", "errors"))
def replay(
    files: CapturesArgument = None,
    *,
    filters: FilterOptions,
    speed: SpeedOption = None,
    max_idle: MaxIdleOption = None,
    no_delay: NoDelayOption = False,
    raw: RawOption = False,
) -> None:
    """Write again what was written to fd 1 and 2, or to a target, with its timing.

    Example: wcap replay run.wcap --comm make --speed 4 --max-idle 2s
    """
    from wcap.replay import replay as play
    from wcap.units import parse_duration

    if no_delay and (speed is not None or max_idle is not None):
        raise FilterError("--no-delay leaves no pauses for --speed and --max-idle to change")
    if speed is not None and not SLOWEST <= speed <= FASTEST:
        raise FilterError(
            f"--speed: a factor from {SLOWEST} to {FASTEST:.0f} expected, {speed} found"
        )
    with naming("--max-idle"):
        max_idle_ns = None if max_idle is None else parse_duration(max_idle)
    with reading(files) as capture:
        where = filters.resolve(capture)
        if all(named is None for named in (where.fds, where.targets, where.kinds)):
            where = replace(where, fds=STANDARD)
        with _screen(raw=raw) as output:
            played = play(
                capture.batches(where),
                output,
                speed=speed or 1.0,
                max_idle_ns=max_idle_ns,
                delay=not no_delay,
            )
        tell_lost(capture)
        complete = _report(capture.name, played)
    if not complete:
        raise typer.Exit(ExitStatus.LOSS)


@contextmanager
def _screen(*, raw: bool) -> Iterator[Output | TerminalGuard]:
    """Give standard output, behind a guard if it is a terminal."""
    if raw or not sys.stdout.isatty():
        yield standard_output()
    else:
        with closing(TerminalGuard(standard_output(), sys.stdout.encoding)) as guard:
            yield guard


def _report(name: str, played: Replayed) -> bool:
    """Say what could not be played, and return whether everything was."""
    if played.writes == 0 and played.complete:
        print(f"wcap: {name}: no such writes: wcap stats shows what there is", file=sys.stderr)
    if played.missing:
        missing = plural(played.missing, "byte")
        print(f"wcap: {name}: {missing} written but not in the capture", file=sys.stderr)
    if played.moved:
        moved = plural(played.moved, "byte")
        print(
            f"wcap: {name}: {moved} written by calls such as sendfile, which have no payload",
            file=sys.stderr,
        )
    if played.unknown:
        unknown = plural(played.unknown, "write")
        print(f"wcap: {name}: {unknown} of unknown result, played as captured", file=sys.stderr)
    return played.complete
