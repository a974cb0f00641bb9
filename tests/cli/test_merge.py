from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from support import HEADER, batch_of, end_of, write, write_capture

from wcap.cli import main
from wcap.cli.options import find_captures
from wcap.errors import UsageError
from wcap.writer import CaptureWriter, open_output

OTHER = replace(HEADER, host="other", boot_id="b")


@pytest.fixture
def paths(tmp_path):
    first = batch_of(write(b"1", after_ns=1), write(b"3", after_ns=3))
    second = batch_of(write(b"2", after_ns=2), write(b"4", after_ns=4))
    return [
        str(write_capture(tmp_path / "run-9.wcap", first)),
        str(write_capture(tmp_path / "run-10.wcap", second, header=OTHER)),
    ]


def told(capsys, *arguments):
    status = main(["show", "--json", *arguments])
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return status, [(event["text"], event["host"], event["cpu"]) for event in events]


def test_merge_writes_captures_in_order_of_time(paths, tmp_path, capsys):
    made = str(tmp_path / "all.wcap")

    assert main(["merge", *paths, "-o", made]) == 0

    assert capsys.readouterr() == ("", f"wcap: 4 events of 2 captures: {made}\n")
    expected = [("1", "testhost", 0), ("2", "other", 1), ("3", "testhost", 0), ("4", "other", 1)]
    assert told(capsys, made) == (0, expected)
    assert told(capsys, made, "--host", "other") == (0, expected[1::2])
    assert told(capsys, made, "--host", "!other") == (0, expected[::2])
    assert main(["verify", made]) == 0


@pytest.mark.parametrize(
    "command",
    [("show",), ("show", "--hex"), ("show", "--json"), ("stats",), ("stats", "--json"),
     ("export", "--csv"), ("export", "--jsonl", "--host", "other")],
    ids=" ".join,
)  # fmt: skip
def test_several_captures_are_read_as_what_merge_makes_of_them(paths, tmp_path, command, capsys):
    made = str(tmp_path / "all.wcap")
    main(["merge", *paths, "-o", made])
    capsys.readouterr()

    assert main([*command, made]) == 0
    merged = capsys.readouterr().out
    assert main([*command, *paths]) == 0

    assert capsys.readouterr().out == merged


def test_info_says_what_was_merged(paths, tmp_path, capsys):
    assert main(["info", *paths]) == 0

    out = capsys.readouterr().out
    assert "merged            testhost, CPU 0, started 2026-01-02" in out
    assert "merged            other, CPU 1, started 2026-01-02" in out
    assert out.endswith("complete: 4 events of 2 CPUs, none lost\n")


def test_info_tells_for_each_recording_when_its_calls_were_recorded_where_they_differ(
    paths, tmp_path, capsys
):
    at_exit = replace(HEADER, host="third", boot_id="c", at="exit")
    third = str(write_capture(tmp_path / "third.wcap", batch_of(write()), header=at_exit))
    made = str(tmp_path / "all.wcap")
    main(["merge", paths[0], third, "-o", made])
    capsys.readouterr()

    assert main(["info", made]) == 0

    out = capsys.readouterr().out
    assert re.search(r"merged +testhost, .*, at enter, ", out)
    assert re.search(r"merged +third, .*, at exit, ", out)
    assert re.search(r"captured .* of each\n", out)


def test_stats_tell_machines_apart(paths, capsys):
    assert main(["stats", "--by", "host", *paths]) == 0
    assert "\nHOST" in (out := capsys.readouterr().out)
    assert [line.split()[:2] for line in out.splitlines()[-2:]] == [
        ["other", "2"], ["testhost", "2"],
    ]  # fmt: skip
    assert main(["stats", "--by", "hosts", *paths]) == 2
    assert capsys.readouterr().err.startswith("wcap: Invalid value for '--by': 'hosts' is not one ")


def test_info_says_whose_end_is_gone_and_since_when(paths, tmp_path, capsys):
    killed = batch_of(write(b"0", after_ns=7 * 10**9))
    path = str(write_capture(tmp_path / "killed.wcap", killed, header=OTHER, closed=False))
    later = str(write_capture(tmp_path / "later.wcap", batch_of(write(after_ns=9 * 10**9))))

    for names in ([path, later], [str(tmp_path / "all.wcap")]):
        if len(names) == 1:
            assert main(["merge", path, later, "-o", *names]) == 3
            capsys.readouterr()
        assert main(["info", *names]) == 3
        assert (
            "\n  other, CPU 0: recovered without its end: what came after 2026-01-02T03:04:12"
            in capsys.readouterr().out
        )


