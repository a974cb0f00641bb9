"""The recorder: the only part that needs root, a kernel with BPF, and bcc.

from wcap.recorder import Session, Settings, Target

with open("build.wcap", "xb", buffering=0) as file:
    result = Session(Target(command=("make", "-j8")), Settings()).run(file)
"""

from wcap.recorder.proc import readers_of_stdout
from wcap.recorder.recording import Result
from wcap.recorder.session import Session
from wcap.recorder.settings import (
    MAX_BUFFER,
    MAX_SNAPLEN,
    PERF_BUFFER,
    RING_BUFFER,
    Settings,
)
from wcap.recorder.target import Target
from wcap.rotation import PartFiles

__all__ = [
    "MAX_BUFFER",
    "MAX_SNAPLEN",
    "PERF_BUFFER",
    "RING_BUFFER",
    "PartFiles",
    "Result",
    "Session",
    "Settings",
    "Target",
    "readers_of_stdout",
]
