from __future__ import annotations

import mmap
import os
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder.rawrecords import enter

from wcap.recorder import perf
from wcap.recorder.perf import PerfBuffers
from wcap.recorder.records import Decoder

PAGE = mmap.PAGESIZE
SAMPLE, LOST = 9, 2
HEAD, TAIL = 1024, 1032
LONG_AGO, NOW = 5_000_000_000, 6_000_000_000


class CpuSide:
    """The kernel's half of one CPU's perf buffer, in a file that both halves map."""

    def __init__(self, size: int = PAGE, position: int = 0) -> None:
        self.size = size
        self.descriptor = os.memfd_create("perf")
        os.ftruncate(self.descriptor, PAGE + size)
        self._map = mmap.mmap(self.descriptor, PAGE + size)
        for place in (HEAD, TAIL):
            struct.pack_into("=Q", self._map, place, position)

    @property
    def head(self) -> int:
        return struct.unpack_from("=Q", self._map, HEAD)[0]

    @property
    def tail(self) -> int:
        return struct.unpack_from("=Q", self._map, TAIL)[0]

    def sample(self, data: bytes) -> bool:
        """Write a sample as bpf_perf_event_output does; tell whether there was room."""
        raw = struct.pack("=I", len(data)) + data
        return self._put(SAMPLE, raw + bytes(-len(raw) % 8))

    def lost(self, count: int) -> bool:
        """Write the record that says so."""
        return self._put(LOST, struct.pack("=QQ", 1, count))

    def _put(self, kind: int, body: bytes) -> bool:
        record = struct.pack("=IHH", kind, 0, 8 + len(body)) + body
        begin = self.head
        if begin + len(record) - self.tail > self.size:
            return False
        for offset, byte in enumerate(record):
            self._map[PAGE + (begin + offset) % self.size] = byte
        struct.pack_into("=Q", self._map, HEAD, begin + len(record))
        return True

    def close(self) -> None:
        self._map.close()


