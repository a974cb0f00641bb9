"""What happens when a command is started with a standard stream closed."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import batch_of, write, write_capture


@pytest.mark.parametrize("command", ["show", "stats", "info", "replay", "export --csv"])
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_as_good_as_dev_null(command, closed, tmp_path):
    path = write_capture(tmp_path / "run.wcap", batch_of(write()))

    done = subprocess.run(
        [
            *("sh", "-c", f'exec "$@" {closed}', "sh"),
            *(sys.executable, "-m", "wcap", *command.split(), str(path)),
        ],
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_without_standard_input_the_newest_capture_is_read(tmp_path):
    write_capture(tmp_path / "run.wcap", batch_of(write(b"newest")))

    done = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m wcap show <&-"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )

    assert "newest" in done.stdout
