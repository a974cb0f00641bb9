"""The frames that describe a recording: bodies ⇄ objects (SPEC.md section 4).

Bytes in, objects out: no files, no sockets. `envelope` knows what every frame starts with,
`chunks` the frames of events and of their results, `index_frames` those that say where frames lie.
Encoding and decoding of a frame stand side by side. Garbage raises a `FormatError` and nothing
else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from wcap.errors import CorruptionError, LimitError
from wcap.events import Bypass, Gap
from wcap.fields import (
    MAX_INT64,
    MAX_UINT32,
    MIN_INT64,
    Fields,
    decode_map,
    encode_map,
    text,
    untext,
    within,
    without_absent,
)
from wcap.hosts import Hosts

# SPEC.md section 3.4: a reader may skip an unknown frame type from here on, and no other.
FIRST_OPTIONAL_TYPE = 64

# SPEC.md section 14: when calls are recorded, unless a header says otherwise.
AT_ENTER = "enter"

# SPEC.md section 14: the reason of an END that was written in place of one that is gone.
RECOVERED = "recovered"
# The same, of an END of several recordings that ended in different ways.
MERGED = "merged"


class FrameType(IntEnum):
    """The frame types of format version 1 (SPEC.md section 14)."""

    HEADER = 1
    EVENTS = 2
    GAPS = 3
    RESULTS = 4
    END = 5
    INDEX = 6
    FOOTER = 7


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock that a capture's times were taken from, tied to the wall clock.

    ``name`` is ``boottime`` or ``monotonic``; at ``clock_ns`` on it, the wall clock showed
    ``wall_ns`` (nanoseconds since 1970).
    """

    name: str
    clock_ns: int
    wall_ns: int

    @property
    def offset_ns(self) -> int:
        """What to add to a time of this clock to get the wall clock."""
        return self.wall_ns - self.clock_ns


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What was done to a capture after it was recorded (SPEC.md section 4.1).

    ``what`` is ``cut``, ``merge``, ``split`` or ``recover``; ``asked`` holds what was asked for,
    without names of files.
    """

    what: str
    tool: str | None = None
    version: str | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Header:
    """Where, when and how a capture was recorded; unknown facts are None (SPEC.md section 4.1).

    ``at`` is ``enter`` if calls were recorded when they began, ``exit`` if when they had ended.
    ``part`` says, from 1, which part of a recording in several files this is; ``after`` holds, for
    every CPU, the last number that it had given before: what is here goes on from there.
    ``rewritten`` says, oldest first, what was done to the capture since, and ``origins`` which
    recordings were merged into it, if they are several.
    """

    clock: Clock
    snaplen: int
    syscalls: tuple[str, ...]
    transport: str | None = None
    kernel: Mapping[str, str] = field(default_factory=dict)
    host: str | None = None
    boot_id: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    at: str = AT_ENTER
    part: int | None = None
    after: Mapping[int, int] = field(default_factory=dict)
    rewritten: tuple[Rewriting, ...] = ()
    origins: tuple[Origin, ...] = ()

    @property
    def started_ns(self) -> int:
        """Wall clock when recording began, nanoseconds since 1970."""
        return self.clock.wall_ns

    @property
    def hosts(self) -> Hosts:
        """Which machine each CPU number belongs to."""
        if not self.origins:
            return Hosts((self.host,))
        names: list[str | None] = []
        firsts: list[int] = []
        end = 0
        for origin in self.origins:
            if origin.first_cpu > end:
                names.append(None)
                firsts.append(end)
            names.append(origin.header.host)
            firsts.append(origin.first_cpu)
            end = origin.first_cpu + origin.cpus
        return Hosts((*names, None), (*firsts, end))


@dataclass(frozen=True, slots=True)
class Origin:
    """One of the recordings that were merged into a capture, as its own header told of it.

    What was CPU n there has the number ``first_cpu`` + n here; it has ``cpus`` such numbers.
    """

    first_cpu: int
    cpus: int
    header: Header


# The keys that every header has (SPEC.md section 4.1).
_REQUIRED = frozenset({"clock", "snaplen", "syscalls"})


def encode_header(header: Header) -> bytes:
    """Encode the body of a HEADER frame."""
    origins = [
        {"first_cpu": origin.first_cpu, "cpus": origin.cpus, **_encode_recording(origin.header)}
        for origin in header.origins
    ]
    told = _encode_recording(header)
    if origins:  # a map or a list that would be empty speaks of facts in which they differ
        told = {key: value for key, value in told.items() if value or key in _REQUIRED}
        told["origins"] = origins
    return encode_map(told)


def _encode_recording(header: Header) -> dict[str, Any]:
    clock = header.clock
    return without_absent(
        {
            "clock": {"name": clock.name, "anchor": [clock.clock_ns, clock.wall_ns]},
            "snaplen": header.snaplen,
            "syscalls": list(header.syscalls),
            "transport": header.transport,
            "kernel": dict(header.kernel),
            "host": header.host,
            "boot_id": header.boot_id,
            "filters": dict(header.filters),
            "command": None if header.command is None else [untext(w) for w in header.command],
            "versions": dict(header.versions),
            "warnings": list(header.warnings),
            "at": None if header.at == AT_ENTER else header.at,
            "part": header.part,
            "after": _rows(header.after) or None,
            "rewritten": [_encode_rewriting(done) for done in header.rewritten] or None,
        }
    )


def decode_header(body: bytes) -> Header:
    """Decode the body of a HEADER frame."""
    fields = decode_map(body)
    origins = tuple(map(_decode_origin, fields.find("origins", list) or ()))
    end = 0
    for origin in origins:
        within("first_cpu of an origin", origin.first_cpu, end, MAX_UINT32)
        end = origin.first_cpu + origin.cpus
    return replace(_decode_recording(fields), origins=origins)


def _decode_origin(value: object) -> Origin:
    fields = Fields(value)
    first_cpu = fields.number("first_cpu", 0, MAX_UINT32)
    cpus = fields.number("cpus", 1, MAX_UINT32 + 1 - first_cpu)
    return Origin(first_cpu, cpus, _decode_recording(fields))


def _decode_recording(fields: Fields) -> Header:
    clock = Fields(fields.take("clock", dict))
    command, at = fields.find_each("command", bytes), fields.find("at", str)
    return Header(
        clock=Clock(clock.take("name", str), *_anchor(clock)),
        snaplen=fields.number("snaplen", 0, MAX_UINT32),
        syscalls=fields.each("syscalls", str),
        transport=fields.find("transport", str),
        kernel=fields.words("kernel"),
        host=fields.find("host", str),
        boot_id=fields.find("boot_id", str),
        filters=fields.plain("filters"),
        command=None if command is None else tuple(map(text, command)),
        versions=fields.words("versions"),
        warnings=fields.find_each("warnings", str) or (),
        at=AT_ENTER if at is None else at,
        part=fields.find_number("part", 1),
        after={
            within("a CPU of after", cpu, 0, MAX_UINT32): last
            for cpu, last in fields.find_rows("after", 2)
        },
        rewritten=tuple(map(_decode_rewriting, fields.find("rewritten", list) or ())),
    )


def _encode_rewriting(done: Rewriting) -> dict[str, Any]:
    return without_absent(
        {
            "what": done.what,
            "tool": done.tool,
            "version": done.version,
            "asked": dict(done.asked) or None,
        }
    )


def _decode_rewriting(value: object) -> Rewriting:
    fields = Fields(value)
    return Rewriting(
        what=fields.take("what", str),
        tool=fields.find("tool", str),
        version=fields.find("version", str),
        asked=fields.plain("asked"),
    )


def _rows(numbers: Mapping[int, int]) -> list[list[int]]:
    """Return numbers of CPUs as the list that frames hold."""
    return [[cpu, number] for cpu, number in sorted(numbers.items())]


def _anchor(fields: Fields) -> tuple[int, int]:
    """Return what two clocks showed at one moment: the capture's and the wall clock."""
    anchor = fields.each("anchor", int)
    if len(anchor) != 2:
        raise CorruptionError(f"anchor has {len(anchor)} numbers, 2 expected")
    clock_ns, wall_ns = (within("anchor", moment, 0, MAX_INT64) for moment in anchor)
    return clock_ns, wall_ns


