from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from support import STARTED_NS, batch_of, write, write_capture

from wcap.cli import main
from wcap.cli.stats import By
from wcap.events import EventFlag, Gap, Target
from wcap.stats import GROUPINGS

MS = 1_000_000


@pytest.fixture
def capture(tmp_path):
    return str(
        write_capture(
            tmp_path / "run.wcap",
            batch_of(
                write(b"x" * 100, pid=7, comm="worker", leader="srv", fd=3, duration_ns=900),
                write(b"hello\n", after_ns=MS, fd=1),
                write(b"error\n", after_ns=2 * MS, fd=2, returned=-32),
                write(b"part", after_ns=3 * MS, count=9, returned=4, flags=EventFlag.TRUNCATED),
                write(b"", after_ns=9 * MS, flags=EventFlag.UNFINISHED, syscall="writev"),
            ),
        )
    )


def run_json(capsys, *arguments):
    status = main(["stats", *arguments, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_everything_is_laid_out_plainly(capture, capsys):
    status = main(["stats", capture])

    assert status == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert (
        out
        == """\
events       5  from 2026-01-02T03:04:05.000000Z, over 9 ms
asked      121  bytes, 121 B
captured   116  bytes, 116 B, 1 payload cut
written    110  bytes, 110 B
failed       1
short        1  the kernel took only a part
no result    1  unfinished, not sent, or the result was lost

PID  NAME   EVENTS  ASKED  CAPTURED  WRITTEN  FAILED
  7  srv         1    100       100      100       0
100  hello       4     21        16       10       1

PID  NAME   FD  EVENTS  ASKED  CAPTURED  WRITTEN  FAILED
  7  srv     3       1    100       100      100       0
100  hello   1       3     15        10       10       0
100  hello   2       1      6         6        0       1

SYSCALL  EVENTS  ASKED  CAPTURED  WRITTEN  FAILED
write         4    121       116      110       1
writev        1      0         0        0       0

BYTES ASKED         EVENTS
          0              1  ####################
          1              0
          2  - 3         0
          4  - 7         2  ########################################
          8  - 15        1  ####################
         16  - 31        0
         32  - 63        0
         64  - 127       1  ####################

DURATION              EVENTS
  512 ns  - 1.023 us       1  #############
1.024 us  - 2.047 us       3  ########################################

ERROR  EVENTS
EPIPE       1

    TIME  EVENTS/S                         BYTES/S
    +0 s     1,000  ####################  97.7 KiB  ####################
+0.001 s     1,000  ####################   5.9 KiB  #
+0.002 s     1,000  ####################       0 B
+0.003 s     1,000  ####################   3.9 KiB  #
+0.004 s         0                             0 B
+0.005 s         0                             0 B
+0.006 s         0                             0 B
+0.007 s         0                             0 B
+0.008 s         0                             0 B
+0.009 s     1,000  ####################       0 B
"""
    )


def test_json_has_the_documented_keys(capture, capsys):
    status, found = run_json(capsys, capture)

    assert status == 0
    cells = found.pop("rate")
    assert cells["width_ns"] == MS
    assert cells["cells"][1] == {"time_ns": STARTED_NS + MS, "events": 1, "written_bytes": 6}
    by = found.pop("by")
    sums = {"events": 1, "asked_bytes": 100, "bytes": 100, "written_bytes": 100, "failed_events": 0}
    assert by["process"][0] == {"pid": 7, "name": "srv", **sums}
    assert by["fd"][0] == {"pid": 7, "name": "srv", "fd": 3, **sums}
    assert by["syscall"][1]["syscall"] == "writev"
    assert found.pop("sizes")[-1] == {"from": 64, "to": 127, "events": 1}
    assert found.pop("durations_ns")[-1] == {"from": 1024, "to": 2047, "events": 3}
    assert found == {
        "others": {},
        "events": 5,
        "asked_bytes": 121,
        "bytes": 116,
        "written_bytes": 110,
        "failed_events": 1,
        "short_events": 1,
        "truncated_events": 1,
        "unreadable_events": 0,
        "payload_lost_events": 0,
        "no_payload_events": 0,
        "no_result_events": 1,
        "lost": 0,
        "first_ns": STARTED_NS,
        "last_ns": STARTED_NS + 9 * MS,
        "errors": {"EPIPE": 1},
    }


def test_by_prints_the_totals_and_that_table_only(capture, capsys):
    main(["stats", capture, "--by", "tid"])

    table = capsys.readouterr().out.split("\n\n")[1]
    assert (
        table
        == """\
PID  NAME   TID  COMM    EVENTS  ASKED  CAPTURED  WRITTEN  FAILED
  7  srv      7  worker       1    100       100      100       0
100  hello  100  hello        4     21        16       10       1
"""
    )


@pytest.fixture
def placed(tmp_path):
    log = Target("file", "/var/log/x")
    web = Target("tcp", local="10.0.0.1:5", peer="10.0.0.2:80")
    nowhere = {"data": b"", "count": 900, "flags": EventFlag.NO_PAYLOAD, "syscall": "sendfile"}
    return str(
        write_capture(
            tmp_path / "run.wcap",
            batch_of(
                write(b"12345", fd=3, target=log),
                write(b"12345", fd=9, pid=7, target=log, flags=EventFlag.PAYLOAD_LOST, count=9),
                write(fd=4, target=web, source_fd=3, source=log, **nowhere),
                write(b"1", target=Target("\x1b", "/\x1b")),
                write(b"1"),
            ),
        )
    )


def test_by_target_and_by_kind_tell_where_to(placed, capsys):
    assert main(["stats", placed, "--by", "target", "--by", "kind"]) == 0

    totals, targets, kinds = capsys.readouterr().out.split("\n\n")
    assert totals.splitlines()[1:] == [
        "asked       916  bytes, 916 B",
        "captured     12  bytes, 12 B, 1 payload lost",
        "written     916  bytes, 916 B",
        "no payload    1  calls that have none, such as sendfile",
    ]
    assert targets.splitlines() == [
        "TARGET                      EVENTS  ASKED  CAPTURED  WRITTEN  FAILED",
        "tcp 10.0.0.1:5→10.0.0.2:80       1    900         0      900       0",
        "/var/log/x                       2     14        10       14       0",
        "/\\x1b                            1      1         1        1       0",
        "?                                1      1         1        1       0",
    ]
    assert [line.split()[0] for line in kinds.splitlines()] == ["KIND", "tcp", "file", "\\x1b", "?"]


def test_json_has_null_for_a_target_that_is_not_known(placed, capsys):
    _, found = run_json(capsys, placed, "--by", "target", "--by", "kind")

    assert [group["target"] for group in found["by"]["target"]] == [
        "tcp 10.0.0.1:5→10.0.0.2:80", "/var/log/x", "/\x1b", None,
    ]  # fmt: skip
    assert [group["kind"] for group in found["by"]["kind"]] == ["tcp", "file", "\x1b", None]
    assert (found["payload_lost_events"], found["no_payload_events"]) == (1, 1)


def test_by_may_be_repeated(capture, capsys):
    _, found = run_json(capsys, capture, "--by", "comm", "--by", "syscall", "--by", "comm")

    assert list(found["by"]) == ["comm", "syscall"]
    assert [row["comm"] for row in found["by"]["comm"]] == ["worker", "hello"]


def test_every_grouping_can_be_asked_for(capture, capsys):
    assert {by.value for by in By} == set(GROUPINGS)
    for by in By:
        status, found = run_json(capsys, capture, "--by", by.value)
        assert status == 0
        assert sum(row["events"] for row in found["by"][by]) == 5


def test_top_cuts_tables_and_says_how_much(capture, capsys):
    main(["stats", capture, "--top", "1"])

    out = capsys.readouterr().out
    assert "and 1 more (--top)" in out
    assert "100  hello" not in out


def test_tables_have_ten_rows_and_json_has_all(tmp_path, capsys):
    path = write_capture(tmp_path / "x.wcap", batch_of(*(write(pid=pid) for pid in range(1, 13))))

    main(["stats", str(path), "--by", "process"])
    table = capsys.readouterr().out
    _, found = run_json(capsys, str(path), "--by", "process")

    assert "and 2 more (--top)" in table
    assert table.count("hello") == 10
    assert len(found["by"]["process"]) == 12


@pytest.mark.parametrize(
    ("options", "events"),
    [
        (["--pid", "7"], 1),
        (["--tid", "100"], 4),
        (["--comm", "srv"], 1),
        (["--fd", "1,2"], 4),
        (["--since", "+0.002"], 3),
        (["--until", "+0.002"], 2),
        (["--grep", "^hel+o"], 1),
        (["--errors"], 1),
        (["--errors", "--pid", "7"], 0),
    ],
)
def test_filters_narrow_what_is_summed_up(capture, capsys, options, events):
    _, found = run_json(capsys, capture, *options)

    assert found["events"] == events


def test_no_event_at_all_is_no_error(capture, capsys):
    status = main(["stats", capture, "--pid", "1"])

    assert status == 0
    assert (
        capsys.readouterr().out
        == """\
events    0
asked     0  bytes, 0 B
captured  0  bytes, 0 B
written   0  bytes, 0 B
"""
    )


def test_only_grep_decodes_payloads(capture, capsys, monkeypatch):
    decoded = []
    original = "wcap.chunks.Chunk._payload"
    monkeypatch.setattr(original, lambda *_: decoded.append(1) or b"x" * 116)

    run_json(capsys, capture, "--fd", "1", "--since", "+0.001", "--errors")
    for by in By:
        main(["stats", capture, "--by", by.value])
    assert not decoded

    main(["stats", capture, "--grep", "x"])
    assert decoded


def test_lost_events_are_counted_and_give_status_3(tmp_path, capsys):
    gap = Gap(0, 2, 6, 5, STARTED_NS, STARTED_NS + 1, "ring buffer full")
    path = write_capture(tmp_path / "x.wcap", batch_of(write()), gaps=[gap])

    status = main(["stats", str(path), "--pid", "1"])

    assert status == 3
    assert "lost      5  in 1 gap, whatever the filter" in capsys.readouterr().out


def test_names_from_a_capture_reach_the_terminal_escaped(tmp_path, capsys):
    evil = "\x1b[2J\u202e\udcff"
    path = write_capture(
        tmp_path / "x.wcap", batch_of(write(comm=evil, leader=evil, syscall="w\x07"))
    )

    for by in By:
        main(["stats", str(path), "--by", by.value])
    out = capsys.readouterr().out
    main(["stats", str(path), "--json"])
    as_json = capsys.readouterr().out

    assert "\\x1b[2J\\u202e\\xff" in out
    assert (out + as_json).replace("\n", "").isprintable()
    assert json.loads(as_json)["by"]["process"][0]["name"] == "\x1b[2J\u202e\ufffd"


def test_a_name_that_stdout_cannot_encode_is_escaped(tmp_path, monkeypatch):
    path = write_capture(tmp_path / "x.wcap", batch_of(write(comm="größe")))
    output = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(output, encoding="ascii"))

    assert main(["stats", str(path), "--by", "comm"]) == 0

    assert b"gr\\xf6\\xdfe" in output.getvalue()


def test_a_capture_from_a_pipe_is_summed_up_as_well(capture, capsys, monkeypatch):
    pipe = io.BytesIO(Path(capture).read_bytes())
    pipe.seekable = lambda: False
    stdin = io.TextIOWrapper(pipe)
    stdin.fileno = lambda: 0
    monkeypatch.setattr("sys.stdin", stdin)

    status, found = run_json(capsys, "-")

    assert (status, found["events"]) == (0, 5)


def test_a_closed_pipe_is_no_error(capture, monkeypatch):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

        def fileno(self):
            return descriptor

    with Path(os.devnull).open("w") as null:
        descriptor = null.fileno()
        monkeypatch.setattr("sys.stdout", Closed())
        assert main(["stats", capture]) == 0


@pytest.mark.parametrize("options", [["--by", "colour"], ["--top", "0"], ["--pid", "x"]])
def test_an_option_that_makes_no_sense_gives_status_2(capture, capsys, options):
    assert main(["stats", capture, *options]) == 2
    assert capsys.readouterr().out == ""


def test_groups_that_are_too_many_are_told_of(capture, capsys, monkeypatch):
    monkeypatch.setattr("wcap.stats.MOST_GROUPS", 1)

    assert main(["stats", str(capture), "--by", "fd"]) == 0
    assert "of others, too many to be told apart" in capsys.readouterr().out
    assert list(run_json(capsys, capture)[1]["others"]) == ["process", "fd", "syscall"]
