"""``show -f`` beside a recording: events as they come, and an end with the recording."""

from __future__ import annotations

import json
import signal
import subprocess

import pytest
from kernel.support import ENVIRONMENT, PATIENCE_SECONDS, WCAP, Puppet, Recorder

pytestmark = pytest.mark.kernel

TICKING = """
n = 0
while True:
    os.write(null, b"%d" % n)
    n += 1
    time.sleep(0.002)
"""


def following(path):
    return subprocess.Popen(
        [*WCAP, "show", "-f", "--json", str(path)],
        bufsize=0, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENVIRONMENT,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("number", "status", "told"),
    [(signal.SIGINT, 0, ""), (signal.SIGKILL, 3, "the recorder is gone, and wrote no end")],
)
def test_a_recording_is_followed_to_its_end(number, status, told, tmp_path):
    output = tmp_path / "run.wcap"
    with Puppet(TICKING) as puppet, Recorder("-p", str(puppet.pid), output=output) as recorder:
        recorder.wait_until_recording()
        puppet.go()
        with following(output) as shown, following(output) as interrupted:
            first = shown.stdout.readline()
            assert interrupted.stdout.readline() == first
            interrupted.send_signal(signal.SIGINT)
            interrupted.communicate(timeout=PATIENCE_SECONDS)
            recorder.signal(number)
            recorder.process.wait(PATIENCE_SECONDS)
            out, err = shown.communicate(timeout=PATIENCE_SECONDS)

    texts = [json.loads(line)["text"] for line in (first + out).splitlines()]
    assert texts == [str(n) for n in range(len(texts))]
    assert len(texts) > 100
    assert (shown.returncode, interrupted.returncode) == (status, 130)
    assert told in err.decode()
