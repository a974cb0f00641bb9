"""Whole captures around the few facts that a vector is about, with the meaning beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vectormaker.chunk import CLOCK_NS, WALL_NS, Event, chunk
from vectormaker.meaning import Vector
from vectormaker.wire import END, EVENTS, GAPS, HEADER, Bytes

Frame = tuple[int, Mapping[str, Any] | bytes]

HEAD: Mapping[str, Any] = {
    "clock": {"name": "boottime", "anchor": [CLOCK_NS, WALL_NS]},
    "snaplen": 4096,
    "syscalls": ["write"],
}
ONE = Event()
TWO = Event(b"again\n", at=2_000_000, sequence=2)


def head(**more: Any) -> dict[str, Any]:
    """Return a header's map: what is required, and more."""
    return {**HEAD, **more}


def ending(
    events: Sequence[Event] = (), gaps: Sequence[Mapping[str, Any]] = (), **more: Any
) -> dict[str, Any]:
    """Return the map of an END that fits these events and gaps."""
    last: dict[int, int] = {}
    for event in events:
        last[event.cpu] = max(last.get(event.cpu, 0), event.sequence)
    for gap in gaps:
        last[gap["cpu"]] = max(last.get(gap["cpu"], 0), gap["last_sequence"])
    made: dict[str, Any] = {
        "reason": "signal",
        "anchor": [CLOCK_NS + 1_000_000_000, WALL_NS + 1_000_000_000],
        "sequences": [[cpu, number] for cpu, number in sorted(last.items())],
    }
    if gaps:
        causes: dict[str, int] = {}
        for gap in gaps:
            causes[gap["cause"]] = causes.get(gap["cause"], 0) + gap["count"]
        made["lost"] = causes
    return {**made, **more}


def gap(cpu: int, first: int, last: int, **more: Any) -> dict[str, Any]:
    """Return the map of a gap; all the numbers of its span are lost unless told otherwise."""
    made: dict[str, Any] = {
        "cpu": cpu,
        "first_sequence": first,
        "last_sequence": last,
        "count": last - first + 1,
        "first_ns": CLOCK_NS + 1_000_000,
        "last_ns": CLOCK_NS + 2_000_000,
        "cause": "buffer-full",
    }
    return {**made, **more}


def story(
    name: str,
    shows: str,
    rules: str,
    *events: Event,
    frames: Sequence[Frame] | None = None,
    header: Mapping[str, Any] = HEAD,
    written_header: Mapping[str, Any] | bytes | None = None,
    end: Mapping[str, Any] | None = None,
    written_end: Mapping[str, Any] | bytes | None = None,
    gaps: Sequence[Mapping[str, Any]] = (),
    start: Bytes | None = None,
    **meaning: Any,
) -> Vector:
    """Return a vector of a closed capture: the header, a chunk of the events, the end.

    ``frames`` stand in place of the GAPS frame and the chunk; ``written_header`` and
    ``written_end`` are what the frames hold, where it is more than what they mean.
    """
    last = ending(events, gaps) if end is None else end
    if frames is None:
        frames = [(GAPS, {"gaps": list(gaps)})] if gaps else []
        frames = [*frames, (EVENTS, chunk(*events))] if events else frames
    made = start or Bytes()
    made.frame(HEADER, header if written_header is None else written_header)
    made.frames(*frames)
    made.frame(END, last if written_end is None else written_end)
    meaning.setdefault("status", 3 if gaps or meaning.get("damage") else 0)
    return Vector(
        name, shows, rules, made.closed(), events, gaps=gaps, header=header, end=last, **meaning
    )
