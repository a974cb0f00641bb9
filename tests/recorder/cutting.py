"""An assembler of a known clock, and cuts of records given by hand."""

from __future__ import annotations

from recorder.rawrecords import span_of

from wcap.format import Clock
from wcap.recorder.assemble import Assembler

CLOCK = Clock("boottime", 1_000_000, 1_767_323_045_000_000_000)
OFFSET_NS = CLOCK.offset_ns
HOUR = 3600 * 10**9


def make_assembler(cause_of=lambda cpu: "full", **options):
    return Assembler(CLOCK, cause_of, **options)


def result_of(event):
    return None if event.returned is None else (event.returned, event.duration_ns)


def cut_of(*raw, now=HOUR, settled=HOUR, assembler=None, **options):
    """Feed records and cut; what began before ``settled`` is taken for settled."""
    assembler = assembler or make_assembler()
    assembler.feed(span_of(*raw))
    return assembler.cut(now, settled, **options)
