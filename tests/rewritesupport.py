"""Captures to be rewritten, and ways to look at what became of them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack
import zstandard
from bytesupport import Pipe, frames_of, written
from hypothesis import settings
from hypothesis import strategies as st
from support import CLOCK, HEADER, STARTED_NS, batch_of, write

from wcap.batch import EventBatch
from wcap.check import Check
from wcap.events import Bypass, EventFlag, Gap, Target
from wcap.exporters.jsonl import format_batch
from wcap.filters import CommPattern, Filter
from wcap.format import Clock, End, Header
from wcap.reader import Capture
from wcap.rewrite import Merged, merge
from wcap.summary import Facts, examine

SLOWLY = settings(deadline=None, max_examples=30)

# Booted an hour earlier, at another anchor.
OTHER = replace(
    HEADER,
    host="other",
    boot_id="another",
    clock=Clock("boottime", CLOCK.clock_ns * 2, STARTED_NS - 50),
)

# Every name is one that stands nowhere else, so that it can be looked for in bytes.
WHO = [(100 + number, f"who-{number}-name") for number in range(4)]
TARGETS = [Target("file", f"/where/target-{number}") for number in range(3)]
ADDRESSES = [f"10.0.0.{number}:5{number}99" for number in range(1, 4)]

FILTERS = st.builds(
    Filter,
    pids=st.none() | st.sets(st.sampled_from([pid for pid, _ in WHO]), min_size=1).map(frozenset),
    comms=st.none() | st.sampled_from([(CommPattern(WHO[2][1].encode()),)]),
    fds=st.none() | st.just(frozenset({1, 2})),
    since_ns=st.none() | st.integers(0, 400).map(lambda ns: STARTED_NS + ns),
    until_ns=st.none() | st.integers(0, 400).map(lambda ns: STARTED_NS + ns),
    targets=st.none() | st.just(("*target-1",)),
    errors=st.booleans(),
    without=st.sampled_from([(), (Filter(pids=frozenset({WHO[1][0]})),)]),
)


@dataclass
class Made:
    """A capture that was made up, in the order of its frames."""

    steps: list[Any] = field(default_factory=list)
    end: End | None = None
    header: Header = HEADER

    @property
    def data(self) -> bytes:
        return written(*self.steps, *([] if self.end is None else [self.end]), header=self.header)


@st.composite
def recorded(draw: st.DrawFn, *, ended: bool = True, header: Header = HEADER) -> Made:
    """Draw a capture whose accounts hold: events, gaps and late results on three CPUs."""
    reached: dict[int, int] = {}
    now, lost, steps, waiting = 0, {}, [], []
    late: list[tuple[int, int, int, int]] = []
    for _ in range(draw(st.integers(0, 40))):
        cpu = draw(st.integers(0, 2))
        now += draw(st.integers(0, 20))
        kind = draw(st.integers(0, 9))
        if kind == 0:
            count = draw(st.integers(1, 3))
            first = reached.get(cpu, 0) + 1
            reached[cpu] = first + count - 1
            whose = ((WHO[draw(st.integers(0, 3))][0], 1),) * draw(st.integers(0, 1))
            lost["buffer-full"] = lost.get("buffer-full", 0) + count
            if waiting:
                steps.append(batch_of(*waiting))
                waiting = []
            moment = STARTED_NS + now
            steps.append([Gap(cpu, first, first + count - 1, count, moment, moment + 5,
                              "buffer-full", whose)])  # fmt: skip
            continue
        event = _event(draw, cpu, now)
        reached[cpu] = event["sequence"] = reached.get(cpu, 0) + 1
        if event["flags"] & EventFlag.UNFINISHED and draw(st.booleans()):
            late.append((cpu, reached[cpu], draw(st.sampled_from([-32, 6])), 77))
        waiting.append(event)
        if kind == 1:
            steps.append(batch_of(*waiting))
            waiting = []
    if waiting:
        steps.append(batch_of(*waiting))
    if late:
        steps.append(late)
    end_ns = CLOCK.clock_ns + now + 1000
    bypassed = tuple(Bypass(pid, comm, "compat") for pid, comm in WHO[: draw(st.integers(0, 1))])
    end = End("signal", end_ns, end_ns + CLOCK.offset_ns, reached, lost, bypassed=bypassed)
    return Made(steps, end if ended else None, header)


def _event(draw: st.DrawFn, cpu: int, now: int) -> dict[str, Any]:
    pid, comm = draw(st.sampled_from(WHO))
    where = draw(st.sampled_from([*TARGETS, Target()]))
    address = draw(st.none() | st.sampled_from(ADDRESSES))
    unfinished = draw(st.integers(0, 5)) == 0
    return write(
        f"payload of {comm}".encode(),
        after_ns=now,
        pid=pid,
        comm=comm,
        cpu=cpu,
        fd=draw(st.integers(1, 3)),
        returned=draw(st.sampled_from([None, -32])),
        flags=EventFlag.UNFINISHED if unfinished else EventFlag(0),
        target=where,
        source_fd=draw(st.none() | st.just(5)),
        source=draw(st.sampled_from([None, *TARGETS])),
        address=address,
    )


def opened(data: bytes, *, pipe: bool = False) -> Capture:
    return Capture(Pipe(data) if pipe else io.BytesIO(data), errors="salvage")


def events_of(data: bytes, where: Filter = Filter()) -> list[dict[str, Any]]:  # noqa: B008
    with opened(data) as capture:
        return [
            json.loads(line)
            for batch in capture.batches(where)
            for line in format_batch(batch).splitlines()
        ]


def gaps_of(data: bytes) -> list[Gap]:
    with opened(data) as capture:
        list(capture.batches())
        return sorted(capture.gaps, key=lambda gap: (gap.last_ns, gap.cpu, gap.first_sequence))


def facts_of(data: bytes) -> Facts:
    with opened(data) as capture:
        return examine(capture)


def findings(data: bytes) -> list[str]:
    """Return what verify finds, without places."""
    return [f"{found.section} {found.reason}" for found in Check(io.BytesIO(data)).findings()]


def everything_in(data: bytes) -> bytes:
    """Return all text and bytes that a capture holds, unpacked."""
    found = io.BytesIO()
    for frame in frames_of(data):
        _spill(msgpack.unpackb(data[frame.start + 18 : frame.end], strict_map_key=False), found)
    return found.getvalue()


def _spill(value: Any, into: io.BytesIO) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("data"), bytes) and "size" in value:
            unpacked = zstandard.ZstdDecompressor().decompress(value["data"])
            into.write(unpacked + b"\0")
        for key, inner in value.items():
            _spill(key, into)
            _spill(inner, into)
    elif isinstance(value, list):
        for inner in value:
            _spill(inner, into)
    elif isinstance(value, str | bytes):
        into.write((value.encode() if isinstance(value, str) else value) + b"\0")


def batches_in(made: Made) -> list[EventBatch]:
    return [step for step in made.steps if isinstance(step, EventBatch)]


def merged(*captures: bytes) -> bytes:
    target = io.BytesIO()
    with Merged([opened(data) for data in captures], errors="salvage") as source:
        merge(source, target, salt=0)
    return target.getvalue()


def in_order(events):
    return sorted(events, key=lambda event: (event["time_ns"], event["cpu"], event["sequence"]))


def moved(made, header=OTHER):
    """Return the capture as another machine would have it: the same moments, its own clock."""
    end = replace(made.end, clock_ns=made.end.wall_ns - header.clock.offset_ns)
    return replace(made, header=header, end=end)
