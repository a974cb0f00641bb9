"""Vectors of maps in which one key is missing or wrong, each under its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vectormaker import chunk as c
from vectormaker.chunk import CLOCK_NS, PROCESS, WALL_NS, Event, chunk
from vectormaker.meaning import Vector
from vectormaker.spoiled import broken
from vectormaker.story import HEAD, ONE, TWO, ending, gap, head, story
from vectormaker.wire import END, EVENTS, GAPS, HEADER, Bytes, packed

ORIGIN = {**HEAD, "first_cpu": 0, "cpus": 2}
# A value of another type, or one out of range, for each key of a map.
HEADER_KEYS: Mapping[str, Any] = {
    "clock": 5, "snaplen": -1, "syscalls": "write", "transport": b"perf-buffer", "kernel": ["6.1"],
    "host": 5, "boot_id": b"x", "filters": [1], "command": b"run", "versions": {"wcap": 1},
    "warnings": "slow", "at": 1, "part": 0, "after": [[1 << 32, 1]], "rewritten": [{"tool": "x"}],
    "origins": [5],
}  # fmt: skip
ORIGIN_KEYS: Mapping[str, Any] = {
    "first_cpu": -1, "cpus": 0, "clock": {"name": "boottime", "anchor": [0]}, "snaplen": "64",
    "syscalls": [1], "host": b"x",
}  # fmt: skip
END_KEYS: Mapping[str, Any] = {
    "reason": 1, "anchor": [1], "sequences": [0, 1], "lost": [1], "lost_results": {"other": -1},
    "unfollowed": -1, "exit_status": "0", "warnings": [b"x"], "bypassed": [5],
    "origins": [{"anchor": [0, 0]}], "left_out": [[0, -1]],
}  # fmt: skip
GAP_KEYS: Mapping[str, Any] = {
    "cpu": 1 << 32, "first_sequence": 1 << 63, "last_sequence": "4", "count": True,
    "first_ns": 1.5, "last_ns": None, "cause": b"buffer-full", "processes": [[1 << 32, 1]],
}  # fmt: skip
PROCESS_KEYS: Mapping[str, Any] = {
    "pid": True, "comm": 5, "leader": "main", "ppid": -1, "uid": "0", "start_ns": 1 << 63,
    "exe": "/bin/x", "cmdline": ["x"], "gid": 1 << 32, "cgroup": "/", "ns_pid": 1.0,
}  # fmt: skip
TARGET_KEYS: Mapping[str, Any] = {
    "kind": b"file", "path": 5, "device": [8, 1 << 32], "inode": "3", "local": "x:1",
    "peer": 1, "partial": 1, "deleted": "yes", "from_proc": False,
}  # fmt: skip
SUMMARY_KEYS: Mapping[str, Any] = {
    "events": "1", "first_ns": 1.0, "last_ns": "x", "captured": True, "written": -1,
    "failed": 2, "truncated": "0", "unreadable": -1, "unfinished": 2, "results_lost": 1.5,
    "unseen": 2, "sequences": 5, "pids": ["x"], "tids": 5, "fds": [b"x"], "comms": [1],
    "calls": "write", "payload_lost": 2, "targets": ["x"], "kinds": [b"pipe"],
}  # fmt: skip
SUMMARY_REQUIRED = (
    "events", "first_ns", "last_ns", "captured", "written", "failed", "truncated", "unreadable",
    "unfinished", "results_lost", "unseen", "sequences",
)  # fmt: skip


def keys() -> Iterator[Vector]:
    """A key that is wrong or missing, in each map of section 4 and in a summary."""
    for key, value in HEADER_KEYS.items():
        yield _broken(f"header-key-{key}", key, HEADER, head(**{key: value}))
    for key, value in ORIGIN_KEYS.items():
        origins = [{**ORIGIN, key: value}]
        yield _broken(f"origin-key-{key}", key, HEADER, head(origins=origins))
    for key in ("first_cpu", "cpus", "clock", "snaplen", "syscalls"):
        yield _broken(f"origin-lacks-{key}", key, HEADER, head(origins=[_less(ORIGIN, key)]))
    for key, value in END_KEYS.items():
        yield _broken(f"end-key-{key}", key, END, ending([ONE], **{key: value}))
    for key in ("pid", "comm"):
        bypass = _less({"pid": 5, "comm": b"x", "how": "compat"}, key)
        yield _broken(f"bypassed-lacks-{key}", key, END, ending([ONE], bypassed=[bypass]))
    lost = gap(0, 2, 4)
    for key, value in GAP_KEYS.items():
        yield _broken(f"gap-key-{key}", key, GAPS, {"gaps": [{**lost, key: value}]})
    for key in lost:
        if key != "cause":
            yield _broken(f"gap-lacks-{key}", key, GAPS, {"gaps": [_less(lost, key)]})
    for key, value in PROCESS_KEYS.items():
        table = {"data": packed({"processes": [{**PROCESS, key: value}]})}
        yield _broken(f"process-key-{key}", key, EVENTS, {**chunk(TWO), "processes": table})
    table = {"data": packed({"processes": [_less(PROCESS, "comm")]})}
    yield _broken("process-lacks-comm", "comm", EVENTS, {**chunk(TWO), "processes": table})
    event = chunk(replace(TWO, target={"kind": "pipe"}))
    for key, value in TARGET_KEYS.items():
        table = {"data": packed({"targets": [{"kind": "pipe", key: value}]})}
        yield _broken(f"target-key-{key}", key, EVENTS, {**event, "targets": table})
    body = chunk(TWO)
    for key, value in SUMMARY_KEYS.items():
        summary = {**body["summary"], key: value}
        yield _broken(f"summary-key-{key}", key, EVENTS, {**body, "summary": summary})
    for key in SUMMARY_REQUIRED:
        summary = _less(body["summary"], key)
        yield _broken(f"summary-lacks-{key}", key, EVENTS, {**body, "summary": summary})
    overlapping = [ORIGIN, {**ORIGIN, "first_cpu": 1}]
    yield broken("origins-overlap", "two origins with CPU 1", "R19", HEADER,
                 head(origins=overlapping))  # fmt: skip


def _broken(name: str, key: str, kind: int, body: Mapping[str, Any]) -> Vector:
    what = "without" if "-lacks-" in name else "with a wrong"
    shows = f"{name.partition('-')[0]} {what} {key}"
    return broken(name.replace("_", "-"), shows, "R19", kind, body)


def _less(value: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {own: inner for own, inner in value.items() if own != key}


def unsound() -> Iterator[Vector]:
    """What breaks a rule, and does not keep a reader from anything: verify finds it."""
    body = chunk(ONE)
    lie = {**body["summary"], "captured": 9, "pids": [999], "sequences": [[0, 3, 3, 1]]}
    yield _unsound("summary-lies", "a summary that is not true of its chunk", "W9", "5.5", frame=1,
                   frames=[(EVENTS, {**body, "summary": lie})], end=ending([replace(ONE, sequence=3)],
                   left_out=[[0, 2]]))  # fmt: skip
    late = replace(ONE, special=c.AT_EXIT)
    yield _unsound("at-exit-unmarked", "AT_EXIT in a chunk that does not mark it", "W12", "8.3",
                   late, frame=1, frames=[(EVENTS, {**chunk(late), "essential": []})])  # fmt: skip
    end = ending([ONE], origins=[{"reason": "signal", "anchor": [CLOCK_NS, WALL_NS]}])
    inner = {**ORIGIN, "origins": [ORIGIN]}
    yield _unsound("origins-nested", "an origin within another", "R6", "4.1", end=end, frame=0,
                   header=head(origins=[ORIGIN]), written_header=head(origins=[inner]))  # fmt: skip
    back = {"reason": "signal", "anchor": [CLOCK_NS - 1, WALL_NS - 1]}
    yield _unsound("origin-ends-before", "an origin that ended before it began", "R6", "4.5",
                   header=head(origins=[ORIGIN]), end={**end, "origins": [back]})  # fmt: skip
    yield _unsound("end-before-start", "a recording that ended before it began", "R6", "4.5",
                   end={**ending([ONE]), "anchor": back["anchor"]})  # fmt: skip


def _unsound(
    name: str,
    shows: str,
    rules: str,
    section: str,
    event: Event = ONE,
    *,
    frame: int = 2,
    **more: Any,
) -> Vector:
    made = Bytes(minor=3)
    vector = story(name, shows, rules, event, start=made, **more)
    return replace(vector, unsound=((section, made.parts[frame].offset),))
