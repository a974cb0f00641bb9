"""A small capture, cut at every offset."""

from __future__ import annotations

import pytest
from bytesupport import (
    SMALL_GAP,
    frames_of,
    possible_events,
    read,
    small_capture,
    true_events,
)

from wcap.envelope import ENVELOPE, MAGIC_SIZE
from wcap.errors import NotACaptureError, TruncatedError
from wcap.format import FrameType

DATA = small_capture()
FRAMES = frames_of(DATA)
HEADER_END = FRAMES[0].end


def whole_before(cut: int, kind: FrameType) -> int:
    return sum(frame.type == kind and frame.end <= cut for frame in FRAMES)


@pytest.mark.parametrize("pipe", [None, 4096])
@pytest.mark.parametrize("part", range(8))
def test_a_capture_cut_anywhere_gives_every_event_before_and_says_that_it_is_cut(pipe, part):
    """SPEC R9 R10"""
    events = [event.data for event in true_events()]
    for cut in range(HEADER_END + part, len(DATA), 8):
        found = read(DATA[:cut], pipe=pipe)

        delivered = [0, 2, 4, 5][whole_before(cut, FrameType.EVENTS)]
        assert [event.data for event in found.events] == events[:delivered]
        assert set(found.events) <= possible_events()
        assert found.gaps == [SMALL_GAP] * whole_before(cut, FrameType.GAPS)
        assert {type(error) for error in found.damage} == {TruncatedError}
        assert "no footer" in str(found.damage[-1])
        inside = not any(frame.end == cut for frame in FRAMES)
        assert len(found.damage) == 1 + inside
        if inside:
            start = max(frame.start for frame in FRAMES if frame.start < cut)
            assert found.damage[0].offset == start


@pytest.mark.parametrize("pipe", [None, 4096])
def test_a_capture_cut_in_its_header_is_refused_as_cut(pipe):
    """SPEC R10"""
    for cut in range(1, HEADER_END):
        with pytest.raises(TruncatedError):
            read(DATA[:cut], pipe=pipe)


@pytest.mark.parametrize("pipe", [None, 4096])
def test_an_empty_file_is_not_a_capture(pipe):
    """SPEC R1"""
    with pytest.raises(NotACaptureError, match="empty"):
        read(b"", pipe=pipe)


@pytest.mark.parametrize("pipe", [None, 4096])
def test_a_capture_with_a_tail_is_whole_and_the_tail_is_reported(pipe):
    for tail in (b"\0", b"tail" * 9, bytes(5000), DATA[MAGIC_SIZE : MAGIC_SIZE + ENVELOPE.size]):
        found = read(DATA + tail, pipe=pipe)
        assert [event.data for event in found.events] == [event.data for event in true_events()]
        assert len(found.damage) >= 1


@pytest.mark.parametrize("pipe", [None, 4096])
def test_two_captures_in_one_file_are_not_mixed_up(pipe):
    """The salt tells the second one's frames from the first one's."""
    found = read(DATA + DATA.replace(b"WCAP", b"PACW"), pipe=pipe)
    assert len(found.events) == len(true_events())
    assert len(found.damage) >= 1
