"""What commands read and write: pipes under a name, and nothing that would destroy what is read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support import batch_of, write, write_capture

from wcap.cli import main
from wcap.events import Gap

WCAP = [sys.executable, "-m", "wcap"]


@pytest.fixture
def paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        events = [write(b"%d" % number, after_ns=number, pid=100 * number)]
        write_capture(tmp_path / f"run-{number}.wcap", batch_of(*events))
    return ["run-1.wcap", "run-2.wcap"]


@pytest.fixture
def pipes(paths, tmp_path):
    """Name pipes that give what the captures hold."""
    names = [f"pipe-{number}" for number, _ in enumerate(paths)]
    writers = []
    for name, path in zip(names, paths, strict=True):
        os.mkfifo(name)
        data = (tmp_path / path).read_bytes()
        writers.append(threading.Thread(target=(tmp_path / name).write_bytes, args=(data,)))
        writers[-1].start()
    yield names
    for writer in writers:
        writer.join()


def text_of(capsys, *arguments):
    capsys.readouterr()
    assert main([*arguments]) == 0
    return capsys.readouterr().out


def test_several_pipes_under_a_name_are_read_as_files_are(paths, pipes, capsys):
    assert main(["merge", *pipes, "-o", "all.wcap"]) == 0

    assert capsys.readouterr().err == "wcap: 2 events of 2 captures: all.wcap\n"
    assert text_of(capsys, "show", "-A", "all.wcap") == "12"


def test_a_pipe_under_a_name_can_be_split(paths, pipes, capsys):
    assert main(["split", pipes[0], "--process", "-o", "by.wcap"]) == 0
    assert main(["show", pipes[1]]) == 0

    assert text_of(capsys, "show", "-A", "by-100.wcap") == "1"


def test_standard_input_under_its_name_is_a_capture_among_others(paths):
    given = Path(paths[1]).read_bytes()

    shown = subprocess.run([*WCAP, "show", "-A", paths[0], "/dev/stdin"], input=given,
                           capture_output=True)  # fmt: skip

    assert (shown.stdout, shown.stderr) == (b"12", b"")


@pytest.mark.parametrize(
    "arguments",
    [("cut", "-", "-o", "run-1.wcap"), ("merge", "-", "run-2.wcap", "-o", "run-1.wcap"),
     ("recover", "-", "-o", "run-1.wcap"), ("export", "-", "--csv", "-o", "run-1.wcap"),
     ("cut", "run-1.wcap", "-o", "link"), ("recover", "run-1.wcap", "-o", "run-1.wcap"),
     ("cut", "run-1.wcap", "run-2.wcap", "-o", "run-1.wcap"),
     ("split", "-", "--process", "-o", "run.wcap")],
    ids=" ".join,
)  # fmt: skip
def test_what_is_read_is_never_replaced_under_whatever_name(arguments, paths):
    Path("link").hardlink_to("run-1.wcap")
    before = Path("run-1.wcap").read_bytes()

    with Path("run-1.wcap").open("rb") as given:
        done = subprocess.run([*WCAP, *arguments, "--force"], stdin=given, capture_output=True)

    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert b"capture" in done.stderr
    assert Path("run-1.wcap").read_bytes() == before
    assert len(list(Path().iterdir())) == 3


def test_what_is_read_is_not_written_to_as_standard_output(paths):
    before = Path(paths[0]).read_bytes()

    with Path(paths[0]).open("ab") as out:
        done = subprocess.run([*WCAP, "cut", paths[0], "-o", "-"], stdout=out, stderr=-1)

    assert done.returncode == 2
    assert done.stderr == (
        b"wcap: standard output: this is the capture itself: name another file\n"
    )
    assert Path(paths[0]).read_bytes() == before


def test_a_result_that_became_the_newest_capture_is_not_made_of_itself(paths, monkeypatch, capsys):
    os.utime(paths[0], (9e9, 9e9))

    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert main(["cut", "-o", paths[0], "--force"]) == 2

    assert capsys.readouterr().err == (
        "wcap: run-1.wcap: this is the newest capture here, which would be read: name a FILE\n"
    )


@pytest.mark.parametrize("command", ["cut", "merge", "recover"])
def test_an_existing_result_is_refused_before_anything_is_read(command, paths):
    with subprocess.Popen([*WCAP, command, "-", "-o", paths[0]], stdin=-1, stderr=-1) as asked:
        assert asked.wait(20) == 1
        assert asked.stderr.read() == b"wcap: run-1.wcap: exists already: --force replaces it\n"


@pytest.mark.parametrize("again", ["run-1.wcap", "./run-1.wcap", "link"])
def test_a_file_is_not_read_twice(again, paths, capsys):
    Path("link").symlink_to("run-1.wcap")

    assert main(["merge", "run-1.wcap", "run-2.wcap", again, "-o", "all.wcap"]) == 2

    also = "" if again == "run-1.wcap" else ", as run-1.wcap too"
    assert capsys.readouterr().err == f"wcap: {again} is given twice{also}\n"


@pytest.mark.parametrize(
    "arguments",
    [("cut", "run-1.wcap", "-o", ""), ("cut", "", "-o", "x"), ("merge", "", "-o", "x"),
     ("recover", "", "-o", "x"), ("split", "run-1.wcap", "--process", "-o", ""), ("show", ""),
     ("export", "--csv", "run-1.wcap", "-o", ""), ("record", "-a", "-o", "")],
    ids=" ".join,
)  # fmt: skip
def test_an_empty_name_is_refused_as_one(arguments, paths, capsys):
    assert main([*arguments]) == 2

    err = capsys.readouterr().err
    assert "name expected, '' found" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["/dev/null", "folder", "folder/", "new/", "-"])
@pytest.mark.parametrize("way", [("--process",), ("--size", "1M")])
def test_several_files_are_named_after_a_file(name, way, paths, tmp_path, capsys):
    Path("folder").mkdir()

    assert main(["split", paths[0], *way, "-o", name, "--force"]) == 2

    said = f"wcap: split makes several files: a file's name expected, {name!r} found\n"
    assert capsys.readouterr().err == said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", *paths]


def test_parts_that_would_be_little_but_headers_are_refused(paths, capsys):
    assert main(["split", paths[0], "--size", "5300", "-o", "part.wcap"]) == 2
    assert capsys.readouterr().err == "wcap: --size: 64K or more expected, 5300 found\n"


@pytest.mark.parametrize("way", ["--process", "--host"])
def test_a_split_of_nothing_says_so(way, paths, capsys):
    write_capture(Path("none.wcap"))

    assert main(["split", "none.wcap", way, "-o", "by.wcap"]) == 0

    assert capsys.readouterr().err == "wcap: none.wcap: no event: nothing written\n"


@pytest.mark.parametrize(
    "arguments",
    [("cut", "lossy.wcap", "-o", "x.wcap"), ("split", "lossy.wcap", "--process", "-o", "x.wcap"),
     ("merge", "lossy.wcap", "run-1.wcap", "-o", "x.wcap")],
    ids=" ".join,
)  # fmt: skip
def test_status_3_is_never_without_a_word(arguments, paths, capsys):
    gap = Gap(0, 2, 4, 3, 0, 1, "buffer-full")
    write_capture(Path("lossy.wcap"), batch_of(write()), gaps=[gap])

    assert main([*arguments]) == 3

    assert "3 events lost while recording\n" in capsys.readouterr().err


def test_what_reads_several_reads_a_pattern_and_what_reads_one_says_so(paths, capsys):
    assert text_of(capsys, "replay", "--no-delay", "run-1.wcap", "run-2.wcap") == "12"
    assert main(["recover", "run-*.wcap", "-o", "x.wcap"]) == 2
    assert capsys.readouterr().err == "wcap: one capture expected, 2 given\n"
    assert main(["recover", "run-1*", "-o", "x.wcap"]) == 0


def test_recover_and_verify_take_the_newest_capture_where_none_is_named(paths, monkeypatch, capsys):
    os.utime(paths[1], (9e9, 9e9))
    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        assert text_of(capsys, "verify") == "run-2.wcap: sound: 5 whole frames, 1 event\n"
        assert main(["recover", "-o", "again"]) == 0
    assert text_of(capsys, "show", "-A", "again") == "2"
