"""``wcap verify``: whether a capture is in every part as SPEC.md demands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wcap.cli.layout import plural, print_json, print_lines
from wcap.cli.options import find_captures, reading_bytes, shown_input
from wcap.cli.status import ExitStatus
from wcap.errors import FormatError
from wcap.escape import escape_text

if TYPE_CHECKING:
    from wcap.check import Check, Finding

# A file that was made to be wrong everywhere is not told of without end.
_TOLD = 1000


def verify(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE...]",
            help="Captures to check; - is standard input. Without any: standard input when "
            "something is piped into it, else the newest *.wcap here.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")] = False,
) -> None:
    """Check every frame, column and payload against SPEC.md; exit 3 if a file is not sound.

    Example: wcap verify run.wcap
    """
    statuses = [_verify(name, json=json) for name in find_captures(files)]
    worst = ExitStatus.ERROR if ExitStatus.ERROR in statuses else max(statuses)
    if worst != ExitStatus.OK:
        raise typer.Exit(worst)


def _verify(name: str, *, json: bool) -> ExitStatus:
    from wcap.check import Check

    shown = shown_input(name)
    found: list[Finding] = []
    total = 0
    try:
        with reading_bytes(name) as stream:
            check = Check(stream)
            for finding in check.findings():
                total += 1
                if len(found) < _TOLD:
                    found.append(finding)
                    if not json:
                        print_lines([f"{shown}: {escape_text(str(finding))}"])
    except FormatError as error:
        print(f"wcap: {shown}: {escape_text(str(error))}", file=sys.stderr)
        return ExitStatus.ERROR
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"wcap: {shown}: {error.strerror or error}", file=sys.stderr)
        return ExitStatus.ERROR
    if json:
        print_json(_as_json(name, check, found, total))
    else:
        if total > len(found):
            print_lines([f"{shown}: and {total - len(found):,} more"])
        print_lines([f"{shown}: {_verdict(check, total)}"])
    return ExitStatus.LOSS if total else ExitStatus.OK


def _verdict(check: Check, findings: int) -> str:
    seen = f"{plural(check.frames, 'whole frame')}, {plural(check.events, 'event')}"
    return f"{plural(findings, 'finding')} ({seen})" if findings else f"sound: {seen}"


def _as_json(name: str, check: Check, found: list[Finding], total: int) -> dict[str, Any]:
    return {
        "file": name,
        "sound": total == 0,
        "format_version": f"{check.version[0]}.{check.version[1]}",
        "frames": check.frames,
        "chunks": check.chunks,
        "events": check.events,
        "findings_total": total,
        "findings": [
            {
                "reason": finding.reason,
                "section": finding.section,
                "rule": finding.rule,
                "offset": finding.offset,
                "frame": finding.frame,
            }
            for finding in found
        ],
    }
