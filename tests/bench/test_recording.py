from __future__ import annotations

import pytest

from benchmarks.recorders import BARE, WCAP_RECORD
from benchmarks.recording import in_turn, record
from benchmarks.workload import Workload, compile_writer


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return compile_writer(tmp_path_factory.mktemp("writer"))


@pytest.mark.needs("cc")
@pytest.mark.parametrize(
    "workload",
    [
        Workload(0),
        Workload(64, threads=2),
        Workload(255, sink="pipe"),
        Workload(4096, sink="tcp"),
        Workload(65536, sink="file"),
        Workload(call="getppid"),
    ],
)
def test_the_writer_makes_the_calls_that_it_is_told(writer, workload):
    run = record(BARE, workload, writer, 1_000)

    # A pipe or a connection may take a write in several parts.
    assert run.writes == 1_000 or (workload.sink == "tcp" and run.writes > 1_000)
    assert min(run.elapsed_ns, run.threads_ns) > 0


@pytest.mark.kernel
@pytest.mark.needs("cc")
def test_what_wcap_kept_of_the_writer_is_counted(writer):
    compared = in_turn(
        Workload(threads=2), (BARE, WCAP_RECORD), writer, rounds=1, writes=1_000, say=print
    )

    assert [one.problem for one in compared.outcomes] == [None, None]
    (run,) = compared.runs(WCAP_RECORD)
    assert (run.writes, run.kept, run.lost) == (1_000, 1_000, 0)
    assert run.memory.buffer > run.memory.own / 100 > 0
