"""The options of record: what is understood, what is refused, and that nothing is lost by it."""

from __future__ import annotations

import errno
import os
import resource
import sys
import threading
from pathlib import Path

import pytest
from support import STARTED_NS

from wcap import recorder
from wcap.cli import main
from wcap.cli.record import with_print_style
from wcap.errors import NotPermittedError
from wcap.recorder import Result, Settings, kernel
from wcap.syscalls import SYSCALLS


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sessions(monkeypatch):
    """Stand in for recordings: each notes what it was to do, writes a byte and ends at once."""
    prepared = []

    class Session:
        result = Result(1009, 23456, 0, 0, 1_500_000_000, None, 0, ())

        def __init__(self, target, settings, *, given=(), excluded=(), say=None):
            self.target, self.settings, self.given, self.say = target, settings, given, say
            prepared.append(self)

        def run(self, stream, *, begins, started, watch=None, parts=None):
            if stream is None:
                parts.open(1, STARTED_NS).close()
            else:
                stream.write(b"!")
            begins(STARTED_NS)
            started()
            return self.result

    monkeypatch.setattr(recorder, "Session", Session)
    return prepared


@pytest.fixture
def allowed(monkeypatch):
    """Let everyone record, as far as the first check goes."""
    monkeypatch.setattr(kernel, "_capabilities", lambda: ~0)
    here = Path("/proc/self/ns/pid").stat().st_ino
    monkeypatch.setattr(kernel, "FIRST_PID_NAMESPACE", here)


def refused(argv, capsys):
    """Return the exit status and the one line that a refusal is."""
    status = main(["record", *argv])
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return status, err


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        ([], ["-c COMM", "-p PID", "-- COMMAND", "--all"]),
        (["--all", "-c", "nginx"], ["--all", "leave out what chooses"]),
        (["--all", "-u", "root"], ["--all"]),
        (["-c", "!nginx"], ["a ! leaves out", "--all"]),
        (["--fd", "!1"], ["a ! leaves out"]),
        (["-u", "root,!0"], ["nothing is left of the users"]),
        (["-c", "a*", "-c", "!a*"], ["nothing is left of the names"]),
        (["-t", "1", "-f"], ["-t", "leave out -f"]),
        (["-t", "1", "--", "make"], ["-t", "the command"]),
        (["-P", ""], ["--path", "none found"]),
        (["--all", "-p", "1"], ["--all"]),
        (["--all", "--", "make"], ["--all"]),
        (["-a", "-e", "write,open"], ["--syscall", "file, net, write,", "'open' found"]),
        (["-a", "-e", "!file,net"], ["--syscall", "no system call is left"]),
        (["-a", "-s", "33M"], ["--snaplen", "0 to 33554432 bytes", "33M found"]),
        (["-a", "-s", "much"], ["'much' found"]),
        (["-a", "-B", "lots"], ["'lots' found"]),
        (["-a", "-B", "0"], ["--buffer", "0 found"]),
        (["-a", "-B", "4G"], ["--buffer", "2 GiB", "4G found"]),
        (["-a", "--duration", "soon"], ["30s", "'soon' found"]),
        (["-a", "--transport", "smoke"], ["auto, ring, perf", "'smoke' found"]),
        (["-a", "--at", "noon"], ["--at", "enter, exit", "'noon' found"]),
        (["-p", "1", "--lossless", "--transport", "perf"], ["--lossless", "ring buffer"]),
        (["-a", "--lossless"], ["--lossless --all", "choose"]),
        (["-u", "no-such-user"], ["--user", "'no-such-user'"]),
        (["-u", "4294967295"], ["--user", "4294967294"]),
        (["--fd", "-1"], ["--fd", "'-1' found"]),
        (["--fd", "4294967296"], ["--fd", "found"]),
        (["--target-kind", "soup"], ["--target-kind", "tty", "'soup' found"]),
        (["--cgroup", "/no/such/cgroup"], ["--cgroup", "no cgroup '/no/such/cgroup'"]),
        (["--container", "ba9876543210"], ["--container", "'ba9876543210'"]),
        (["--container", "ab"], ["--container", "12 hexadecimal digits"]),
        (["--pidns", "somewhere"], ["--pidns", "'somewhere' found"]),
        (["--pidns", "4194304"], ["--pidns", "no process"]),
        (["-t", "x"], ["--tid", "'x' found"]),
        (["-a", "--print=loud"], ["snoop", "'loud' found"]),
        (["-a", "--print", "-o", "-"], ["--print and -o -", "name a file"]),
        (["-p", "1,x"], ["--pid", "'x' found"]),
        (["-c", ""], ["NAME*", "'' found"]),
    ],
)
def test_wrong_usage_is_one_line_status_2_and_no_file(argv, told, folder, capsys):
    status, line = refused(argv, capsys)

    assert status == 2
    assert all(word in line for word in told), line
    assert list(folder.iterdir()) == []


