"""Vectors of captures that need another reader: each is refused, or read up to a place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vectormaker.chunk import chunk
from vectormaker.meaning import Vector
from vectormaker.story import HEAD, ONE, TWO, ending
from vectormaker.wire import END, EVENTS, HEADER, Bytes, packed


def vectors() -> Iterator[Vector]:
    """Yield every vector of this folder."""
    for vector in (*versions(), *frame_types(), *essentials()):
        yield replace(vector, name=f"unsupported/{vector.name}")


def versions() -> Iterator[Vector]:
    """Other major versions."""
    for name, major in (("newer", 2), ("older", 0), ("newest", 255)):
        made = Bytes(major=major, minor=7).frames((HEADER, HEAD), (EVENTS, chunk(ONE)))
        yield refused(f"{name}-major", f"format version {major}.7", "R2", made.closed(), 10)
    yield refused("newer-major-alone", "another major version, and nothing after the preamble",
                  "R2", bytes(Bytes(major=3).data), 10)  # fmt: skip


def refused(name: str, shows: str, rules: str, data: bytes, place: int) -> Vector:
    """Return a vector of a capture that is refused as a whole."""
    return Vector(name, shows, rules, data, refused=("unsupported", place), status=1)


def frame_types() -> Iterator[Vector]:
    """Frame types that a reader has to know."""
    for kind in (8, 63, 0, -1, -128):
        name = f"frame-{'minus-' * (kind < 0)}{abs(kind)}"
        made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE)))
        place = made.place
        made.frames((kind, packed({})), (EVENTS, chunk(TWO)), (END, ending([ONE, TWO])))
        found = refused(name, f"a frame of type {kind}, which no reader may skip", "R5",
                        made.closed(), place)  # fmt: skip
        yield replace(found, streamed=[ONE])


def essentials() -> Iterator[Vector]:
    """Names in ``essential`` that this version does not know."""
    for name, marked in (("essential-unknown", ["novelty"]), ("essential-among-known",
                         ["time_ns", "x-own", "payload"])):  # fmt: skip
        made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE)))
        place = made.place
        made.frames(
            (EVENTS, {**chunk(TWO), "essential": marked}),
            (EVENTS, chunk(replace(TWO, sequence=3))),
        )
        last = ending([ONE, replace(TWO, sequence=3)])
        yield Vector(
            name, f"a chunk that marks {marked} as essential: nothing after it is delivered", "R7",
            made.frame(END, last).closed(), [ONE], header=HEAD, end=last,
            stopped=("unsupported", place), status=1,
        )  # fmt: skip
