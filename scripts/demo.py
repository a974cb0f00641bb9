"""Record samples/client-tcp talking to samples/server-tcp, then read the capture.

Where nothing can be recorded, one line says why, and a shipped capture is read instead; with
CI=true that is a failure.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
WCAP = [sys.executable, "-m", "wcap"]
CAPTURE = "run.wcap"
SAMPLE = "samples/hello.wcap"
CLIENT = "client-tcp"
RECORD = ["record", "-c", CLIENT, "-o", CAPTURE, "--force"]
LINES = "hello, wcap\nevery byte counts: €\n\nbye\n".encode()
# What a command may return: done, or done with events lost, which its output tells.
DONE = (0, 3)


class NotRecordedError(Exception):
    """Nothing can be recorded here; the message says why."""


def main() -> int:
    """Run the demonstration and return its exit status."""
    os.chdir(ROOT)
    # The samples ask env for python3: this one is new enough.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    signal.signal(signal.SIGINT, signal.default_int_handler)  # make's may ignore Ctrl-C
    capture = CAPTURE
    try:
        with serving() as port, recording():
            heading(f"samples/{CLIENT}", "127.0.0.1")
            client = [f"samples/{CLIENT}", "127.0.0.1", "--port", port]
            subprocess.run(client, input=LINES, check=True)
            print()
    except NotRecordedError as reason:
        print(f"demo: nothing is recorded here: {reason}; reading {SAMPLE} instead", flush=True)
        if os.environ.get("CI") == "true":
            return 1
        capture = SAMPLE
    return read(capture)


@contextmanager
def serving() -> Iterator[str]:
    """Run the server, and yield its port: the usual one, or another where that is taken."""
    for port in ("11111", "0"):
        heading("samples/server-tcp", *(["--port", port] if port == "0" else []))
        server = subprocess.Popen(
            ["samples/server-tcp", "--port", port],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        with server:
            if listening := server.stdout.readline():
                try:
                    yield listening.strip().rpartition(":")[2]
                finally:
                    server.terminate()
                return
    raise NotRecordedError("samples/server-tcp does not start")


@contextmanager
def recording() -> Iterator[None]:
    """Record until the block ends.

    Raises:
        NotRecordedError: recording did not start.
    """
    command = [*privileges(), *WCAP, *RECORD]
    heading("wcap", *RECORD)
    recorder = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert recorder.stderr is not None
    said = ""
    for said in recorder.stderr:
        if said.startswith(f"wcap: recording -c {CLIENT} "):
            break
    else:
        recorder.wait()
        reason = said.strip().removeprefix("wcap: ") or "wcap record ended before it began"
        raise NotRecordedError(reason)
    print(said, end="", flush=True)
    try:
        yield
    finally:
        subprocess.run([*privileges(), "kill", "-INT", str(recorder.pid)], check=True)
        print(recorder.communicate()[1], end="", flush=True)
    if recorder.returncode not in DONE:
        raise SystemExit(f"demo: wcap record returned {recorder.returncode}")


def privileges() -> list[str]:
    """Return what to put before a command that needs root.

    Raises:
        NotRecordedError: nothing makes root of this user.
    """
    if os.geteuid() == 0:
        return []
    sudo = ["sudo", "-n"]
    try:
        subprocess.run([*sudo, "true"], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        raise NotRecordedError("not root, and sudo asks for a password or is absent") from None
    return sudo


def read(capture: str) -> int:
    """Show a capture in four ways."""
    for command in (
        ["show", capture, "--hex"],
        ["stats", capture],
        ["info", capture],
        ["export", "--csv", capture],
    ):
        heading("wcap", *command)
        status = subprocess.run([*WCAP, *command], stdin=subprocess.DEVNULL, check=False).returncode
        if status not in DONE:
            print(f"demo: wcap {command[0]} returned {status}", file=sys.stderr)
            return 1
    return 0


def heading(*command: str) -> None:
    """Print a command as it would be typed."""
    line = f"$ {shlex.join(command)}"
    print(f"\n\x1b[1m{line}\x1b[0m" if sys.stdout.isatty() else f"\n{line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
