"""A flight recorder of real processes: what happened before the signal is in its dump."""

from __future__ import annotations

import signal
import time

import pytest
from kernel.support import Puppet, Recorder, dumped

pytestmark = pytest.mark.kernel

# Each write has the time at which it was made.
BUSY = """
while True:
    os.write(null, b"%d " % time.clock_gettime_ns(time.CLOCK_REALTIME) + os.urandom(100))
    time.sleep(0.0002)
"""


def test_each_dump_has_all_that_happened_before_the_signal_up_to_its_size(tmp_path, capsys):
    output = tmp_path / "run.wcap"
    with Puppet(BUSY) as puppet:
        chosen = ("-p", str(puppet.pid), "--ring", "256K")
        with Recorder(*chosen, output=output) as recorder:
            recorder.wait_until_recording()
            puppet.go()
            time.sleep(1.5)
            asked_ns = time.time_ns()
            recorder.signal(signal.SIGUSR1)
            header, end, events = dumped(tmp_path / "run-0001.wcap")
            recorder.signal(signal.SIGINT)
            recorded = recorder.finish()
        last_header, last_end, last_events = dumped(tmp_path / "run-0002.wcap")

    assert recorded.status == 0, recorded.said
    assert any(f"events written: {tmp_path / 'run-0001.wcap'}" in line for line in recorded.said)
    assert (end.reason, last_end.reason) == ("dump", "signal")
    wrote_ns = [int(event.data.split()[0]) for event in events]
    before = [moment for moment in wrote_ns if moment < asked_ns]
    assert asked_ns - before[-1] < 20_000_000
    # What the size had no room for is left out, and that is told.
    assert sum(header.after.values()) + len(events) == sum(end.sequences.values())
    assert sum(header.after.values()) > 0
    assert sum(last_header.after.values()) + len(last_events) == sum(last_end.sequences.values())
    assert (tmp_path / "run-0001.wcap").stat().st_size < 300 << 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-0001.wcap", "run-0002.wcap"]
