from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from wcap.recorder.closing import close_all_but

# Python warns of any fork in a process with threads, which numpy has.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def test_only_the_descriptors_named_stay_open():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        close_all_but([writing])
        left = [link.name for link in Path("/proc/self/fd").iterdir()]
        os.write(writing, " ".join(left).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    left = set(map(int, os.read(reading, 4096).split()))
    os.close(reading)

    listing = left - {writing}  # what listing them opened
    assert writing in left
    assert len(listing) == 1


def test_what_is_left_to_be_closed_is_closed_soon_and_by_nobody_that_we_wait_for():
    """In a process of its own, which must have no child afterwards."""
    code = (
        "import os\n"
        "from wcap.recorder.closing import leave_closing\n"
        "reading, writing = os.pipe()\n"
        "kept, other = os.pipe()\n"
        "leave_closing([writing])\n"
        "os.close(writing)\n"
        "try:\n"
        "    os.waitpid(-1, os.WNOHANG)\n"
        "except ChildProcessError:\n"
        "    print('childless')\n"
        "print(os.read(reading, 1))\n"  # ends when the last copy is closed
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )

    assert ended.stdout.splitlines() == ["childless", "b''"]
