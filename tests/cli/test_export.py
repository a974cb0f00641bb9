from __future__ import annotations

import csv
import dataclasses
import io
import json
import stat
import sys
from pathlib import Path

import pytest
from support import batch_of, write, write_capture

from wcap.cli import main
from wcap.cli.export import FormatOption
from wcap.events import EventFlag, Gap
from wcap.exporters import EXPORTERS


@pytest.fixture
def capture(tmp_path):
    return write_capture(
        tmp_path / "run.wcap",
        batch_of(
            write(b"out\n", after_ns=1, fd=1),
            write(b"err\n", after_ns=2, fd=2, pid=200, comm="other"),
            write(b"failed\n", after_ns=3, fd=1, returned=-32),
        ),
        batch_of(write(b"late\n", after_ns=4), first_sequence=4),
    )


@pytest.fixture
def lossy(tmp_path):
    gap = Gap(
        cpu=0, first_sequence=2, last_sequence=3, count=2, first_ns=1, last_ns=2, cause="full"
    )
    return write_capture(tmp_path / "lossy.wcap", batch_of(write()), gaps=[gap])


def texts(output: str) -> list[str]:
    return [row["text"] for row in csv.DictReader(io.StringIO(output, newline=""))]


def test_csv_goes_to_standard_output(capture, capsysbinary):
    assert main(["export", str(capture), "--csv"]) == 0

    out, err = capsysbinary.readouterr()
    assert texts(out.decode()) == ["out\\n", "err\\n", "failed\\n", "late\\n"]
    assert err == b""


@pytest.mark.parametrize("choice", [["--jsonl"], ["--format", "jsonl"]])
def test_json_lines_go_to_standard_output(choice, capture, capsys):
    assert main(["export", str(capture), *choice, "-o", "-"]) == 0

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["out\n", "err\n", "failed\n", "late\n"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--pid", "200"], ["err\\n"]),
        (["--tid", "100,200", "--fd", "2"], ["err\\n"]),
        (["--comm", "oth*"], ["err\\n"]),
        (["--grep", "^.a"], ["failed\\n", "late\\n"]),
        (["--errors"], ["failed\\n"]),
        (["--since", "+0.000000003s", "--until", "+0.000000004s"], ["failed\\n"]),
        (["-n", "2"], ["out\\n", "err\\n"]),
        (["-n", "0"], []),
        (["-n", "9"], ["out\\n", "err\\n", "failed\\n", "late\\n"]),
        (["-n", "2", "--fd", "1"], ["out\\n", "failed\\n"]),
    ],
)
def test_filters_choose_what_is_exported(options, expected, capture, capsys):
    assert main(["export", str(capture), "--csv", *options]) == 0

    assert texts(capsys.readouterr().out) == expected


def test_payloads_come_in_the_forms_asked_for(capture, capsys):
    assert main(["export", str(capture), "--csv", "--data", "base64,hex", "-n1"]) == 0

    header, row = capsys.readouterr().out.split("\r\n")[:2]
    assert header.endswith(",address,host,data_b64,data_hex")
    assert row.endswith(",b3V0Cg==,6f75740a")


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ([], "none given"),
        (["--csv", "--jsonl"], "csv and jsonl given"),
        (["--csv", "--format", "jsonl"], "csv and jsonl given"),
    ],
)
def test_exactly_one_format_is_wanted_and_all_are_named(options, given, capture, capsys):
    assert main(["export", str(capture), *options]) == 2

    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert given in err
    assert all(name in err for name in EXPORTERS)


def test_an_unknown_format_is_wrong_usage(capture, capsys):
    assert main(["export", str(capture), "--format", "xlsx"]) == 2

    assert "'xlsx' found" in capsys.readouterr().err


def test_an_unknown_payload_form_is_wrong_usage(capture, capsys):
    assert main(["export", str(capture), "--csv", "--data", "rot13"]) == 2

    assert "'rot13' found" in capsys.readouterr().err


def test_help_names_every_format(capsys):
    assert main(["export", "--help"]) == 0

    assert "wcap export run.wcap --csv" in capsys.readouterr().out
    help_of_format = FormatOption.__metadata__[0].help
    assert all(name in help_of_format for name in EXPORTERS)


@pytest.mark.parametrize(
    ("stdout_is_terminal", "target", "asked"),
    [(True, "-", False), (False, "-", None), (True, "out.csv", None)],
)
def test_progress_does_not_disturb_rows_on_a_terminal(
    stdout_is_terminal, target, asked, capture, tmp_path, monkeypatch
):
    seen = []

    def progress(opened, batches, *, terminal):
        seen.append(terminal)
        return batches

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys.modules["wcap.cli.export"], "progress", progress)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: stdout_is_terminal)

    assert main(["export", str(capture), "--csv", "-o", target]) == 0

    assert seen == [asked]


def test_a_file_is_private_and_holds_what_standard_output_would(capture, tmp_path, capsysbinary):
    target = tmp_path / "run.csv"

    assert main(["export", str(capture), "--csv", "-o", str(target)]) == 0
    assert main(["export", str(capture), "--csv"]) == 0

    assert target.read_bytes() == capsysbinary.readouterr().out
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.csv", "run.wcap"]


