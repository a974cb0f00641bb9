from __future__ import annotations

import pytest
from kernel.support import CALLS, record_whole

pytestmark = pytest.mark.kernel

# What of the recorder's compiler is in memory, in kB (proc_pid_smaps(5)).
WORKLOAD = f"""
{CALLS}

resident, mapping = {{}}, ""
for line in open(f"/proc/{{os.getppid()}}/smaps"):
    first, *rest = line.split()
    if not first.endswith(":"):
        library = line.rpartition("/")[2]
        mapping = rest[0] if library.startswith(("libLLVM", "libclang")) else ""
    elif first == "Rss:" and mapping:
        resident[mapping] = resident.get(mapping, 0) + int(rest[0])
note("resident", resident)
"""


def test_the_compilers_code_is_given_back_before_recording_begins(tmp_path):
    """It is 60 MB and more; what is left are the few pages that its threads stand in."""
    resident = record_whole(WORKLOAD, output=tmp_path / "run.wcap").notes["resident"]

    assert "r-xp" in resident
    assert resident["r-xp"] < 8192
