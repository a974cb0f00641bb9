"""Whether captures have the same event twice: copies, cuts beside the whole, stale parts.

Captures that come from one recording say so in the keys that rewriting leaves as they are (SPEC.md
section 4.1). Where their numbers on a CPU overlap, the events of the chunks concerned are compared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from wcap.batch import Column, EventBatch
from wcap.errors import UsageError
from wcap.format import Clock, Header, Origin, encode_header
from wcap.reader import Capture

# So many chunks of other captures may overlap with one, on average; else nobody could have made
# them by cutting, and comparing them would take too long.
_MOST_EACH = 64


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Numbers of one CPU in a chunk, and the chunk's times on the wall clock.

    ``first_cpu`` is what to add to the recording's CPU number.
    """

    first: int
    last: int
    first_ns: int
    last_ns: int
    capture: int
    chunk: int
    cpu: int
    first_cpu: int


def same_recording(header: Header) -> bytes:
    """Return what all captures of one recording have in common, and no others."""
    clock = Clock(header.clock.name, 0, header.clock.offset_ns)
    common = replace(
        header, clock=clock, part=None, after={}, warnings=(), rewritten=(), origins=()
    )
    return encode_header(common)


def refuse_overlaps(captures: Sequence[Capture]) -> None:
    """See that no event is in two captures.

    Raises:
        UsageError: one is.
    """
    stretches: defaultdict[tuple[bytes, int], list[_Stretch]] = defaultdict(list)
    for place, origins in _related(captures):
        offset_ns = captures[place].header.clock.offset_ns
        for chunk, summary in captures[place].numbered_summaries():
            times = summary.first_ns + offset_ns, summary.last_ns + offset_ns
            for cpu, first, last, _ in summary.sequences:
                for identity, origin in origins:
                    if origin.first_cpu <= cpu < origin.first_cpu + origin.cpus:
                        own = cpu - origin.first_cpu
                        found = _Stretch(first, last, *times, place, chunk, own, origin.first_cpu)
                        stretches[identity, own].append(found)

    @lru_cache(maxsize=8)
    def batch(capture: int, chunk: int) -> EventBatch | None:
        return captures[capture].batch_at(chunk)

    for together in stretches.values():
        left = _MOST_EACH * len(together)
        for one, other in _overlapping(together):
            left -= 1
            common = _common(one, batch(one.capture, one.chunk), other,
                             batch(other.capture, other.chunk))  # fmt: skip
            if common is not None or left < 0:
                names = sorted([one, other], key=lambda stretch: stretch.capture)
                name, also = (captures[stretch.capture].name for stretch in names)
                which = one.first if common is None else common
                raise UsageError(
                    f"{name} and {also} both have event {which} of CPU {one.cpu} of one "
                    "recording: give only one of them"
                )


def _related(captures: Sequence[Capture]) -> Iterator[tuple[int, list[tuple[bytes, Origin]]]]:
    """Yield places of captures, with the recordings in each that are in another capture too."""
    every = []
    known: defaultdict[bytes, int] = defaultdict(int)
    for capture in captures:
        header = capture.header
        origins = header.origins or (Origin(0, 1 << 32, header),)
        told = [(same_recording(origin.header), origin) for origin in origins]
        for identity in {identity for identity, _ in told}:
            known[identity] += 1
        every.append(told)
    for place, told in enumerate(every):
        shared = [(identity, origin) for identity, origin in told if known[identity] > 1]
        if shared:
            yield place, shared


def _overlapping(stretches: list[_Stretch]) -> Iterator[tuple[_Stretch, _Stretch]]:
    """Yield pairs of different captures that have numbers, and times, between the same two."""
    open_: list[_Stretch] = []
    for stretch in sorted(stretches, key=lambda one: one.first):
        open_ = [before for before in open_ if before.last >= stretch.first]
        for before in open_:
            apart = before.last_ns < stretch.first_ns or stretch.last_ns < before.first_ns
            if before.capture != stretch.capture and not apart:
                yield before, stretch
        open_.append(stretch)


def _common(
    one: _Stretch, batch: EventBatch | None, other: _Stretch, beside: EventBatch | None
) -> int | None:
    """Return a number that stands for the same event in both; None if there is none."""
    if batch is None or beside is None:
        return None
    numbers, times = _on(batch, one)
    others, moments = _on(beside, other)
    both, places, others_places = np.intersect1d(numbers, others, return_indices=True)
    alike = both[times[places] == moments[others_places]]
    return int(alike[0]) if len(alike) else None


def _on(batch: EventBatch, stretch: _Stretch) -> tuple[Column, Column]:
    mine = batch.cpu == stretch.cpu + stretch.first_cpu
    return batch.sequence[mine], batch.time_ns[mine]
