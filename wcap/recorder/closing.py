"""Closing file descriptors that the kernel takes long to let go of, without waiting for it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from itertools import pairwise

# More file descriptors than any process of ours has.
_END = 1 << 20


def close_all_but(descriptors: Iterable[int]) -> None:
    """Close every file descriptor of this process but some."""
    for before, after in pairwise(sorted({*descriptors, -1, _END})):
        os.closerange(before + 1, after)


def leave_closing(descriptors: Sequence[int]) -> None:
    """Leave it to a process of its own to close file descriptors last.

    Its copies keep them open, so that they are closed here at once. It holds nothing else, belongs
    to no terminal, and is nobody's child.
    """
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                close_all_but(descriptors)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
