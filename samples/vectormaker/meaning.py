"""What a vector means: the JSON beside its bytes, made from its facts and not by reading it.

Events have the form of SPEC.md Appendix F, everything else the keys of section 4.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vectormaker.chunk import (
    AT_EXIT,
    CLOCK_NS,
    FLAG_NAMES,
    HAS_ADDRESS,
    HAS_OFFSET,
    HAS_SOURCE,
    NO_PAYLOAD,
    NO_RESULT,
    PAYLOAD_LOST,
    UNREADABLE,
    WALL_NS,
    Event,
    target_name,
)

ANCHOR = (CLOCK_NS, WALL_NS)


@dataclass(frozen=True)
class Vector:
    """Bytes and their meaning.

    Attributes:
        name: with its folder: ``valid/column-delta``.
        shows: what it is there for, in one sentence.
        rules: requirements of SPEC.md sections 10 and 11 that it is about.
        data: the bytes.
        events: as a seeking reader delivers them; ``anchor`` ties their times to the wall clock.
        gaps: the maps of GAPS frames, in the order in which readers tell of them.
        header, end: the maps of the frames; None for a capture that is refused, or has no END.
        damage: class and offset of everything that is wrong, in the order of the file.
        refused: class and offset, where the whole capture is refused.
        stopped: class and offset of what a reader refuses when it comes there; ``events`` is what it
            delivered before.
        status: what `wcap show --json` ends with.
        late: a reader that decodes a column when it is looked at finds the damage late, and may
            stop there with status 1 (section 11).
        streamed: the events for a reader that cannot seek, where they differ.
        by_seeking: whether only a reader that uses the index notices the damage.
        full: whether processes and targets of the events are told in full.
        made_by, before: of what a rewriting tool makes: what was asked of it, and of which captures.
        unsound: section of SPEC.md and offset of what breaks a rule without harm to a reader.
        may_be_refused: a tool may make nothing of them instead, and say why.
    """

    name: str
    shows: str
    rules: str
    data: bytes
    events: Sequence[Event] = ()
    gaps: Sequence[Mapping[str, Any]] = ()
    header: Mapping[str, Any] | None = None
    end: Mapping[str, Any] | None = None
    damage: Sequence[tuple[str, int | None]] = ()
    refused: tuple[str, int | None] | None = None
    stopped: tuple[str, int | None] | None = None
    status: int = 0
    late: bool = False
    streamed: Sequence[Event] | None = None
    by_seeking: bool = False
    full: bool = False
    anchor: tuple[int, int] = field(default=ANCHOR)
    made_by: Sequence[str] = ()
    before: Sequence[bytes] = ()
    may_be_refused: bool = False
    unsound: Sequence[tuple[str, int]] = ()


def describe(vector: Vector) -> str:
    """Return the JSON text of a vector: a key a line, and an entry of a list a line."""
    said: dict[str, Any] = {
        "shows": vector.shows,
        "rules": vector.rules.split(),
        "status": vector.status,
    }
    if vector.late:
        said["status_if_found_late"] = 1
    if vector.refused is not None:
        said["refused"] = _fault(vector.refused)
    else:
        said |= {
            "header": _texts(vector.header),
            "events": [_event(vector, event) for event in vector.events],
            "gaps": [_gap(gap, vector.anchor) for gap in vector.gaps],
            "end": _texts(vector.end),
            "damage": [_fault(fault) for fault in vector.damage],
        }
    if vector.stopped is not None:
        said["stopped"] = _fault(vector.stopped)
    if vector.by_seeking:
        said["only_seeking_readers_notice"] = True
    if vector.streamed is not None:
        said["streamed_events"] = [_event(vector, event) for event in vector.streamed]
    if vector.full:
        said["processes"] = [_texts(event.process) for event in vector.events]
        said["targets"] = [_texts(event.target or {}) for event in vector.events]
    if vector.before:
        said["made_by"] = list(vector.made_by)
        said["before"] = [place for place, _ in sources(vector)]
    if vector.unsound:
        told = vector.unsound
        said["unsound"] = [{"section": section, "offset": place} for section, place in told]
    if vector.may_be_refused:
        said["may_be_refused"] = True
    lines = [f"  {json.dumps(key)}: {_laid_out(value)}" for key, value in said.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def sources(vector: Vector) -> Iterable[tuple[str, bytes]]:
    """Yield name and bytes of the captures that a rewriting tool is given."""
    for number, data in enumerate(vector.before, 1):
        yield f"{vector.name}.before-{number}.wcap", data


def _laid_out(value: Any) -> str:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return json.dumps(value)
    return "[\n" + ",\n".join(f"    {json.dumps(entry)}" for entry in value) + "\n  ]"


def _fault(fault: tuple[str, int | None]) -> dict[str, Any]:
    return {"class": fault[0], "offset": fault[1]}


def _gap(gap: Mapping[str, Any], anchor: tuple[int, int]) -> dict[str, Any]:
    times = {key: _wall(gap[key], anchor) for key in ("first_ns", "last_ns")}
    return {**gap, **times}


def _wall(moment: int, anchor: tuple[int, int]) -> int:
    return moment + anchor[1] - anchor[0]


def _texts(value: Any) -> Any:
    """Return a map as JSON can hold it: bytes as text."""
    if isinstance(value, Mapping):
        return {key: _texts(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(inner) for inner in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _event(vector: Vector, event: Event) -> dict[str, Any]:
    header = vector.header or {}
    host = header.get("host")
    if header.get("origins"):
        host = None
    for origin in header.get("origins") or ():
        if origin["first_cpu"] <= event.cpu < origin["first_cpu"] + origin["cpus"]:
            host = origin.get("host")
    return event_form(event, vector.anchor, host)


def event_form(
    event: Event, anchor: tuple[int, int] = ANCHOR, host: str | None = None
) -> dict[str, Any]:
    """Return an event in the form of Appendix F."""
    answered = not event.flags & NO_RESULT
    timed = answered and not event.flags & AT_EXIT
    nothing = not event.data and event.flags & (UNREADABLE | PAYLOAD_LOST)
    known = not (nothing or event.flags & NO_PAYLOAD)
    target = event.target or {}
    name = target_name(target)
    source = target_name(event.source or {}) if event.flags & HAS_SOURCE else None
    pid = event.process["pid"]
    return {
        "time_ns": _wall(CLOCK_NS + event.at, anchor),
        "pid": pid,
        "tid": pid if event.tid is None else event.tid,
        "ppid": event.process.get("ppid"),
        "comm": _texts(event.name),
        "syscall": event.syscall,
        "fd": event.fd,
        "count": event.asked,
        "captured": len(event.data),
        "returned": event.answered if answered else None,
        "duration_ns": event.duration if timed else None,
        "cpu": event.cpu,
        "sequence": event.sequence,
        "flags": list(_flag_names(event.flags)),
        "target": _texts(name),
        "target_kind": target.get("kind"),
        "offset": event.offset if event.flags & HAS_OFFSET else None,
        "source_fd": event.source_fd if event.flags & HAS_SOURCE else None,
        "source": _texts(source),
        "address": _texts(event.address) if event.flags & HAS_ADDRESS else None,
        "host": host,
        "text": _texts(event.data) if known else None,
        "data_b64": base64.b64encode(event.data).decode() if known else None,
    }


def _flag_names(flags: int) -> Iterable[str]:
    return (name for bit, name in enumerate(FLAG_NAMES) if flags >> bit & 1)
