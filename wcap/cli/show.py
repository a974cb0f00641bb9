"""``wcap show``: the events of a capture as lines, hex dumps, text or JSON."""

from __future__ import annotations

import codecs
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from wcap.cli.filtering import FilterOptions, filtered
from wcap.cli.options import (
    CapturesArgument,
    LimitOption,
    reading,
)
from wcap.cli.output import standard_output, tell_lost
from wcap.cli.progress import progress
from wcap.errors import UsageError

if TYPE_CHECKING:
    from wcap.batch import EventBatch
    from wcap.events import Gap
    from wcap.filters import Filter
    from wcap.readable import Readable
    from wcap.render import Renderer


class Style(StrEnum):
    """What ``--style`` takes."""

    LINE = "line"
    SNOOP = "snoop"
    BLOCK = "block"


class TimeForm(StrEnum):
    """What ``--time`` takes."""

    LOCAL = "local"
    ISO = "iso"
    EPOCH = "epoch"
    REL = "rel"
    DELTA = "delta"


@filtered()
def show(
    files: CapturesArgument = None,
    *,
    filters: FilterOptions,
    hex_dump: Annotated[
        bool, typer.Option("-x", "--hex", help="A line an event, then its bytes in hex and ASCII.")
    ] = False,
    text: Annotated[
        bool, typer.Option("-A", "--text", help="The payloads and nothing else.")
    ] = False,
    style: Annotated[
        Style | None,
        typer.Option(
            help="line (default), snoop as bpf-writesnoop prints, "
            "or block as syscall-write-trace does."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("-j", "--json", help="One JSON object an event.")] = False,
    time: Annotated[
        TimeForm | None,
        typer.Option(
            "-t",
            "--time",
            help="Time of day here (local, the default), iso and epoch, seconds since the "
            "recording started (rel) or since the event before (delta).",
        ),
    ] = None,
    wide: Annotated[
        bool, typer.Option("-w", "--wide", help="On a terminal, do not cut lines to its width.")
    ] = False,
    limit: LimitOption = None,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Go on while the file is being recorded.")
    ] = False,
) -> None:
    """Print the events of a capture, a line each.

    Nothing in a capture can reach the terminal as a control sequence. Example:

    wcap show run.wcap --comm client-tcp --fd 3 --hex
    """
    chosen = _style(hex_dump=hex_dump, text=text, style=style, json=json, time=time)
    with reading(files, follow=follow) as capture:
        where = filters.resolve(capture)
        told: list[Gap] = []
        entries = _noting(_entries(capture, where, limit), told)
        if json:
            _print_json(entries, capture.header.started_ns)
        else:
            # On a terminal the events themselves show how far it is.
            entries = progress(capture, entries, terminal=False if sys.stdout.isatty() else None)
            started_ns = capture.header.started_ns
            _print(entries, _renderer(chosen, started_ns, time or TimeForm.LOCAL, wide=wide))
        if not told:
            sys.stdout.flush()
            tell_lost(capture)


def _style(
    *, hex_dump: bool, text: bool, style: Style | None, json: bool, time: TimeForm | None
) -> str:
    """Return the style of `wcap.render` that is to be printed, unless it is to be JSON.

    Raises:
        UsageError: more than one was asked for, or a time that JSON would not heed.
    """
    options = (("-x", hex_dump), ("-A", text), ("--style", style is not None), ("--json", json))
    given = [option for option, wanted in options if wanted]
    if len(given) > 1:
        raise UsageError(f"one of -x, -A, --style and --json expected, {' and '.join(given)} given")
    if json and time is not None:
        raise UsageError("--time does not go with --json, which always has time_ns")
    if hex_dump:
        return "hex"
    return "text" if text else style or Style.LINE


def _entries(capture: Readable, where: Filter, limit: int | None) -> Iterator[EventBatch | Gap]:
    """Yield the first ``limit`` events that match, in small batches, and the gaps among them."""
    from wcap.events import Gap
    from wcap.render import parts

    rest = sys.maxsize if limit is None else limit
    if rest == 0:
        return
    for entry in capture.entries(where):
        if isinstance(entry, Gap):
            if where.may_miss(entry, capture.header.hosts):
                yield entry
            continue
        first = entry if len(entry) <= rest else entry.select(slice(0, rest))
        yield from parts(first)
        rest -= len(first)
        if rest == 0:
            return


def _noting(entries: Iterable[EventBatch | Gap], gaps: list[Gap]) -> Iterator[EventBatch | Gap]:
    """Hand on events and gaps, and remember the gaps, which tell that something is missing."""
    from wcap.events import Gap

    for entry in entries:
        if isinstance(entry, Gap):
            gaps.append(entry)
        yield entry


def _renderer(style: str, started_ns: int, time: TimeForm, *, wide: bool) -> Renderer:
    from wcap.render import make_renderer

    terminal = sys.stdout.isatty()
    return make_renderer(
        style,
        started_ns=started_ns,
        time=time,
        width=shutil.get_terminal_size().columns if terminal and not wide else None,
        colour=terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb",
    )


def _print(entries: Iterable[EventBatch | Gap], renderer: Renderer) -> None:
    from wcap.events import Gap

    put = _printer()
    for entry in entries:
        put(renderer.gap(entry) if isinstance(entry, Gap) else renderer.batch(entry))


def _print_json(entries: Iterable[EventBatch | Gap], started_ns: int) -> None:
    """Print events; what was lost goes to stderr, as a reader of the JSON expects events only."""
    from wcap.events import Gap
    from wcap.exporters.jsonl import format_batch
    from wcap.render import make_renderer

    put = _printer()
    talk = make_renderer(started_ns=started_ns)
    for entry in entries:
        if isinstance(entry, Gap):
            print(talk.gap(entry), end="", file=sys.stderr)
        else:
            put(format_batch(entry))


def _printer() -> Callable[[str], object]:
    """Return what prints text at once; what the terminal's encoding lacks is escaped."""
    codecs.register_error("wcap.escape", _escape_unencodable)
    output, encoding = standard_output(), sys.stdout.encoding
    return lambda text: output.write(text.encode(encoding, "wcap.escape"))


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    codes = map(ord, error.object[error.start : error.end])
    return "".join(
        f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}" for code in codes
    ), error.end
