"""Where a capture goes, whom it belongs to, and what is shown meanwhile."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import pytest
from kernel.support import Recorder, python, record

import wcap

pytestmark = [pytest.mark.kernel, pytest.mark.smoke]


def test_without_options_a_file_named_after_the_time_has_4096_bytes_of_each_write(tmp_path):
    workload = "for size in (4095, 4096, 4097): os.write(null, bytes(size))"

    recorded = record("--", *python(workload), output=None, folder=tmp_path)

    [path] = tmp_path.iterdir()
    assert re.fullmatch(r"wcap-\d{8}-\d{6}\.wcap", path.name)
    assert recorded.said[-1].endswith(f"seconds: {path.name}")
    with wcap.open(path) as capture:
        assert [len(event.data) for event in capture] == [4095, 4096, 4096]


def test_a_capture_belongs_to_who_called_sudo_and_force_replaces_and_quiet_is_silent(tmp_path):
    output = tmp_path / "run.wcap"
    output.write_text("old")
    caller = {"SUDO_UID": "1234", "SUDO_GID": "2345"}

    command = ("-q", "--force", "--", "echo", "hi")
    recorded = record(*command, output=output, environment=caller)

    assert (recorded.status, recorded.said) == (0, [])
    facts = output.stat()
    assert stat.S_IMODE(facts.st_mode) == 0o600
    assert (facts.st_uid, facts.st_gid) == (1234, 2345)
    assert recorded.payloads == [b"hi\n"]


def test_a_command_s_output_does_not_mix_with_a_capture_on_standard_output(tmp_path):
    output = tmp_path / "run.wcap"

    recorded = record("--", "sh", "-c", "echo hi", output="-")

    output.write_bytes(recorded.stdout)
    with wcap.open(output) as capture:
        assert [event.data for event in capture] == [b"hi\n"]
    assert "hi" in recorded.said


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("--print", r"\S+ sh PID/PID write\(1<pipe:\[\d+\]>\) = 3 <\S+> \"hi\\n\"\n"),
        ("--print=snoop", r"\"sh\" \(PID,PARENT\) OUT >> \"hi\\n\"\n"),
    ],
)
def test_events_are_shown_while_they_are_recorded(how, expected, tmp_path):
    script = "echo hi; read line; echo bye"

    with Recorder(
        *(how, "--", "sh", "-c", script),
        output=tmp_path / "run.wcap",
        stdin=subprocess.PIPE,
    ) as recorder:
        recorder.wait_until_recording()
        lines = [recorder.process.stdout.readline().decode() for _ in range(2)]
        recorder.process.stdin.write(b"\n")
        recorded = recorder.finish()

    event = recorded.events[0]
    assert lines[0] == "hi\n"
    pattern = expected.replace("PID", str(event.pid)).replace("PARENT", str(event.ppid))
    assert re.fullmatch(pattern, lines[1])
    assert event.ppid == recorder.process.pid
    assert recorded.stdout.count(b"bye") == 2
    assert recorded.payloads == [b"hi\n", b"bye\n"]


def test_a_full_output_ends_the_watching_and_leaves_the_capture_whole(tmp_path):
    with Path("/dev/full").open("wb") as full:
        recorded = record(
            *("--print", "--", "sh", "-c", "echo hi >&2; sleep 1"),
            output=tmp_path / "run.wcap",
            stdout=full.fileno(),
        )

    assert recorded.status == 1
    assert recorded.said[-1] == "wcap: standard output: No space left on device"
    assert recorded.whole
    assert recorded.end.reason == "output"
    assert recorded.payloads == [b"hi\n"]


def test_a_buffer_that_is_too_small_is_made_larger_and_that_is_said(tmp_path):
    recorded = record("-B", "1", "--", "echo", "hi", output=tmp_path / "run.wcap")

    assert "buffer takes 16,384 bytes" in recorded.said[0]