def test_a_count_of_nothing_is_wrong_usage(capsys):
    assert main(["record", "-a", "-n", "0"]) == 2
    assert "--count" in capsys.readouterr().err


def test_a_terminal_takes_no_capture(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    status, line = refused(["-a", "-o", "-"], capsys)

    assert status == 2
    assert "terminal" in line


def test_a_process_that_is_not_there_is_named(folder, capsys):
    status, line = refused(["-p", f"{os.getpid()},4194305"], capsys)

    assert status == 1
    assert "4194305 is no process" in line
    assert list(folder.iterdir()) == []


def test_a_thread_s_number_is_not_taken_for_a_process(capsys):
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait)
    thread.start()

    status, line = refused(["-p", str(thread.native_id)], capsys)
    leave.set()
    thread.join()

    assert status == 1
    assert f"{thread.native_id} is a thread of process {os.getpid()}" in line


@pytest.mark.parametrize("word", ["4194305", "!4194305"])
def test_a_thread_that_is_not_there_is_named(word, capsys):
    status, line = refused(["-a" if word[0] == "!" else "-q", "-t", word], capsys)

    assert status == 1
    assert "4194305 is no thread" in line


@pytest.mark.parametrize("command", ["no-such-command", "./not-executable"])
def test_a_command_that_is_not_there_is_named(command, folder, capsys):
    (folder / "not-executable").write_text("echo hi")

    status, line = refused(["-o", "run.wcap", "--", command], capsys)

    assert status == 1
    assert line.startswith(f"wcap: {command}: command not found")
    assert not (folder / "run.wcap").exists()


def test_an_existing_file_is_refused_and_untouched(folder, sessions, capsys):
    (folder / "run.wcap").write_text("precious")

    status, line = refused(["-a", "-o", "run.wcap"], capsys)

    assert (status, line) == (1, "wcap: run.wcap: exists already: --force replaces it\n")
    assert (folder / "run.wcap").read_text() == "precious"
    assert sessions == []


def test_force_replaces_a_file_once_recording_can_start(folder, sessions):
    (folder / "run.wcap").write_text("old")

    assert main(["record", "-a", "-o", "run.wcap", "--force"]) == 0

    assert (folder / "run.wcap").read_bytes() == b"!"
    assert [path.name for path in folder.iterdir()] == ["run.wcap"]


@pytest.mark.parametrize("options", [[], ["-C", "1M"]])
def test_force_replaces_nothing_when_recording_does_not_begin(
    options, folder, sessions, monkeypatch, capsys
):
    name = "run-0001.wcap" if options else "run.wcap"
    (folder / name).write_text("precious")

    def fail(self, stream, **how):
        stream.write(b"!")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recorder.Session, "run", fail)
    status, line = refused(["-a", "-o", "run.wcap", "--force", *options], capsys)

    assert (status, line) == (1, f"wcap: {name}: No space left on device\n")
    assert [path.name for path in folder.iterdir()] == [name]
    assert (folder / name).read_text() == "precious"


def test_the_first_part_is_named_after_the_time_at_which_recording_begins(folder, sessions, capsys):
    options = ["-G", "1", "-o", "run-%Y.wcap", "-C", "1M"]
    assert main(["record", "-a", *options]) == 0

    told = capsys.readouterr().err.splitlines()
    assert [path.name for path in folder.iterdir()] == ["run-2026-0001.wcap"]
    assert told[0] == "wcap: recording everything to run-2026-0001.wcap"


def test_of_a_ring_of_files_it_is_said_how_many_are_left(sessions, monkeypatch, capsys):
    five = Result(1009, 23456, 0, 0, 1_500_000_000, None, 0, (), parts=5)
    monkeypatch.setattr(recorder.Session, "result", five)

    for count, told in (("2", "5 parts, of which 2 are left"), ("5", "5 parts")):
        main(["record", "-a", "-C", "1M", "-W", count, "-o", f"run{count}.wcap"])
        assert capsys.readouterr().err.endswith(f": {told}, the last run{count}-1.wcap\n")


