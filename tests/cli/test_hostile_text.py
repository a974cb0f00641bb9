"""Every text of a capture is hostile: where it could go, it does nothing.

One capture has an escape sequence, a formula and a path that leads elsewhere in every text that
there is. Commands print it to a terminal, to a spreadsheet and to files.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import pty
import sys

import pytest
from bytesupport import written
from support import CLOCK, HEADER, STARTED_NS, batch_of, end_of, write

from wcap.cli import main
from wcap.events import Bypass, EventFlag, Gap, Target
from wcap.format import Clock

# ESC, C1 control, direction override, bell, CR, backspace, line separator, zero width, a title.
ESCAPES = "\x1b[2J\x9b31m\u202e\x07\r\b\u2028\u200b\x1b]0;owned\x07\x7f\t"
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "'=1", '"=1']
PATHS = ["../../escape", "/tmp/escape-wcap", "a/b\0c", "-o", "~/escape"]
COMMANDS = [
    ["show"],
    ["show", "--hex"],
    ["show", "--json"],
    ["show", "--style", "snoop"],
    ["show", "--style", "block"],
    ["show", "--text"],
    ["stats"],
    ["stats", "--by", "target"],
    ["stats", "--by", "comm"],
    ["stats", "--by", "syscall"],
    ["stats", "--by", "kind"],
    ["stats", "--json"],
    ["info"],
    ["info", "--json"],
    ["export", "--csv"],
    ["export", "--jsonl"],
    ["replay", "--no-delay"],
]


def capture(text: str) -> bytes:
    """Return a capture with this text wherever one can stand."""
    kinds = [
        Target("file", text, (8, 1), 5),
        Target("anonymous", text),
        Target("unix", inode=7, local=text, peer=text),
        Target(text, inode=3),
    ]
    batch = batch_of(
        *(
            {
                **write(text.encode(), comm=text, syscall=text, target=target, address=text),
                "process": dataclasses.replace(
                    write()["process"], comm=text, leader=text, exe=text, cmdline=(text,),
                    cgroup=text,
                ),
            }
            for target in kinds
        ),
        write(
            b"", count=9, syscall="sendfile", source_fd=4, source=kinds[0], comm=text,
            flags=EventFlag.NO_PAYLOAD,
        ),
    )  # fmt: skip
    gap = Gap(0, 6, 7, 2, STARTED_NS, STARTED_NS + 9, text)
    header = dataclasses.replace(
        HEADER,
        clock=Clock(text, CLOCK.clock_ns, CLOCK.wall_ns),
        syscalls=(text,),
        transport=text,
        kernel={text: text, "release": text, "machine": text},
        host=text,
        boot_id=text,
        filters={"given": [text], "resolved": {text: [text]}},
        command=(text, text),
        versions={text: text, "wcap": text},
        warnings=(text,),
        at=text,
    )
    end = end_of(
        [batch], [gap], reason=text, lost_results={text: 1}, warnings=(text,),
        bypassed=(Bypass(5, text, text, 3),),
    )  # fmt: skip
    return written([gap], batch, end, header=header)


def on_a_terminal(arguments: list[str], monkeypatch) -> bytes:
    """Run a command whose standard output and standard error are one terminal."""
    leader, follower = pty.openpty()
    try:
        with os.fdopen(follower, "w", encoding="utf-8") as terminal, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            patch.setattr(sys, "stderr", terminal)
            assert main(arguments) in (0, 1, 3)
            terminal.flush()
            os.set_blocking(leader, False)
            shown = b""
            try:
                while more := os.read(leader, 1 << 16):
                    shown += more
            except BlockingIOError:
                pass
    finally:
        os.close(leader)
    return shown


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_but_colours_acts_on_a_terminal(tmp_path, monkeypatch, command):
    path = tmp_path / "hostile.wcap"
    path.write_bytes(capture(ESCAPES))

    shown = on_a_terminal([*command, str(path)], monkeypatch).decode("utf-8")

    assert shown
    # What is left without wcap's own colours and the ends of lines can only be read.
    plain = shown
    while (start := plain.find("\x1b[")) >= 0:
        length = plain.index("m", start) + 1
        assert plain[start + 2 : length - 1].replace(";", "").isdecimal() or length - start == 3
        plain = plain[:start] + plain[length:]
    if command in (["replay", "--no-delay"], ["show", "--text"]):  # what a program may do to a line
        plain = plain.replace("\r", "").replace("\t", "").replace("\b", "")
    left = (
        plain.replace("\r\r\n", "").replace("\r\n", "").replace("\n", "")
    )  # the terminal puts a CR before LF
    assert left.isprintable(), [c for c in left if not c.isprintable()]


@pytest.mark.parametrize("text", FORMULAS)
def test_no_cell_of_csv_is_a_formula(tmp_path, capsys, text):
    path = tmp_path / "formulas.wcap"
    path.write_bytes(capture(text))

    assert main(["export", "--csv", str(path)]) == 3

    rows = list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))
    assert len(rows) == 6
    for row in rows[1:]:
        for name, cell in zip(rows[0], row, strict=True):
            number = cell.lstrip("-").isdecimal() and name not in ("text", "comm", "syscall")
            assert number or cell.lstrip(" '\"")[:1] not in {*"=+-@\t\r\n"} or cell[0] == "'"
            assert cell[:1] not in {*"=+@\t\r\n"}


@pytest.mark.parametrize("text", PATHS)
@pytest.mark.parametrize("format_", ["--csv", "--jsonl"])
def test_no_text_of_a_capture_names_an_output_file(tmp_path, monkeypatch, capsys, text, format_):
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    (folder / "run.wcap").write_bytes(capture(text))

    for command in COMMANDS:
        main([*command, "run.wcap"])
    assert main(["export", format_, "run.wcap", "-o", "out"]) == 3

    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "out",
        "run.wcap",
    ]
    assert not os.path.lexists("/tmp/escape-wcap")
    capsys.readouterr()
