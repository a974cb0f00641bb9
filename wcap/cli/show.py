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
    JobsOption,
    LimitOption,
    job_count,
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
    from wcap.workers import Data


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
    jobs: JobsOption = 1,
) -> None:
    """Print the events of a capture, a line each.

    Nothing in a capture can reach the terminal as a control sequence. Example:

    wcap show run.wcap --comm client-tcp --fd 3 --hex
    """
    chosen = _style(hex_dump=hex_dump, text=text, style=style, json=json, time=time)
    with reading(files, follow=follow) as capture:
        where = filters.resolve(capture)
        started_ns = capture.header.started_ns
        form: Callable[[EventBatch], str]
        told: list[Gap] = []
        if json:
            from wcap.exporters.jsonl import format_batch
            from wcap.render import make_renderer

            renderer, form = make_renderer(started_ns=started_ns), format_batch
        else:
            renderer = _renderer(chosen, started_ns, time or TimeForm.LOCAL, wide=wide)
            form = renderer.batch
        # What follows depends on what came before, so that one process has to see all of it.
        in_turn = time == TimeForm.DELTA or (text and capture.gaps)
        count = 1 if in_turn else job_count(capture, jobs)
        shown = _noting(_shown(capture, where, limit, count, form), told)
        if not json:
            # On a terminal the events themselves show how far it is.
            shown = progress(capture, shown, terminal=False if sys.stdout.isatty() else None)
        _print(shown, renderer, gaps_apart=json)
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


def _noting(entries: Iterable[Data | Gap], gaps: list[Gap]) -> Iterator[Data | Gap]:
    """Hand on text and gaps, and remember the gaps, which tell that something is missing."""
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


def _shown(
    capture: Readable,
    where: Filter,
    limit: int | None,
    count: int,
    form: Callable[[EventBatch], str],
) -> Iterator[Data | Gap]:
    """Yield the first ``limit`` events that match as text, and the gaps among them.

    ``count`` processes format them side by side; what the terminal's encoding lacks is escaped.
    """
    from wcap.events import Gap
    from wcap.render import parts

    codecs.register_error("wcap.escape", _escape_unencodable)
    encoding = sys.stdout.encoding

    def encoded(batch: EventBatch) -> bytes:
        return form(batch).encode(encoding, "wcap.escape")

    def encoded_parts(batch: EventBatch) -> Iterator[bytes]:
        return map(encoded, parts(batch))

    for shown in _entries(capture, where, limit, count, encoded_parts):
        if not isinstance(shown, Gap) or where.may_miss(shown, capture.header.hosts):
            yield shown


def _entries(
    capture: Readable,
    where: Filter,
    limit: int | None,
    count: int,
    form: Callable[[EventBatch], Iterator[bytes]],
) -> Iterator[Data | Gap]:
    from wcap.events import Gap
    from wcap.readable import first

    if count > 1:
        from wcap.reader import Capture
        from wcap.sharing import formatted

        assert isinstance(capture, Capture)
        yield from formatted(capture, where, form, count, limit)
        return
    for entry in first(capture.entries(where), limit):
        if isinstance(entry, Gap):
            yield entry
        else:
            yield from form(entry)


def _print(shown: Iterable[Data | Gap], renderer: Renderer, *, gaps_apart: bool) -> None:
    """Print text at once; gaps to stderr where a reader of the rest expects events only."""
    from wcap.events import Gap

    output, encoding = standard_output(), sys.stdout.encoding
    for text in shown:
        if not isinstance(text, Gap):
            output.write(text)
        elif gaps_apart:
            print(renderer.gap(text), end="", file=sys.stderr)
        else:
            output.write(renderer.gap(text).encode(encoding, "wcap.escape"))


def _escape_unencodable(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    codes = map(ord, error.object[error.start : error.end])
    return "".join(
        f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}" for code in codes
    ), error.end