@pytest.mark.parametrize(
    ("given", "told"), [("zr.wcap", "zr-0001.wcap"), ("zr-%H%M.wcap", "zr-%H%M.wcap")]
)
def test_of_a_ring_in_memory_the_file_is_named_that_will_be(given, told, sessions, capsys):
    main(["record", "-a", "--ring", "1M", "-o", given])

    first = capsys.readouterr().err.splitlines()[0]
    assert (
        first == f"wcap: recording everything into memory, and on SIGUSR1 and at the end to {told}"
    )


@pytest.mark.parametrize("output", ["nowhere/run.wcap", "."])
def test_an_output_that_cannot_be_opened_is_named(output, sessions, capsys):
    status, line = refused(["-a", "-o", output], capsys)

    assert status == 1
    assert line.startswith(f"wcap: {output}: ")
    assert sessions == []


def test_defaults_are_those_of_the_help(sessions, capsys):
    assert main(["record", "-a"]) == 0

    [session] = sessions
    assert session.settings == Settings(4096, 64 << 20, None, None, None)
    assert session.target.everything


def test_options_arrive(sessions):
    options = ["-c", "nginx", "-c", "foo*", "-p", "8,9", "--pid", "7", "-f"]
    limits = ["-s", "1K", "-B", "1M", "--transport", "perf", "-n", "23", "--duration", "1.5s"]

    assert main(["record", *options, *limits, "-e", "write"]) == 0

    [session] = sessions
    assert session.settings == Settings(
        1024, 1 << 20, "perf-buffer", 23, 1_500_000_000, syscalls=("write",)
    )
    assert [str(pattern) for pattern in session.target.comms] == ["nginx", "foo*"]
    assert session.target.pids == (8, 9, 7)
    assert session.target.follow


def test_what_follows_a_command_is_its_own(sessions):
    assert main(["record", "-q", "--", "make", "-n", "-j8"]) == 0

    assert sessions[0].target.command == ("make", "-n", "-j8")
    assert sessions[0].settings.most is None


@pytest.mark.parametrize(
    ("argv", "word"),
    [
        (["-P", "/var/log/a", "/var/log/b"], "/var/log/b"),  # a pattern that the shell expanded
        (["-c", "foo", "make", "-o", "run.wcap"], "make"),
        (["-c", "foo", "foot", "--", "make"], "foot"),
    ],
)
def test_a_word_that_was_not_set_apart_is_never_run(argv, word, sessions, capsys):
    assert main(["record", *argv]) == 2

    assert sessions == []
    assert capsys.readouterr().err == (
        f"wcap: {word!r} stands alone: a command follows --, and patterns need quotes\n"
    )


def test_the_last_line_sums_up_and_loss_is_status_3(sessions, monkeypatch, capsys):
    assert main(["record", "-a", "-o", "run.wcap"]) == 0
    err = capsys.readouterr().err.splitlines()
    assert err[0] == "wcap: recording everything to run.wcap"
    assert err[-1] == (
        "wcap: 1,009 events, 23,456 bytes captured, 0 events lost, 1.5 seconds: run.wcap"
    )

    lossy = Result(1009, 23456, 4242, 23, 1_500_000_000, None, 0, ())
    monkeypatch.setattr(recorder.Session, "result", lossy)
    assert main(["record", "-a", "-o", "lossy.wcap"]) == 3
    assert "4,242 events lost, 23 results lost" in capsys.readouterr().err


def test_lost_results_alone_are_status_3(sessions, monkeypatch):
    monkeypatch.setattr(recorder.Session, "result", Result(1, 1, 0, 1, 1, None, 0, ()))

    assert main(["record", "-a"]) == 3


def test_how_to_record_arrives(sessions):
    assert main(["record", "-c", "x", "-s", "0", "--at", "exit", "--fail-on-loss"]) == 0
    assert main(["record", "-c", "x", "--lossless", "-o", "b.wcap"]) == 0

    first, second = (session.settings for session in sessions)
    assert (first.snaplen, first.at_exit, first.stop_on_loss) == (32 << 20, True, True)
    assert first.syscalls == SYSCALLS
    assert (second.lossless, second.at_exit) == (True, False)


def test_whom_is_recorded_is_said_as_it_was_understood(sessions, capsys):
    options = ["-c", "a", "-c", "!b*", "-u", "root", "-t", "7,!8", "-P", "/x", "--fd", "1,2"]

    assert main(["record", *options]) == 0

    said = capsys.readouterr().err.splitlines()[0]
    assert "recording -c a -t 7 -u 0 --fd 1,2 -P /x -c !b* -t !8 to " in said


