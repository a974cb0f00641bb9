"""The recorder's share of the processors, against those of the programs that it records."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

# The most that there is (setpriority(2)). When writers take every processor, this decides whether
# the recorder keeps up with them: docs/performance.md has the figures.
_NICE = -20


@contextlib.contextmanager
def ahead_of_others() -> Iterator[None]:
    """Let this thread, and those that it starts, run before other programs where that is allowed.

    Processes that are forked meanwhile are ahead, too.
    """
    thread = os.PRIO_PROCESS, 0
    before = os.getpriority(*thread)
    try:
        os.setpriority(*thread, _NICE)
    except PermissionError:  # without CAP_SYS_NICE all are alike
        yield
        return
    try:
        yield
    finally:
        os.setpriority(*thread, before)
