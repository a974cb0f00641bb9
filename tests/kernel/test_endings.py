"""How recordings end: whole, with a reason, and with a last line that tells what is in the file."""

from __future__ import annotations

import re
import signal
import time

import pytest
from kernel.support import Puppet, Recorder, python, record

import wcap
from wcap.cli import main

pytestmark = pytest.mark.kernel

# Writes that leave no time to breathe, so that the end comes amid them.
FLAT_OUT = """
while True:
    os.write(null, b"tick")
"""
LAST_LINE = re.compile(
    r"wcap: ([\d,]+) events?, ([\d,]+) bytes captured, ([\d,]+) events lost, ([\d.]+) seconds: .*"
)


@pytest.fixture
def output(tmp_path):
    return tmp_path / "run.wcap"


def assert_whole(recorded, reason):
    """See that the file was closed as it should be, and that the last line is true."""
    assert recorded.status == 0, recorded.said
    assert recorded.whole
    assert recorded.end.reason == reason
    assert recorded.gaps == []
    events, captured, lost, seconds = LAST_LINE.fullmatch(recorded.said[-1]).groups()
    assert int(events.replace(",", "")) == recorded.count
    assert int(captured.replace(",", "")) == sum(len(b.joined()) for b in recorded.batches)
    assert lost == "0"
    took_ns = recorded.end.clock_ns - recorded.header.clock.clock_ns
    assert float(seconds) == pytest.approx(took_ns / 1e9, abs=0.06)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_recording_whole_amid_writes(number, output):
    with Puppet(FLAT_OUT) as puppet:
        with Recorder("-p", str(puppet.pid), output=output) as recorder:
            recorder.wait_until_recording()
            puppet.go()
            time.sleep(0.2)
            recorder.signal(number)
            recorded = recorder.finish()

        assert puppet.process.poll() is None

    assert_whole(recorded, "signal")
    assert recorded.count > 1009


def test_a_count_ends_a_recording_at_exactly_so_many_events(output):
    workload = """
n = 0
while True:
    os.write(null, b"%d" % n)
    n += 1
"""

    recorded = record("-n", "1009", "--", *python(workload), output=output)

    assert_whole(recorded, "count")
    assert recorded.payloads == [b"%d" % n for n in range(1009)]


def test_a_duration_ends_a_recording_and_the_command_that_it_launched(output):
    recorded = record("--duration", "300ms", "--", *python(FLAT_OUT), output=output)

    assert_whole(recorded, "duration")
    assert recorded.end.exit_status == -signal.SIGTERM
    took_ns = recorded.end.clock_ns - recorded.header.clock.clock_ns
    assert 300_000_000 <= took_ns < 5_000_000_000
    assert recorded.count > 1009


def test_a_command_that_cannot_be_run_is_one_line_and_status_1(output, tmp_path):
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)

    with Recorder("--", str(broken), output=output) as recorder:
        recorded = recorder.finish()

    assert recorded.status == 1
    assert recorded.said[-1] == f"wcap: {broken}: Exec format error"


def test_a_killed_recorder_leaves_all_that_is_older_than_a_second_and_a_half(output, capsys):
    workload = """
while True:
    os.write(null, b"%d" % time.clock_gettime_ns(time.CLOCK_REALTIME))
    time.sleep(0.01)
"""

    with Puppet(workload) as puppet, Recorder("-p", str(puppet.pid), output=output) as recorder:
        recorder.wait_until_recording()
        puppet.go()
        time.sleep(2.5)
        killed_ns = time.time_ns()
        recorder.signal(signal.SIGKILL)
        recorded = recorder.finish()

    assert recorded.status == -signal.SIGKILL
    with pytest.raises(wcap.TruncatedError):
        recorded.events  # noqa: B018
    with wcap.open(output, errors="salvage") as capture:
        events = list(capture)
    assert events[0].sequence == 1
    assert events[-1].time_ns > killed_ns - 1_500_000_000
    assert main(["show", str(output)]) == 3
    out, err = capsys.readouterr()
    assert out.count("\n") == len(events)
    assert "no footer" in err


def test_what_is_seen_ends_with_the_reader_of_print(output):
    workload = """
for n in range(1009):
    os.write(null, b"%d" % n)
    time.sleep(0.01)
"""

    with (
        Puppet(workload) as puppet,
        Recorder(*("-p", str(puppet.pid), "--print=snoop"), output=output) as recorder,
    ):
        recorder.wait_until_recording()
        puppet.go()
        first = recorder.process.stdout.readline()
        recorder.process.stdout.close()
        recorder.process.stdout = None
        recorded = recorder.finish()

    assert first.endswith(b'>> "0"\n')
    assert_whole(recorded, "output")


def test_a_closed_pipe_ends_a_recording_and_is_no_error():
    workload = """
for n in range(1009):
    os.write(null, bytes(1000))
    time.sleep(0.01)
"""

    with Recorder("--", *python(workload), output="-") as recorder:
        recorder.wait_until_recording()
        recorder.process.stdout.close()
        recorder.process.stdout = None
        recorded = recorder.finish()

    assert recorded.status == 0
    assert recorded.said[1:] == []
