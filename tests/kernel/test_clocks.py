"""Times of real recordings: in a time namespace, and when the wall clock is set meanwhile."""

from __future__ import annotations

import os
import signal
import time

import pytest
from kernel.support import ENVIRONMENT, Puppet, Recorder, assert_seamless, python, record

import wcap
from wcap.cli import main

pytestmark = pytest.mark.kernel

# Each write has the time at which it was made.
STAMPED = """
for n in range({count}):
    os.write(null, b"%d" % time.clock_gettime_ns(time.CLOCK_REALTIME))
    time.sleep(0.05)
"""
# How long after the program looked at the clock its write may begin.
SOON_NS = 2_000_000_000


def assert_true(events):
    """See that events have the times at which they happened, by the clock of who wrote."""
    for event in events:
        assert 0 <= event.time_ns - int(event.data) < SOON_NS


@pytest.mark.needs("unshare")
@pytest.mark.parametrize("transport", ["ring", "perf"])
def test_in_a_time_namespace_times_are_those_of_the_machine(transport, tmp_path):
    workload = STAMPED.format(count=11)
    # The clocks inside are a day ahead of those that the kernel stamps records with.
    namespace = ("unshare", "-T", "--boottime", "86400", "--monotonic", "86400")

    recorded = record(
        *("--transport", transport, "-e", "write", "--", *python(workload)),
        output=tmp_path / "run.wcap",
        before=namespace,
    )

    ended_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    events = [event for event in recorded.events if event.data.isdigit()]
    assert recorded.status == 0, recorded.said
    assert len(events) == 11
    assert_true(events)
    header, end = recorded.header, recorded.end
    assert ended_ns - 20_000_000_000 < header.clock.clock_ns < end.clock_ns < ended_ns
    [process] = [process for process in recorded.processes if process.pid == events[0].pid]
    began_ns = events[0].time_ns - header.clock.offset_ns
    assert 0 < began_ns - process.start_ns < 20_000_000_000


@pytest.mark.parametrize(
    ("hours", "told"),
    [(-1, "the wall clock was set back by"), (1, "the wall clock was set ahead by")],
)
def test_a_wall_clock_that_is_set_moves_no_event_and_no_part_and_is_told(
    hours, told, tmp_path, capsys
):
    """The machine's clock is not set, for others use it: what the recorder reads of it is."""
    shim, jump, folder = tmp_path / "shim", tmp_path / "jump", tmp_path / "parts"
    shim.mkdir()
    folder.mkdir()
    (shim / "sitecustomize.py").write_text(
        "import os, time\n"
        "true = time.time_ns\n"
        f"time.time_ns = lambda: true() + os.path.exists({str(jump)!r}) * {hours * 3600 * 10**9}\n"
    )
    path = os.pathsep.join([str(shim), ENVIRONMENT["PYTHONPATH"]])
    output = folder / "run-%Y%m%d-%H%M%S.wcap"

    with (
        Puppet(STAMPED.format(count=1009)) as puppet,
        Recorder(
            *("-p", str(puppet.pid), "-G", "1"), output=output, environment={"PYTHONPATH": path}
        ) as recorder,
    ):
        recorder.wait_until_recording()
        puppet.go()
        time.sleep(0.2)
        jump.touch()
        time.sleep(2)
        recorder.signal(signal.SIGINT)
        recorded = recorder.finish()

    parts = sorted(folder.iterdir())
    assert recorded.status == 0, recorded.said
    assert len(parts) >= 3
    assert_true(assert_seamless(parts))
    for part in parts:
        with wcap.open(part) as capture:
            header, end = capture.header, capture.end
        if header.part == 1:  # named, and opened, before the kernel side was ready
            started_ns = header.started_ns
        else:
            period = time.localtime(started_ns // 10**9 + header.part - 1)
            assert part.name == time.strftime(output.name, period)
        step_ns = end.wall_ns - end.clock_ns - header.clock.offset_ns
        assert abs(step_ns - hours * 3600 * 10**9) < 10**9
    capsys.readouterr()
    main(["info", str(parts[-1])])
    assert told in capsys.readouterr().out
