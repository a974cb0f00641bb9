"""The filter options, which every reading command shares."""

import csv
import io
import json

import pytest
from support import STARTED_NS, batch_of, write, write_capture

from wcap.cli import main
from wcap.events import EventFlag, Target

LOG = Target("file", "/var/log/x")
PAGE = Target("file", "/srv/a,b.html")
WEB = Target("tcp", local="10.0.0.1:5187", peer="10.0.0.2:443")
DNS = Target("udp", local="0.0.0.0:4000")
TERMINAL = Target("tty", "/dev/pts/0")


@pytest.fixture
def capture(tmp_path):
    """Six events of two processes; each payload says which one it is."""
    return write_capture(
        tmp_path / "run.wcap",
        batch_of(
            write(b"0", fd=1, target=TERMINAL),
            write(b"1", fd=3, target=LOG, syscall="pwrite64", offset=4096),
            write(b"2", fd=4, target=WEB, pid=200, comm="nginx", syscall="sendto"),
            write(b"3", fd=5, target=DNS, syscall="sendmsg", address="127.0.0.1:53"),
            write(b"4", fd=6, target=PAGE, pid=200, tid=201, comm="worker", leader="nginx"),
            write(b"5", fd=7),
        ),
    )


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["--target", "/var/log/*"], "1"),
        (["--target", "*:443", "--target", "/srv/a,b*"], "24"),
        (["--target", "127.0.0.1:53"], "3"),
        (["--target", "*"], "01234"),
        (["--target", "!/dev/*"], "12345"),
        (["--target", "!/dev/*", "--target", "!*:53"], "1245"),
        (["--target", "/*", "--target", "!/srv/*"], "01"),
        (["--target-kind", "tcp, udp"], "23"),
        (["--target-kind", "file", "--target-kind", "tty"], "014"),
        (["--target-kind", "!tty,file"], "235"),
        (["--syscall", "pwrite64,sendto"], "12"),
        (["-e", "net"], "23"),
        (["-e", "net,!sendto"], "3"),
        (["-e", "!net"], "0145"),
        (["-e", "!write"], "123"),
        (["--pid", "!200"], "0135"),
        (["--pid", "!100,200"], ""),
        (["--tid", "!201"], "01235"),
        (["--comm", "!nginx"], "0135"),
        (["--comm", "!w*", "-e", "write"], "05"),
        (["--fd", "!1,3"], "2345"),
        (["--fd", "1,3,5,!3"], "03"),
        (["--fd", "!1", "--pid", "!200", "--target-kind", "!udp"], "15"),
    ],
)
def test_lists_name_what_is_wanted_and_exclude_what_follows_an_exclamation_mark(
    options, chosen, capture, capsys
):
    assert main(["show", str(capture), "--json", *options]) == 0

    rows = map(json.loads, capsys.readouterr().out.splitlines())
    assert "".join(row["text"] for row in rows) == chosen


def test_every_reading_command_knows_them(capture, capsysbinary):
    options = ["--target", "!/dev/*", "-e", "file", "--target-kind", "file"]

    def output(*arguments):
        assert main([arguments[0], str(capture), *arguments[1:], *options]) == 0
        return capsysbinary.readouterr().out.decode()

    assert output("show", "--text") == "14"
    assert output("replay", "--no-delay") == "14"
    rows = csv.DictReader(io.StringIO(output("export", "--csv"), newline=""))
    assert [row["text"] for row in rows] == ["1", "4"]
    assert json.loads(output("stats", "--json"))["events"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--target", ""], "--target: a pattern such as "),
        (["--target", "!"], "--target: a pattern such as "),
        (["--target-kind", "files"], "--target-kind: one of file, directory, "),
        (["--target-kind", "!tcp,x"], "--target-kind: one of file, directory, "),
        (["--syscall", "read"], "--syscall: one of file, net, write, "),
        (["-e", "!"], "--syscall: one of file, net, write, "),
        (["--fd", "!x"], "--fd: a number expected, 'x' found"),
        (["--pid", "1,!"], "--pid: a number expected, '' found"),
        (["--comm", "!"], "a name or NAME* expected, '' found"),
    ],
)
def test_what_does_not_parse_is_wrong_usage_in_one_line(options, message, capture, capsys):
    assert main(["show", str(capture), *options]) == 2

    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"wcap: {message}")
    assert err.count("\n") == 1


def test_a_chunk_whose_targets_calls_or_processes_are_all_unwanted_is_not_read(
    tmp_path, capsys, monkeypatch
):
    path = write_capture(
        tmp_path / "run.wcap",
        batch_of(write(target=LOG)),
        batch_of(write(after_ns=1, target=WEB, pid=200, syscall="sendto"), first_sequence=2),
    )
    read = []
    monkeypatch.setattr(
        "wcap.reader.Capture._chunk_at",
        lambda capture, _file, at: read.append(capture._chunks[at].summary.first_ns),
    )

    for options, chunks in (
        (["--target", "/srv/*"], 1),  # a message may have been sent to such an address
        (["--target-kind", "udp"], 0),
        (["-e", "sendto"], 1),
        (["--pid", "!100"], 1),
        (["--pid", "!100,200"], 0),
    ):
        read.clear()
        main(["show", str(path), *options])

        assert len(read) == chunks, options


def test_a_filter_finds_nothing_special_in_events_without_targets(tmp_path, capsys):
    path = write_capture(tmp_path / "run.wcap", batch_of(write(b"old", flags=EventFlag.TRUNCATED)))

    assert main(["show", str(path), "--json", "--target", "!/x", "--target-kind", "!tty"]) == 0
    assert json.loads(capsys.readouterr().out)["time_ns"] == STARTED_NS
