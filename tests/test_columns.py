from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import INT64

from wcap import columns, packed
from wcap.errors import CorruptionError, LimitError

CPUS = np.array([0, 1, 0, 0, 1])
COUNTS = np.array([6, 6, 6])

# Numbers and their stored form: encoding gives the second, decoding the first.
TABLE: list[tuple[list[int], dict[str, Any], dict[str, Any]]] = [
    ([7, 7, 7], {}, {"base": 7, "width": 0}),
    ([-5], {}, {"base": -5, "width": 0}),
    ([-11, 8, 8, 300], {}, {"base": -11, "width": 2, "data": bytes.fromhex("0013133700000001")}),
    (
        [100000, 100300, 100610, 100915],
        {},
        {"delta": 100000, "base": 300, "width": 1, "data": bytes([0, 10, 5])},
    ),
    ([1, 2, 3, 4, 5], {}, {"delta": 1, "base": 1, "width": 0}),
    (
        [5, 9, 6, 8, 10],
        {"by": CPUS},
        {"delta-by": [[0, 5], [1, 9]], "base": 1, "width": 1, "data": bytes([0, 1, 0])},
    ),
    ([4, 9], {"by": np.array([8, 3])}, {"delta-by": [[3, 9], [8, 4]], "base": 0, "width": 0}),
    ([1, 2], {"by": np.array([3, 3])}, {"delta-by": [[3, 1]], "base": 1, "width": 0}),
    (
        [6, -11, 6],
        {"minus": ("count", COUNTS)},
        {"minus": "count", "base": -17, "width": 1, "data": bytes([17, 0, 17])},
    ),
    (
        [-(2**63), 2**63 - 1, 0],
        {},
        {"base": -(2**63), "width": 8, "data": bytes.fromhex("00ff00" * 7 + "00ff80")},
    ),
]


@pytest.mark.parametrize(("numbers", "how", "stored"), TABLE)
def test_numbers_are_stored_as_the_table_says(numbers, how, stored):
    assert columns.encode(np.array(numbers), **how) == stored


@pytest.mark.parametrize(("numbers", "how", "stored"), TABLE)
def test_what_is_stored_is_read_as_the_table_says(numbers, how, stored):
    others = {"cpu": how.get("by"), "count": COUNTS}
    assert columns.decode(stored, len(numbers), others).tolist() == numbers


def test_times_are_stored_as_differences_although_one_is_long():
    """A pause takes as many bytes as all the time that passed: what counts are the others."""
    steps = np.random.default_rng(7).integers(1_000, 20_000, 5_000)
    steps[2_500] = 70_000_000
    stored = columns.encode(np.cumsum(steps))

    assert stored["width"] == 4
    assert stored["delta"] == steps[0]
    assert len(stored["data"]) < 2 * len(steps)


@settings(deadline=None)
@given(st.lists(INT64, min_size=1, max_size=200))
def test_any_numbers_come_back(numbers):
    stored = columns.encode(np.array(numbers, dtype=np.int64))
    assert columns.decode(stored, len(numbers), {}).tolist() == numbers


@settings(deadline=None)
@given(
    st.sampled_from([np.dtype(kind) for kind in ("i4", "u4", "i8", "u8")]),
    st.lists(st.integers(-40, 2**33) | INT64, min_size=1, max_size=50),
)
def test_numbers_come_back_in_the_type_asked_for_and_those_beyond_it_are_refused(kind, numbers):
    stored = columns.encode(np.array(numbers, dtype=np.int64))
    limits = np.iinfo(kind)
    if kind.itemsize == 8 or all(limits.min <= number <= limits.max for number in numbers):
        found = columns.decode(stored, len(numbers), {}, kind)
        assert found.dtype == kind
        assert (
            found.view(f"i{kind.itemsize}").tolist()
            == np.array(numbers).astype(f"i{kind.itemsize}").tolist()
        )
    else:
        with pytest.raises(CorruptionError, match=f"beyond {kind}"):
            columns.decode(stored, len(numbers), {}, kind)


