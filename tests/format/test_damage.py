"""A small capture, spoiled in every place: what is delivered is true, and damage is noticed."""

from __future__ import annotations

import pytest
from bytesupport import (
    SALT,
    SMALL_GAP,
    Read,
    assembled,
    body_of,
    frames_of,
    possible_events,
    read,
    read_or_refuse,
    small_capture,
    true_events,
    written,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from support import batch_of, end_of, write

from wcap.envelope import ENVELOPE, MAGIC
from wcap.errors import CorruptionError, FormatError
from wcap.format import FrameType

DATA = small_capture()
FRAMES = frames_of(DATA)
MINOR = len(MAGIC) + 1


def assert_true(found: Read) -> None:
    assert set(found.events) <= possible_events()
    assert len(set(found.events)) == len(found.events)
    assert found.gaps in ([], [SMALL_GAP])


@pytest.mark.parametrize("pipe", [None, 4096])
@pytest.mark.parametrize("part", range(8))
def test_a_changed_byte_anywhere_is_noticed_and_passes_for_nothing(pipe, part):
    """SPEC R3 R11 R19"""
    for place in range(part, len(DATA), 8):
        for change in (0x01, 0x80, 0xFF):
            data = bytearray(DATA)
            data[place] ^= change
            found = read_or_refuse(bytes(data), pipe=pipe)

            assert_true(found)
            assert bool(found.damage) == (place != MINOR)


@pytest.mark.parametrize("pipe", [None, 4096])
@pytest.mark.parametrize("frame", FRAMES[1:])
def test_a_damaged_frame_costs_only_itself(frame, pipe):
    """SPEC R11"""
    others = [e.data for e in true_events()]
    if frame.type == FrameType.EVENTS:
        lost = [f for f in FRAMES if f.type == FrameType.EVENTS].index(frame)
        others[2 * lost : 2 * lost + 2] = []
    for place in {frame.start, frame.start + 1, frame.start + 5, frame.start + 15, frame.end - 1}:
        data = bytearray(DATA)
        data[place] ^= 0x10
        found = read(bytes(data), pipe=pipe)

        assert [event.data for event in found.events] == others
        assert found.damage


SPANS = st.tuples(st.integers(0, len(DATA)), st.integers(0, len(DATA))).map(sorted)


@settings(deadline=None, max_examples=150)
@given(SPANS, st.sampled_from(["zero", "delete", "repeat", "double"]), st.sampled_from([None, 999]))
def test_a_spoiled_span_passes_for_nothing(span, how, pipe):
    """SPEC R12 R19"""
    start, end = span
    middle = {
        "zero": bytes(end - start),
        "delete": b"",
        "repeat": DATA[start:end] * 2,
        "double": DATA[start:end] + DATA,
    }[how]
    data = DATA[:start] + middle + DATA[end:]
    found = read_or_refuse(data, pipe=pipe)

    assert_true(found)
    # A number that only leads back (zeroed where zero was) changes nothing.
    assert found.damage or data in (DATA, DATA[:MINOR] + b"\0" + DATA[MINOR + 1 :])


@settings(deadline=None, max_examples=100)
@given(SPANS, SPANS, st.sampled_from([None, 999]))
def test_swapped_spans_pass_for_nothing(one, two, pipe):
    """SPEC R12 R19"""
    (a, b), (c, d) = sorted([one, two])
    b = min(b, c)
    data = DATA[:a] + DATA[c:d] + DATA[b:c] + DATA[a:b] + DATA[d:]
    found = read_or_refuse(data, pipe=pipe)

    assert_true(found)
    assert found.damage or data == DATA


@pytest.mark.parametrize("pipe", [None, 4096])
def test_swapped_frames_are_noticed(pipe):
    """SPEC R12"""
    chunks = [f for f in FRAMES if f.type == FrameType.EVENTS]
    one, two = (DATA[frame.start : frame.end] for frame in chunks[1:])
    between = DATA[chunks[1].end : chunks[2].start]
    found = read(DATA.replace(one + between + two, two + between + one), pipe=pipe)

    assert_true(found)
    assert found.damage


@pytest.mark.parametrize("pipe", [None, 4096])
def test_a_capture_in_a_payload_is_not_mistaken_for_frames(pipe):
    """SPEC R11: with the same salt it would be; see section 3.2."""
    secret = batch_of(write(b"from the inner capture"))
    inner = written(secret, end_of([secret]), salt=SALT + 1)
    outer = [batch_of(write(inner)), batch_of(write(b"after", after_ns=9), first_sequence=2)]
    data = bytearray(written(*outer, end_of(outer)))
    data[frames_of(bytes(data))[1].start] ^= 1
    assert read(inner).events == list(secret)

    found = read(bytes(data), pipe=pipe)

    assert [event.data for event in found.events] == [b"after"]
    assert isinstance(found.damage[0], CorruptionError)


def test_without_a_salt_of_its_own_the_inner_capture_would_show():
    """What the test above relies on: the payload holds the inner frames as they are."""
    secret = batch_of(write(bytes(range(256))))
    inner = body_of(written(secret, end_of([secret])), FrameType.EVENTS)
    data = assembled([(1, body_of(DATA, FrameType.HEADER)), (2, inner)])
    start = frames_of(data)[1].start
    assert len(read(data[:start] + b"x" * ENVELOPE.size + data[start:]).events) == 1


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300), st.sampled_from([None, 1, 64]), st.booleans())
def test_garbage_raises_a_format_error_and_nothing_else(garbage, pipe, started):
    """SPEC R19"""
    data = (DATA[: FRAMES[0].end] if started else b"") + garbage
    try:
        found = read(data, pipe=pipe)
    except FormatError:
        return
    assert started
    assert found.events == []
    assert found.damage


BODIES = [(FrameType(frame.type), DATA[frame.start + 18 : frame.end]) for frame in FRAMES]


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(range(len(BODIES))),
    st.floats(0, 0.999),
    st.binary(max_size=9),
    st.integers(0, 9),
    st.sampled_from([None, 999]),
)
def test_a_body_that_was_made_up_raises_a_format_error_and_nothing_else(
    which, where, instead, dropped, pipe
):
    """SPEC R19: the checksum holds, as in a file made to do harm."""
    bodies = list(BODIES)
    kind, body = bodies[which]
    place = int(where * len(body))
    bodies[which] = (kind, body[:place] + instead + body[place + dropped :])
    try:
        read(assembled(bodies), pipe=pipe)
    except FormatError:
        return
