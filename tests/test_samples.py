from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import wcap
from wcap.cli import main
from wcap.errors import TruncatedError
from wcap.events import EventFlag
from wcap.syscalls import SYSCALLS

SAMPLES = Path(__file__).parents[1] / "samples"
CAPTURES = ("binary", "calls", "exits", "hello", "interrupted", "lossy", "threads")
# How the commands of samples/README.md end: these captures lack something, and status 3 says so.
INCOMPLETE = ("exits", "interrupted", "lossy")
COMMANDS = [
    line.removeprefix("    $ ")
    for line in (SAMPLES / "README.md").read_text().splitlines()
    if line.startswith("    $ wcap ")
]


def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a sample as a user does: by its path, with a python3 that is new enough."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [str(SAMPLES / name), *arguments],
        env={**os.environ, "PATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    subprocess.run([sys.executable, str(SAMPLES / "make.py"), str(folder)], check=True)
    return folder


@pytest.mark.parametrize("name", CAPTURES)
def test_a_shipped_capture_is_what_the_script_makes(made, name):
    shipped = (SAMPLES / f"{name}.wcap").read_bytes()

    assert (made / f"{name}.wcap").read_bytes() == shipped


def test_no_other_capture_is_shipped(made):
    assert {path.name for path in SAMPLES.glob("*.wcap")} == {path.name for path in made.iterdir()}


@pytest.mark.parametrize("name", sorted(set(CAPTURES) - set(INCOMPLETE)))
def test_a_complete_sample_is_read_without_complaint(name):
    with wcap.open(SAMPLES / f"{name}.wcap") as capture:
        events = list(capture)

    assert capture.damage == []
    assert capture.end.sequences.keys() == {event.cpu for event in events}
    assert sum(capture.end.sequences.values()) == len(events)


def test_the_interrupted_sample_keeps_every_chunk_before_its_cut():
    with wcap.open(SAMPLES / "interrupted.wcap", errors="salvage") as capture:
        lines = [event.data for event in capture]

    assert lines == [b"%d) hello, wcap\n" % n for n in range(1, 11)]
    assert capture.end is None
    assert {type(error) for error in capture.damage} == {TruncatedError}


def test_the_lossy_sample_accounts_for_every_event():
    with wcap.open(SAMPLES / "lossy.wcap") as capture:
        kept = sum(1 for _ in capture)

    lost = sum(gap.count for gap in capture.gaps)
    assert kept > 0
    assert lost == sum(capture.end.lost.values()) > 0
    assert sum(capture.end.sequences.values()) == kept + lost


def test_the_calls_sample_has_every_call_and_every_fact_about_one():
    with wcap.open(SAMPLES / "calls.wcap") as capture:
        events = list(capture)

    assert {event.syscall for event in events} == {*capture.header.syscalls} == {*SYSCALLS}
    for name in ("offset", "source_fd", "source", "address"):
        assert any(getattr(event, name) is not None for event in events)
    assert {event.target.kind for event in events} >= {"file", "pipe", "tcp", "udp", "unix", "tty"}


def test_the_exits_sample_lacks_what_a_reader_has_to_be_told():
    with wcap.open(SAMPLES / "exits.wcap") as capture:
        events = list(capture)

    assert {event.duration_ns for event in events} == {None}
    assert None not in {event.returned for event in events}
    assert capture.header.at == "exit"
    assert any(EventFlag.PAYLOAD_LOST in event.flags for event in events)
    assert [bypass.how for bypass in capture.end.bypassed] == ["io_uring", "compat"]
    assert capture.gaps[0].processes


def test_the_readme_names_every_sample():
    text = (SAMPLES / "README.md").read_text()

    for path in SAMPLES.iterdir():
        assert path.name == "README.md" or path.name.startswith(("__", ".")) or path.name in text


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_s_commands_run(command, monkeypatch, capfd):
    monkeypatch.chdir(SAMPLES.parent)
    incomplete = any(name in command for name in (*INCOMPLETE, "binary"))  # lost a result

    status = main(shlex.split(command)[1:])

    assert status == (3 if incomplete else 0)
    assert capfd.readouterr().out


def test_the_client_and_the_server_talk():
    with start("server-tcp", "--port", "0") as server:
        port = server.stdout.readline().decode().strip().rpartition(":")[2]
        name = Path(f"/proc/{server.pid}/comm").read_text()
        with start("client-tcp", "127.0.0.1", "--port", port) as client:
            answers, _ = client.communicate(b"hello\n\xff\n")
        server.send_signal(signal.SIGTERM)
        printed, complaints = server.communicate()

    assert name == "server-tcp\n"
    assert answers.split(b"Message for server: ")[1:] == [
        b"Server: hello\n",
        b"Server: \xff\n",
        b"",
    ]
    assert b"received: hello\nreceived: \\xff\n" in printed
    assert (client.returncode, server.returncode, complaints) == (0, 0, b"")


def test_the_client_has_its_name_before_it_asks():
    with start("server-tcp", "--port", "0") as server:
        port = server.stdout.readline().decode().strip().rpartition(":")[2]
        with start("client-tcp", "127.0.0.1", "--port", port) as client:
            client.stdout.read(1)
            name = Path(f"/proc/{client.pid}/comm").read_text()
            client.communicate()
        server.terminate()

    assert name == "client-tcp\n"


def test_a_client_without_a_server_says_so_in_one_line():
    with start("client-tcp", "127.0.0.1", "--port", "1") as client:
        _, complaints = client.communicate()

    assert (client.returncode, complaints) == (
        1,
        b"client-tcp: 127.0.0.1:1: Connection refused\n",
    )


def test_the_ticker_s_child_prints_and_its_parent_names_both():
    with start("ticker", "--count", "2", "--interval", "0") as ticker:
        printed, said = ticker.communicate()

    assert printed == b"1) hello, wcap\n2) hello, wcap\n"
    assert said.startswith(b"ticker: the parent is %d, the child " % ticker.pid)
    assert ticker.returncode == 0


def test_ending_the_ticker_ends_its_child():
    with start("ticker", "--interval", "60") as ticker:
        child = int(ticker.stderr.readline().split()[-1])
        ticker.stdout.readline()
        ticker.terminate()
        ticker.wait()

    assert ticker.returncode == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