@settings(deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=50))
def test_unsigned_numbers_come_back_modulo_2_64(numbers):
    stored = columns.encode(np.array(numbers, dtype=np.uint64))
    assert columns.decode(stored, len(numbers), {}).view(np.uint64).tolist() == numbers


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(INT64, st.sampled_from([0, 1, 2, 1 << 16, (1 << 16) + 1, (1 << 32) - 1])),
        min_size=1,
        max_size=100,
    )
)
def test_any_numbers_of_several_cpus_come_back(rows):
    numbers = np.array([row[0] for row in rows], dtype=np.int64)
    cpu = np.array([row[1] for row in rows], dtype=np.uint32)
    stored = columns.encode(numbers, by=cpu)
    assert columns.decode(stored, len(rows), {"cpu": cpu}).tolist() == numbers.tolist()


@settings(deadline=None)
@given(st.lists(st.tuples(INT64, INT64), min_size=1, max_size=100))
def test_any_numbers_come_back_from_their_difference(rows):
    numbers, others = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    stored = columns.encode(numbers, minus=("count", others))
    assert columns.decode(stored, len(rows), {"count": others}).tolist() == numbers.tolist()


@given(st.binary(max_size=400), st.integers(1, 30))
def test_any_bytes_come_back(data, times):
    raw = data * times
    assert packed.unpack(packed.pack(raw), len(raw)) == raw


def test_bytes_are_compressed_only_when_that_pays():
    noise = np.random.default_rng(1).bytes(500)

    assert packed.pack(b"a" * 63) == {"data": b"a" * 63}
    assert packed.pack(noise) == {"data": noise}
    assert packed.pack(memoryview(b"a" * 64))["size"] == 64


@pytest.mark.parametrize(
    ("size", "duration_ns", "level"),
    [
        (100_000_000, 1_000_000_000, 1),
        (20_000_000, 1_000_000_000, 3),
        (5_000_000, 1_000_000_000, 9),
        (4_096, 0, 9),
        (1_000_000, 0, 1),
    ],
)
def test_bytes_that_come_in_slowly_are_compressed_longer(size, duration_ns, level):
    assert packed.level_for(size, duration_ns) == level


def test_a_zstd_frame_carries_its_content_size():
    """SPEC W8"""
    stored = packed.pack(b"ab" * 50)
    assert zstandard.get_frame_parameters(stored["data"]).content_size == stored["size"] == 100


@pytest.mark.parametrize(
    "stored",
    [
        {},
        {"base": 1},
        {"width": 1},
        {"base": 1.5, "width": 0},
        {"base": "1", "width": 0},
        {"base": True, "width": 0},
        {"base": 2**63, "width": 0},
        {"base": 2**64 - 1, "width": 8, "data": bytes(24)},
        {"base": 1, "width": 3, "data": bytes(9)},
        {"base": 1, "width": True, "data": bytes(3)},
        {"base": 1, "width": 1.0, "data": bytes(3)},
        {"base": 1, "width": None, "data": bytes(3)},
        {"base": 1, "width": 1},
        {"base": 1, "width": 1, "data": None},
        {"base": 1, "width": 1, "data": b"ab"},
        {"base": 1, "width": 1, "data": "abc"},
        {"delta": "5", "base": 1, "width": 0},
        {"delta": 2**63, "base": 1, "width": 0},
        {"delta": 1, "base": 1, "width": 1, "data": bytes(1)},
        {"delta": 1, "minus": "count", "base": 1, "width": 0},
        {"delta": 1, "delta-by": [[0, 1], [1, 1]], "base": 1, "width": 0},
        {"delta-by": 5, "base": 1, "width": 0},
        {"delta-by": {b"\x00\x01": 0, b"\x01\x01": 0}, "base": 1, "width": 0},
        {"delta-by": [[0, 1], [True, 1]], "base": 1, "width": 0},
        {"delta-by": [[0, 1], [1, 1], [1, 1]], "base": 1, "width": 0},
        {"delta-by": [[0, 1], [0, 1]], "base": 1, "width": 0},
        {"delta-by": [], "base": 1, "width": 0},
        {"delta-by": [[0, 1]], "base": 1, "width": 0},
        {"delta-by": [[0, 1], [2, 1]], "base": 1, "width": 0},
        {"delta-by": [[0, 1], [1, 1, 1]], "base": 1, "width": 0},
        {"delta-by": [[0, 1], [[], 1]], "base": 1, "width": 0},
        {"delta-by": [[0, 1], [1, "x"]], "base": 1, "width": 0},
        {"delta-by": [[0, 1], [1, 2**63]], "base": 1, "width": 0},
        {"minus": "nothing", "base": 1, "width": 0},
    ],
)
def test_a_column_that_breaks_a_rule_is_refused(stored):
    """SPEC R15"""
    others = {"cpu": np.array([0, 1, 0]), "count": COUNTS}
    with pytest.raises(CorruptionError):
        columns.decode(stored, 3, others)