class Machine:
    """Some CPUs with their buffers, and a clock."""

    def __init__(self, sides, patch, size=None):
        self.sides = sides
        self.now = NOW
        self.registered = {}
        patch.setattr(perf.kernel, "online_cpus", lambda: list(range(len(sides))))
        patch.setattr(perf, "_open", lambda cpu: sides[cpu].descriptor)
        self.buffers = PerfBuffers(
            self.registered.__setitem__, size or PAGE * len(sides), lambda: self.now
        )

    def drain(self, *, last=False):
        """Drain once; return the payloads that came out."""
        span = self.buffers.drain(last=last)
        if span is None:
            return []
        assert not (span.starts % 8).any()
        found = Decoder().decode(span).enters
        assert len(found.order) == len(span.starts)
        ends = found.captured.cumsum().tolist()
        return [found.payload[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    def close(self):
        self.buffers.close()
        for side in self.sides:
            side.close()


@pytest.fixture
def machine(monkeypatch):
    machine = Machine([CpuSide(), CpuSide()], monkeypatch)
    yield machine
    machine.close()


def test_every_cpu_gets_a_buffer_and_is_registered(machine):
    assert machine.registered == {cpu: side.descriptor for cpu, side in enumerate(machine.sides)}


@pytest.mark.parametrize(
    ("asked", "each"), [(1, PAGE), (2 * PAGE, PAGE), (8 * PAGE, 4 * PAGE), (7 * PAGE, 2 * PAGE)]
)
def test_the_buffers_share_what_was_asked_for_in_powers_of_two(asked, each, monkeypatch):
    mapped = []
    mapping = mmap.mmap

    def mapping_of(descriptor, length):
        mapped.append(length - PAGE)
        return mapping(descriptor, length)

    sides = [CpuSide(8 * PAGE), CpuSide(8 * PAGE)]
    monkeypatch.setattr(perf.mmap, "mmap", mapping_of)
    machine = Machine(sides, monkeypatch, size=asked)
    machine.close()

    assert mapped == [each, each]


def test_empty_buffers_give_none(machine):
    assert machine.buffers.drain() is None
    assert machine.buffers.drain(last=True) is None


def test_samples_come_out_once_whatever_their_length(machine):
    payloads = [b"x" * length for length in range(20)]
    for place, payload in enumerate(payloads):
        assert machine.sides[0].sample(enter(payload, time_ns=LONG_AGO + place))

    assert machine.drain() == payloads
    assert machine.sides[0].tail == machine.sides[0].head
    assert machine.drain() == []


def test_samples_of_all_cpus_come_out_in_order_of_time(machine):
    for place, cpu in enumerate([1, 0, 0, 1, 0, 1, 1]):
        machine.sides[cpu].sample(enter(b"%d" % place, time_ns=LONG_AGO + place))

    assert machine.drain() == [b"%d" % place for place in range(7)]


def test_the_newest_wait_until_no_other_cpu_can_have_an_older_one(machine):
    settled = NOW - perf._SETTLED_NS
    machine.sides[0].sample(enter(b"old", time_ns=settled - 2))
    machine.sides[0].sample(enter(b"new", time_ns=settled))
    machine.sides[1].sample(enter(b"older", time_ns=settled - 3))

    assert machine.drain() == [b"older", b"old"]
    assert machine.drain() == []

    machine.sides[1].sample(enter(b"late", time_ns=settled - 1))
    machine.now += 1
    assert machine.drain() == [b"late", b"new"]


def test_one_drain_takes_no_more_than_a_span_of_a_cpu_and_keeps_the_order(machine, monkeypatch):
    monkeypatch.setattr(perf, "_SPAN", 200)
    for place in range(8):
        machine.sides[0].sample(enter(b"%d" % (2 * place), time_ns=LONG_AGO + 2 * place))
    machine.sides[1].sample(enter(b"9", time_ns=LONG_AGO + 9))

    drained = []
    while part := machine.drain(last=True):
        assert len(part) < 5
        drained += part

    assert drained == [b"0", b"2", b"4", b"6", b"8", b"9", b"10", b"12", b"14"]


def test_the_last_drain_takes_all(machine):
    machine.sides[0].sample(enter(b"from the future", time_ns=NOW + 1))

    assert machine.drain() == []
    assert machine.drain(last=True) == [b"from the future"]


def test_records_that_tell_of_losses_are_passed_over(machine):
    side = machine.sides[0]
    side.lost(3)
    side.sample(enter(b"a", time_ns=LONG_AGO))
    side.lost(4)
    side.sample(enter(b"b", time_ns=LONG_AGO + 1))
    side.lost(5)

    assert machine.drain() == [b"a", b"b"]
    assert side.tail == side.head


@settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.binary(max_size=120)) | st.sampled_from(["drain", "lost"]),
        max_size=80,
    ),
    st.integers(0, PAGE // 8),
)
def test_every_sample_comes_out_once_and_in_order_over_the_ends_of_buffers(steps, position):
    sides = [CpuSide(position=2**40 - 8 * position), CpuSide(position=8 * position)]
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(sides, patch)
        given_, taken = [], []
        for place, step in enumerate(steps):
            if step == "drain":
                taken += machine.drain()
            elif step == "lost":
                sides[0].lost(1)
            elif sides[step[0]].sample(enter(step[1], time_ns=LONG_AGO + place)):
                given_.append(step[1])
        taken += machine.drain()
        machine.close()

    assert taken == given_


def test_a_sample_over_the_end_of_the_buffer_is_whole(monkeypatch):
    payload = bytes(range(200))
    for before_the_end in range(8, 288, 8):
        machine = Machine([CpuSide(position=PAGE - before_the_end)], monkeypatch)
        machine.sides[0].sample(enter(payload, time_ns=LONG_AGO))

        assert machine.drain() == [payload]
        machine.close()


def test_closing_closes_the_descriptors(monkeypatch):
    machine = Machine([CpuSide()], monkeypatch)

    machine.close()

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(machine.registered[0])
