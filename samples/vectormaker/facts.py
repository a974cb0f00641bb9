"""Vectors of what frames can say: header, end, processes, targets, gaps, late results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from vectormaker import chunk as c
from vectormaker.chunk import CLOCK_NS, PROCESS, WALL_NS, chunk
from vectormaker.columns import above
from vectormaker.meaning import Vector
from vectormaker.story import HEAD, ONE, TWO, ending, gap, head, story
from vectormaker.wire import EVENTS, GAPS, RESULTS, Bytes


def headers() -> Iterator[Vector]:
    """Every key of section 4.1."""
    facts: dict[str, Any] = {
        "transport": "perf-buffer",
        "kernel": {"release": "6.1.0", "version": "#1 SMP", "machine": "x86_64"},
        "host": "caf\u00e9",
        "boot_id": "5a3c1de0-77aa-4c0e-9b6e-0d2f4a1b8c55",
        "filters": {"given": ["-c", "a*"], "resolved": {"follow": True, "pids": [1, 2]}},
        "command": [b"./run", b"\xff not UTF-8", b""],
        "versions": {"wcap": "0.1.0"},
        "warnings": ["the buffer is small"],
        "at": "exit",
        "part": 1,
    }
    for key, value in facts.items():
        yield story(f"header-{key.replace('_', '-')}", f"the key {key} of HEADER", "R6", ONE,
                    header=head(**{key: value}))  # fmt: skip
    yield story("header-after", "a later part of a recording, whose numbers go on at 2", "R6", TWO,
                header=head(part=2, after=[[0, 1]]))  # fmt: skip
    rewritten = [
        {"what": "cut", "tool": "wcap", "version": "0.1.0", "asked": {"fd": ["1"]}},
        {"what": "hologram", "tool": "other", "version": "2", "asked": {"deep": [1, True]}},
    ]
    yield story("header-rewritten", "what was done to a capture: known and unknown", "R6", ONE,
                header=head(rewritten=rewritten), start=Bytes(minor=3))  # fmt: skip
    first = {**HEAD, "host": "one"}
    second = {
        **HEAD,
        "host": "two",
        "rewritten": rewritten[:1],
        "after": [[0, 4]],
        "clock": {"name": "boottime", "anchor": [CLOCK_NS - 5, WALL_NS + 7]},
    }
    origins = [{**first, "first_cpu": 0, "cpus": 2}, {**second, "first_cpu": 4, "cpus": 1}]
    elsewhere = replace(TWO, cpu=4, sequence=5, process={**PROCESS, "start_ns": -17})
    neither = replace(TWO, cpu=2, at=TWO.at + 1, sequence=1)
    last = ending([ONE, elsewhere, neither], reason="merged", origins=[
        {"reason": "signal", "anchor": [CLOCK_NS + 9, WALL_NS + 9], "exit_status": 1},
        {"reason": "command", "anchor": [CLOCK_NS, WALL_NS]}])  # fmt: skip
    yield story("header-origins", "two recordings merged, with CPU 0 and 4 on; CPU 2 is of neither",
                "R6", ONE, elsewhere, neither, header=head(origins=origins, after=[[4, 4]]),
                end=last, start=Bytes(minor=3), full=True)  # fmt: skip
    yield story("header-snaplen-most", "the largest snaplen", "R6", ONE,
                header=head(snaplen=(1 << 32) - 1))  # fmt: skip
    clock = {"name": "monotonic", "anchor": [0, 0]}
    yield story("clock-monotonic", "another clock, whose anchor is [0, 0]", "R6", ONE,
                header=head(clock=clock), anchor=(0, 0))  # fmt: skip
    most = (1 << 63) - 1
    clock = {"name": "boottime", "anchor": [most, most]}
    events = [replace(ONE, at=-most - 1 - CLOCK_NS), replace(TWO, at=-CLOCK_NS),
              replace(ONE, at=most - CLOCK_NS, sequence=3)]  # fmt: skip
    yield story("times-extreme", "the first and the last moment of int64, and the latest anchor", "R19",
                *events, header=head(clock=clock), anchor=(most, most))  # fmt: skip
    clock = {"name": "tai", "anchor": [CLOCK_NS, WALL_NS + 37]}
    yield story("clock-unknown", "a clock that no registry has", "R6", ONE,
                header=head(clock=clock), anchor=(CLOCK_NS, WALL_NS + 37))  # fmt: skip


def ends() -> Iterator[Vector]:
    """Every key of section 4.5."""
    short: dict[str, Any] = {
        "lost_results": {"buffer-full": 3},
        "unfollowed": 2,
        "bypassed": [{"pid": 7, "comm": b"ring", "how": "io_uring", "count": 9},
                     {"pid": 8, "comm": b"old", "how": "compat"}],
    }  # fmt: skip
    whole: dict[str, Any] = {"exit_status": -15, "warnings": ["two children were slow"]}
    for key, value in {**short, **whole}.items():
        yield story(f"end-{key.replace('_', '-')}", f"the key {key} of END", "R6", ONE,
                    end=ending([ONE], **{key: value}), status=3 * (key in short))  # fmt: skip
    for reason in ("signal", "command", "count", "duration", "loss", "output", "error", "novel"):
        yield story(f"end-reason-{reason}", f"{reason} as the reason of END", "R6", ONE,
                    end=ending([ONE], reason=reason), status=3 * (reason == "error"))  # fmt: skip
    kept = ending([ONE, replace(TWO, sequence=5)], left_out=[[0, 3]])
    yield story("end-left-out", "three events between two were left out on purpose", "R6", ONE,
                replace(TWO, sequence=5), end=kept, start=Bytes(minor=3))  # fmt: skip
    step = [CLOCK_NS + 1_000_000_000, WALL_NS + 90_000_000_000]
    yield story("end-clock-was-set", "the wall clock was set meanwhile: the anchor tells", "R6",
                ONE, end=ending([ONE], anchor=step))  # fmt: skip


def processes() -> Iterator[Vector]:
    """Every key of a process in section 4.2."""
    facts: dict[str, Any] = {
        "leader": b"main",
        "ppid": 1,
        "uid": (1 << 32) - 1,
        "start_ns": 5_000_000_000,
        "exe": b"/usr/bin/hello",
        "cmdline": [b"hello", b"", b"\xff"],
        "gid": 1000,
        "cgroup": b"/user.slice",
        "ns_pid": 12,
    }
    for key, value in facts.items():
        event = replace(ONE, process={**PROCESS, key: value})
        yield story(f"process-{key.replace('_', '-')}", f"the key {key} of a process", "W7",
                    event, full=True)  # fmt: skip
    again = [ONE, replace(TWO, process={"pid": 100, "comm": b"other", "uid": 5}, thread=b"thread")]
    yield story("process-number-twice", "two processes of one pid; a thread of another name",
                "W6", *again, full=True)  # fmt: skip
    yield story("process-pid-most", "the largest numbers of process and thread", "R15",
                replace(ONE, process={"pid": (1 << 32) - 1, "comm": b""}), full=True)  # fmt: skip


def targets() -> Iterator[Vector]:
    """Every key of a target, and every rule for its name."""
    facts: dict[str, dict[str, Any]] = {
        "file": {"kind": "file", "path": b"/srv/log", "device": [8, 1], "inode": (1 << 64) - 1},
        "partial": {"kind": "file", "path": b"deep/down", "partial": True},
        "deleted": {"kind": "file", "path": b"/tmp/x", "deleted": True},
        "from-proc": {"kind": "tty", "path": b"/dev/pts/3", "from_proc": True},
        "anonymous": {"kind": "anonymous", "path": b"[eventfd]"},
        "anonymous-nameless": {"kind": "anonymous", "inode": 4},
        "pipe": {"kind": "pipe", "inode": 48113},
        "pipe-nothing-known": {"kind": "pipe"},
        "connection": {"kind": "tcp", "inode": 9, "local": b"[::1]:80", "peer": b"[::1]:5000"},
        "local-only": {"kind": "udp", "local": b"0.0.0.0:53"},
        "peer-only": {"kind": "unix", "inode": 48202, "peer": b"/run/socket"},
        "peer-only-no-inode": {"kind": "unix", "peer": b"@abstract"},
        "kind-unknown": {"kind": "hologram", "inode": 3},
        "path-not-utf-8": {"kind": "directory", "path": b"/\xff\n"},
    }
    for name, target in facts.items():
        yield story(f"target-{name}", f"the name of a target: {name.replace('-', ' ')}", "W7",
                    replace(ONE, target=target), full=True)  # fmt: skip
    yield story("target-unknown-beside-known", "an event whose target is not known", "W6",
                replace(ONE, target=facts["pipe"]), TWO, full=True)  # fmt: skip


def gaps() -> Iterator[Vector]:
    """Gaps: section 4.3."""
    after = replace(TWO, sequence=5)
    for name, shows, lost in (
        ("gap", "three events lost between two", gap(0, 2, 4)),
        ("gap-processes", "whose the lost events were",
         gap(0, 2, 4, processes=[[100, 2], [(1 << 32) - 1, 1]])),
        ("gap-unknown-cause", "a cause that no registry has", gap(0, 2, 4, cause="eclipse")),
        ("gap-elsewhere", "a CPU of which nothing else is known", gap(9, 1, 1)),
    ):  # fmt: skip
        events = [ONE, TWO if lost["cpu"] else after]
        frames = [(EVENTS, chunk(ONE)), (GAPS, {"gaps": [lost]}), (EVENTS, chunk(events[1]))]
        yield story(name, shows, "R18", *events, gaps=[lost], frames=frames)
    merged = gap(0, 2, 6, count=3)
    events = [ONE, replace(TWO, sequence=4), replace(TWO, sequence=5), replace(TWO, sequence=7)]
    yield story("gap-merged", "several holes as one gap: count is below the span", "R18", *events,
                gaps=[merged])  # fmt: skip
    last = gap(0, 2, 3, last_ns=CLOCK_NS + 1_000_000_000)
    yield story("gap-at-the-end", "events lost after the last one", "R18", ONE, gaps=[last],
                frames=[(EVENTS, chunk(ONE)), (GAPS, {"gaps": [last]})])  # fmt: skip
    yield story("gaps-none", "a GAPS frame without a gap", "R18", ONE,
                frames=[(GAPS, {"gaps": []}), (EVENTS, chunk(ONE))])  # fmt: skip


def results(*rows: tuple[int, int, int, int]) -> dict[str, Any]:
    """Return the body of a RESULTS frame: cpu, sequence, returned, duration."""
    names = ("cpu", "sequence", "returned", "duration_ns")
    return {
        "results": len(rows),
        "columns": {name: above([row[place] for row in rows]) for place, name in enumerate(names)},
    }


def late_results() -> Iterator[Vector]:
    """Late results: section 4.4."""
    open_ = replace(ONE, special=c.UNFINISHED, returned=0)
    done = replace(ONE, returned=-32, duration=7000)
    first = (EVENTS, chunk(open_))
    for name, shows, frames, seen in (
        ("late-result", "an unfinished event that a later frame completes",
         [first, (RESULTS, results((0, 1, -32, 7000)))], done),
        ("late-result-twice", "of two results for one event the first counts",
         [first, (RESULTS, results((0, 1, -32, 7000), (0, 1, 3, 1))),
          (RESULTS, results((0, 1, 2, 2)))], done),
        ("late-result-too-early", "a result before its event's chunk means nothing",
         [(RESULTS, results((0, 1, -32, 7000))), first], open_),
        ("late-result-of-nothing", "a result for an event that is not there means nothing",
         [first, (RESULTS, results((0, 2, -32, 7000), (1, 1, 1, 1)))], open_),
        ("late-result-of-finished", "a result for an event that is not unfinished means nothing",
         [(EVENTS, chunk(ONE)), (RESULTS, results((0, 1, -32, 7000)))], ONE),
    ):  # fmt: skip
        streamed = [open_] if seen == done else None
        yield story(name, shows, "R17", seen, frames=frames, streamed=streamed)
    lost = replace(ONE, special=c.RESULT_LOST)
    yield story("late-result-of-lost", "a lost result is not completed", "R17", lost,
                frames=[(EVENTS, chunk(lost)), (RESULTS, results((0, 1, -32, 7000)))])  # fmt: skip


PARTS = (headers, ends, processes, targets, gaps, late_results)