@pytest.mark.parametrize("absent", ["delta", "delta-by", "minus", "data", "size"])
def test_a_nil_key_of_a_column_is_absent(absent):
    """SPEC R8"""
    stored = {"base": 7, "width": 0, absent: None}
    assert columns.decode(stored, 3, {}).tolist() == [7, 7, 7]


def test_a_column_of_no_steps_has_no_bytes_whatever_its_width():
    for stored in (
        {"width": 1},
        {"width": 1, "data": b""},
        {"width": 0},
        {"width": 0, "data": b""},
    ):
        assert columns.decode({"delta": 5, "base": 1, **stored}, 1, {}).tolist() == [5]


def test_the_cpus_of_differences_may_stand_in_any_order():
    stored = {"delta-by": [[1, 9], [0, 5]], "base": 1, "width": 0}
    found = columns.decode(stored, 3, {"cpu": np.array([0, 1, 0])})
    assert found.tolist() == [5, 9, 6]


@pytest.mark.parametrize(("width", "limit"), [(0, 0), (1, 3)])
def test_more_bytes_than_numbers_is_refused_before_memory_is_taken(width, limit):
    """SPEC R4"""
    with pytest.raises(LimitError, match=f"4 bytes exceeds {limit}"):
        columns.decode({"base": 1, "width": width, "data": bytes(4)}, 3, {})


PACKED = zstandard.ZstdCompressor().compress(bytes(1000))
STREAMED = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))


@pytest.mark.parametrize(
    "stored",
    [
        {"data": PACKED, "size": 999},
        {"data": PACKED, "size": -1},
        {"data": PACKED, "size": True},
        {"data": PACKED, "size": "1000"},
        {"data": PACKED[:-1], "size": 1000},
        {"data": PACKED + b"x", "size": 1000},
        {"data": STREAMED, "size": 1000},
        {"data": b"", "size": 0},
        {"data": b"garbage", "size": 7},
        {"data": bytes.fromhex("502a4d1805000000") + b"hello", "size": 5},
    ],
)
def test_bytes_that_are_not_what_they_say_are_refused(stored):
    """SPEC R16"""
    with pytest.raises(CorruptionError):
        packed.unpack(stored, 1000)


def test_a_frame_that_decompresses_past_the_limit_is_refused():
    """SPEC R4"""
    with pytest.raises(LimitError, match="1000 bytes exceeds 999"):
        packed.unpack({"data": PACKED, "size": 1000}, 999)


def test_several_threads_decompress_at_once():
    raw = [bytes([number]) * 1_000_000 for number in range(8)]
    stored = [packed.pack(each) for each in raw]
    with ThreadPoolExecutor(4) as threads:
        unpacked = threads.map(lambda each: packed.unpack(each, 1 << 20), stored * 25)
        assert list(unpacked) == raw * 25
