"""What older kernels lack is left out here: the program goes its other ways, and misses nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kernel.support import CALLS, ENVIRONMENT, PATIENCE_SECONDS, as_code, numbered, python

import wcap
from wcap.recorder import casting

pytestmark = pytest.mark.kernel

FDS = numbered("plain", "large", "many")
# Some 600 steps of reading, so more than one program's.
SEGMENTS = 600
WORKLOAD = f"""
{CALLS}
{as_code(FDS)}
for fd in (plain, large, many):
    null_at(fd)
os.write(plain, b"hello")
os.write(large, bytes(range(256)) * 4000)
os.writev(many, [b"%06d" % number for number in range({SEGMENTS})])
"""

# wcap on a kernel that lacks the functions named first, or with "types", all knowledge of its own.
WCAP_LACKING = """
import contextlib, sys
from wcap.cli import main
from wcap.recorder import members

missing, *arguments = sys.argv[1:]
known = members.kernel_types

class Lacking:
    def __init__(self, types):
        self._types = types

    def function(self, name):
        return None if name in missing.split() else self._types.function(name)

    def __getattr__(self, name):
        return getattr(self._types, name)

@contextlib.contextmanager
def fewer_types():
    with known() as types:
        yield None if missing == "types" else Lacking(types)

members.kernel_types = fewer_types
sys.exit(main(arguments))
"""


@pytest.mark.parametrize(
    "missing",
    [casting.ITERATOR, (casting.CAST, *casting.ITERATOR), ("types",)],
    ids=["before 6.4", "before 6.2", "without BTF"],
)
def test_every_byte_is_recorded_without(missing, tmp_path):
    path = tmp_path / "run.wcap"
    recording = ["record", "-s", "0", "-o", str(path), "--", *python(WORKLOAD)]

    done = subprocess.run(
        [sys.executable, "-c", WCAP_LACKING, " ".join(missing), *recording],
        env=ENVIRONMENT,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    with wcap.open(path) as capture:
        payloads = {event.fd: event.data for event in capture if event.fd in FDS.values()}
    assert payloads == {
        FDS["plain"]: b"hello",
        FDS["large"]: bytes(range(256)) * 4000,
        FDS["many"]: b"".join(b"%06d" % number for number in range(SEGMENTS)),
    }
