from __future__ import annotations

import os

import pytest
from kernel.support import CALLS, record_whole

pytestmark = pytest.mark.kernel

# Nice values are field 19 (proc_pid_stat(5)).
WORKLOAD = f"""
{CALLS}

def nice(task):
    return int(open(f"{{task}}/stat").read().rpartition(")")[2].split()[16])

parent = f"/proc/{{os.getppid()}}/task"
note("own", nice("/proc/self"))
note("recorder", [nice(f"{{parent}}/{{thread}}") for thread in os.listdir(parent)])
"""


def test_the_recorder_goes_before_what_it_launches(tmp_path):
    """Its main thread, and those that drain the buffer and write the capture."""
    told = record_whole(WORKLOAD, output=tmp_path / "run.wcap").notes

    assert told["own"] == os.getpriority(os.PRIO_PROCESS, 0)
    assert told["recorder"].count(-20) >= 3
