from __future__ import annotations

import os
from pathlib import Path

import pytest

from wcap.recorder import kernel
from wcap.recorder.probe import Probe, ProbeOptions

pytestmark = [pytest.mark.kernel, pytest.mark.filterwarnings("ignore:not a bytes object")]


@pytest.fixture
def probe():
    kernel.raise_memlock()
    kernel.mount_tracefs()
    made = Probe(ProbeOptions(snaplen=256, ring_pages=64, clock="boottime", excluded=[]))
    yield made
    made.close()


@pytest.fixture
def on_first_cpu():
    """Run there, where bcc opens the perf event of a tracepoint."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    yield
    os.sched_setaffinity(0, before)


def test_programs_run_without_that_perf_takes_a_sample_each_time(probe, on_first_cpu):
    """Such a sample costs more than the program, and nobody reads it."""
    probe.attach_writes()
    with Path(os.devnull).open("wb", buffering=0) as null:
        for _ in range(10):
            null.write(b"hello")
    samples = {
        tracepoint: int.from_bytes(os.read(descriptor, 8), "little")
        for tracepoint, descriptor in probe._bpf.tracepoint_fds.items()
    }

    assert sum(probe.sequences().values()) >= 10
    assert samples == dict.fromkeys(samples, 0)
    assert b"syscalls:sys_enter_write" in samples
