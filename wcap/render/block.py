"""A block of labelled lines an event, as syscall-write-trace prints them, and what it left out."""

from __future__ import annotations

import numpy as np

from wcap.batch import EventBatch
from wcap.escape import escape_text
from wcap.events import EventFlag, Gap
from wcap.render.facts import bare, durations, notes, quoted_payloads, results
from wcap.render.places import places
from wcap.render.renderer import Renderer
from wcap.weave import per_distinct, weave

_PLACES = {"offset": "\nOffset:  ", "source": "\nFrom:    ", "address": "\nTo:      "}


class BlockRenderer(Renderer):
    """The style of ``--style block``."""

    def _events(self, batch: EventBatch) -> str:
        process, comm, tid, call = batch.process, batch.comm, batch.tid, batch.syscall
        fd, target, count = batch.fd, batch.target, batch.count
        comms = [bare(name) for name in batch.comms]
        calls = [escape_text(name) for name in batch.syscalls]

        def make(row: int) -> str:
            writer, written = batch.processes[process[row]], batch.targets[target[row]].name
            return (
                f"\nProcess: {self._palette.name}{comms[comm[row]]}{self._palette.end}"
                f"\nPID:     {writer.pid}"
                f"\nTID:     {tid[row]}"
                f"\nCall:    {calls[call[row]]}"
                f"\nFD:      {fd[row]}"
                + ("" if written is None else f"\nTarget:  {escape_text(written)}")
            )

        never = (batch.flags & np.uint32(EventFlag.NO_PAYLOAD)) != 0
        return weave(
            len(batch),
            "Time:    ",
            *self._times.columns(batch.time_ns),
            per_distinct([process, comm, tid, call, fd, target], make),
            *places(batch, _PLACES),
            "\nCount:   ",
            per_distinct([count], lambda row: str(count[row])),
            "\nResult:  ",
            results(batch, self._palette),
            *durations(batch),
            per_distinct([never], lambda row: "" if never[row] else "\nData:   "),
            *quoted_payloads(batch),
            notes(batch, self._palette),
            [f"\nHex:     {data.hex(' ')}" if data else "" for data in batch.payloads()],
            "\n\n",
        )

    def gap(self, gap: Gap) -> str:
        """Return the line that says what was lost, with an empty line after it."""
        return super().gap(gap) + "\n"
