"""``wcap info``: what is in a capture, how it was recorded, and whether anything is missing."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wcap.cli.layout import moment, number, plural, print_json, print_lines, size, span, table
from wcap.cli.options import CapturesArgument, reading
from wcap.cli.progress import progress
from wcap.cli.status import ExitStatus
from wcap.cli.verdict import missing, told_origin, verdict
from wcap.escape import escape_text

if TYPE_CHECKING:
    from wcap.format import End, Header, Rewriting
    from wcap.summary import Facts

# Why a recording ended (SPEC.md section 14).
END_REASONS = {
    "signal": "stopped by a signal",
    "command": "the command ended",
    "count": "as many events as asked for",
    "duration": "as long as asked for",
    "loss": "something was lost",
    "rotation": "the recording goes on in the next part",
    "parts": "as many parts as asked for",
    "dump": "written out of memory while recording went on",
    "output": "nobody read any more what was shown",
    "error": "recording failed",
    "merged": "several recordings, each in its way",
    "recovered": "unknown: recovered from a damaged capture",
}
# Where a condition was decided on, by its name in a header's resolved filters.
_DECIDED = {"decided_in_kernel": "in the kernel:", "decided_by_recorder": "by the recorder:"}


def info(
    files: CapturesArgument = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say what is in a capture, and whether it is complete; exit 3 if something is missing.

    Example: wcap info run.wcap
    """
    with reading(files) as capture:
        from wcap.summary import examine

        facts = examine(capture, progress(capture, capture.summaries()))
        if json:
            print_json(_as_json(facts))
        else:
            print_lines(table([*_rows(facts, capture.name)], "<<"))
            print_lines(["", *map(escape_text, verdict(facts))])
    if not facts.complete:
        raise typer.Exit(ExitStatus.LOSS)


def _rows(facts: Facts, name: str) -> Iterator[tuple[str, str]]:
    """Yield labels and what stands behind them; everything from the capture is escaped."""
    for label, words in (*_file_rows(facts, name), *_recording_rows(facts), *_event_rows(facts)):
        yield label, escape_text(words)


def _file_rows(facts: Facts, name: str) -> Iterator[tuple[str, str]]:
    amount = "" if facts.size is None else f", {size(facts.size)} ({plural(facts.size, 'byte')})"
    state = "being recorded" if facts.growing else "indexed" if facts.indexed else "no index"
    yield "file", f"{name}{amount}"
    yield "format", f"{facts.version[0]}.{facts.version[1]}, {state}"


def _recording_rows(facts: Facts) -> Iterator[tuple[str, str]]:
    header, end = facts.header, facts.end
    yield "started", moment(header.started_ns)
    if end is not None:
        why = END_REASONS.get(end.reason, end.reason)
        yield "ended", f"{moment(end.wall_ns)}, {why}, after {span(facts.duration_ns)}"
    if header.part is not None:
        yield "part", f"{header.part}{_after(header.after)}"
    elif header.after:
        yield "begins", _after(header.after).removeprefix(", ")
    if header.command is not None:
        yield "command", shlex.join(header.command)
    if end is not None and end.exit_status is not None:
        yield "", _exit(end.exit_status)
    yield from _filter_rows(header.filters)
    yield from _rewritten_rows(header.rewritten)
    yield from _origin_rows(header, end)
    if facts.left_out:
        yield "not kept", f"{plural(facts.left_out, 'event')} that {_is(facts.left_out)} left out"
    snaplen = (
        f"up to {plural(header.snaplen, 'byte')} of each" if header.snaplen else "whole payloads"
    )
    when = "" if header.at == "enter" else f", at {header.at}"
    yield "captured", f"{', '.join(header.syscalls)}; {snaplen}{when}"
    if header.transport is not None:
        yield "transport", header.transport
    if header.host is not None:
        yield "host", header.host
    if header.boot_id is not None:
        yield "boot", header.boot_id
    if header.kernel:
        yield "kernel", " ".join(header.kernel.values())
    yield "clock", header.clock.name + _clock_step(facts.clock_step_ns)
    if header.versions:
        yield "versions", _inline(header.versions)
    for warning in dict.fromkeys((*header.warnings, *(() if end is None else end.warnings))):
        yield "warning", warning


def _after(after: Mapping[int, int]) -> str:
    """Tell what came before this capture, and is in other files or was left out."""
    earlier = sum(after.values())
    return f", after {plural(earlier, 'event')} that {_is(earlier)} not here" * (earlier > 0)


def _is(number: int) -> str:
    return "is" if number == 1 else "are"


def _origin_rows(header: Header, end: End | None) -> Iterator[tuple[str, str]]:
    """Tell which recordings were merged, and which CPU numbers they have."""
    ends = () if end is None or len(end.origins) != len(header.origins) else end.origins
    for place, origin in enumerate(header.origins):
        one = origin.header
        told = [told_origin(origin), f"started {moment(one.started_ns)}"]
        if len({each.header.at for each in header.origins}) > 1:
            told.append(f"at {one.at}")
        if ends:
            reason = ends[place].reason
            told.append(END_REASONS.get(reason, reason))
        yield "merged", ", ".join(told)


