"""Who is recorded: by name, by number, with children, launched; and who never is."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
from kernel.support import ENVIRONMENT, Puppet, Recorder, python, record

pytestmark = pytest.mark.kernel

ACTING = """
def fork(action, *rest):
    pid = os.fork()
    if pid == 0:
        try:
            action(*rest)
        finally:
            os._exit(0)
    return pid

def process(action, *rest):
    os.waitpid(fork(action, *rest), 0)

def thread(action, *rest):
    running = threading.Thread(target=action, args=rest)
    running.start()
    running.join()

def act(name, text):
    rename(name)
    os.write(null, text)
"""

# A child and a grandchild that wait for SIGUSR1 before they write.
FAMILY = """
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])
top = os.getpid()

def old_grandchild():
    os.kill(top, signal.SIGUSR2)
    signal.sigwait([signal.SIGUSR1])
    os.write(null, b"old grandchild")

def old_child():
    rename(b"minion")
    grandchild = fork(old_grandchild)
    signal.sigwait([signal.SIGUSR1])
    os.write(null, b"old child")
    os.kill(grandchild, signal.SIGUSR1)
    os.waitpid(grandchild, 0)
    process(os.write, null, b"old child's new child")

rename(b"chief")
child = fork(old_child)
signal.sigwait([signal.SIGUSR2])
"""
FAMILY_LIFE = """
def new_child():
    act(b"minion", b"new child")
    process(os.write, null, b"new grandchild")

def orphan(parent):
    while os.getppid() == parent:
        time.sleep(0.001)
    act(b"minion", b"orphan")

def vanishing_parent():
    fork(orphan, os.getpid())

os.write(null, b"itself")
thread(act, b"helper", b"its thread")
os.kill(child, signal.SIGUSR1)
os.waitpid(child, 0)
process(new_child)
open_until_its_end, writing = os.pipe()
process(vanishing_parent)
os.close(writing)
os.read(open_until_its_end, 1)
"""
ITSELF = [b"itself", b"its thread"]
CHILDREN = [
    b"old child",
    b"old grandchild",
    b"old child's new child",
    b"new child",
    b"new grandchild",
    b"orphan",
]


@pytest.fixture
def output(tmp_path):
    return tmp_path / "run.wcap"


def test_names_are_compared_exactly_or_by_prefix_and_cut_where_the_kernel_cuts(output):
    names = [b"exact", b"exactly", b"exac", b"pre", b"prefix", b"pr", b"a-name-of-more-than-15"]
    workload = f"for name in {names}: process(act, name, name)"

    with Puppet(workload, before=ACTING) as puppet:
        options = ("-c", "exact", "-c", "pre*", "-c", "a-name-of-more-than-16", "-c", "a b")
        recorded = record(*options, output=output, during=puppet.perform)

    assert recorded.payloads == [b"exact", b"pre", b"prefix", b"a-name-of-more-than-15"]
    assert [event.comm for event in recorded.events][-1] == "a-name-of-more-"
    assert "15 bytes" in recorded.said[0]
    assert recorded.said[0].endswith("comparing a-name-of-more-")
    assert "goes after --" in recorded.said[1]
    assert recorded.header.filters["resolved"]["comms"] == [
        "exact",
        "pre*",
        "a-name-of-more-",
        "a b",
    ]


def test_a_name_is_that_of_the_thread_or_of_its_leader(output):
    workload = """
def with_thread(own, other):
    rename(own)
    os.write(null, own + b" leader of " + other)
    thread(act, other, other + b" thread of " + own)

process(with_thread, b"wanted", b"other")
process(with_thread, b"other", b"wanted")
process(with_thread, b"other", b"third")
"""

    with Puppet(workload, before=ACTING) as puppet:
        recorded = record("-c", "wanted", output=output, during=puppet.perform)

    assert recorded.payloads == [
        b"wanted leader of other",
        b"other thread of wanted",
        b"wanted thread of other",
    ]
    assert [event.comm for event in recorded.events] == ["wanted", "other", "wanted"]
    assert [process.leader for process in recorded.processes] == ["wanted", "other"]


def test_processes_are_chosen_by_number_and_their_children_are_not(output):
    workload = "os.write(null, LABEL); process(os.write, null, b'child of ' + LABEL)"

    with ExitStack() as stack:
        puppets = [
            stack.enter_context(Puppet(f"LABEL = {label}\n{workload}", before=ACTING))
            for label in (b"one", b"two", b"three", b"four")
        ]
        one, two, three, _ = (str(puppet.pid) for puppet in puppets)
        recorded = record(
            *("-p", f"{one},{two}", "-p", three),
            output=output,
            during=lambda: [puppet.perform() for puppet in puppets],
        )

    assert recorded.payloads == [b"one", b"two", b"three"]


@pytest.mark.parametrize("by_name", [True, False], ids=["-c", "-p"])
def test_children_alive_already_and_those_to_come_are_followed(by_name, output):
    with (
        Puppet(FAMILY_LIFE, before=ACTING + FAMILY) as family,
        Puppet("process(act, b'chef', b'stranger')", before=ACTING) as stranger,
    ):
        chosen = ("-c", "chief") if by_name else ("-p", str(family.pid))
        recorded = record(
            *(*chosen, "-f"),
            output=output,
            during=lambda: [family.perform(), stranger.perform()],
        )

    assert recorded.payloads == ITSELF + CHILDREN
    by_text = {event.data: event for event in recorded.events}
    assert by_text[b"old child"].ppid == family.pid
    assert by_text[b"new grandchild"].ppid == by_text[b"new child"].pid
    assert by_text[b"orphan"].ppid != family.pid


def test_children_of_a_process_that_gets_the_name_later_are_followed(output):
    workload = """
