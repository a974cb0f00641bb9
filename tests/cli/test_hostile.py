"""What a capture made to do harm comes to on a terminal, and how its faults are reported."""

from __future__ import annotations

import dataclasses

import msgpack
import pytest
from bytesupport import assembled, frames_of
from support import CLOCK, HEADER, STARTED_NS, batch_of, end_of, write

from wcap.chunks import encode_events
from wcap.cli import main
from wcap.events import Gap
from wcap.format import FrameType, encode_end, encode_gaps, encode_header

ESCAPE = "\x1b[2J\x9b31m\u202e\x07\r"
READING = [
    ["show"],
    ["show", "--hex"],
    ["show", "--json"],
    ["show", "--style", "snoop"],
    ["show", "--style", "block"],
    ["stats"],
    ["info"],
    ["export", "--csv"],
]


def capture(**changed):
    """Put a capture together of a header, a chunk, a gap and an end.

    ``header_host`` is the key host of the header, ``events_column_fd`` the column fd of the chunk.
    """
    batch = batch_of(write(ESCAPE.encode(), comm=ESCAPE, syscall=ESCAPE))
    gap = Gap(0, 2, 2, 1, STARTED_NS, STARTED_NS + 9, ESCAPE)
    header = dataclasses.replace(HEADER, host=ESCAPE, warnings=(ESCAPE,), command=(ESCAPE,))
    end = end_of([batch], [gap], reason=ESCAPE)
    bodies = {
        "header": encode_header(header),
        "events": encode_events(batch, CLOCK)[0],
        "gaps": encode_gaps([gap], CLOCK),
        "end": encode_end(end),
    }
    frames = []
    for kind, encoded in bodies.items():
        body = msgpack.unpackb(encoded)
        for name, value in changed.items():
            frame, _, key = name.partition("_")
            column = key.removeprefix("column_")
            if frame == kind and column != key:
                body["columns"][column] = value
            elif frame == kind:
                body[key] = value
        frames.append((FrameType[kind.upper()], msgpack.packb(body)))
    return assembled(frames)


@pytest.mark.parametrize("command", READING, ids=" ".join)
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"header_clock": {"name": ESCAPE, "anchor": [ESCAPE]}},
        {"header_kernel": {ESCAPE: 5}},
        {"header_filters": {ESCAPE: {ESCAPE: [ESCAPE]}}},
        {"header_filters": {ESCAPE: 1.5}},
        {"events_essential": [ESCAPE]},
        {"events_column_fd": {"base": ESCAPE, "width": ESCAPE}},
        {"events_column_captured": {"minus": ESCAPE, "base": 0, "width": 0}},
        {"events_column_time_ns": {"delta": ESCAPE, "base": 0, "width": 0}},
        {"events_column_sequence": {"delta-by": [[ESCAPE, ESCAPE]], "base": 0, "width": 0}},
        {"events_payload": {"data": b"x", "size": ESCAPE}},
        {"gaps_gaps": [{"cause": ESCAPE, "cpu": ESCAPE}]},
        {"end_lost": {ESCAPE: -1}},
        {"end_lost": {ESCAPE: None}},
        {"end_lost_results": {ESCAPE: 2**63}},
    ],
    ids=lambda changed: " ".join(changed) or "nothing",
)
def test_no_control_character_of_a_capture_reaches_the_terminal(tmp_path, capsys, command, changed):
    path = tmp_path / "hostile.wcap"
    path.write_bytes(capture(**changed))

    status = main([*command, str(path)])

    out, err = capsys.readouterr()
    assert status in (1, 3)
    assert (out + err).replace("\r\n", "").replace("\n", "").isprintable()


def test_a_name_of_a_file_reaches_the_terminal_escaped(tmp_path, capsys):
    path = tmp_path / f"{ESCAPE}.wcap"
    path.write_bytes(b"no capture")

    assert main(["show", str(path)]) == 1
    err = capsys.readouterr().err
    assert err.removesuffix("\n").isprintable()
    assert "\\x1b[2J\\u009b31m\\u202e\\x07\\r.wcap: not a wcap capture" in err


@pytest.mark.parametrize("command", [one for one in READING if one != ["info"]], ids=" ".join)
def test_a_fault_found_while_printing_names_the_file(tmp_path, capsys, command):
    path = tmp_path / "odd.wcap"
    path.write_bytes(capture(events_column_count={"base": 0, "width": 3}))

    status = main([*command, str(path)])

    err = capsys.readouterr().err.splitlines()
    assert status == 1
    assert err == [
        f"wcap: {path}: a column's width is 3, one of (0, 1, 2, 4, 8) expected "
        f"(at byte {frames_of(path.read_bytes())[1].start})"
    ]
