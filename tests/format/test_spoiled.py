"""A small capture, spoiled in every place, through every reader: no lie, no traceback, status 3."""

from __future__ import annotations

import io
import json

import pytest
from bytesupport import (
    Read,
    frames_of,
    possible_events,
    read,
    read_or_refuse,
    small_capture,
    true_events,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wcap.check import Check, Finding
from wcap.cli import main
from wcap.envelope import MAGIC
from wcap.errors import FormatError
from wcap.events import Gap
from wcap.format import FrameType
from wcap.reader import Capture
from wcap.recover import Recovered, recover
from wcap.summary import examine

DATA = small_capture()
FRAMES = frames_of(DATA)
HEADER_END = FRAMES[0].end
MINOR = len(MAGIC) + 1
ORDER = {(e.cpu, e.sequence): place for place, e in enumerate(true_events())}


def findings(data: bytes) -> list[Finding]:
    return list(Check(io.BytesIO(data)).findings())


def recovered(data: bytes) -> tuple[Recovered, bytes]:
    made = io.BytesIO()
    return recover(io.BytesIO(data), made, salt=77), made.getvalue()


def assert_all_readers_tell_the_truth(data: bytes) -> None:
    """Read, verify and recover; what they give is part of the original's, in order."""
    found = read_or_refuse(data)
    assert set(found.events) <= possible_events()
    places = [ORDER[e.cpu, e.sequence] for e in found.events]
    assert places == sorted(set(places))
    try:
        told = findings(data)
    except FormatError:
        with pytest.raises(FormatError):
            recovered(data)
        return
    assert bool(told) == bool(found.damage)
    assert all(0 <= finding.offset <= len(data) and finding.section for finding in told)
    assert_recovered(data, found)


def assert_recovered(data: bytes, found: Read) -> None:
    done, made = recovered(data)
    again = read(made)
    assert again.damage == []
    assert findings(made) == []
    assert [e.data for e in again.events] == [e.data for e in found.events]
    assert done.events == len(again.events)
    assert done.marked == sum(gap.count for gap in again.gaps if gap.cause == "damage")
    # Every number up to the last that is known stands for an event or a loss.
    with Capture(io.BytesIO(made), errors="salvage") as capture:
        facts = examine(capture)
        assert not (facts.holes)
        assert not (facts.discrepancies)
        assert not (facts.uncounted)
        assert not facts.complete
    if len(again.events) < len(true_events()):
        assert done.missing


@pytest.mark.parametrize("part", range(8))
def test_cut_at_every_offset_everything_whole_is_verified_and_recovered(part):
    """SPEC R10: each cut leaves what is before it."""
    for cut in range(part, len(DATA), 8):
        assert_all_readers_tell_the_truth(DATA[:cut])


@pytest.mark.parametrize("part", range(8))
def test_with_each_byte_flipped_everything_whole_is_verified_and_recovered(part):
    """SPEC R3 R11"""
    for place in range(part, len(DATA), 8):
        if place == MINOR:
            continue
        data = bytearray(DATA)
        data[place] ^= 0xFF
        assert_all_readers_tell_the_truth(bytes(data))


def spoiled(how: str, start: int, end: int) -> bytes:
    span = DATA[start:end]
    if how == "swap":
        other = DATA[end : 2 * end - start]
        return DATA[:start] + other + span + DATA[end + len(other) :]
    middle = {"zero": bytes(len(span)), "double": span * 2, "delete": b""}[how]
    return DATA[:start] + middle + DATA[end:]


@pytest.mark.parametrize("how", ["zero", "double", "delete", "swap"])
@pytest.mark.parametrize("length", [1, 7, 18, 64, 300])
def test_a_sweep_of_spoiled_spans_is_verified_and_recovered(how, length):
    """SPEC R12 R19"""
    for start in range(MINOR + 1, len(DATA), 23):
        data = spoiled(how, start, min(start + length, len(DATA)))
        if data != DATA:
            assert_all_readers_tell_the_truth(data)


@settings(deadline=None, max_examples=150)
@given(
    st.sampled_from(["zero", "double", "delete", "swap"]),
    st.tuples(st.integers(MINOR + 1, len(DATA)), st.integers(MINOR + 1, len(DATA))).map(sorted),
)
@example("swap", [FRAMES[0].end, FRAMES[1].end])  # whole frames at places of others
@example("swap", [146, 1318])
def test_any_spoiled_span_is_verified_and_recovered(how, span):
    """SPEC R12 R19"""
    data = spoiled(how, *span)
    if data != DATA:
        assert_all_readers_tell_the_truth(data)


@pytest.mark.parametrize("frame", FRAMES[1:])
def test_the_loss_of_a_frame_is_marked_where_it_can_be_told(frame):
    """SPEC R11"""
    data = bytearray(DATA)
    data[frame.end - 1] ^= 1
    done, made = recovered(bytes(data))
    gaps = [gap for gap in read(made).gaps if gap.cause == "damage"]
    with Capture(io.BytesIO(made), errors="salvage") as capture:
        facts = examine(capture)
    if frame.type in (FrameType.INDEX, FrameType.FOOTER):
        assert not done.missing
        assert gaps == []
        return
    assert done.missing
    assert not facts.complete
    assert done.end == (frame.type != FrameType.END)
    assert bool(gaps) == (frame.type in (FrameType.EVENTS, FrameType.GAPS))
    if frame.type == FrameType.GAPS:
        gap = gaps[0]
        assert (gap.cpu, gap.first_sequence, gap.last_sequence, gap.count) == (0, 2, 4, 3)
    if frame.type == FrameType.RESULTS:
        assert facts.end is not None
        assert facts.end.lost_results == {"damage": 1}


def test_a_whole_capture_comes_back_event_for_event():
    done, made = recovered(DATA)
    assert not done.missing
    assert done.damage == []
    assert read(made).events == true_events()
    assert [g for g in read(made).gaps if isinstance(g, Gap)] == read(DATA).gaps
    assert findings(DATA) == []


COMMANDS = [
    ["show"],
    ["stats"],
    ["info"],
    ["export", "--csv"],
    ["export", "--jsonl"],
    ["replay", "--no-delay"],
    ["verify"],
    ["recover", "-o", "OUT"],
]
SAMPLE = [*range(HEADER_END, len(DATA), 61)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("how", ["cut", "flip"])
def test_each_command_ends_with_status_3_and_no_traceback(tmp_path, capfd, command, how):
    for place in SAMPLE:
        data = bytearray(DATA[:place] if how == "cut" else DATA)
        if how == "flip":
            data[place] ^= 0x40
        path = tmp_path / f"{how}-{place}.wcap"
        path.write_bytes(data)
        words = [str(tmp_path / f"{place}.out") if word == "OUT" else word for word in command]

        status = main([*words, str(path)])

        out, err = capfd.readouterr()
        lost = place < next(f.start for f in FRAMES if f.type == FrameType.INDEX)
        if command[0] != "recover" or lost:
            assert status == 3
        assert "Traceback" not in out + err
        assert command[0] == "recover" or "byte" in out + err or "no footer" in out + err


def test_verify_as_json_gives_place_section_and_rule(tmp_path, capsys):
    path = tmp_path / "cut.wcap"
    path.write_bytes(DATA[:-40])
    assert main(["verify", "--json", str(path)]) == 3
    told = json.loads(capsys.readouterr().out)
    assert not told["sound"]
    assert {"reason", "section", "rule", "offset", "frame"} == set(told["findings"][0])
    assert told["findings"][0]["offset"] == FRAMES[-2].start


def test_recover_never_replaces_a_file_unasked(tmp_path, capsys):
    source, target = tmp_path / "a.wcap", tmp_path / "b.wcap"
    source.write_bytes(DATA)
    target.write_bytes(b"mine")
    assert main(["recover", str(source), "-o", str(target)]) == 1
    assert target.read_bytes() == b"mine"
    assert main(["recover", str(source), "-o", str(target), "--force"]) == 0
    assert read(target.read_bytes()).events == true_events()
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_damaged_header_is_refused_in_one_line(tmp_path, capsys):
    path = tmp_path / "a.wcap"
    data = bytearray(DATA)
    data[HEADER_END - 1] ^= 1
    path.write_bytes(data)
    for command in (["verify"], ["recover", "-o", str(tmp_path / "b.wcap")]):
        assert main([*command, str(path)]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "b.wcap").exists()


def test_verify_checks_every_file_and_tells_the_worst(tmp_path, capsys):
    sound, cut, other = (tmp_path / name for name in ("a", "b", "c"))
    sound.write_bytes(DATA)
    cut.write_bytes(DATA[:-1])
    other.write_bytes(b"text")
    assert main(["verify", str(sound)]) == 0
    assert main(["verify", str(sound), str(cut)]) == 3
    assert main(["verify", str(other), str(cut), str(sound), str(tmp_path / "none")]) == 1
    assert "sound: " in capsys.readouterr().out
