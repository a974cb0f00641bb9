"""A block of labelled lines an event, as syscall-write-trace prints them, and what it left out."""

from __future__ import annotations

from wcap.escape import escape_text
from wcap.events import EventBatch, Gap
from wcap.render.facts import bare, durations, notes, quoted_payloads, results
from wcap.render.renderer import Renderer
from wcap.render.weave import per_distinct, weave


class BlockRenderer(Renderer):
    """The style of ``--style block``."""

    def _events(self, batch: EventBatch) -> str:
        process, comm, tid, call, fd = batch.process, batch.comm, batch.tid, batch.syscall, batch.fd
        count = batch.count
        comms = [bare(name) for name in batch.comms]
        calls = [escape_text(name) for name in batch.syscalls]

        def make(row: int) -> str:
            writer = batch.processes[process[row]]
            return (
                f"\nProcess: {self._palette.name}{comms[comm[row]]}{self._palette.end}"
                f"\nPID:     {writer.pid}"
                f"\nTID:     {tid[row]}"
                f"\nCall:    {calls[call[row]]}"
                f"\nFD:      {fd[row]}"
                f"\nCount:   {count[row]}"
                "\nResult:  "
            )

        return weave(
            len(batch),
            "Time:    ",
            *self._times.columns(batch.time_ns),
            per_distinct([process, comm, tid, call, fd, count], make),
            results(batch, self._palette),
            *durations(batch),
            "\nData:   ",
            *quoted_payloads(batch),
            notes(batch, self._palette),
            [f"\nHex:     {data.hex(' ')}" if data else "" for data in batch.payloads()],
            "\n\n",
        )

    def gap(self, gap: Gap) -> str:
        """Return the line that says what was lost, with an empty line after it."""
        return super().gap(gap) + "\n"
