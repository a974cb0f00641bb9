"""Every way to choose: who must be recorded is, who must not be is not, and the other way round."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from kernel.support import PATIENCE_SECONDS, Puppet, Recorder, python, record

pytestmark = pytest.mark.kernel

# Each of the two says who it is.
MATCH, OTHER = b"match", b"other"
SAY = "os.write(null, {!r})"


def mounted_cgroup2() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            return Path(line.split()[4])
    return None


@contextmanager
def in_a_pid_namespace(code):
    """Yield the pid of a process in a PID namespace of its own, and what to call to let it run."""
    inside = subprocess.Popen(
        ["unshare", "--fork", "--pid", *python(f"os.read(0, 1)\n{code}")], stdin=subprocess.PIPE
    )
    with inside:
        children = Path(f"/proc/{inside.pid}/task/{inside.pid}/children")
        while not (pid := children.read_text().strip()):
            pass
        yield pid, lambda: inside.communicate(b"!", timeout=PATIENCE_SECONDS)


@pytest.fixture
def cgroup():
    """Make a cgroup of a container's name, and one below it; yield both."""
    mount = mounted_cgroup2()
    if mount is None or not os.access(mount, os.W_OK):
        pytest.skip("cgroup2 is not mounted where it can be written to")
    outer = mount / f"wcap-0123456789abcdef{os.getpid():06x}.scope"
    inner = outer / "below"
    inner.mkdir(parents=True)
    yield outer, inner
    inner.rmdir()
    outer.rmdir()


@pytest.fixture
def both(tmp_path):
    """Return what records two puppets with an option and its ``!`` form, and checks both."""

    def run(option, value, *, match="", other="", say=None, prepare=None, chosen=True):
        """Record with the option as it is, then with a ``!``.

        Args:
            value: returns the option's value for the puppet that must match.
            match, other: what each runs first.
            say: what each runs then, instead of writing who it is to /dev/null.
            prepare: called with the puppet that must match before recording begins.
            chosen: whether both are named with -p too.
        """
        form = say or SAY.format
        captures = []
        for mark, expected in (("", MATCH), ("!", OTHER)):
            with ExitStack() as stack:
                first = stack.enter_context(Puppet(form(MATCH), before=match))
                second = stack.enter_context(Puppet(form(OTHER), before=other))
                if prepare is not None:
                    prepare(first)
                word = value(first) if callable(value) else value
                numbers = ("-p", f"{first.pid},{second.pid}") if chosen else ()
                done = record(
                    *numbers, option, f"{mark}{word}",
                    output=tmp_path / f"{word!s:.9}{mark}{len(captures)}.wcap".replace("/", "-"),
                    during=lambda a=first, b=second: (a.perform(), b.perform()),
                )  # fmt: skip
            found = {data for data in done.payloads if data in (MATCH, OTHER)}
            assert found == {expected}, (option, mark, word)
            assert done.gaps == []
            captures.append(done)
        return captures

    return run


def test_processes_can_be_left_out(tmp_path):
    with Puppet(SAY.format(MATCH)) as match, Puppet(SAY.format(OTHER)) as other:
        done = record(
            "-c", "python*", "-p", f"!{other.pid}",
            output=tmp_path / "a.wcap", during=lambda: (match.perform(), other.perform()),
        )  # fmt: skip

    assert MATCH in done.payloads
    assert OTHER not in done.payloads


def test_threads_are_chosen_by_number(both):
    both("-t", lambda match: match.pid)


