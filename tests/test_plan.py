from __future__ import annotations

import io

import pytest
from bytesupport import SALT, assembled, frames_of, small_capture, written
from support import batch_of, end_of, write

from wcap import sources, writer
from wcap.envelope import (
    ENVELOPE,
    MAGIC_SIZE,
    MARKER,
    encode_frame,
)
from wcap.errors import CorruptionError, FormatError, LimitError, TruncatedError
from wcap.format import FrameType
from wcap.index_frames import FOOTER_SIZE, Index, IndexEntry, encode_footer, encode_index
from wcap.plan import Plan, plan
from wcap.sources import FileSource


def planned(data: bytes) -> Plan:
    return plan(FileSource(io.BytesIO(data)))


def kinds(found: Plan) -> list[type[FormatError]]:
    return [type(error) for error in found.damage]


def without_footer(data: bytes) -> bytes:
    return data[: frames_of(data)[-1].start]


def test_the_index_and_a_survey_find_the_same_frames():
    """SPEC R9 W10"""
    data = small_capture()
    by_index, by_survey = planned(data), planned(without_footer(data))

    assert (by_index.indexed, by_index.damage) == (True, [])
    assert (by_survey.indexed, kinds(by_survey)) == (False, [TruncatedError])
    assert "no footer" in str(by_survey.damage[0])
    places = [(e.number, e.type, e.offset, e.length) for e in by_survey.entries]
    assert places[-1][1] == FrameType.INDEX
    assert [(e.number, e.type, e.offset, e.length) for e in by_index.entries] == places[:-1]
    assert [place[2] for place in places] == [frame.start for frame in frames_of(data)[:-1]]


def test_a_chain_of_indexes_is_followed(monkeypatch):
    """SPEC W10"""
    monkeypatch.setattr(writer, "INDEX_FRAMES", 2)
    batches = [batch_of(write(after_ns=n), first_sequence=n + 1) for n in range(7)]
    data = written(*batches, end_of(batches))
    frames = frames_of(data)

    found = planned(data)

    assert sum(frame.type == FrameType.INDEX for frame in frames) == 5
    assert (found.indexed, found.damage) == (True, [])
    listed = [(n, f.type, f.start) for n, f in enumerate(frames) if f.type < FrameType.INDEX]
    assert [(e.number, e.type, e.offset) for e in found.entries] == listed


def closed(frames: list[tuple[int, bytes]], index: Index, footer: int | None = None) -> bytes:
    """Put an index and a footer behind frames."""
    data = assembled(frames)
    number = len(frames)
    place = len(data) if footer is None else footer
    data += encode_frame(FrameType.INDEX, encode_index(index), number, SALT)
    return data + encode_frame(FrameType.FOOTER, encode_footer(place), number + 1, SALT)


FRAMES = [(1, b"\x80"), (64, b"\x80"), (65, b"\x80")]
SIZE = ENVELOPE.size + 1
LISTED = tuple(
    IndexEntry(number, kind, MAGIC_SIZE + SIZE * number, SIZE)
    for number, (kind, _) in enumerate(FRAMES)
)


def test_an_index_that_lists_all_is_used():
    assert planned(closed(FRAMES, Index(LISTED))).entries == list(LISTED)


@pytest.mark.parametrize(
    ("index", "footer"),
    [
        (Index(LISTED[1:]), None),
        (Index(LISTED[:-1]), None),
        (Index(()), None),
        (Index(LISTED, previous=MAGIC_SIZE), None),
        (Index(LISTED, previous=0), None),
        (Index(LISTED[1:], previous=MAGIC_SIZE), None),
        (Index(LISTED[1:], previous=MAGIC_SIZE + SIZE), None),
        (Index(LISTED), MAGIC_SIZE),
        (Index(LISTED), 0),
        (Index(LISTED), MAGIC_SIZE + 1),
        (Index(LISTED), 2**64 - 1),
    ],
)
def test_an_index_that_does_not_account_for_every_frame_is_not_trusted(index, footer):
    """SPEC R13"""
    found = planned(closed(FRAMES, index, footer))

    assert not found.indexed
    assert [entry.number for entry in found.entries] == list(range(5))
    assert kinds(found) == [CorruptionError]


def test_a_frame_put_between_the_index_and_the_footer_is_found():
    """SPEC R13"""
    data = closed(FRAMES, Index(LISTED))[:-FOOTER_SIZE]
    place = len(assembled(FRAMES))
    data += encode_frame(65, b"\x80", 4, SALT)
    found = planned(data + encode_frame(FrameType.FOOTER, encode_footer(place), 5, SALT))

    assert not found.indexed
    assert [entry.number for entry in found.entries] == list(range(6))
    assert kinds(found) == [CorruptionError]


def test_a_last_frame_as_long_as_a_footer_is_not_taken_for_one():
    """SPEC R9"""
    found = planned(assembled([*FRAMES, (66, bytes(FOOTER_SIZE - ENVELOPE.size))]))

    assert [entry.type for entry in found.entries] == [1, 64, 65, 66]
    assert kinds(found) == [TruncatedError]


def test_bytes_behind_the_footer_are_reported_and_cost_nothing():
    data = small_capture()
    found = planned(data + b"tail")

    assert [entry.offset for entry in found.entries] == [frame.start for frame in frames_of(data)]
    assert kinds(found) == [TruncatedError]


def test_a_damaged_length_hides_no_frame():
    """SPEC R11"""
    data = bytearray(without_footer(small_capture()))
    frames = frames_of(small_capture())
    swallowed = frames[3].end - frames[1].start - ENVELOPE.size + 12
    data[frames[1].start + 1 : frames[1].start + 5] = swallowed.to_bytes(4, "big")

    found = planned(bytes(data))

    assert [entry.number for entry in found.entries] == [0, *range(2, 8)]
    assert kinds(found) == [CorruptionError, TruncatedError]


def test_missing_and_repeated_frames_are_reported():
    """SPEC R12"""
    data, frames = without_footer(small_capture()), frames_of(small_capture())
    one, two = (data[frame.start : frame.end] for frame in frames[1:3])

    missing = planned(data.replace(one, b""))
    twice = planned(data.replace(one, one + one))
    swapped = planned(data.replace(one + two, two + one))

    assert [entry.number for entry in missing.entries] == [0, *range(2, 8)]
    assert "frame 1 expected, frame 2 found" in str(missing.damage[0])
    assert [entry.number for entry in twice.entries] == list(range(8))
    assert "frame 2 expected, frame 1 found" in str(twice.damage[0])
    assert [entry.number for entry in swapped.entries] == [0, *range(2, 8)]
    assert len(swapped.damage) == 3


def test_a_first_frame_that_is_none_is_reported():
    found = planned(assembled([]) + b"junk" * 9)

    assert found.entries == []
    assert kinds(found) == [CorruptionError, TruncatedError]


def test_a_survey_of_false_frames_ends(monkeypatch):
    """SPEC R19"""
    monkeypatch.setattr(sources, "_VAIN_BYTES", 1 << 20)
    start = ENVELOPE.pack(0xC9, 20_000, 2, MARKER, 0, 1)
    found = planned(assembled([(1, b"\x80")]) + start * 5000)

    assert [entry.number for entry in found.entries] == [0]
    assert kinds(found) == [CorruptionError, LimitError, TruncatedError]
