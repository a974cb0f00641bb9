from __future__ import annotations

import io
import time

import pytest
from bytesupport import SALT, Pipe, assembled, frames_of, small_capture

from wcap import sources
from wcap.envelope import (
    ENVELOPE,
    MAGIC_SIZE,
    MARKER,
    encode_frame,
)
from wcap.errors import CorruptionError, FormatError, LimitError, TruncatedError
from wcap.sources import FileSource, Frame, StreamSource


def numbers(stream: io.RawIOBase) -> list[int | type[FormatError]]:
    """Say what a stream's frames are: their numbers, and errors where something is wrong."""
    return [
        found.envelope.number if isinstance(found, Frame) else type(found)
        for found in StreamSource(stream).frames()
    ]


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_a_pipe_gives_every_frame_however_it_comes(step):
    assert numbers(Pipe(small_capture(), step)) == list(range(9))


def test_a_file_gives_the_frame_at_any_place():
    file = FileSource(io.BytesIO(small_capture()))
    for number, frame in enumerate(frames_of(small_capture())):
        found = file.frame(frame.start)
        assert (found.offset, found.envelope.number) == (frame.start, number)


def test_a_file_that_ends_inside_a_frame_says_where():
    data = small_capture()
    last = frames_of(data)[-1]
    for length, expected in ((last.start + 5, ENVELOPE.size), (last.end - 1, 34)):
        with pytest.raises(TruncatedError, match=f"{expected} bytes expected") as fault:
            FileSource(io.BytesIO(data[:length])).frame(last.start)
        assert fault.value.offset == last.start


def test_a_file_that_shrinks_meanwhile_is_cut_short():
    stream = io.BytesIO(small_capture())
    file = FileSource(stream)
    stream.truncate(MAGIC_SIZE + 30)
    with pytest.raises(TruncatedError):
        file.frame(MAGIC_SIZE)


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize("junk", [b"\0", b"junk" * 5, MARKER, b"\xc9" + bytes(5) + MARKER * 9])
def test_a_pipe_finds_its_place_again_after_junk(junk, step):
    """SPEC R11"""
    data, (_, start, _) = small_capture(), frames_of(small_capture())[2]
    found = numbers(Pipe(data[:start] + junk + data[start:], step))
    assert found == [0, 1, CorruptionError, *range(2, 9)]


def test_a_pipe_misses_no_marker_that_comes_in_two_reads():
    """SPEC R11"""
    data, (_, start, _) = small_capture(), frames_of(small_capture())[2]
    for length in range(1, 12):
        for step in range(1, 12):
            spoiled = data[:start] + b"x" * length + data[start:]
            assert numbers(Pipe(spoiled, step)) == [0, 1, CorruptionError, *range(2, 9)]


def test_a_pipe_finds_its_place_again_after_a_long_stretch():
    """SPEC R11"""
    data, (_, start, _) = small_capture(), frames_of(small_capture())[2]
    junk = b"\xf5WC" * 60_000
    assert numbers(Pipe(data[:start] + junk + data[start:])) == [
        0,
        1,
        CorruptionError,
        *range(2, 9),
    ]


@pytest.mark.parametrize("distance", [0, 1, 4089, 4090, 4096, 4099, 8192, 13_000, 1 << 20])
def test_a_file_finds_the_next_frame_at_any_distance(distance):
    """SPEC R11"""
    junk = (MARKER[:3] + b"x") * (distance // 4) + b"x" * (distance % 4)
    frame = encode_frame(2, b"\x80", 1, SALT)
    file = FileSource(io.BytesIO(assembled([]) + junk + frame))
    assert file.next_whole(MAGIC_SIZE) == MAGIC_SIZE + distance
    assert file.next_whole(MAGIC_SIZE + distance + 1) is None


def test_a_pipe_cut_inside_a_frame_gives_what_came_after_a_false_length():
    data, (_, start, _) = bytearray(small_capture()), frames_of(small_capture())[1]
    data[start + 1] = 0xFF
    assert numbers(Pipe(bytes(data))) == [0, LimitError, *range(2, 9)]
    data[start + 1] = 0x01
    assert numbers(Pipe(bytes(data))) == [0, TruncatedError, *range(2, 9)]


def false_starts(count: int, promise: int) -> bytes:
    """Return the starts of many frames, each of which promises more than all of them."""
    start = ENVELOPE.pack(0xC9, promise, 2, MARKER, 0, 1)
    return assembled([(1, b"\x80")]) + start * count


def test_false_frames_take_no_more_than_their_share_of_time(monkeypatch):
    """SPEC R19: without an end to the search this takes a minute."""
    monkeypatch.setattr(sources, "_VAIN_BYTES", 1 << 20)
    data = false_starts(40_000, 300_000)
    started = time.process_time()

    with pytest.raises(LimitError, match="searched in vain"):
        FileSource(io.BytesIO(data)).next_whole(MAGIC_SIZE + 19)
    assert numbers(Pipe(data)) == [0, CorruptionError, LimitError]

    assert time.process_time() - started < 5


def test_frames_of_a_recorded_capture_do_not_end_the_search(monkeypatch):
    monkeypatch.setattr(sources, "_VAIN_BYTES", 4096)
    inner = encode_frame(2, bytes(1000), 1, SALT + 1) * 50
    data = assembled([(1, b"\x80")]) + inner + encode_frame(2, b"\x80", 1, SALT)
    assert FileSource(io.BytesIO(data)).next_whole(MAGIC_SIZE + 19) == len(data) - 19
    assert numbers(Pipe(data)) == [0, CorruptionError, 1]
