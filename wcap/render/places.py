"""Where a call wrote to, and what it read from, as columns of text.

A descriptor is followed by what it stood for, as ``strace -y`` shows it: ``3</var/log/x>``. Paths
and addresses come from whoever was recorded: they are escaped, and so are angle brackets within
them, so that none passes for the rest of a line.
"""

from __future__ import annotations

from collections.abc import Mapping

from wcap.batch import Column, EventBatch
from wcap.escape import escape_text
from wcap.events import Target
from wcap.render.facts import bare
from wcap.weave import TextColumn, per_distinct

_BRACKETS = str.maketrans({"<": "\\x3c", ">": "\\x3e"})


def descriptor(fd: int, target: Target) -> str:
    """Return a descriptor and what it stood for, if that is known: ``3</var/log/x>``."""
    name = target.name
    return str(fd) if name is None else f"{fd}<{escape_text(name).translate(_BRACKETS)}>"


def places(batch: EventBatch, before: Mapping[str, str]) -> list[TextColumn]:
    """Return a column for each fact that any of the events has; empty for those without it.

    Args:
        batch: at least one event.
        before: what stands before ``offset``, ``address`` and ``source``, in the order wanted.
    """
    forms = {"offset": _offsets, "address": _addresses, "source": _sources}
    return [
        forms[name](batch, known, words)
        for name, words in before.items()
        if bool((known := batch.has(name)).any())
    ]


def _offsets(batch: EventBatch, known: Column, before: str) -> TextColumn:
    offset = batch.column("offset")
    return per_distinct([known, offset], lambda row: f"{before}{offset[row]}" if known[row] else "")


def _addresses(batch: EventBatch, known: Column, before: str) -> TextColumn:
    address = batch.column("address")

    def make(row: int) -> str:
        return f"{before}{bare(batch.addresses[address[row]])}" if known[row] else ""

    return per_distinct([known, address], make)


def _sources(batch: EventBatch, known: Column, before: str) -> TextColumn:
    fd, source = batch.column("source_fd"), batch.column("source")

    def make(row: int) -> str:
        if not known[row]:
            return ""
        return before + descriptor(int(fd[row]), batch.targets[source[row]])

    return per_distinct([known, fd, source], make)
