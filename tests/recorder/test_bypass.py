from __future__ import annotations

import os
from pathlib import Path

from wcap.events import Bypass
from wcap.recorder.bypass import of_32_bits, untold

# No process has such a number: /proc knows nothing of it.
NOBODY = 5_000_000


def test_what_was_counted_and_could_not_be_told_is_found():
    told = {(7, "io_uring"): Bypass(7, "seven", "io_uring")}
    counted = {(7, "io_uring"): 3, (7, "compat"): 1, (NOBODY, "io_uring"): 9}

    found = list(untold(counted, told))

    assert [(bypass.pid, bypass.how) for bypass in found] == [
        (7, "compat"),
        (NOBODY, "io_uring"),
    ]
    assert found[-1].comm == "?"


def test_a_process_that_lives_is_told_by_its_name():
    [found] = untold({(os.getpid(), "io_uring"): 1}, {})

    assert found.comm == Path("/proc/self/comm").read_text().rstrip("\n")


def test_this_process_has_64_bits_and_one_that_has_ended_none():
    assert list(of_32_bits([os.getpid(), NOBODY])) == []