def test_what_stands_behind_an_exclamation_mark_is_left_out(sessions):
    options = ["-c", "nginx", "-c", "!foo*", "-t", "1,2,!3", "-u", "!0", "--fd", "!1,2"]
    assert main(["record", *options, "-P", "/a,b", "-P", "!/c", "--target-kind", "!tty"]) == 0

    target = sessions[0].target
    assert [str(pattern) for pattern in target.left_out.comms] == ["foo*"]
    assert (target.tids, target.left_out.tids) == ((1, 2), (3,))
    assert (target.users, target.left_out.users) == ((), (0,))
    assert target.left_out.fds == (1, 2)
    assert (target.paths, target.left_out.paths) == (("/a,b",), ("/c",))
    assert target.left_out.kinds == ("tty",)


def test_payloads_that_were_broken_off_are_told_and_status_3(sessions, monkeypatch, capsys):
    broken = Result(9, 1, 0, 0, 1, None, 0, (), lost_payloads=2)
    monkeypatch.setattr(recorder.Session, "result", broken)

    assert main(["record", "-a"]) == 3
    assert "0 events lost, 2 payloads broken off" in capsys.readouterr().err


def test_processes_that_wrote_past_wcap_are_status_3(sessions, monkeypatch):
    monkeypatch.setattr(recorder.Session, "result", Result(1, 1, 0, 0, 1, None, 1, ()))

    assert main(["record", "-a"]) == 3


def test_quiet_says_nothing(sessions, capsys):
    assert main(["record", "-q", "-c", "a-name-of-more-than-15"]) == 0

    assert capsys.readouterr() == ("", "")


def test_what_is_said_of_a_command_stays_on_one_line_and_harmless(sessions, capsys):
    assert main(["record", "-o", "run.wcap", "--", "sh", "-c", "echo \x1b[2J\necho"]) == 0

    first, last = capsys.readouterr().err.splitlines()
    assert first == "wcap: recording sh -c 'echo \\x1b[2J\\necho' and children to run.wcap"
    assert last.startswith("wcap: 1,009 events")


def test_help_shows_each_example_on_a_line_of_its_own(capsys):
    assert main(["record", "--help"]) == 0

    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert "wcap record -p 812,815 -f --duration 30s" in lines
    assert "\\b" not in lines


def test_print_has_a_style_without_being_given_one():
    assert with_print_style(["record", "--print", "-a"]) == ["record", "--print=line", "-a"]
    assert with_print_style(["record", "--print=hex"]) == ["record", "--print=hex"]
    assert with_print_style(["record", "--", "x", "--print"]) == ["record", "--", "x", "--print"]


def test_a_kernel_that_is_locked_down_is_named(tmp_path, monkeypatch, capsys):
    lockdown = tmp_path / "lockdown"
    lockdown.write_text("none integrity [confidentiality]\n")
    monkeypatch.setattr(kernel, "_LOCKDOWN", lockdown)

    status, line = refused(["-a", "-o", "run.wcap"], capsys)

    assert status == 1
    assert "locked down" in line


@pytest.mark.parametrize(
    ("error", "told"),
    [(errno.EPERM, "seccomp"), (errno.ENOSYS, "CONFIG_BPF_SYSCALL")],
)
def test_a_bpf_call_that_is_refused_is_explained(error, told, allowed, monkeypatch, capsys):
    monkeypatch.setattr(kernel, "_try_map", lambda *_: error)

    status, line = refused(["-a", "-o", "run.wcap"], capsys)

    assert status == 1
    assert told in line


def test_a_kernel_without_ring_buffers_leaves_the_perf_buffer(allowed, monkeypatch, capsys):
    monkeypatch.setattr(kernel, "_try_map", lambda kind, *_: errno.EINVAL if kind == 27 else 0)

    status, line = refused(["-a", "--transport", "ring"], capsys)

    assert status == 1
    assert "--transport perf" in line
    assert not kernel.has_ring_buffer()


@pytest.mark.parametrize(("version", "needed"), [((5, 10), True), ((5, 11), False)])
def test_locked_memory_matters_to_old_kernels_only(version, needed, monkeypatch):
    def deny(*_):
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "setrlimit", deny)
    monkeypatch.setattr(kernel, "version", lambda: version)

    if needed:
        with pytest.raises(NotPermittedError, match="RLIMIT_MEMLOCK"):
            kernel.raise_memlock()
    else:
        kernel.raise_memlock()
