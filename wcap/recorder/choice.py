"""Conditions on who is recorded, and how the kernel side (bpf/choose.h) is told them.

Each kind of condition is a tuple of values, any of which suffices. The kernel side compares them
as constants: they go into the program as -D flags.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

from wcap.filters import CommPattern
from wcap.recorder.records import COMM_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Values by kind; a kind without any leaves everyone in.

    Attributes:
        comms: names of a thread or of its process's leader.
        pids: processes.
    """

    comms: tuple[CommPattern, ...] = ()
    pids: tuple[int, ...] = ()


ANYONE = Conditions()


def flags(chosen: Conditions) -> list[str]:
    """Return the -D flags that choose.h lists at its top, for the kinds that there are."""
    lists = {"COMMS": map(_pattern, chosen.comms)}
    return [flag for name, values in lists.items() for flag in _list(name, values)]


def _list(name: str, values: Iterable[str]) -> list[str]:
    words = " ".join(f"X({value})" for value in values)
    return [f"-D{name}={words}"] if words else []


def _pattern(pattern: CommPattern) -> str:
    """Return a pattern as two words and the masks of the bits in them that count.

    An exact name is compared with the NUL behind it; old kernels leave anything after that.
    """
    compared = len(pattern.text) + (not pattern.prefix)
    text = pattern.text.ljust(COMM_SIZE, b"\0")
    mask = (b"\xff" * compared).ljust(COMM_SIZE, b"\0")
    words = [
        int.from_bytes(part, sys.byteorder) for part in (text[:8], mask[:8], text[8:], mask[8:])
    ]
    return "{:#x}ULL, {:#x}ULL, {:#x}ULL, {:#x}ULL".format(*words)
