"""``wcap stats``: who wrote how much, what sizes, how long it took, what failed, and when."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wcap.cli.filtering import FilterOptions, filtered
from wcap.cli.layout import bar, moment, number, plural, print_json, print_lines, size, span, table
from wcap.cli.options import (
    CapturesArgument,
    JobsOption,
    job_count,
    reading,
)
from wcap.cli.output import tell_lost
from wcap.cli.progress import progress
from wcap.escape import escape_text

if TYPE_CHECKING:
    from wcap.filters import Filter
    from wcap.readable import Readable
    from wcap.stats import Counts, Key, Stats, Tally

_BAR = 40
_RATE_BAR = 20
_RATE_ROWS = 20
_ROWS = 10


class By(StrEnum):
    """What ``--by`` takes."""

    PROCESS = "process"
    COMM = "comm"
    FD = "fd"
    SYSCALL = "syscall"
    TID = "tid"
    TARGET = "target"
    KIND = "kind"
    HOST = "host"


# The columns that name a group, for tables and as JSON keys, and how a table aligns them.
_NAMES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "process": (("pid", "name"), "><"),
    "comm": (("comm",), "<"),
    "fd": (("pid", "name", "fd"), "><>"),
    "syscall": (("syscall",), "<"),
    "tid": (("pid", "name", "tid", "comm"), "><><"),
    "target": (("target",), "<"),
    "kind": (("kind",), "<"),
    "host": (("host",), "<"),
}
_UNKNOWN = "?"


@filtered()
def stats(
    files: CapturesArgument = None,
    *,
    filters: FilterOptions,
    by: Annotated[
        list[By] | None,
        typer.Option("--by", help="Only the totals, and a table by this; may be repeated."),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            "--top", min=1, metavar="N", help="Rows in a table: 10, and with --json all of them."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    jobs: JobsOption = 1,
) -> None:
    """Sum up a capture: totals, processes, files, sizes, durations, errors, rate.

    Example: wcap stats run.wcap --comm nginx --by fd --top 5
    """
    with reading(files) as capture:
        found = _collected(capture, filters.resolve(capture), by, jobs)
        if json:
            print_json(_as_json(found, capture, top))
        else:
            most = _ROWS if top is None else top
            for section in _sections(found, capture, most, tables_only=bool(by)):
                print_lines(section)
        if not capture.gaps:  # which the totals have
            sys.stdout.flush()
            tell_lost(capture)


def _collected(capture: Readable, where: Filter, by: list[By] | None, jobs: int) -> Stats:
    from wcap.stats import USUAL, collect

    wanted = [*dict.fromkeys(by)] if by else USUAL
    started_ns = capture.header.started_ns
    if (count := job_count(capture, jobs)) > 1:
        from wcap.reader import Capture
        from wcap.sharing import collected

        assert isinstance(capture, Capture)
        return collected(capture, where, count, by=wanted, origin_ns=started_ns)
    batches = progress(capture, capture.batches(where))
    return collect(batches, by=wanted, origin_ns=started_ns)


def _sections(
    stats: Stats, capture: Readable, top: int, *, tables_only: bool
) -> Iterator[list[str]]:
    yield _totals(stats, capture)
    for by, groups in stats.groups.items():
        if groups:
            yield ["", *_group_table(by, groups, stats.others.get(by), top)]
    if tables_only or not stats.total.events:
        return
    yield ["", *_histogram("BYTES ASKED", [*_octaves(stats.sizes)], number)]
    if stats.durations.any():
        yield ["", *_histogram("DURATION", [*_octaves(stats.durations)], span)]
    if stats.errors:
        rows = [(name, number(events)) for name, events in _errors(stats).items()]
        yield ["", *table([("ERROR", "EVENTS"), *rows], "<>")]
    yield ["", *_rate(stats)]


def _totals(stats: Stats, capture: Readable) -> list[str]:
    total = stats.total
    rows: list[tuple[str, ...]] = [
        ("events", number(total.events), _when(stats)),
        ("asked", number(total.asked), f"bytes, {size(total.asked)}"),
        ("captured", number(total.captured), f"bytes, {size(total.captured)}{_cut(stats)}"),
        ("written", number(total.written), f"bytes, {size(total.written)}"),
    ]
    for label, events, what in (
        ("failed", total.failed, ""),
        ("short", stats.short, "the kernel took only a part"),
        ("no result", stats.without_result, "unfinished, not sent, or the result was lost"),
        ("no payload", stats.without_payload, "calls that have none, such as sendfile"),
        ("lost", _lost(capture), f"in {plural(len(capture.gaps), 'gap')}, whatever the filter"),
    ):
        if events:
            rows.append((label, number(events), what))
    return table(rows, "<><")


def _when(stats: Stats) -> str:
    if stats.first_ns is None or stats.last_ns is None:
        return ""
    return f"from {moment(stats.first_ns)}, over {span(stats.last_ns - stats.first_ns)}"


def _cut(stats: Stats) -> str:
    parts = (
        (stats.truncated, "cut"), (stats.unreadable, "unreadable"), (stats.payload_lost, "lost"),
    )  # fmt: skip
    return "".join(f", {plural(events, 'payload')} {what}" for events, what in parts if events)


def _lost(capture: Readable) -> int:
    return sum(gap.count for gap in capture.gaps)


def _group_table(by: str, groups: Mapping[Key, Tally], others: Tally | None, top: int) -> list[str]:
    from wcap.stats import ranked

    names, align = _NAMES[by]
    head = (*names, "events", "asked", "captured", "written", "failed")
    rows = [tuple(name.upper() for name in head)]
    for key, tally in ranked(groups)[:top]:
        named = [
            _UNKNOWN if value is None else escape_text(str(value))
            for value in _named(by, key).values()
        ]
        sums = (tally.events, tally.asked, tally.captured, tally.written, tally.failed)
        rows.append((*named[: len(names)], *map(number, sums)))
    more = len(groups) - top
    lines = table(rows, align + ">>>>>") + ([f"and {more:,} more (--top)"] if more > 0 else [])
    if others is not None:
        lines.append(f"and {plural(others.events, 'event')} of others, too many to be told apart")
    return lines


def _named(by: str, key: Key) -> dict[str, Any]:
    """Name the parts of a group's key; a process's start comes last, if it is known."""
    if len(_NAMES[by][0]) == 1:
        return {by: key[0]}
    process, *others = key
    names = [name for name in _NAMES[by][0] if name not in ("pid", "name")]
    named = {"pid": process.pid, "name": process.name, **dict(zip(names, others, strict=True))}
    return named if process.start_ns is None else {**named, "start_ns": process.start_ns}


def _octaves(counts: Counts) -> Iterator[tuple[int, int, int]]:
    """Yield (from, to, events) of the octaves between the first and the last with an event."""
    used = counts.nonzero()[0]
    if not len(used):
        return
    for octave in range(int(used[0]), int(used[-1]) + 1):
        yield 1 << octave >> 1, (1 << octave) - 1, int(counts[octave])


def _histogram(
    title: str, octaves: Sequence[tuple[int, int, int]], write: Callable[[int], str]
) -> list[str]:
    most = max(events for _, _, events in octaves)
    rows = [
        (
            write(first),
            "" if first == last else f"- {write(last)}",
            number(events),
            bar(events, most, _BAR),
        )
        for first, last, events in octaves
    ]
    return table([(title, "", "EVENTS"), *rows], "><><")


def _errors(stats: Stats) -> dict[str, int]:
    from wcap.events import error_name
    from wcap.stats import BEYOND_ERRORS

    ordered = sorted(stats.errors.items(), key=lambda item: (-item[1], item[0]))
    return {
        error_name(-code) if code < BEYOND_ERRORS else "beyond 4095": events
        for code, events in ordered
    }


def _rate(stats: Stats) -> list[str]:
    line = stats.timeline.coarser(_RATE_ROWS)
    per_second = 1_000_000_000 / line.width_ns
    events, written = line.events * per_second, line.written * per_second
    rows = [
        (
            f"+{(line.first + cell) * line.width_ns / 1e9:.9g} s",
            number(events[cell]),
            f"{bar(events[cell], events.max(), _RATE_BAR):{_RATE_BAR}}",
            size(written[cell]),
            bar(written[cell], written.max(), _RATE_BAR),
        )
        for cell in range(len(events))
    ]
    return table([("TIME", "EVENTS/S", "", "BYTES/S"), *rows], ">><><")


def _as_json(stats: Stats, capture: Readable, top: int | None) -> dict[str, Any]:
    from wcap.stats import ranked

    line = stats.timeline.coarser(_RATE_ROWS) if stats.total.events else stats.timeline
    return {
        **_sums(stats.total),
        "short_events": stats.short,
        "truncated_events": stats.truncated,
        "unreadable_events": stats.unreadable,
        "payload_lost_events": stats.payload_lost,
        "no_payload_events": stats.without_payload,
        "no_result_events": stats.without_result,
        "lost": _lost(capture),
        "first_ns": stats.first_ns,
        "last_ns": stats.last_ns,
        "by": {
            by: [{**_named(by, key), **_sums(tally)} for key, tally in ranked(groups)[:top]]
            for by, groups in stats.groups.items()
        },
        "others": {by: _sums(tally) for by, tally in stats.others.items()},
        "sizes": _octaves_as_json(stats.sizes),
        "durations_ns": _octaves_as_json(stats.durations),
        "errors": _errors(stats),
        "rate": {
            "width_ns": line.width_ns,
            "cells": [
                {
                    "time_ns": stats.origin_ns + (line.first + cell) * line.width_ns,
                    "events": events,
                    "written_bytes": int(written),
                }
                for cell, (events, written) in enumerate(
                    zip(line.events.tolist(), line.written.tolist(), strict=True)
                )
            ],
        },
    }


def _sums(tally: Tally) -> dict[str, int]:
    return {
        "events": tally.events,
        "asked_bytes": tally.asked,
        "bytes": tally.captured,
        "written_bytes": tally.written,
        "failed_events": tally.failed,
    }


def _octaves_as_json(counts: Counts) -> list[dict[str, int]]:
    return [
        {"from": first, "to": last, "events": events} for first, last, events in _octaves(counts)
    ]
