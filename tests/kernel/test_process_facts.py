"""What is known of a process is right however short it lives, wherever it lives."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from kernel.support import CALLS, record, record_whole

pytestmark = pytest.mark.kernel

CHILDREN = 307
# How many levels below the root a cgroup is.
DEPTHS = (1, 15, 16, 17, 31, 61, 67)
CGROUPS = next(
    (
        Path(line.split()[1])
        for line in Path("/proc/self/mounts").read_text().splitlines()
        if line.split()[2] == "cgroup2" and os.access(line.split()[1], os.W_OK)
    ),
    None,
)

WORKLOAD = (
    CALLS
    + f"""
import tempfile
CGROUPS = {str(CGROUPS)!r} if {CGROUPS is not None} else ""
folder = os.path.realpath(tempfile.mkdtemp())

def child(action):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            action()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0

# Each has a program, arguments, a user and a group of its own, and writes its number at once.
def short(n):
    os.setgid(20_000 + n)
    os.setuid(10_000 + n)
    os.execv(("/bin/echo", "/bin/sh")[n % 2], (
        ["echo", "%d %d" % (os.getpid(), n)],
        ["sh", "-c", "echo $1", "an argument", "%d %d" % (os.getpid(), n), ""],
    )[n % 2])

def executed():
    os.write(1, b"before")
    os.execv("/bin/sh", ["sh", "-c", "echo between; exec /bin/echo after"])

def long_arguments():
    os.dup2(null, 1)
    os.execv("/bin/echo", ["echo", "x" * 10_000, "end"])

def deep_program():
    os.chdir(folder)
    for _ in range(31):
        os.mkdir("d")
        os.chdir("d")
    with open("/bin/echo", "rb") as source, open("program", "wb") as copy:
        copy.write(source.read())
    os.chmod("program", 0o755)
    os.execv("./program", ["program", "deep"])

def in_cgroup(depth):
    place = CGROUPS
    made = []
    for level in range(depth):
        place += f"/wcap-{{os.getpid()}}-{{level}}"
        os.mkdir(place)
        made.append(place)
    def join():
        with open(f"{{place}}/cgroup.procs", "w") as file:
            file.write("0")
        os.execv("/bin/echo", ["echo", place.removeprefix(CGROUPS)])
    child(join)
    for place in reversed(made):
        os.rmdir(place)

note("facts", [os.getpid(), os.getuid(), os.getgid(), folder])
note("cgroup", open("/proc/self/cgroup").read().rpartition("0::")[2].splitlines()[0])
for n in range({CHILDREN}):
    child(lambda: short(n))
for action in (executed, long_arguments, deep_program):
    child(action)
for depth in {DEPTHS} if CGROUPS else ():
    in_cgroup(depth)
"""
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    output = tmp_path_factory.mktemp("processes") / "run.wcap"
    return record_whole(WORKLOAD, output=output)


def events_with_processes(recorded):
    """Return each event with the process that made it."""
    return [
        (event, batch.processes[place])
        for batch in recorded.batches
        for event, place in zip(batch, batch.process.tolist(), strict=True)
    ]


def process_that_wrote(beginning, recorded):
    return next(
        process
        for event, process in events_with_processes(recorded)
        if event.data.startswith(beginning)
    )


def test_all_is_known_of_processes_that_live_for_one_write(recorded):
    parent, *_ = recorded.notes["facts"]
    found = [
        (event, process)
        for event, process in events_with_processes(recorded)
        if event.fd == 1 and process.uid is not None and process.uid >= 10_000
    ]

    assert len(found) == CHILDREN
    for n, (event, process) in enumerate(found):
        name = ("echo", "sh")[n % 2]
        text = event.data.decode().rstrip("\n")
        assert text == f"{process.pid} {n}"
        assert (process.comm, process.leader) == (name, name)
        assert (process.uid, process.gid) == (10_000 + n, 20_000 + n)
        assert (process.ppid, process.ns_pid) == (parent, process.pid)
        assert process.exe == os.path.realpath(f"/bin/{name}")
        arguments = ("echo", text) if name == "echo" else ("sh", "-c", "echo $1", "an argument")
        assert process.cmdline[: len(arguments)] == arguments
        assert process.cgroup == recorded.notes["cgroup"]
        assert event.target.kind is not None


def test_a_process_that_executes_one_program_after_the_other_is_each_in_turn(recorded):
    data = (b"before", b"between\n", b"after\n")
    found = [pair for pair in events_with_processes(recorded) if pair[0].data in data]

    assert [event.data for event, _ in found] == list(data)
    assert len({process.pid for _, process in found}) == 1
    assert len({process.start_ns for _, process in found}) == 1
    shell, echo = (os.path.realpath(f"/bin/{name}") for name in ("sh", "echo"))
    assert [process.exe for _, process in found][1:] == [shell, echo]
    assert [process.comm for _, process in found][1:] == ["sh", "echo"]
    assert [process.cmdline[0] for _, process in found][1:] == ["sh", "/bin/echo"]


def test_of_long_arguments_the_beginning_is_kept(recorded):
    process = process_that_wrote(b"xx", recorded)

    assert process.cmdline == ("echo", "x" * (4096 - len("echo\0")))


def test_a_program_deep_in_the_tree_has_its_whole_path(recorded):
    *_, folder = recorded.notes["facts"]
    process = process_that_wrote(b"deep", recorded)

    assert process.exe == folder + "/d" * 31 + "/program"


def test_a_process_in_a_pid_namespace_has_its_number_there_too(tmp_path):
    script = "echo first; sh -c 'echo second'; true"

    command = ("unshare", "--fork", "--pid", "sh", "-c", script)
    recorded = record("--", *command, output=tmp_path / "run.wcap")

    first, second = recorded.processes
    assert recorded.payloads == [b"first\n", b"second\n"]
    assert (first.ns_pid, second.ns_pid) == (1, 2)
    assert first.pid > 2
    assert second.ppid == first.pid


def test_a_process_deep_in_a_pid_namespace_has_its_innermost_number(tmp_path):
    command = ("unshare", "--fork", "--pid") * 7

    recorded = record("--", *command, "echo", "x", output=tmp_path / "run.wcap")

    [process] = recorded.processes
    assert process.ns_pid == 1


@pytest.mark.skipif(CGROUPS is None, reason="no cgroup of version 2 here")
def test_a_process_has_its_cgroup_or_none_but_never_a_part_of_it(recorded):
    found = [
        (event.data.decode().rstrip("\n"), process.cgroup)
        for event, process in events_with_processes(recorded)
        if event.data.startswith(b"/wcap-")
    ]

    assert [path.count("/") for path, _ in found] == list(DEPTHS)
    *paths, _ = [path for path, _ in found]
    assert [cgroup for _, cgroup in found] == [*paths, None]
