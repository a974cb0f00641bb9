"""Vectors of what a reader has to bear: later versions, odd msgpack, frames out of place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from vectormaker import chunk as c
from vectormaker.chunk import PROCESS, chunk, with_column
from vectormaker.columns import above
from vectormaker.facts import results
from vectormaker.meaning import Vector
from vectormaker.story import HEAD, ONE, TWO, ending, gap, head, story
from vectormaker.wire import END, EVENTS, GAPS, HEADER, RESULTS, Bytes, packed, zstd


def extensions() -> Iterator[Vector]:
    """What later versions may bring, and what anyone may add: section 8."""
    for kind in (64, 111, 112, 127):
        for what, body in (("", packed({"note": "skip me"})), ("-not-a-map", b"\xc1 no msgpack")):
            if what and kind != 112:
                continue
            yield story(f"frame-{kind}{what}", f"a frame of type {kind}, to be skipped", "R5", ONE,
                        frames=[(kind, body), (EVENTS, chunk(ONE)), (kind, body)])  # fmt: skip
    yield story("newer-minor", "format version 1.255", "R2", ONE, start=Bytes(minor=255))
    later = {
        **with_column(chunk(replace(ONE, special=1 << 31)), "novelty", above([1])),
        "novelty": 1,
    }
    yield story("newer-minor-novelties", "what format 1.255 may bring, all at once", "R2 R5 R6",
                ONE, start=Bytes(minor=255), frames=[(64, b"\xc1"), (EVENTS, later)],
                written_header=head(novelty=[1]), written_end=ending([ONE], novelty=1))  # fmt: skip
    yield story("older-minor", "format version 1.0", "R2", ONE, start=Bytes(minor=0))
    new: dict[str, Any] = {"novelty": {"deep": [1, {"map": b"\xff"}]}, "x-own": 1.5}
    one = chunk(ONE)
    target = replace(ONE, target={"kind": "pipe"})
    tables = {
        "events": (ONE, {**one, **new}),
        "summary": (ONE, {**one, "summary": {**one["summary"], **new}}),
        "payload": (ONE, {**one, "payload": {**one["payload"], **new}}),
        "process": (ONE, {**one, "processes": {
            "data": packed({"processes": [{**PROCESS, **new}], **new})}}),
        "target": (target, {**chunk(target), "targets": {
            "data": packed({"targets": [{"kind": "pipe", **new}], **new})}}),
    }  # fmt: skip
    for where, (event, written) in tables.items():
        yield story(f"unknown-key-{where}", f"keys that no version knows in: {where}", "R6", event,
                    frames=[(EVENTS, written)])  # fmt: skip
    yield story("unknown-key-header", "keys that no version knows in HEADER and its clock", "R6",
                ONE, written_header=head(**new, clock={**HEAD["clock"], **new}))  # fmt: skip
    yield story("unknown-key-end", "keys that no version knows in END", "R6", ONE,
                written_end=ending([ONE], **new))  # fmt: skip
    lost = gap(0, 2, 2)
    yield story("unknown-key-gap", "keys that no version knows in GAPS and a gap", "R6", ONE,
                gaps=[lost],
                frames=[(EVENTS, chunk(ONE)), (GAPS, {"gaps": [{**lost, **new}], **new})])  # fmt: skip
    yield story("unknown-column", "columns that no version knows, one of them malformed", "R6",
                ONE, frames=[(EVENTS, with_column(with_column(
                    one, "novelty", above([1])), "x-own", {"base": "no number"}))])  # fmt: skip
    for name in ("at-exit", "time_ns", "payload", "summary", "processes", "addresses"):
        yield story(f"essential-{name.replace('_', '-')}", f"{name} marked as essential is known",
                    "R7", ONE, frames=[(EVENTS, {**one, "essential": [name]})])  # fmt: skip
    nothing: dict[str, Any] = dict.fromkeys(
        ("transport", "kernel", "host", "boot_id", "filters", "command", "versions", "warnings",
         "at"))  # fmt: skip
    yield story("nil-header", "nil for every optional key of HEADER", "R8", ONE,
                written_header=head(**nothing))  # fmt: skip
    yield story("nil-in-maps", "nil for keys of maps whose keys are free", "R8", ONE,
                header=head(filters={"given": [], "resolved": {}}),
                written_header=head(kernel={"release": None}, versions={"wcap": None},
                                    filters={"given": [], "resolved": {"uid": None}, "x": None}),
                end=ending([ONE], lost={}, lost_results={}),
                written_end=ending([ONE], lost={"other": None},
                                   lost_results={"other": None}))  # fmt: skip
    nothing = dict.fromkeys(
        ("lost", "lost_results", "unfollowed", "exit_status", "warnings", "bypassed"))  # fmt: skip
    yield story("nil-end", "nil for every optional key of END", "R8", ONE,
                written_end=ending([ONE], **nothing))  # fmt: skip
    nothing = dict.fromkeys(
        ("leader", "ppid", "uid", "start_ns", "exe", "cmdline", "gid", "cgroup", "ns_pid"))  # fmt: skip
    absent = dict.fromkeys(
        ("pids", "tids", "fds", "comms", "calls", "payload_lost", "targets", "kinds")
    )
    yield story("nil-events", "nil for every optional key of EVENTS, summary and process", "R8",
                ONE, full=True, frames=[(EVENTS, {
                    **one, "processes": {"data": packed({"processes": [{**PROCESS, **nothing}]})},
                    "summary": {**one["summary"], **absent}, "targets": None, "addresses": None,
                    "essential": None, "columns": {**one["columns"], "target": None,
                                                   "offset": None}})])  # fmt: skip
    nothing = dict.fromkeys(
        ("path", "device", "inode", "local", "peer", "partial", "deleted", "from_proc"))  # fmt: skip
    yield story("nil-target", "nil for every other key of a target", "R8", target, full=True,
                frames=[(EVENTS, {**chunk(target), "targets": {
                    "data": packed({"targets": [{"kind": "pipe", **nothing}]})}})])  # fmt: skip
    yield story("nil-gap", "nil for the optional key of a gap", "R8", ONE, gaps=[lost],
                frames=[(EVENTS, chunk(ONE)),
                        (GAPS, {"gaps": [{**lost, "processes": None}]})])  # fmt: skip


def msgpack_forms() -> Iterator[Vector]:
    """What msgpack leaves open: section 3.4."""
    body = packed(chunk(ONE))
    yield story("key-twice", "of equal keys the last one counts", "R6", ONE,
                frames=[(EVENTS, b"\xde" + (len(chunk(ONE)) + 1).to_bytes(2, "big")
                         + packed("payload") + packed({"data": b"wrong"}) + body[1:])])  # fmt: skip
    odd: dict[Any, Any] = {**chunk(ONE), 5: 6, b"bin": 7, -1.5: 8, None: 9, True: 10}
    yield story("key-not-str", "keys that are no str are skipped", "R6", ONE,
                frames=[(EVENTS, packed(odd))])  # fmt: skip
    yield story("wide-forms", "lengths and numbers in the longest forms of msgpack", "R6", ONE,
                frames=[(EVENTS, widely(chunk(ONE)))])  # fmt: skip
    deep: Any = 0
    for _ in range(32):
        deep = [deep]
    yield story("nested-deep", "lists 32 deep under an unknown key", "R6", ONE,
                frames=[(EVENTS, {**chunk(ONE), "x-deep": deep})])  # fmt: skip
    at_limit = {**chunk(ONE)}
    filler = packed({"processes": [PROCESS]})
    # 2**20 objects: the map, two keys, a list, a process of 5, and a list of the rest.
    rest = (1 << 20) - 10
    long = (b"\x82" + filler[1:] + packed("x-many") + b"\xdd" + rest.to_bytes(4, "big")
            + b"\xc0" * rest)  # fmt: skip
    at_limit["processes"] = {"data": zstd(long), "size": len(long)}
    yield story("limit-objects", "as many objects in a packed map as are allowed", "R4 W4", ONE,
                frames=[(EVENTS, at_limit)])  # fmt: skip


def widely(value: Any) -> bytes:
    """Encode with msgpack in the longest form that there is for each object."""
    if isinstance(value, dict):
        inner = b"".join(widely(key) + widely(own) for key, own in value.items())
        return b"\xdf" + len(value).to_bytes(4, "big") + inner
    if isinstance(value, list):
        return b"\xdd" + len(value).to_bytes(4, "big") + b"".join(map(widely, value))
    if isinstance(value, int):
        return b"\xcf" + value.to_bytes(8, "big") if value >= 0 else packed(value)
    data = value if isinstance(value, bytes) else value.encode()
    return (b"\xc6" if isinstance(value, bytes) else b"\xdb") + len(data).to_bytes(4, "big") + data


def out_of_place() -> Iterator[Vector]:
    """Frames out of place that change nothing: section 3.4."""
    last = ending([ONE, TWO])
    yield story("end-twice", "of two END frames the last one holds", "R6", ONE, TWO, end=last,
                frames=[(EVENTS, chunk(ONE)), (END, ending([ONE], reason="command")),
                        (EVENTS, chunk(TWO))])  # fmt: skip
    lost = gap(0, 3, 4)
    open_ = replace(TWO, special=c.UNFINISHED, returned=0)
    made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE)), (END, ending([ONE, TWO], [lost])))
    made.frames((EVENTS, chunk(open_)), (GAPS, {"gaps": [lost]}),
                (RESULTS, results((0, 2, 6, 1500))))  # fmt: skip
    yield Vector(
        "events-after-end", "EVENTS, GAPS and RESULTS after END count as if before it", "R6",
        made.closed(), [ONE, TWO], gaps=[lost], header=HEAD, end=ending([ONE, TWO], [lost]),
        streamed=[ONE, open_], status=3,
    )  # fmt: skip
    made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE))).index().index()
    made.frames((EVENTS, chunk(TWO)), (END, last))
    yield Vector("index-of-an-index", "an INDEX that lists only the INDEX before it", "R13",
                 made.closed(), [ONE, TWO], header=HEAD, end=last)  # fmt: skip
    stray = {"entries": {"data": packed({"frames": [[2, 16, 99]]}), "x": 1}}
    yield story("index-stray", "an INDEX that nothing leads to does no harm", "R13", ONE,
                frames=[(6, stray), (EVENTS, chunk(ONE))])  # fmt: skip


PARTS = (extensions, msgpack_forms, out_of_place)
