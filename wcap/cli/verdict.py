"""The verdict on a capture in words: complete, or what is missing, where and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from wcap.cli.layout import moment, plural
from wcap.errors import TruncatedError
from wcap.events import DAMAGE

if TYPE_CHECKING:
    from wcap.events import Bypass, Gap
    from wcap.format import End, Origin
    from wcap.summary import Facts, Hole

# A verdict names this many places of a kind; `wcap info --json` has them all.
_LISTED = 20


def verdict(facts: Facts) -> Iterator[str]:
    """Yield the verdict: one line when complete, else what is missing; then what else to know.

    Text from the capture stands in it as it is: escape it before it is shown.
    """
    if facts.complete:
        counted = f"{plural(facts.events, 'event')} of {plural(facts.cpus, 'CPU')}"
        kept = f", {facts.left_out:,} left out on purpose" if facts.left_out else ""
        yield f"complete: {counted if facts.events else 'no event'}, none lost{kept}"
    else:
        yield "incomplete:"
    for what, places in missing(facts):
        yield f"  {what}{':' if places else ''}"
        for place in places:
            yield f"    {place}"
    if facts.truncated:
        snaplen = plural(facts.header.snaplen, "byte")
        yield f"{plural(facts.truncated, 'payload')} cut at {snaplen} (snaplen)"
    if facts.unreadable > facts.unseen:
        unread = plural(facts.unreadable - facts.unseen, "payload")
        yield f"{unread} could not be read, but of what is missing the kernel took nothing"
    if facts.unfinished > 0:
        yield f"{plural(facts.unfinished, 'write')} had not returned when recording ended"


def missing(facts: Facts) -> Iterator[tuple[str, list[str]]]:
    """Yield what is missing, and the places where, if they are known."""
    if facts.growing:
        yield "still being recorded: more may come", []
    for error in facts.damage:
        if not (facts.growing and isinstance(error, TruncatedError)):
            yield str(error), []
    if facts.end is None and not facts.growing:
        since = facts.header.started_ns if facts.last_ns is None else facts.last_ns
        yield f"no end: what came after {moment(since)} is unknown", []
    if facts.end is not None and facts.end.reason == "error":
        yield "recording failed: what came after the last event may be missing", []
    if facts.end is not None and facts.end.reason == "recovered":
        yield from _ends_gone(facts, facts.end)
    if facts.gaps:
        what = f"{plural(facts.lost, 'event')} lost in {plural(len(facts.gaps), 'gap')}"
        yield what, _some([_gap(gap) for gap in facts.gaps[:_LISTED]], len(facts.gaps))
    if facts.end is not None:
        yield from _counted_otherwise(facts, facts.end.lost)
        if facts.end.unfollowed:
            yield f"children not recorded, being too many: {facts.end.unfollowed:,}", []
        yield from _bypassed(facts.end.bypassed)
    if facts.holes:
        what = f"{plural(sum(hole.count for hole in facts.holes), 'event')} not accounted for"
        yield what, _some([_hole(hole) for hole in facts.holes[:_LISTED]], len(facts.holes))
    lost_results = (None if facts.end is None else facts.end.lost_results) or {}
    if facts.results_lost or any(lost_results.values()):
        causes, told = _causes(lost_results), sum(lost_results.values())
        yield f"results of {plural(max(facts.results_lost, told), 'event')} lost{causes}", []
    if facts.results_doubtful:
        what = f"results of {plural(facts.results_doubtful, 'event')} may be lost"
        yield f"{what}: the end does not say how many were", []
    if facts.payload_lost:
        what = f"the end of {plural(facts.payload_lost, 'payload')} lost"
        yield f"{what}: the kernel's buffer was full", []
    if facts.unseen:
        what = f"{plural(facts.unseen, 'payload')} could not be read"
        yield f"{what}, and the kernel took more than was captured, or may have", []


def _ends_gone(facts: Facts, end: End) -> Iterator[tuple[str, list[str]]]:
    """Yield whose end is not known, and since when; where recordings were merged, of each."""
    since = facts.header.started_ns if facts.last_ns is None else facts.last_ns
    gone = [("recovered", since)]
    if len(end.origins) == len(facts.header.origins) > 0:
        gone = [
            (f"{told_origin(origin)}: recovered", one.wall_ns)
            for origin, one in zip(facts.header.origins, end.origins, strict=True)
            if one.reason == "recovered"
        ] or gone
    for what, when in gone:
        yield f"{what} without its end: what came after {moment(when)} is unknown", []


def told_origin(origin: Origin) -> str:
    """Return which machine a recording that was merged is of, and which CPU numbers it has."""
    last = origin.first_cpu + origin.cpus - 1
    cpus = f"CPU {last}" if origin.cpus == 1 else f"CPUs {origin.first_cpu} to {last}"
    return f"{origin.header.host or 'an unknown host'}, {cpus}"


def _counted_otherwise(
    facts: Facts, lost: Mapping[str, int] | None
) -> Iterator[tuple[str, list[str]]]:
    """Yield where the recorder's counts and the capture's contents do not agree."""
    told = facts.lost if lost is None else sum(lost.values())
    # What damage took was not lost when the recorder counted, or its own gap was damaged.
    damaged = sum(gap.count for gap in facts.gaps if gap.cause == DAMAGE)
    if not 0 <= told - (facts.lost - damaged) <= damaged:
        yield f"{plural(told, 'event')} lost as the recorder counted{_causes(lost or {})}", []
    short = {cpu: number for cpu, number in facts.discrepancies.items() if number > 0}
    if short:
        what = f"{plural(sum(short.values()), 'event')} not accounted for inside chunks"
        yield what, _on_cpus(short)
    surplus = {cpu: -number for cpu, number in facts.discrepancies.items() if number < 0}
    if surplus:
        what = f"{plural(sum(surplus.values()), 'event')} more than the recorder counted"
        yield what, _on_cpus(surplus)
    if facts.uncounted:
        yield f"{plural(facts.uncounted, 'number')} beyond the last that a CPU counted", []


def _causes(counts: Mapping[str, int]) -> str:
    causes = ", ".join(f"{cause} {count:,}" for cause, count in counts.items() if count)
    return f" ({causes})" if causes else ""


def _some(places: Sequence[str], total: int) -> list[str]:
    more = total - len(places)
    return [*places, f"and {more:,} more (--json)"] if more else [*places]


def _on_cpus(events: Mapping[int, int]) -> list[str]:
    listed = [f"{plural(number, 'event')} on CPU {cpu}" for cpu, number in events.items()]
    return _some(listed[:_LISTED], len(listed))


def _gap(gap: Gap) -> str:
    when = f"between {moment(gap.first_ns)} and {moment(gap.last_ns)}"
    words = f"{plural(gap.count, 'event')} on CPU {gap.cpu} {when}: {gap.cause}"
    whose = [f"{events:,} of process {pid}" for pid, events in gap.processes[:_LISTED]]
    if more := len(gap.processes) - len(whose):
        whose.append(f"and of {more:,} more {_processes(more)} (--json)")
    return f"{words}; {', '.join(whose)}" if whose else words


def _bypassed(bypassed: Sequence[Bypass]) -> Iterator[tuple[str, list[str]]]:
    """Yield which processes wrote in a way that was not recorded."""
    for bypass in bypassed[:_LISTED]:
        yield _bypass(bypass), []
    if (more := len(bypassed) - _LISTED) > 0:
        yield f"{more:,} more {_processes(more)} wrote past the recorder (--json)", []


def _processes(number: int) -> str:
    return "process" if number == 1 else "processes"


def _bypass(bypass: Bypass) -> str:
    if bypass.count is None:
        missed = "its writes are"
    else:
        missed = f"{plural(bypass.count, 'request')} {'is' if bypass.count == 1 else 'are'}"
    return f"{bypass.told}: {missed} not in this capture"


def _hole(hole: Hole) -> str:
    after = "" if hole.first_ns is None else f" after {moment(hole.first_ns)}"
    before = "" if hole.last_ns is None else f" before {moment(hole.last_ns)}"
    numbers = f"numbers {hole.first_sequence} to {hole.last_sequence}"
    return f"{plural(hole.count, 'event')} on CPU {hole.cpu}{after}{before}, {numbers}"