def test_a_thread_is_told_from_the_others_of_its_process(tmp_path):
    before = """
first, second = threading.Event(), threading.Event()
def say():
    first.wait()
    os.write(null, b'thread')
thread = threading.Thread(target=say)
thread.start()
os.write(1, b'%08d' % thread.native_id)
"""
    code = "first.set(); thread.join(); os.write(null, b'main')"
    process = subprocess.Popen(
        python(before + "os.read(0, 1)\n" + code),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    with process:
        tid = int(process.stdout.read(8))
        done = record(
            "-t", str(tid), output=tmp_path / "a.wcap",
            during=lambda: process.communicate(b"!", timeout=PATIENCE_SECONDS),
        )  # fmt: skip

    assert done.payloads == [b"thread"]


def test_users_are_chosen_by_number_and_by_name(both):
    both("-u", "65534", match="os.setresuid(65534, 65534, 65534)")
    both("-u", "nobody", match="os.setresuid(65534, 65534, 65534)")


def test_names_can_be_left_out(both):
    both("-c", "chosen-one", match="rename(b'chosen-one')")
    both("-c", "chos*", match="rename(b'chosen-one')")


def test_descriptors_are_chosen(both):
    both("--fd", "77", match="os.dup2(null, 77)", say=lambda text: (
        f"os.write(77 if {text == MATCH} else null, {text!r})"
    ))  # fmt: skip


def test_cgroups_are_chosen_with_those_below(cgroup, both):
    outer, inner = cgroup
    mount = mounted_cgroup2()

    def enter(puppet):
        (inner / "cgroup.procs").write_text(str(puppet.pid))

    for value in (str(outer), "/" + str(outer.relative_to(mount))):
        [done, _] = both("--cgroup", value, prepare=enter)
        assert {process.cgroup for process in done.processes} == {f"/{inner.relative_to(mount)}"}


def test_a_container_is_the_cgroup_that_has_its_id(cgroup, both):
    _, inner = cgroup

    both(
        "--container", "0123456789abcdef",
        prepare=lambda puppet: (inner / "cgroup.procs").write_text(str(puppet.pid)),
    )  # fmt: skip


def test_processes_of_a_pid_namespace_are_chosen(tmp_path):
    with (
        in_a_pid_namespace(SAY.format(MATCH)) as (pid, perform),
        Puppet(SAY.format(OTHER)) as other,
    ):
        done = record(
            "--pidns", pid, output=tmp_path / "a.wcap",
            during=lambda: (perform(), other.perform()),
        )  # fmt: skip

    assert done.payloads == [MATCH]
    [process] = done.processes
    assert (process.pid, process.ns_pid) == (int(pid), 1)


def test_processes_of_this_pid_namespace_are_those_of_the_host(tmp_path):
    with Puppet(SAY.format(MATCH)) as match:
        done = record(
            "-p", str(match.pid), "--pidns", "self", "--pidns", "host",
            output=tmp_path / "a.wcap", during=match.perform,
        )  # fmt: skip

    assert MATCH in done.payloads


@pytest.mark.parametrize(
    ("kind", "opened"),
    [
        ("file", "os.open('FOLDER/x', os.O_CREAT | os.O_WRONLY)"),
        ("pipe", "os.pipe()[1]"),
        ("character", "null"),
        ("tty", "__import__('pty').openpty()[1]"),
        ("unix", "(pair := __import__('socket').socketpair())[0].fileno()"),
        ("anonymous", "os.eventfd(0)"),
    ],
)
def test_kinds_of_targets_are_chosen_in_the_kernel(kind, opened, tmp_path):
    text = (1).to_bytes(8, "little")
    code = f"import threading\nfd = {opened.replace('FOLDER', str(tmp_path))}\n"
    code += f"os.write(fd, {text!r})\nos.write(os.memfd_create('m'), b'memory')"
    if kind == "file":
        code = code.replace("os.memfd_create('m')", "null")

    only = record("--target-kind", kind, "--", *python(code), output=tmp_path / "a.wcap")
    others = record("--target-kind", f"!{kind}", "--", *python(code), output=tmp_path / "b.wcap")

    assert only.payloads == [text]
    assert {event.target.kind for event in only.events} == {kind}
    assert others.payloads == [b"memory"]
    assert only.gaps == others.gaps == []


def test_paths_are_chosen_and_events_are_numbered_without_those_left_out(tmp_path):
    code = f"""
one, two = (os.open('{tmp_path}/' + name, os.O_CREAT | os.O_WRONLY) for name in ('one', 'two'))
for n in range(1009):
    os.write(one, b'1')
    os.write(two, b'2')
"""

    only = record("-P", f"{tmp_path}/o*", "--", *python(code), output=tmp_path / "a.wcap")
    others = record("-P", f"!{tmp_path}/o*", "--", *python(code), output=tmp_path / "b.wcap")

    assert only.payloads == [b"1"] * 1009
    assert others.payloads == [b"2"] * 1009
    assert only.gaps == others.gaps == []
    assert sum(only.end.sequences.values()) == 1009
    assert only.header.filters["resolved"]["decided_by_recorder"] == ["paths"]


def test_what_is_chosen_is_told_in_the_file(tmp_path):
    done = record(
        "-u", "root", "-c", "!nginx", "--fd", "1,2", "--duration", "10ms",
        output=tmp_path / "a.wcap",
    )  # fmt: skip

    resolved = done.header.filters["resolved"]
    assert (resolved["users"], resolved["fds"]) == ([0], [1, 2])
    assert resolved["left_out"] == {"comms": ["nginx"]}
    assert resolved["decided_in_kernel"] == ["comms", "fds", "users"]


def test_system_calls_are_chosen(tmp_path):
    code = "os.write(null, b'w'); os.writev(null, [b'v']); os.pwrite(null, b'p', 0)"

    for chosen, expected in (("writev", [b"v"]), ("!writev", [b"w", b"p"]), ("net", [])):
        done = record("-e", chosen, "--", *python(code), output=tmp_path / "a.wcap")
        assert done.payloads == expected
        done.path.unlink()


CHANGING = """
def child(text, change):
    pid = os.fork()
    if pid == 0:
        change()
        os.write(null, text)
        os._exit(0)
    os.waitpid(pid, 0)

def become(user):
    os.setresuid(user, 0, 0)  # real, effective and saved: it can be changed again
"""


def test_children_of_whoever_meets_all_conditions_follow_and_need_not_meet_them(tmp_path):
    code = """
child(b"child of root", lambda: become(65534))
become(65534)
os.write(null, b"itself")
child(b"child", lambda: become(0))
child(b"child of another name", lambda: (become(0), rename(b"other")))
"""

    with Puppet(code, before=f"{CHANGING}\nrename(b'chosen-one')") as puppet:
        done = record(
            "-u", "nobody", "-c", "chosen-one", "-f",
            output=tmp_path / "a.wcap", during=puppet.perform,
        )  # fmt: skip

    # The first child is itself of that name and user.
    assert done.payloads == [b"child of root", b"itself", b"child", b"child of another name"]


def test_a_process_that_is_left_out_still_brings_its_children_along(tmp_path):
    code = """
os.write(null, b"parent")
child(b"left out", lambda: (rename(b"hidden"), child(b"grandchild", lambda: rename(b"seen"))))
"""

    with Puppet(code, before=CHANGING) as puppet:
        done = record(
            "-p", str(puppet.pid), "-f", "-c", "!hidden",
            output=tmp_path / "a.wcap", during=puppet.perform,
        )  # fmt: skip

    assert done.payloads == [b"parent", b"grandchild"]


def test_everyone_but_some_are_recorded(tmp_path):
    with Puppet(SAY.format(MATCH)) as match, Puppet(SAY.format(OTHER)) as other:
        done = record(
            "--all", "-p", f"!{other.pid}", "--target-kind", "character",
            output=tmp_path / "a.wcap", during=lambda: (match.perform(), other.perform()),
        )  # fmt: skip

    assert MATCH in done.payloads
    assert OTHER not in done.payloads
    assert {event.target.kind for event in done.events} == {"character"}


def test_processes_of_a_pid_namespace_can_be_left_out(tmp_path):
    with (
        in_a_pid_namespace(SAY.format(MATCH)) as (pid, perform),
        Puppet(SAY.format(OTHER)) as other,
    ):
        done = record(
            "-p", f"{pid},{other.pid}", "--pidns", f"!{pid}", output=tmp_path / "a.wcap",
            during=lambda: (perform(), other.perform()),
        )  # fmt: skip

    assert OTHER in done.payloads
    assert MATCH not in done.payloads


def test_writes_left_out_for_their_descriptor_leave_results_and_numbers_of_the_others_alone(
    tmp_path,
):
    code = """
os.dup2(null, 77)
for n in range(1009):
    os.write(77, bytes(n))
    os.write(null, bytes(n + 1))
"""

    done = record("--fd", "77", "--", *python(code), output=tmp_path / "a.wcap")

    assert [event.returned for event in done.events] == list(range(1009))
    assert (sum(done.end.sequences.values()), done.gaps) == (1009, [])


def test_a_child_with_the_number_of_a_process_that_was_passed_over_is_recorded(tmp_path):
    on_one_cpu = "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    number_file = tmp_path / "number"
    workload = f"""
number = int(open({str(number_file)!r}).read())
child = 0
while child != number:
    with open("/proc/sys/kernel/ns_last_pid", "w") as last:
        last.write(str(number - 1))
    child = os.fork()
    if child == 0:
        os.write(null, b"%d again" % os.getpid())
        os._exit(0)
    os.waitpid(child, 0)
"""

    with (
        Puppet(on_one_cpu + workload) as puppet,
        Recorder("-p", str(puppet.pid), "-f", output=tmp_path / "run.wcap") as recorder,
    ):
        recorder.wait_until_recording()
        with subprocess.Popen(
            python(on_one_cpu + "for n in range(100): os.write(null, b'passed over')")
        ) as other:
            pass
        number_file.write_text(str(other.pid))
        puppet.perform()
        recorder.signal(signal.SIGINT)
        recorded = recorder.finish()

    assert b"%d again" % other.pid in recorded.payloads
    assert b"passed over" not in recorded.payloads