def _rewritten_rows(rewritten: Sequence[Rewriting]) -> Iterator[tuple[str, str]]:
    """Tell what was done to the capture since it was recorded."""
    for done in rewritten:
        by = " ".join(word for word in (done.tool, done.version) if word is not None)
        asked = _inline(done.asked)
        yield "rewritten", f"{done.what}{f' by {by}' * bool(by)}{f': {asked}' * bool(asked)}"


def _filter_rows(filters: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Tell the options and what they came to: who was chosen, who was not, and who decided."""
    for key, value in filters.items():
        resolved = dict(value) if isinstance(value, Mapping) else None
        if key != "resolved" or resolved is None:
            yield f"filters {escape_text(str(key))}", _inline(value) or "none"
            continue
        left_out = resolved.pop("left_out", None)
        deciders = [(words, resolved.pop(name, None)) for name, words in _DECIDED.items()]
        yield "filters resolved", _inline(resolved) or "none"
        if left_out:
            yield "left out", _inline(left_out)
        if decided := [f"{words} {_inline(kinds)}" for words, kinds in deciders if kinds]:
            yield "decided", "; ".join(decided)


def _event_rows(facts: Facts) -> Iterator[tuple[str, str]]:
    rate = (
        f", {number(facts.events / seconds)}/s" if (seconds := facts.duration_ns / 1e9) > 0 else ""
    )
    chunks = f" in {plural(facts.chunks, 'chunk')}" if facts.chunks else ""
    yield "events", f"{facts.events:,}{chunks} from {plural(facts.cpus, 'CPU')}{rate}"
    if facts.first_ns is not None and facts.last_ns is not None:
        yield "", f"{moment(facts.first_ns)} to {moment(facts.last_ns)}"
    yield "payload", f"{plural(facts.captured, 'byte')}, {size(facts.captured)}"
    yield "written", f"{plural(facts.written, 'byte')}, {size(facts.written)}"
    if facts.failed:
        yield "failed", plural(facts.failed, "event")
    if facts.size and facts.events:
        per_event = f"{number(facts.size / facts.events)} bytes of file per event"
        ratio = f", {facts.captured / facts.size:.1f} of payload per byte" if facts.captured else ""
        yield "density", per_event + ratio


def _exit(status: int) -> str:
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"


def _clock_step(step_ns: int) -> str:
    if not step_ns:
        return ""
    return (
        f", and the wall clock was set {'ahead' if step_ns > 0 else 'back'} by {span(abs(step_ns))}"
    )


def _inline(value: Any) -> str:
    """Write a value of the header on one line, words as a shell would take them."""
    if isinstance(value, Mapping):
        # What is empty or false was not asked for.
        given = {key: inner for key, inner in value.items() if inner or type(inner) is int}
        return "; ".join(f"{key} {_inline(inner)}" for key, inner in given.items())
    if isinstance(value, list | tuple):
        return shlex.join(map(_inline, value))
    return str(value)


def _as_json(facts: Facts) -> dict[str, Any]:
    end, header = facts.end, facts.header
    return {
        "complete": facts.complete,
        "missing": [what for what, _ in missing(facts)],
        "events": facts.events,
        "bytes": facts.captured,
        "written_bytes": facts.written,
        "lost": facts.lost,
        "failed_events": facts.failed,
        "truncated_events": facts.truncated,
        "unreadable_events": facts.unreadable,
        "unseen_events": facts.unseen,
        "payload_lost_events": facts.payload_lost,
        "unfinished": facts.unfinished,
        "results_lost": facts.results_lost,
        "started_ns": header.started_ns,
        "ended_ns": None if end is None else end.wall_ns,
        "first_ns": facts.first_ns,
        "last_ns": facts.last_ns,
        "duration_ns": facts.duration_ns,
        "clock_step_ns": facts.clock_step_ns,
        "ended": None if end is None else end.reason,
        "exit_status": None if end is None else end.exit_status,
        "unfollowed": 0 if end is None else end.unfollowed,
        "end_warnings": [] if end is None else end.warnings,
        "format_version": f"{facts.version[0]}.{facts.version[1]}",
        "file_bytes": facts.size,
        "chunks": facts.chunks,
        "cpus": facts.cpus,
        "indexed": facts.indexed,
        "growing": facts.growing,
        "expected_events": facts.expected,
        "left_out": facts.left_out,
        "discrepancies": [
            {"cpu": cpu, "events": events} for cpu, events in facts.discrepancies.items()
        ],
        "uncounted": facts.uncounted,
        "bypassed": [] if end is None else [asdict(bypass) for bypass in end.bypassed],
        "lost_by_cause": {} if end is None else end.lost,
        "lost_results_by_cause": {} if end is None else end.lost_results,
        "gaps": [asdict(gap) for gap in facts.gaps],
        "unaccounted": [{**asdict(hole), "count": hole.count} for hole in facts.holes],
        "damage": [{"reason": error.reason, "offset": error.offset} for error in facts.damage],
        "header": asdict(header),
    }
