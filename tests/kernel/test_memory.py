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
note("threads", len(os.listdir(f"/proc/{{os.getppid()}}/task")))
note("told", "OPENBLAS_NUM_THREADS" in os.environ)
"""


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    return record_whole(WORKLOAD, output=tmp_path_factory.mktemp("run") / "run.wcap").notes


def test_the_compilers_code_is_given_back_before_recording_begins(notes):
    """It is 60 MB and more; what is left are the few pages that are needed again."""
    assert notes["resident"]["r-xp"] < 8192


def test_numpy_starts_no_threads_and_a_launched_command_hears_nothing_of_that(notes):
    """The threads are the main one, the drain, the encoder, and one that waits for the command."""
    assert notes["threads"] == 4
    assert not notes["told"]
