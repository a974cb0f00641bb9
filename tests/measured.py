"""Runs commands of wcap one after the other, each in a process of its own that has all imported.

Reads a JSON list a line, the command's words, and answers with a JSON object a line: ``status``,
``err``, ``bytes`` of memory that it took at most above what it began with, processor ``seconds``.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path


def serve() -> None:
    import wcap.check
    import wcap.exporters
    import wcap.reader
    import wcap.recover
    import wcap.render
    import wcap.replay
    import wcap.stats
    import wcap.summary  # noqa: F401
    from wcap.cli import main

    for line in sys.stdin:
        with tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as peak:
            child = os.fork()
            if child == 0:
                null = os.open(os.devnull, os.O_RDWR)
                for descriptor, file in ((0, null), (1, null), (2, err.fileno())):
                    os.dup2(file, descriptor)
                Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew (proc(5))
                before = _memory("VmRSS")
                status = main(json.loads(line))
                sys.stdout.flush()
                sys.stderr.flush()
                os.write(peak.fileno(), str(_memory("VmHWM") - before).encode())
                os._exit(status)
            _, status, used = os.wait4(child, 0)
            peak.seek(0)
            err.seek(0)
            answer = {
                "status": os.waitstatus_to_exitcode(status),
                "err": err.read().decode(),
                "bytes": int(peak.read() or b"-1"),
                "seconds": used.ru_utime + used.ru_stime,
            }
        print(json.dumps(answer), flush=True)


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    serve()