def test_a_file_is_replaced_only_by_force(capture, tmp_path, capsys):
    target = tmp_path / "run.csv"
    target.write_text("precious")

    assert main(["export", str(capture), "--csv", "-o", str(target)]) == 1
    assert capsys.readouterr().err == f"wcap: {target}: exists already: --force replaces it\n"
    assert target.read_text() == "precious"

    assert main(["export", str(capture), "--csv", "-o", str(target), "--force"]) == 0
    assert target.read_text().startswith("time,")


def test_a_file_that_appears_meanwhile_is_not_replaced(capture, tmp_path, monkeypatch, capsys):
    target = tmp_path / "run.csv"
    real = EXPORTERS["csv"].rows

    def slow(batch, forms):
        yield from real(batch, forms)
        target.write_text("someone else's")

    monkeypatch.setitem(EXPORTERS, "csv", dataclasses.replace(EXPORTERS["csv"], rows=slow))

    assert main(["export", str(capture), "--csv", "-o", str(target)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert target.read_text() == "someone else's"


@pytest.mark.parametrize(
    ("failure", "status"), [(OSError(28, "No space left on device"), 1), (KeyboardInterrupt(), 130)]
)
def test_a_failed_export_leaves_the_old_file_and_no_part(
    failure, status, capture, tmp_path, monkeypatch
):
    target = tmp_path / "run.csv"
    target.write_text("precious")

    def fail(batch, forms):
        yield b"a part"
        raise failure

    monkeypatch.setitem(EXPORTERS, "csv", dataclasses.replace(EXPORTERS["csv"], rows=fail))

    assert main(["export", str(capture), "--csv", "-o", str(target), "--force"]) == status
    assert target.read_text() == "precious"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.csv", "run.wcap"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_clear_line(capture, capsys):
    assert main(["export", str(capture), "--csv", "-o", "/dev/full"]) == 1

    assert capsys.readouterr().err == "wcap: /dev/full: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output_is_one_clear_line(capture, monkeypatch, capsys):
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        status = main(["export", str(capture), "--csv"])
        monkeypatch.undo()

    assert status == 1
    assert capsys.readouterr().err == "wcap: standard output: No space left on device\n"


def test_a_folder_that_is_not_there_is_named(capture, tmp_path, capsys):
    target = tmp_path / "none" / "run.csv"

    assert main(["export", str(capture), "--csv", "-o", str(target)]) == 1

    assert capsys.readouterr().err == f"wcap: {target}: No such file or directory\n"


def test_a_folder_is_no_file(capture, tmp_path, capsys):
    assert main(["export", str(capture), "--csv", "-o", str(tmp_path), "--force"]) == 1

    assert capsys.readouterr().err == f"wcap: {tmp_path}: Is a directory\n"


def test_a_closed_pipe_is_no_error(capture, monkeypatch, tmp_path):
    class Closed(io.RawIOBase):
        def writable(self):
            return True

        def write(self, data):
            raise BrokenPipeError(32, "Broken pipe")

        def fileno(self):
            return descriptor.fileno()

    with (tmp_path / "spare").open("wb") as descriptor:
        stdout = io.TextIOWrapper(io.BufferedWriter(Closed()))
        monkeypatch.setattr(sys, "stdout", stdout)
        status = main(["export", str(capture), "--csv"])
        monkeypatch.undo()

    assert status == 0


@pytest.mark.parametrize("target", ["-", "out.csv"])
def test_lost_events_are_told_by_the_status_and_the_rest_is_exported(
    target, lossy, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)

    assert main(["export", str(lossy), "--csv", "-o", target]) == 3

    out, err = capsys.readouterr()
    assert texts(out if target == "-" else Path(target).read_text()) == ["hello\\n"]
    assert err.count("\n") == 1
    assert "lost" in err


def test_a_capture_that_was_cut_is_exported_as_far_as_it_goes(capture, capsys):
    whole = capture.read_bytes()
    capture.write_bytes(whole[:-30])

    assert main(["export", str(capture), "--jsonl"]) == 3

    out, err = capsys.readouterr()
    assert [json.loads(line)["text"] for line in out.splitlines()][:3] == [
        "out\n",
        "err\n",
        "failed\n",
    ]
    assert "run.wcap" in err


def test_an_event_that_is_unfinished_has_no_result(tmp_path, capsys):
    run = write_capture(
        tmp_path / "run.wcap", batch_of(write(flags=EventFlag.UNFINISHED, returned=0))
    )

    assert main(["export", str(run), "--jsonl"]) == 0

    assert json.loads(capsys.readouterr().out)["returned"] is None


def test_the_capture_itself_is_never_replaced_by_its_export(tmp_path, capsys):
    path = write_capture(tmp_path / "run.wcap", batch_of(write()))
    before = path.read_bytes()

    assert main(["export", str(path), "--csv", "--force", "-o", str(path)]) == 2

    assert path.read_bytes() == before
    assert "this is the capture itself" in capsys.readouterr().err
