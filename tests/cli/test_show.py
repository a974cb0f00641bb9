import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from support import HEADER, STARTED_NS, batch_of, end_of, write, write_capture

from wcap.cli import main
from wcap.cli.show import Style, TimeForm
from wcap.events import EventFlag, Gap
from wcap.format import FrameType
from wcap.render import STYLES, TIMES, make_renderer
from wcap.sources import FileSource
from wcap.writer import CaptureWriter, open_output

SECOND = 1_000_000_000
WCAP = (sys.executable, "-m", "wcap")


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def show(capsys):
    """Run ``wcap show`` and return its status, its lines and what it said on stderr."""

    def run(*arguments):
        status = main(["show", *map(str, arguments)])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err

    return run


@pytest.fixture
def show_on_terminal(show, monkeypatch):
    """Run ``wcap show`` with a standard output that passes for a terminal of 60 columns."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def run(*arguments):
        with monkeypatch.context() as patch:
            patch.setattr(sys.stdout, "isatty", lambda: True)
            return show(*arguments)

    return run


@pytest.fixture
def capture(tmp_path):
    """Four chunks, ten seconds apart, of two processes."""
    batches = [
        batch_of(
            write(b"first\n", after_ns=number * 10 * SECOND, pid=100 + number, fd=number + 1),
            write(
                b"second\n",
                after_ns=(number * 10 + 1) * SECOND,
                pid=100 + number,
                tid=900 + number,
                comm=f"job-{number}",
                fd=number + 1,
                returned=-32 if number == 2 else None,
            ),
            first_sequence=number * 2 + 1,
        )
        for number in range(4)
    ]
    return write_capture(tmp_path / "run.wcap", *batches)


@pytest.fixture
def lossy(tmp_path):
    """Two events, and three lost between them."""
    gap = Gap(0, 2, 4, 3, STARTED_NS, STARTED_NS + SECOND, "buffer-full")
    second = {**write(b"after\n", after_ns=SECOND), "sequence": 5}
    return write_capture(tmp_path / "lossy.wcap", batch_of(write(b"before\n"), second), gaps=[gap])


def payloads(lines):
    return [line.partition('"')[2].removesuffix('"') for line in lines]


# What is printed


def test_the_default_is_a_line_an_event(show, capture):
    status, lines, err = show(capture, "-n", "2")

    assert (status, err) == (0, "")
    assert lines == [
        '03:04:05.000000000 hello 100/100 write(1) = 6 <0.000001500> "first\\n"',
        '03:04:06.000000000 job-0 100/900 write(1) = 7 <0.000001500> "second\\n"',
    ]


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (
            ["--style", "line", "--time", "rel"],
            ['    0.000000000 hello 100/100 write(1) = 6 <0.000001500> "first\\n"'],
        ),
        (["--style", "snoop"], ['"hello" (100,1) OUT >> "first\\n"']),
        (["-A"], ["first"]),
        (["--text"], ["first"]),
        (
            ["-x"],
            [
                "03:04:05.000000000 hello 100/100 write(1) = 6 <0.000001500>",
                "  00000000  66 69 72 73 74 0a                                 |first.|",
            ],
        ),
        (
            ["--hex", "-t", "rel"],
            [
                "    0.000000000 hello 100/100 write(1) = 6 <0.000001500>",
                "  00000000  66 69 72 73 74 0a                                 |first.|",
            ],
        ),
    ],
)  # fmt: skip
def test_the_style_can_be_chosen(show, capture, options, lines):
    assert show(capture, "-n", "1", *options) == (0, lines, "")


def test_a_block_names_process_pid_fd_count_data_and_hex(show, capture):
    _, lines, _ = show(capture, "-n", "1", "--style", "block")

    labels = dict(line.split(":", 1) for line in lines if line)
    assert {label: labels[label].strip() for label in ("Process", "PID", "FD", "Count")} == {
        "Process": "hello",
        "PID": "100",
        "FD": "1",
        "Count": "6",
    }
    assert labels["Data"].strip() == '"first\\n"'
    assert labels["Hex"].strip() == "66 69 72 73 74 0a"


@pytest.mark.parametrize("option", ["-j", "--json"])
def test_json_is_one_object_an_event(show, capture, option):
    status, lines, err = show(capture, option)

    events = [json.loads(line) for line in lines]
    assert (status, err) == (0, "")
    assert len(events) == 8
    assert {
        "time_ns", "pid", "tid", "ppid", "comm", "syscall", "fd", "count", "captured", "returned",
        "duration_ns", "flags", "text", "data_b64",
    } <= events[0].keys()  # fmt: skip
    assert (events[0]["time_ns"], events[0]["text"]) == (STARTED_NS, "first\n")


@pytest.mark.parametrize(
    ("form", "times"),
    [
        ("local", ["03:04:05.000000000", "03:04:06.000000000", "03:04:15.000000000"]),
        ("epoch", ["1767323045.000000000", "1767323046.000000000", "1767323055.000000000"]),
        ("rel", ["0.000000000", "1.000000000", "10.000000000"]),
        ("delta", ["0.000000000", "1.000000000", "9.000000000"]),
        (
            "iso",
            [
                "2026-01-02T03:04:05.000000000Z",
                "2026-01-02T03:04:06.000000000Z",
                "2026-01-02T03:04:15.000000000Z",
            ],
        ),
    ],
)
def test_time_can_be_shown_in_each_form(show, capture, form, times):
    _, lines, _ = show(capture, "-n", "3", "--time", form)

    assert [line.split()[0] for line in lines] == times


def test_a_delta_counts_from_the_event_shown_before(show, capture):
    _, lines, _ = show(capture, "-t", "delta", "--grep", "first")

    assert [line.split()[0] for line in lines] == ["0.000000000"] + ["10.000000000"] * 3


def test_every_style_and_time_of_the_command_line_exists():
    assert tuple(TimeForm) == TIMES
    assert set(Style) | {"hex", "text"} == set(STYLES)


@pytest.mark.parametrize(
    "options",
    [
        ["-x", "-A"],
        ["-x", "--json"],
        ["-A", "--style", "snoop"],
        ["--style", "line", "-j"],
        ["--json", "--time", "iso"],
    ],
)
def test_options_that_exclude_each_other_are_wrong_usage(show, capture, options):
    status, lines, err = show(capture, *options)

    assert (status, lines) == (2, [])
    assert err.startswith("wcap: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("options", [["--style", "tabular"], ["--time", "noon"], ["-n", "few"]])
def test_an_unknown_value_is_wrong_usage(show, capture, options):
    status, lines, err = show(capture, *options)

    assert (status, lines) == (2, [])
    assert f"'{options[0]}'" in err


# Filters


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["--pid", "102"], "45"),
        (["-p", "100,103"], "0167"),
        (["--pid", "100", "--pid", "101"], "0123"),
        (["--tid", "902"], "5"),
        (["--comm", "job-1"], "3"),
        (["-c", "job-*"], "1357"),
        (["--fd", "2,3"], "2345"),
        (["--since", "+20"], "4567"),
        (["--since", "2026-01-02T03:04:26Z"], "567"),
        (["--until", "03:04:16"], "012"),
        (["--since", "1767323046", "--until", "+21s"], "1234"),
        (["--grep", "^f"], "0246"),
        (["--errors"], "5"),
        (["--grep", "fi.*x", "--fd", "4"], ""),
        (["--grep", "nd$", "--fd", "4"], "7"),
        (["-n", "3"], "012"),
        (["-n", "3", "--grep", "first"], "024"),
        (["--limit", "0"], ""),
        (["-n", "100"], "01234567"),
    ],
)
def test_filters_choose_events(show, capture, options, chosen):
    status, lines, err = show(capture, "--json", *options)

    assert (status, err) == (0, "")
    assert [json.loads(line)["time_ns"] for line in lines] == [
        STARTED_NS + (int(row) // 2 * 10 + int(row) % 2) * SECOND for row in chosen
    ]


@pytest.fixture
def chunks_read(monkeypatch):
    """The offsets of the chunks of events that were read."""
    offsets = []
    frame = FileSource.frame

    def counted(self, offset):
        found = frame(self, offset)
        if found.envelope.type == FrameType.EVENTS:
            offsets.append(offset)
        return found

    monkeypatch.setattr(FileSource, "frame", counted)
    return offsets


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ([], 4),
        (["--pid", "102"], 1),
        (["--tid", "902"], 1),
        (["--fd", "1,4"], 2),
        (["--comm", "job-3"], 1),
        (["--comm", "none"], 0),
        (["--since", "+15"], 2),
        (["--until", "+15"], 2),
        (["--errors"], 1),
        (["-n", "2"], 1),
        (["-n", "0"], 0),
    ],
)
def test_chunks_that_cannot_match_are_not_read(show, capture, chunks_read, options, read):
    show(capture, *options)

    assert len(chunks_read) == read


@pytest.mark.parametrize(
    "options",
    [
        ["--grep", "("],
        ["--pid", "x"],
        ["--fd", ""],
        ["--since", "tomorrow"],
        ["--until", "+"],
        ["--comm", ""],
    ],
)
def test_a_filter_that_does_not_parse_is_wrong_usage(show, capture, options):
    status, lines, err = show(capture, *options)

    assert (status, lines) == (2, [])
    assert err.startswith("wcap: ")
    assert err.count("\n") == 1


# Gaps and damage


@pytest.mark.parametrize("style", Style)
def test_a_gap_is_shown_where_it_lies_and_changes_the_status(show, lossy, style):
    status, lines, _ = show(lossy, "--style", style)

    note = (
        "-- 3 events lost on CPU 0 between 03:04:05.000000000 and 03:04:06.000000000: "
        "buffer-full --"
    )
    before, after = "\n".join(lines).split(note)
    assert status == 3
    assert "before" in before
    assert "after" in after


def test_a_gap_does_not_come_between_json_objects(show, lossy):
    status, lines, err = show(lossy, "--json")

    assert status == 3
    assert [json.loads(line)["text"] for line in lines] == ["before\n", "after\n"]
    assert "-- 3 events lost on CPU 0" in err


def test_a_gap_outside_of_the_time_asked_for_is_not_shown(show, lossy):
    _, lines, _ = show(lossy, "--since", "+1")

    assert payloads(lines) == ["after\\n"]


def test_the_events_of_a_damaged_file_are_shown_as_far_as_they_are_whole(show, capture):
    capture.write_bytes(capture.read_bytes()[:-400])

    status, lines, err = show(capture)

    assert status == 3
    assert payloads(lines)[:2] == ["first\\n", "second\\n"]
    assert err.startswith(f"wcap: {capture}: ")


def test_what_is_not_a_capture_is_refused_in_one_line(show, tmp_path):
    (tmp_path / "x").write_bytes(b"not a capture at all, though long enough to be read")

    for name in (tmp_path / "x", tmp_path / "missing", tmp_path):
        status, lines, err = show(name)

        assert (status, lines) == (1, [])
        assert err.startswith(f"wcap: {name}: ")
        assert err.count("\n") == 1


# Where it is read from


def test_without_a_file_a_capture_is_read_from_the_pipe(show, capture, monkeypatch):
    for arguments in ([], ["-"]):
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb") as pipe, io.TextIOWrapper(pipe) as stdin:
            os.write(writer, capture.read_bytes())
            os.close(writer)
            monkeypatch.setattr(sys, "stdin", stdin)

            status, lines, err = show(*arguments)

        assert (status, len(lines), err) == (0, 8, "")


def test_without_a_file_or_a_pipe_the_newest_capture_here_is_read(show, capture, monkeypatch):
    older = write_capture(capture.parent / "zzz.wcap", batch_of(write(b"older")))
    os.utime(older, ns=(0, 0))
    monkeypatch.chdir(capture.parent)

    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        status, lines, _ = show("-n", "1")

    assert (status, payloads(lines)) == (0, ["first\\n"])


# Terminals


def test_lines_are_cut_to_the_window_of_a_terminal(show_on_terminal, tmp_path):
    path = write_capture(tmp_path / "long.wcap", batch_of(write(b"x" * 500)))

    _, cut, _ = show_on_terminal(path, "--style", "snoop")
    _, wide, _ = show_on_terminal(path, "--style", "snoop", "--wide")

    assert re.sub(r"\x1b\[\d+m", "", cut[0]) == '"hello" (100,1) OUT >> "'.ljust(59, "x") + "…"
    assert wide[0].endswith('OUT >> "' + "x" * 500 + '"')


def test_colours_are_for_terminals_that_want_them(show_on_terminal, capture, monkeypatch):
    assert "\x1b[" in show_on_terminal(capture)[1][0]

    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in show_on_terminal(capture)[1][0]

    monkeypatch.setenv("NO_COLOR", "")
    assert "\x1b[" in show_on_terminal(capture)[1][0]

    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in show_on_terminal(capture)[1][0]


def test_a_pipe_gets_whole_lines_without_colours(show, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    path = write_capture(tmp_path / "long.wcap", batch_of(write(b"x" * 500, returned=-32)))

    _, lines, _ = show(path)

    assert lines[0].endswith('= -1 EPIPE <0.000001500> "' + "x" * 500 + '"')


def test_json_and_the_gaps_beside_it_have_no_colours(show_on_terminal, lossy):
    _, lines, err = show_on_terminal(lossy, "--json")

    assert "\x1b" not in "".join(lines) + err


@pytest.mark.parametrize(
    "options", [[], ["-x"], ["-A"], ["--style=snoop"], ["--style=block"], ["-j"]]
)
def test_nothing_in_a_capture_reaches_the_output_as_a_control_character(capsys, tmp_path, options):
    hostile = b"\x1b[2J\x07\x9b\xc2\x9b\x7f\r\xe2\x80\xae\\" + bytes(range(9)) + b"\n"
    name = hostile[:15].decode("utf-8", "surrogateescape")
    gap = Gap(0, 3, 3, 1, STARTED_NS, STARTED_NS + 9, "\x1b[2J\x9b\u202e")
    path = write_capture(
        tmp_path / "hostile.wcap",
        batch_of(
            write(hostile, comm=name, syscall="\x1bwrite"),
            write(b"", count=9, comm=name, after_ns=1, flags=EventFlag.UNREADABLE),
        ),
        gaps=[gap],
    )

    assert main(["show", str(path), *options]) == 3

    out, err = capsys.readouterr()
    assert out
    assert all(character.isprintable() or character == "\n" for character in out + err)


def test_what_the_encoding_of_the_output_lacks_is_escaped(capture, tmp_path):
    path = write_capture(tmp_path / "words.wcap", batch_of(write("é日🙂 \\ \xe9".encode())))
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}

    shown = subprocess.run([*WCAP, "show", path, "-A"], capture_output=True, env=environment)

    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout == b"\\u00e9\\u65e5\\U0001f642 \\\\ \\u00e9"


def test_a_real_terminal_gets_lines_of_its_width(tmp_path):
    path = write_capture(tmp_path / "long.wcap", batch_of(*[write(b"x" * 500)] * 3))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    environment = {**os.environ, "TERM": "xterm"}
    for name in ("COLUMNS", "NO_COLOR"):
        environment.pop(name, None)

    shown = subprocess.run(
        [*WCAP, "show", path], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=environment
    )
    os.close(theirs)
    output = os.read(ours, 65_536).decode()
    os.close(ours)

    plain = re.sub(r"\x1b\[\d+m", "", output).splitlines()
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert "\x1b[" in output
    assert [len(line) for line in plain] == [100] * 3
    assert all(line.endswith("xxx…") for line in plain)


# Endings


def test_a_closed_pipe_is_no_error(tmp_path):
    path = write_capture(tmp_path / "many.wcap", batch_of(*[write(b"x" * 900)] * 3_000))

    with subprocess.Popen(
        [*WCAP, "show", path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as shown:
        assert shown.stdout.readline().endswith(b'"\n')
        shown.stdout.close()
        err = shown.stderr.read()

    assert (shown.returncode, err) == (0, b"")


def test_a_full_disk_is_an_error_in_one_line(capture):
    with Path("/dev/full").open("wb") as full:
        shown = subprocess.run([*WCAP, "show", capture], stdout=full, stderr=subprocess.PIPE)

    assert shown.returncode == 1
    assert shown.stderr == b"wcap: standard output: No space left on device\n"


def test_a_capture_of_many_parts_is_shown_whole_and_in_order(show, tmp_path):
    writes = [write(b"%d" % number, after_ns=number) for number in range(5_000)]
    path = write_capture(tmp_path / "many.wcap", batch_of(*writes))

    _, lines, _ = show(path)
    _, limited, _ = show(path, "-n", "2500")

    assert payloads(lines) == [str(number) for number in range(5_000)]
    assert limited == lines[:2_500]
    whole = make_renderer(started_ns=STARTED_NS).batch(batch_of(*writes))
    assert lines == whole.splitlines()


@pytest.mark.parametrize(
    "end",
    [{"reason": "error"}, {"lost_results": {"buffer-full": 1}}, {"unfollowed": 1}],
    ids=lambda end: next(iter(end)),
)
def test_a_recorder_that_knew_of_something_missing_gives_status_3(end, tmp_path, capsys):
    path = tmp_path / "x.wcap"
    with open_output(path) as stream:
        writer = CaptureWriter(stream, HEADER, salt=0)
        writer.write(batch_of(write()))
        writer.close(end_of([batch_of(write())], **end))

    assert main(["show", str(path)]) == 3
    assert "hello" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", [("show",), ("show", "--json"), ("stats",), ("stats", "--json")]
)
@pytest.mark.parametrize(
    ("vector", "what"),
    [
        ("end-bypassed", "writes of 2 processes not seen"),
        ("end-lost-results", "3 results lost"),
        ("end-unfollowed", "children not recorded: 2"),
        ("end-reason-error", "recording failed"),
    ],
)
def test_what_only_the_end_says_is_missing_is_told_in_a_line(command, vector, what, capsys):
    path = str(Path(__file__).parents[2] / f"samples/vectors/valid/{vector}.wcap")

    assert main([*command, path]) == 3

    err = capsys.readouterr().err
    assert err == f"wcap: {path}: not complete: {what}; wcap info says more\n"
