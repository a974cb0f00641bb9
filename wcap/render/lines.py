r"""A line an event.

    03:04:05.000001500 client-tcp 2260/2260 write(3</var/log/x>) = 6 <0.000012345> "hello\n"

is time, thread's name, pid/tid, system call with its descriptor and what that stood for, result,
duration, payload. The snoop
style is that of bpf-writesnoop: ``"t" (2260,2182) OUT >> "25) hello, go\n"``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wcap.batch import EventBatch
from wcap.escape import escape_text
from wcap.events import NO_RESULT
from wcap.render.facts import (
    bare,
    durations,
    notes,
    quoted,
    quoted_payloads,
    result_text,
    results,
)
from wcap.render.palette import Palette
from wcap.render.places import descriptor, places
from wcap.render.renderer import Renderer
from wcap.render.times import Times
from wcap.render.window import fit
from wcap.weave import TextColumn, per_distinct, rows_of, weave

_ARGUMENTS = {"offset": ", @", "address": ", to ", "source": ", from "}
_SNOOP_NAMES = {1: "OUT", 2: "ERR"}


class LineRenderer(Renderer):
    """The default style."""

    def _events(self, batch: EventBatch) -> str:
        before = line_heads(batch, self._times, self._palette)
        return _lines(batch, before, [notes(batch, self._palette)], self._width)


class SnoopRenderer(Renderer):
    """The style of bpf-writesnoop; what it never said (failures, cuts) follows the payload."""

    def _events(self, batch: EventBatch) -> str:
        after = [notes(batch, self._palette), _snoop_results(batch, self._palette)]
        return _lines(batch, [_snoop_heads(batch, self._palette)], after, self._width)


def line_heads(batch: EventBatch, times: Times, palette: Palette) -> list[TextColumn]:
    """Return the columns of a line up to its payload."""
    seconds, nanoseconds = times.columns(batch.time_ns)
    process, comm, tid, call = batch.process, batch.comm, batch.tid, batch.syscall
    fd, target = batch.fd, batch.target
    comms = [bare(name) for name in batch.comms]
    calls = [escape_text(name) for name in batch.syscalls]
    arguments = places(batch, _ARGUMENTS)
    closing = ") = "
    closed = "" if arguments else closing

    # Which machine it was is said where there are several.
    host = batch.host
    machines = [
        f" {bare('?' if name is None else name)}" * batch.hosts.several
        for name in batch.hosts.names
    ]

    def make(row: int) -> str:
        pid = batch.processes[process[row]].pid
        name = f"{machines[host[row]]} {palette.name}{comms[comm[row]]}{palette.end}"
        written = descriptor(int(fd[row]), batch.targets[target[row]])
        return f"{palette.end}{name} {pid}/{tid[row]} {calls[call[row]]}({written}{closed}"

    who = per_distinct([process, comm, tid, call, fd, target, host], make)
    if arguments:
        arguments.append(closing)
    answers = [results(batch, palette), *durations(batch)]
    return [palette.time, seconds, nanoseconds, who, *arguments, *answers]


def _snoop_heads(batch: EventBatch, palette: Palette) -> TextColumn:
    process, comm, fd = batch.process, batch.comm, batch.fd
    comms = [quoted(name) for name in batch.comms]

    def make(row: int) -> str:
        writer = batch.processes[process[row]]
        parent = "?" if writer.ppid is None else writer.ppid
        place = _SNOOP_NAMES.get(int(fd[row]), f"FD {fd[row]}")
        name = f"{palette.name}{comms[comm[row]]}{palette.end}"
        return f"{name} ({writer.pid},{parent}) {place} >>"

    return per_distinct([process, comm, fd], make)


def _snoop_results(batch: EventBatch, palette: Palette) -> TextColumn:
    returned, flags, count = batch.returned, batch.flags & np.uint32(NO_RESULT), batch.count

    def make(row: int) -> str:
        text = result_text(int(returned[row]), int(count[row]), int(flags[row]))
        return "" if text.isdecimal() else f" = {palette.error}{text}{palette.end}"

    return per_distinct([returned, flags, count], make)


def _lines(
    batch: EventBatch,
    before: Sequence[TextColumn],
    after: Sequence[TextColumn],
    width: int | None,
) -> str:
    opening, texts, closing = quoted_payloads(batch)
    length = len(batch)
    if width is None:
        return weave(length, *before, opening, texts, closing, *after, "\n")
    rows = zip(
        rows_of(length, *before, opening, texts),
        rows_of(length, closing),
        rows_of(length, *after),
        strict=True,
    )
    return "".join([fit(text, mark, tail, width) + "\n" for text, mark, tail in rows])