process(act, b"other", b"before")
rename(b"chief")
process(act, b"other", b"after")
"""

    with Puppet(workload, before=ACTING) as puppet:
        recorded = record("-c", "chief", "-f", output=output, during=puppet.perform)

    assert recorded.payloads == [b"after"]


def test_numbers_and_names_narrow_each_other(output):
    workload = """
thread(act, b"wanted", LABEL + b" wanted")
thread(act, b"other", LABEL + b" other")
process(act, b"wanted", LABEL + b" child wanted")
"""

    with (
        Puppet("LABEL = b'chosen'\n" + workload, before=ACTING) as chosen,
        Puppet("LABEL = b'stranger'\n" + workload, before=ACTING) as stranger,
    ):
        recorded = record(
            *("-p", str(chosen.pid), "-f", "-c", "wanted"),
            output=output,
            during=lambda: [chosen.perform(), stranger.perform()],
        )

    assert recorded.payloads == [b"chosen wanted", b"chosen child wanted"]


def test_the_children_of_a_command_are_followed_and_those_of_others_only_when_asked(output):
    workload = "act(b'puppet', b'itself')\nprocess(act, b'puppet', b'its child')"
    script = "echo command; (echo child); read line"
    options = ("--", "sh", "-c", script)

    with (
        Puppet(workload, before=ACTING) as puppet,
        Recorder("-p", str(puppet.pid), *options, output=output, stdin=subprocess.PIPE) as recorder,
    ):
        recorder.wait_until_recording()
        puppet.perform()
        recorder.process.stdin.write(b"\n")
        recorded = recorder.finish()

    assert sorted(recorded.payloads) == [b"child\n", b"command\n", b"itself"]


def test_a_command_is_recorded_from_its_first_write_with_its_children(output):
    script = "echo first; sh -c 'echo child; (echo grandchild)'; cat; exit 7"

    with subprocess.Popen(["echo", "from standard input"], stdout=subprocess.PIPE) as source:
        recorded = record("-s", "5", "--", "sh", "-c", script, output=output, stdin=source.stdout)

    assert recorded.stdout == b"first\nchild\ngrandchild\nfrom standard input\n"
    assert recorded.payloads == [b"first", b"child", b"grand", b"from "]
    assert [event.count for event in recorded.events] == [6, 6, 11, 20]
    assert (recorded.status, recorded.end.exit_status) == (0, 7)
    assert recorded.end.reason == "command"
    assert recorded.header.command == ("sh", "-c", script)


def test_a_command_is_narrowed_by_names(output):
    workload = ACTING + "act(b'other', b'other'); process(act, b'wanted', b'wanted')"

    recorded = record("-c", "wanted", "--", *python(workload), output=output)

    assert recorded.payloads == [b"wanted"]


def test_a_command_that_a_signal_ends_is_told_and_sigpipe_is_as_usual(output):
    recorded = record("--", "sh", "-c", "kill -PIPE $$; echo survived", output=output)

    assert (recorded.status, recorded.end.exit_status) == (0, -13)
    assert recorded.payloads == []


@pytest.mark.parametrize("how", [("-o", "-"), ("--print",)], ids=["-o -", "--print"])
def test_everything_is_recorded_but_the_recorder_and_who_reads_its_output(how, tmp_path):
    seen, output = tmp_path / "seen", tmp_path / "run.wcap"

    with (
        seen.open("wb") as file,
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as reader,
        Puppet("os.write(null, b'anybody')", before=ACTING) as puppet,
    ):
        chosen = "-" if how[0] == "-o" else output
        options = ("-a",) if how[0] == "-o" else ("-a", *how)
        with Recorder(*options, output=chosen, stdout=reader.stdin) as recorder:
            reader.stdin.close()
            recorder.wait_until_recording()
            puppet.perform()
            recorder.signal(2)
            recorded = recorder.finish()
        reader.wait()
        if chosen == "-":
            recorded.path = seen

    assert f"wcap: left out, as they get standard output: {reader.pid}" in recorded.said
    assert b"anybody" in recorded.payloads
    writers = {event.pid for event in recorded.events}
    assert recorder.process.pid not in writers
    assert reader.pid not in writers
    assert seen.stat().st_size > 0


@pytest.mark.parametrize("onward", [False, True])
def test_readers_of_our_output_are_found_and_where_asked_for_their_readers(onward):
    code = (
        "import sys; from wcap.recorder import readers_of_stdout; "
        f"print(*readers_of_stdout(onward={onward}), file=sys.stderr)"
    )

    with (
        subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader,
        subprocess.Popen(["sleep", "60"], stdin=reader.stdout, stdout=reader.stdin) as beyond_it,
    ):
        asked = subprocess.run(
            [sys.executable, "-c", code],
            stdout=reader.stdin,
            stderr=subprocess.PIPE,
            env=ENVIRONMENT,
            check=True,
        )
        beyond_it.kill()

    found = set(map(int, asked.stderr.split()))
    beyond = {beyond_it.pid, os.getpid()}
    assert reader.pid in found
    assert found & beyond == (beyond if onward else set())


def test_who_writes_to_the_same_pipe_is_not_taken_for_its_reader():
    code = "from wcap.recorder import readers_of_stdout; print(*readers_of_stdout())"
    reading, writing = os.pipe()

    with subprocess.Popen(["sleep", "60"], stdout=writing) as writer:
        subprocess.run([sys.executable, "-c", code], stdout=writing, env=ENVIRONMENT, check=True)
        writer.kill()

    assert os.read(reading, 100) == b"%d\n" % os.getpid()
    os.close(reading)
    os.close(writing)