def test_parts_that_are_not_given_are_told_of(tmp_path, capsys):
    names = []
    for part in range(1, 4):
        batch = batch_of(write(after_ns=part), first_sequence=part)
        header = replace(HEADER, part=part, after={0: part - 1} if part > 1 else {})
        with open_output(tmp_path / f"ring-{part}.wcap") as stream:
            writer = CaptureWriter(stream, header, salt=0)
            writer.write(batch)
            writer.close(end_of([batch], reason="rotation" if part < 3 else "signal"))
        names.append(str(tmp_path / f"ring-{part}.wcap"))

    def said_of(*given):
        assert main(["merge", *given, "-o", str(tmp_path / "x"), "--force"]) == 0
        return capsys.readouterr().err.splitlines()[:-1]

    began = ": the recording began before part 2: its first events, 1, are not here"
    went_on = ": the recording went on after part 2, not here"
    assert said_of(*names) == []
    assert said_of(*names[1:]) == [f"wcap: {names[1]}{began}"]
    assert said_of(*names[:2]) == [f"wcap: {names[1]}{went_on}"]
    assert said_of(names[1]) == [f"wcap: {names[1]}{began}", f"wcap: {names[1]}{went_on}"]
    assert main(["info", str(tmp_path / "x")]) == 0
    out = capsys.readouterr().out
    assert "part              2, after 1 event that is not here\n" in out
    assert "the recording goes on in the next part" in out


def test_lines_say_the_host_where_there_are_several(paths, capsys):
    main(["show", *paths])
    assert " other hello 100/100 write(1)" in capsys.readouterr().out
    main(["show", paths[0]])
    assert "testhost" not in capsys.readouterr().out


def test_a_pattern_stands_for_the_files_that_match_in_the_order_of_their_numbers(paths, tmp_path):
    assert find_captures([str(tmp_path / "run-*.wcap")]) == paths
    with pytest.raises(UsageError, match="no file matches"):
        find_captures([str(tmp_path / "no-*.wcap")])


def test_the_captures_that_are_read_are_never_replaced(paths, capsys):
    assert main(["merge", *paths, "-o", paths[1], "--force"]) == 2
    assert "this is one of the captures themselves" in capsys.readouterr().err


def test_one_capture_is_merged_too_for_a_pattern_may_match_no_more(paths, tmp_path, capsys):
    made = str(tmp_path / "all.wcap")

    assert main(["merge", str(tmp_path / "run-9*"), "-o", made]) == 0

    assert capsys.readouterr().err == f"wcap: 2 events of 1 capture: {made}\n"
    assert told(capsys, made) == told(capsys, paths[0])


def test_it_works_through_pipes(paths, tmp_path):
    wcap = [sys.executable, "-m", "wcap"]
    with Path(paths[1]).open("rb") as given:
        merged = subprocess.run([*wcap, "merge", paths[0], "-", "-o", "-"], stdin=given,
                                capture_output=True, check=True)  # fmt: skip
    cut = subprocess.run([*wcap, "cut", "-", "--host", "other", "-o", "-"], input=merged.stdout,
                         capture_output=True, check=True)  # fmt: skip
    shown = subprocess.run([*wcap, "show", "-", "-A"], input=cut.stdout, capture_output=True,
                           check=True)  # fmt: skip

    assert shown.stdout == b"24"


def test_more_captures_than_a_program_is_given_open_files_for_are_merged(tmp_path):
    names = [f"run-{number}.wcap" for number in range(40)]
    for number, name in enumerate(names):
        write_capture(tmp_path / name, batch_of(write(b"%d" % number, after_ns=number)))
    command = [sys.executable, "-m", "wcap", "merge", "run-*.wcap", "-o", "all.wcap", "--force"]

    def run(limit):
        shell = f"ulimit {limit}; exec {shlex.join(command)}"
        return subprocess.run(["sh", "-c", shell], cwd=tmp_path, capture_output=True, text=True)

    done, refused = run("-Sn 32"), run("-n 32")

    assert (done.returncode, done.stderr) == (0, "wcap: 40 events of 40 captures: all.wcap\n")
    assert refused.returncode == 1
    assert "numpy" not in refused.stderr
    assert refused.stderr.startswith("wcap: the limit of open files is reached: raise it (ulimit ")