def encode_gaps(gaps: Sequence[Gap], clock: Clock) -> bytes:
    """Encode the body of a GAPS frame."""
    return encode_map({"gaps": [_encode_gap(gap, clock) for gap in gaps]})


def decode_gaps(body: bytes, clock: Clock) -> list[Gap]:
    """Decode the body of a GAPS frame."""
    return [_decode_gap(Fields(value), clock) for value in decode_map(body).take("gaps", list)]


def _encode_gap(gap: Gap, clock: Clock) -> dict[str, Any]:
    first_ns, last_ns = gap.first_ns - clock.offset_ns, gap.last_ns - clock.offset_ns
    if first_ns < MIN_INT64 or last_ns > MAX_INT64:
        raise LimitError("the time of a gap does not fit into 64 bits on the capture's clock")
    return without_absent(
        {
            "cpu": gap.cpu,
            "first_sequence": gap.first_sequence,
            "last_sequence": gap.last_sequence,
            "count": gap.count,
            "first_ns": first_ns,
            "last_ns": last_ns,
            "cause": gap.cause,
            "processes": [list(row) for row in gap.processes] or None,
        }
    )


def _decode_gap(fields: Fields, clock: Clock) -> Gap:
    first, last = fields.number("first_sequence", 1), fields.number("last_sequence", 1)
    first_ns, last_ns = fields.take("first_ns", int), fields.take("last_ns", int)
    return Gap(
        cpu=fields.number("cpu", 0, MAX_UINT32),
        first_sequence=first,
        last_sequence=within("last_sequence", last, first, MAX_INT64),
        count=fields.number("count", 1, last - first + 1),
        first_ns=within("first_ns", first_ns + clock.offset_ns, MIN_INT64, MAX_INT64),
        last_ns=within("last_ns", last_ns + clock.offset_ns, MIN_INT64, MAX_INT64),
        cause=fields.take("cause", str),
        processes=tuple(
            (within("a pid of processes", pid, 0, MAX_UINT32), events)
            for pid, events in fields.find_rows("processes", 2)
        ),
    )


