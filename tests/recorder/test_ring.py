from __future__ import annotations

import mmap
import os
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder.rawrecords import RING_HEADER, in_ring

from wcap.recorder import ring
from wcap.recorder.ring import RingBuffer, walk

BUSY = 1 << 31
SIZE = 4 * mmap.PAGESIZE


def naive_walk(data):
    """Walk records one by one, by the kernel's rules."""
    starts, place = [], 0
    while place + RING_HEADER.size <= len(data):
        length, _ = RING_HEADER.unpack_from(data, place)
        if length & BUSY:
            break
        following = place + RING_HEADER.size + (length + 7) // 8 * 8
        if following > len(data):
            break
        starts.append(place + RING_HEADER.size)
        place = following
    return starts, place


def record(length, busy=False):
    """Make a record whose payload looks like headers of its own length."""
    payload = (struct.pack("=II", length, 0) * (length // 8 + 1))[:length]
    return in_ring(payload, BUSY * busy)


lengths = st.integers(0, 40)
rhythms = st.tuples(st.lists(lengths, min_size=1, max_size=3), st.integers(1, 30)).map(
    lambda drawn: drawn[0] * drawn[1]
)


@st.composite
def spans(draw):
    """Draw a span: rhythms of equal records, broken anywhere, busy anywhere, cut off anywhere."""
    sizes = [size for rhythm in draw(st.lists(rhythms, max_size=5)) for size in rhythm]
    busy = [False] * len(sizes)
    for place in draw(st.lists(st.integers(0, 200), max_size=3)):
        if place < len(sizes):
            sizes[place] = draw(lengths)
            busy[place] = draw(st.booleans())
    data = b"".join(record(*facts) for facts in zip(sizes, busy, strict=True))
    return data[: len(data) - draw(st.sampled_from([0, 0, 1, 4, 8, 20, 60]))]


@given(spans(), st.sampled_from([(8192, 256), (5, 3), (4, 0)]))
def test_a_walk_finds_what_one_record_after_the_other_gives(data, pace):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ring, "_RHYTHM_CHECK", pace[0])
        patch.setattr(ring, "_RHYTHM_PAUSE", pace[1])
        starts, length = walk(memoryview(data))

    assert (starts.tolist(), length) == naive_walk(data)


@pytest.mark.parametrize("broken", [None, *range(14)])
@pytest.mark.parametrize("by", ["length", "busy"])
def test_a_rhythm_is_followed_to_where_it_breaks(broken, by):
    sizes = [72, 32] * 7
    pieces = [record(size) for size in sizes]
    if broken is not None:
        size = sizes[broken]
        pieces[broken] = record(size + 8) if by == "length" else record(size, busy=True)
    data = b"".join(pieces)

    starts, length = walk(memoryview(data))

    assert (starts.tolist(), length) == naive_walk(data)
    if by == "busy" and broken is not None:
        assert len(starts) == broken


def test_a_rhythm_longer_than_one_check_is_followed_to_its_end():
    pairs = ring._RHYTHM_CHECK * 2 + 3
    data = (record(64) + record(32)) * pairs + record(8)

    starts, length = walk(memoryview(data))

    assert (starts.tolist(), length) == naive_walk(data)
    assert len(starts) == 2 * pairs + 1


def test_of_nothing_nothing_is_found():
    starts, length = walk(memoryview(b""))

    assert (len(starts), length) == (0, 0)


class KernelSide:
    """The kernel's half of a ring buffer, in a file that both halves map."""

    def __init__(self, size: int = SIZE, position: int = 0) -> None:
        page = mmap.PAGESIZE
        self.size = size
        self.descriptor = os.memfd_create("ring")
        os.ftruncate(self.descriptor, 2 * page + 2 * size)
        self._map = mmap.mmap(self.descriptor, 2 * page + 2 * size)
        self._consumer = memoryview(self._map)[:8].cast("Q")
        self._producer = memoryview(self._map)[page : page + 8].cast("Q")
        self._data = memoryview(self._map)[2 * page :]
        self._consumer[0] = self._producer[0] = position

    @property
    def taken(self) -> int:
        return self._consumer[0]

    @property
    def given(self) -> int:
        return self._producer[0]

    def submit(self, record: bytes, *, busy: bool = False) -> int | None:
        """Write a record and return its position, or None when there is no room."""
        data, begin = in_ring(record, BUSY * busy), self._producer[0]
        if begin + len(data) - self._consumer[0] > self.size:
            return None
        self._write(begin, data)
        self._producer[0] = begin + len(data)
        return begin

    def finish(self, position: int, record: bytes) -> None:
        """Clear the busy bit of a record."""
        self._write(position, in_ring(record))

    def _write(self, position: int, data: bytes) -> None:
        for offset, byte in enumerate(data):
            place = (position + offset) % self.size
            self._data[place] = self._data[place + self.size] = byte

    def close(self) -> None:
        for view in (self._consumer, self._producer, self._data):
            view.release()
        self._map.close()
        os.close(self.descriptor)


@pytest.fixture
def kernel_side():
    side = KernelSide()
    yield side
    side.close()


@pytest.fixture
def buffer(kernel_side):
    buffer = RingBuffer(kernel_side.descriptor, kernel_side.size)
    yield buffer
    buffer.close()


def records_of(span):
    """Return the records of a span, as far as their headers say."""
    if span is None:
        return []
    found = []
    for start in span.starts.tolist():
        length, _ = RING_HEADER.unpack_from(span.data, start - RING_HEADER.size)
        found.append(span.data[start : start + length])
    return found


def test_an_empty_buffer_gives_none(buffer):
    assert buffer.drain() is None


def test_what_was_submitted_comes_out_once_and_its_room_is_given_back(kernel_side, buffer):
    kernel_side.submit(b"first")
    kernel_side.submit(b"the second one")

    span = buffer.drain()

    assert records_of(span) == [b"first", b"the second one"]
    assert (span.starts % 8).tolist() == [0, 0]
    assert kernel_side.taken == kernel_side.given
    assert buffer.drain() is None


def test_a_record_over_the_end_of_the_buffer_is_whole(kernel_side, buffer):
    filler, record = b"." * (SIZE - 48), bytes(range(200))
    kernel_side.submit(filler)
    assert records_of(buffer.drain()) == [filler]

    position = kernel_side.submit(record)

    assert position % SIZE + len(record) > SIZE
    assert records_of(buffer.drain()) == [record]


def test_a_record_that_is_being_written_is_waited_for(kernel_side, buffer):
    kernel_side.submit(b"done")
    position = kernel_side.submit(b"not yet", busy=True)
    kernel_side.submit(b"done too")

    assert records_of(buffer.drain()) == [b"done"]
    assert records_of(buffer.drain()) == []
    assert kernel_side.taken == position

    kernel_side.finish(position, b"not yet")
    assert records_of(buffer.drain()) == [b"not yet", b"done too"]


def test_a_full_buffer_has_room_again_once_it_was_drained(kernel_side, buffer):
    while kernel_side.submit(b"x" * 1000) is not None:
        pass

    assert len(records_of(buffer.drain())) == SIZE // 1008
    assert kernel_side.submit(b"x" * 1000) is not None


def test_one_drain_takes_no_more_than_a_span(kernel_side, buffer, monkeypatch):
    monkeypatch.setattr(ring, "_SPAN", 100)
    for number in range(5):
        kernel_side.submit(bytes([number]) * 32)

    drained = [records_of(buffer.drain()) for _ in range(4)]

    assert [len(records) for records in drained] == [2, 2, 1, 0]
    flat = [record for records in drained for record in records]
    assert flat == [bytes([number]) * 32 for number in range(5)]


def test_closing_unmaps(kernel_side):
    buffer = RingBuffer(kernel_side.descriptor, kernel_side.size)
    kernel_side.submit(b"unread")
    buffer.drain()

    buffer.close()

    with pytest.raises(ValueError, match="released"):
        buffer.drain()


@settings(max_examples=50)
@given(
    st.lists(st.binary(max_size=60) | st.just("drain"), max_size=200),
    st.integers(0, mmap.PAGESIZE // 8),
)
def test_every_record_comes_out_once_and_in_order(steps, position):
    side = KernelSide(mmap.PAGESIZE, 2**40 - 8 * position)
    buffer = RingBuffer(side.descriptor, side.size)
    submitted, drained = [], []
    for step in steps:
        if step == "drain":
            drained += records_of(buffer.drain())
        elif side.submit(step) is not None:
            submitted.append(step)
    drained += records_of(buffer.drain())
    buffer.close()
    side.close()

    assert drained == submitted
