"""Who wrote: what is known of processes and threads, whatever they call themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from kernel.support import Puppet, Recorder, python, record

from wcap.cli import main

pytestmark = pytest.mark.kernel

HOSTILE = b"\x1b[2J\xff\n\xc2\x9b\xe2\x80\xae"
THREADS, WRITES = 8, 211


@pytest.fixture
def output(tmp_path):
    return tmp_path / "run.wcap"


def test_names_and_arguments_of_any_bytes_are_kept_and_never_reach_a_terminal(output, capsys):
    workload = f"""
rename({HOSTILE!r})
os.write(null, b"renamed")
os.execv("/bin/sh", [b"sh", b"-c", b'echo "$0"; sleep 0.3', {HOSTILE!r}])
"""

    recorded = record("--", *python(workload), output=output)

    first, second = recorded.events
    text = HOSTILE.decode("utf-8", "surrogateescape")
    assert (first.comm, second.comm) == (text, "sh")
    assert second.data == HOSTILE + b"\n"
    assert recorded.processes[1].cmdline[-1] == text
    for command in ("show", "stats", "info"):
        main([command, str(output)])
        shown = capsys.readouterr().out
        assert "\\x1b[2J" in shown
        assert all(character.isprintable() for character in shown.replace("\n", ""))


def test_a_process_that_executes_another_program_is_told_as_two(output):
    workload = """
os.write(null, b"before")
os.execv("/bin/sh", ["sh", "-c", "echo after; sleep 0.3"])
"""

    recorded = record("--", *python(workload), output=output)

    before, after = recorded.processes
    assert (before.pid, before.start_ns) == (after.pid, after.start_ns)
    assert (before.comm, after.comm) == (Path(sys.executable).name[:15], "sh")
    assert after.cmdline == ("sh", "-c", "echo after; sleep 0.3")
    assert after.exe == os.path.realpath("/bin/sh")
    assert before.exe != after.exe
    assert before.cmdline != after.cmdline
    assert (before.uid, after.uid) == (os.geteuid(), os.geteuid())
    assert [event.data for event in recorded.events] == [b"before", b"after\n"]


def test_a_child_that_lives_for_one_write_has_its_parent(output):
    workload = """
for n in range(101):
    pid = os.fork()
    if pid == 0:
        os.write(null, b"%d %d" % (os.getpid(), os.getppid()))
        os._exit(0)
    os.waitpid(pid, 0)
"""

    recorded = record("--", *python(workload), output=output)

    assert len(recorded.events) == 101
    assert [b"%d %d" % (event.pid, event.ppid) for event in recorded.events] == recorded.payloads


def test_threads_that_write_at_once_are_each_recorded_in_full_and_in_order(output):
    workload = f"""
start = threading.Barrier({THREADS})
def run(label):
    start.wait()
    for n in range({WRITES}):
        os.write(null, b"%d %d %d" % (label, threading.get_native_id(), n))
threads = [threading.Thread(target=run, args=(label,)) for label in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""

    recorded = record("--", *python(workload), output=output)

    assert len(recorded.events) == THREADS * WRITES
    assert len({event.pid for event in recorded.events}) == 1
    for label in range(THREADS):
        mine = [event for event in recorded.events if event.data.startswith(b"%d " % label)]
        assert [event.data for event in mine] == [
            b"%d %d %d" % (label, mine[0].tid, n) for n in range(WRITES)
        ]
    times = [event.time_ns for event in recorded.events]
    assert times == sorted(times)


def test_two_recorders_record_the_same_process_at_once(tmp_path):
    workload = "for n in range(1009): os.write(null, b'%d' % n)"
    expected = [b"%d" % n for n in range(1009)]

    with Puppet(workload) as puppet:
        chosen = ("-p", str(puppet.pid))
        with Recorder(*chosen, output=tmp_path / "one.wcap") as one:
            one.wait_until_recording()
            two = record(*chosen, output=tmp_path / "two.wcap", during=puppet.perform)
            one.signal(2)
            one = one.finish()

    assert (one.status, one.payloads) == (0, expected)
    assert (two.status, two.payloads) == (0, expected)