@dataclass(frozen=True, slots=True)
class End:
    """How a recording ended, and what proves that nothing is missing (SPEC.md section 4.5).

    ``sequences`` holds, for every CPU, how many events it saw, lost ones included. ``lost`` and
    ``lost_results`` count events and results that were lost, by cause, None if nobody knows;
    ``unfollowed`` counts
    processes that should have been recorded too and were not. ``clock_ns`` and ``wall_ns`` are
    the two clocks at the end. ``exit_status`` is that of a launched command: its
    exit code, or minus the signal that ended it. ``warnings`` are what the user was told, and
    ``bypassed`` the processes that wrote in ways that cannot be recorded. ``left_out`` counts, for
    every CPU, the events and losses that were left out on purpose when the capture was rewritten.
    ``origins`` tells, where recordings were merged, how each ended; these have no ``sequences``.
    """

    reason: str
    clock_ns: int
    wall_ns: int
    sequences: Mapping[int, int] = field(default_factory=dict)
    lost: Mapping[str, int] | None = field(default_factory=dict)
    lost_results: Mapping[str, int] | None = field(default_factory=dict)
    unfollowed: int = 0
    exit_status: int | None = None
    warnings: tuple[str, ...] = ()
    bypassed: tuple[Bypass, ...] = ()
    left_out: Mapping[int, int] = field(default_factory=dict)
    origins: tuple[End, ...] = ()

    @property
    def short(self) -> bool:
        """Whether the recorder knew that something is missing."""
        lost = any((self.lost or {}).values()) or any((self.lost_results or {}).values())
        missed = self.unfollowed > 0 or bool(self.bypassed)
        return lost or missed or self.reason in ("error", RECOVERED)


def recovered_end(header: Header, clock_ns: int, sequences: Mapping[int, int]) -> End:
    """Return what stands for an end that is gone: ``clock_ns`` is the time of the last event."""
    wall_ns = max(0, clock_ns + header.clock.offset_ns)
    own = End(RECOVERED, clock_ns, wall_ns, lost=None, lost_results=None)
    origins = (own,) * len(header.origins)
    return replace(own, sequences=sequences, origins=origins)


def encode_end(end: End) -> bytes:
    """Encode the body of an END frame."""
    return encode_map(
        without_absent(
            {
                **_encode_ending(end, _rows(end.sequences)),
                "left_out": _rows(end.left_out) or None,
                "origins": [_encode_ending(origin) for origin in end.origins] or None,
            }
        )
    )


def _encode_ending(end: End, sequences: list[list[int]] | None = None) -> dict[str, Any]:
    return without_absent(
        {
            "reason": end.reason,
            "anchor": [end.clock_ns, end.wall_ns],
            "sequences": sequences,
            "lost": None if end.lost is None else dict(end.lost),
            "lost_results": None if end.lost_results is None else dict(end.lost_results),
            "unfollowed": end.unfollowed or None,
            "exit_status": end.exit_status,
            "warnings": list(end.warnings) or None,
            "bypassed": [_encode_bypass(found) for found in end.bypassed] or None,
        }
    )


def decode_end(body: bytes) -> End:
    """Decode the body of an END frame."""
    fields = decode_map(body)
    return replace(
        _decode_ending(fields),
        sequences={row[0]: row[1] for row in fields.rows("sequences", 2)},
        left_out={row[0]: row[1] for row in fields.find_rows("left_out", 2)},
        origins=tuple(
            _decode_ending(Fields(value)) for value in fields.find("origins", list) or ()
        ),
    )


def _decode_ending(fields: Fields) -> End:
    clock_ns, wall_ns = _anchor(fields)
    return End(
        reason=fields.take("reason", str),
        clock_ns=clock_ns,
        wall_ns=wall_ns,
        lost=fields.find_counts("lost"),
        lost_results=fields.find_counts("lost_results"),
        unfollowed=fields.find_number("unfollowed") or 0,
        exit_status=fields.find_number("exit_status", -(1 << 31), (1 << 31) - 1),
        warnings=fields.find_each("warnings", str) or (),
        bypassed=tuple(map(_decode_bypass, fields.find("bypassed", list) or ())),
    )


def _encode_bypass(bypass: Bypass) -> dict[str, Any]:
    return without_absent(
        {
            "pid": bypass.pid,
            "comm": untext(bypass.comm),
            "how": bypass.how,
            "count": bypass.count,
        }
    )


def _decode_bypass(value: object) -> Bypass:
    fields = Fields(value)
    return Bypass(
        pid=fields.number("pid", 0, MAX_UINT32),
        comm=text(fields.take("comm", bytes)),
        how=fields.take("how", str),
        count=fields.find_number("count"),
    )
