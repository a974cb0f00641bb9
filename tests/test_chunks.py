from __future__ import annotations

from typing import Any

import msgpack
import numpy as np
import pytest
import zstandard
from bytesupport import columns_of, is_good_answer
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import batches
from support import CLOCK, batch_of, write

from wcap import chunks, tables
from wcap.batch import COLUMNS, OPTIONAL, EventBatch
from wcap.chunk_summary import Summary
from wcap.chunks import (
    Chunk,
    decode_results,
    encode_events,
    encode_results,
)
from wcap.errors import CorruptionError, LimitError, UnsupportedVersionError
from wcap.events import UNKNOWN_TARGET, EventFlag, Process, Target


def decoded(batch: EventBatch) -> EventBatch:
    return Chunk(encode_events(batch, CLOCK)[0], CLOCK).batch()


def changed(batch: EventBatch, **keys: Any) -> bytes:
    """Encode a batch, and change keys of the chunk: ``column_fd`` stands for the column fd."""
    body = msgpack.unpackb(encode_events(batch, CLOCK)[0])
    for name, value in keys.items():
        kind, _, inside = name.partition("_")
        if kind in ("column", "summary") and inside:
            body["columns" if kind == "column" else "summary"][inside] = value
        else:
            body[name] = value
    return msgpack.packb(body)


@settings(deadline=None, max_examples=40)
@given(batches())
def test_any_batch_comes_back(batch):
    assert columns_of(decoded(batch)) == columns_of(batch)


@settings(deadline=None, max_examples=40)
@given(batches(in_order=False))
def test_events_of_a_chunk_are_put_in_order_of_time(batch):
    """SPEC W5"""
    rows = columns_of(batch)
    order = sorted(range(len(batch)), key=lambda row: rows["time_ns"][row])

    assert columns_of(decoded(batch)) == {
        name: [values[row] for row in order] for name, values in rows.items()
    }


@settings(deadline=None, max_examples=40)
@given(batches(), st.data())
def test_a_chunk_tells_nothing_of_events_that_it_does_not_hold(batch, data):
    """SPEC W6"""
    rows = data.draw(st.lists(st.integers(0, len(batch) - 1), min_size=1, unique=True).map(sorted))
    part = batch.select(np.array(rows))
    found = decoded(part)

    assert columns_of(found) == columns_of(part)
    assert sorted(set(found.process.tolist())) == list(range(len(found.processes)))
    assert sorted(set(found.comm.tolist())) == list(range(len(found.comms)))
    assert sorted(set(found.syscall.tolist())) == list(range(len(found.syscalls)))
    pointed = {*found.target.tolist(), *found.column("source")[found.has("source")].tolist()}
    assert sorted(pointed) == list(range(len(found.targets)))
    addresses = found.column("address")[found.has("address")].tolist()
    assert sorted(set(addresses)) == list(range(len(found.addresses)))
    for name in OPTIONAL:
        assert not found.column(name)[~found.has(name)].any()
    secret = b"secret arguments"
    hidden = batch_of(write(b"a"), write(b"b", pid=7, comm=secret[:15].decode()))
    assert secret[:15] not in encode_events(hidden.select(slice(0, 1)), CLOCK)[0]


def test_a_chunk_of_calls_recorded_at_exit_says_that_a_reader_has_to_know():
    """SPEC W12"""
    ended = batch_of(write(b"a"), write(b"b", flags=EventFlag.AT_EXIT))

    assert msgpack.unpackb(encode_events(ended, CLOCK)[0])["essential"] == ["at-exit"]
    assert "essential" not in msgpack.unpackb(encode_events(batch_of(write()), CLOCK)[0])


@pytest.mark.parametrize(
    ("facts", "columns"),
    [
        ({}, set()),
        ({"offset": 7}, {"offset"}),
        ({"source_fd": 3, "source": Target("pipe")}, {"source_fd", "source", "target"}),
        ({"address": "127.0.0.1:53"}, {"address"}),
    ],
)
def test_a_chunk_has_the_optional_columns_that_its_events_speak_of(facts, columns):
    """SPEC W13"""
    body = msgpack.unpackb(encode_events(batch_of(write(), write(**facts)), CLOCK)[0])

    assert set(body["columns"]) & {*OPTIONAL, "target"} == columns


def test_a_chunk_of_too_many_events_is_refused_before_memory_is_taken():
    """SPEC R4"""
    with pytest.raises(LimitError, match="1048577 events"):
        Chunk(changed(batch_of(write()), summary_events=2**20 + 1), CLOCK)


def packed(**keys: object) -> dict[str, object]:
    return {"data": msgpack.packb(keys)}


FILE, PIPE = Target("file", "/x", (8, 1), 2**64 - 1, deleted=True), Target("pipe", inode=7)
EVERYTHING: dict[str, Any] = {
    "target": FILE,
    "offset": -1,
    "source_fd": 5,
    "source": PIPE,
    "address": "127.0.0.1:80",
}
BAD_TABLES = [
    {"processes": None},
    {"processes": packed(processes=[])},
    {"processes": packed(processes=5)},
    {"processes": packed(processes=[5])},
    {"processes": {"data": b"\x90"}},
    {"processes": {"data": "text"}},
    *(
        {"processes": packed(processes=[{"pid": 1, "comm": b"a", **keys}])}
        for keys in (
            {"pid": -1},
            {"pid": 2**32},
            {"pid": "1"},
            {"pid": None},
            {"comm": "text"},
            {"comm": None},
            {"leader": "text"},
            {"ppid": -5},
            {"uid": 2**32},
            {"start_ns": 1 << 63},
            {"exe": 1},
            {"cmdline": b"a"},
            {"cmdline": ["a"]},
            {"gid": 2**32},
            {"cgroup": "text"},
            {"ns_pid": -1},
        )
    ),
    {"targets": None},
    {"targets": []},
    {"targets": packed(targets=[])},
    {"targets": packed(processes=[])},
    {"targets": packed(targets=[5])},
    *(
        {"targets": packed(targets=[{"kind": "file", **keys}])}
        for keys in (
            {"kind": b"file"},
            {"path": "text"},
            {"device": 5},
            {"device": [1]},
            {"device": [1, 2, 3]},
            {"device": [1, 2**32]},
            {"device": [1, True]},
            {"inode": -1},
            {"inode": 2**64 - 1.0},
            {"inode": True},
            {"local": "text"},
            {"peer": 5},
            {"partial": False},
            {"partial": 1},
            {"deleted": "true"},
            {"from_proc": False},
        )
    ),
    {"addresses": None},
    {"addresses": []},
    {"addresses": ["text"]},
    {"addresses": 5},
    {"comms": None},
    {"comms": []},
    {"comms": ["text"]},
    {"syscalls": [b"raw"]},
    {"syscalls": []},
    {"syscalls": 5},
    {"columns": None},
    {"columns": []},
    {"payload": None},
    {"payload": []},
    {"payload": {"data": b"1234567890123"}},
    {"payload": {"data": b"12345678901"}},
    {"summary": None},
    {"summary": []},
    {"essential": "fd"},
    {"essential": [["fd"]]},
    {"essential": [5]},
    *({f"column_{name}": None} for name in COLUMNS),
    {"column_process": {"base": 1, "width": 0}},
    {"column_process": {"base": -1, "width": 0}},
    {"column_comm": {"base": 1, "width": 0}},
    {"column_syscall": {"base": 2**62, "width": 0}},
    {"column_cpu": {"base": -1, "width": 0}},
    {"column_cpu": {"base": 2**32, "width": 0}},
    {"column_tid": {"base": 2**32, "width": 0}},
    {"column_fd": {"base": 2**31, "width": 0}},
    {"column_fd": {"base": -(2**31) - 1, "width": 0}},
    {"column_captured": {"base": 2**32 + 6, "width": 0}},
    {"column_captured": {"base": -1, "width": 0}},
    {"column_flags": {"base": 2**32, "width": 0}},
    {"column_target": {"base": 3, "width": 0}},
    {"column_target": 5},
    {"column_source": {"base": 3, "width": 0}},
    {"column_source": {"base": -1, "width": 0}},
    {"column_address": {"base": 1, "width": 0}},
    {"column_source_fd": {"base": 2**31, "width": 0}},
    {"column_offset": {"minus": "count", "base": 0, "width": 0}},
    {"column_cpu": {"delta-by": [[0, 0]], "base": 0, "width": 0}},
    {"column_fd": {"delta-by": [[0, 0]], "base": 0, "width": 0}},
    {"column_captured": {"minus": "captured", "base": 0, "width": 0}},
    {"column_captured": {"minus": ["count"], "base": 0, "width": 0}},
    {"column_sequence": {"base": 0, "width": 0}},
    {"column_sequence": {"base": -1, "width": 0}},
    {"column_sequence": {"delta": 1, "base": -1, "width": 0}},
    {"column_time_ns": {"delta": 5, "base": -1, "width": 0}},
    {"column_time_ns": {"base": 2**63 - 1, "width": 0}},
    {"column_count": {"minus": "captured", "base": 0, "width": 0}},
    {"column_fd": {"minus": "count", "base": 0, "width": 0}},
]


@pytest.mark.parametrize("keys", BAD_TABLES)
def test_a_chunk_that_breaks_a_rule_is_refused(keys):
    """SPEC R15"""
    body = changed(batch_of(write(), write(**EVERYTHING)), **keys)
    with pytest.raises(CorruptionError):
        columns_of(Chunk(body, CLOCK).batch())


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_flag_without_its_column_is_refused_when_the_flags_are_looked_at(name):
    """SPEC R15"""
    batch = Chunk(changed(batch_of(write(flags=OPTIONAL[name])), column_flags=None), CLOCK).batch()
    body = changed(batch_of(write()), column_flags={"base": int(OPTIONAL[name]), "width": 0})
    flagged = Chunk(body, CLOCK).batch()

    assert flagged.count.tolist() == batch.count.tolist() == [6]
    with pytest.raises(CorruptionError, match=f"column {name} is missing|source_fd is missing"):
        list(flagged)


def test_a_column_that_no_flag_speaks_of_is_read():
    body = changed(batch_of(write()), column_offset={"base": 5, "width": 0})
    batch = Chunk(body, CLOCK).batch()

    assert batch.column("offset").tolist() == [5]
    assert next(iter(batch)).offset is None


def test_an_event_has_what_it_was_given_and_no_more():
    """SPEC W13"""
    first, second = decoded(batch_of(write(address="@x"), write(**EVERYTHING)))

    assert (first.target, first.offset, first.source_fd) == (UNKNOWN_TARGET, None, None)
    assert (first.source, first.address) == (None, "@x")
    assert (second.target, second.offset, second.source_fd) == (FILE, -1, 5)
    assert (second.source, second.address) == (PIPE, "127.0.0.1:80")


@pytest.mark.parametrize(
    ("facts", "keys", "names"),
    [
        ({}, set(), set()),
        ({"offset": 0}, set(), {"offset"}),
        ({"target": FILE}, {"targets"}, {"target"}),
        ({"source_fd": 0}, {"targets"}, {"target", "source_fd", "source"}),
        ({"address": ""}, {"addresses"}, {"address"}),
    ],
)
def test_what_no_event_of_a_chunk_has_takes_no_room_in_it(facts, keys, names):
    """SPEC W7"""
    body = msgpack.unpackb(encode_events(batch_of(write(), write(**facts)), CLOCK)[0])

    assert {"targets", "addresses", "essential"} & {*body} == keys
    assert {"target", *OPTIONAL} & {*body["columns"]} == names


def test_payloads_that_took_their_time_are_stored_in_fewer_bytes():
    lines = [f"{number * 7919 % 1000} of {number % 31} lines".encode() for number in range(20_000)]
    sizes = []
    for apart_ns in (100, 1_000_000):
        writes = [write(line, after_ns=n * apart_ns) for n, line in enumerate(lines)]
        body = msgpack.unpackb(encode_events(batch_of(*writes), CLOCK)[0])
        sizes.append(len(body["payload"]["data"]))

    assert sizes[1] < 0.9 * sizes[0]


def test_a_chunk_with_events_recorded_at_exit_says_that_this_is_essential():
    """SPEC W12"""
    batch = batch_of(write(), write(flags=EventFlag.AT_EXIT))
    body = msgpack.unpackb(encode_events(batch, CLOCK)[0])

    assert body["essential"] == ["at-exit"]
    assert [event.duration_ns for event in decoded(batch)] == [1500, None]


def test_a_payload_that_would_unpack_to_more_than_memory_is_refused():
    """SPEC R4"""
    bomb = zstandard.ZstdCompressor().compress(bytes(chunks.MAX_PAYLOAD + 1))
    body = changed(batch_of(write()), payload={"data": bomb, "size": chunks.MAX_PAYLOAD + 1})
    assert len(body) < 10_000
    with pytest.raises(LimitError, match="50331649 bytes exceeds 50331648"):
        list(Chunk(body, CLOCK).batch())


@pytest.mark.parametrize("name", ["processes", "targets"])
def test_a_table_that_would_unpack_to_more_than_memory_is_refused(name):
    """SPEC R4"""
    lists = msgpack.packb({name: []})[:-1] + b"\xdd\x00\x10\x00\x00" + b"\x90" * 2**20
    stored = {"data": zstandard.ZstdCompressor().compress(lists), "size": len(lists)}
    body = changed(batch_of(write()), **{name: stored})
    with pytest.raises(LimitError, match="more than 1048576 objects"):
        Chunk(body, CLOCK).batch()


def test_unknown_columns_keys_and_flags_are_skipped():
    """SPEC R6"""
    batch = batch_of(write(flags=EventFlag(1 << 20)))
    body = changed(batch, column_newer={"base": 1, "width": 9}, newer=1, essential=["fd"])

    found = Chunk(body, CLOCK).batch()

    assert columns_of(found) == columns_of(batch)
    assert next(iter(found)).flags & EventFlag.TRUNCATED == 0


@pytest.mark.parametrize("name", ["file", "\x1b[2J" * 50])
def test_an_unknown_name_marked_as_essential_is_refused_by_name(name):
    """SPEC R7"""
    with pytest.raises(UnsupportedVersionError) as refusal:
        Chunk(changed(batch_of(write()), essential=["fd", name]), CLOCK)

    assert repr(name)[:30] in str(refusal.value)
    assert "\x1b" not in str(refusal.value)
    assert len(str(refusal.value)) < 100


def test_columns_are_decoded_only_when_they_are_looked_at():
    body = changed(batch_of(write(), write()), column_fd={"width": 5}, payload={"size": 1})
    batch = Chunk(body, CLOCK).batch()

    stored = [name for name in COLUMNS if name not in ("target", *OPTIONAL)]
    assert list(batch._columns) == stored
    assert len(batch._columns) == len(stored)
    assert "offset" not in batch._columns
    assert "newer" not in batch._columns
    assert batch.count.tolist() == [6, 6]
    assert batch.time_ns is batch.time_ns
    with pytest.raises(CorruptionError):
        _ = batch.fd
    with pytest.raises(CorruptionError):
        _ = batch.data


@pytest.mark.parametrize(
    ("module", "name", "limit", "what"),
    [
        (chunks, "MAX_EVENTS", 1, "events"),
        (chunks, "MAX_PAYLOAD", 11, "payload"),
        (tables, "MAX_TABLE", 30, "processes"),
        (tables, "MAX_TABLE", 120, "targets"),
    ],
)
def test_a_chunk_too_large_to_be_read_is_not_written(monkeypatch, module, name, limit, what):
    """SPEC W4"""
    batch = batch_of(write(), write(pid=7, target=Target("file", "/" + "x" * 120)))

    assert encode_events(batch, CLOCK)
    monkeypatch.setattr(module, name, limit)
    with pytest.raises(LimitError, match=what):
        encode_events(batch, CLOCK)


def test_a_table_of_more_bytes_than_allowed_is_refused():
    """SPEC R4"""
    stored = {"data": b"", "size": tables.MAX_TABLE + 1}
    for name in ("processes", "targets"):
        with pytest.raises(LimitError, match="8388609 bytes"):
            Chunk(changed(batch_of(write()), **{name: stored}), CLOCK).batch()


def test_processes_with_too_many_words_are_not_written():
    """SPEC W4"""
    batch = batch_of({**write(), "process": Process(1, "a", cmdline=("",) * 2**20)})
    with pytest.raises(LimitError, match="objects"):
        encode_events(batch, CLOCK)


UNFINISHED = EventFlag.UNFINISHED | EventFlag.TRUNCATED


def test_results_complete_the_events_that_they_name_and_no_others():
    """SPEC R17"""
    batch = batch_of(
        write(flags=UNFINISHED),
        write(cpu=1, flags=UNFINISHED),
        write(cpu=1),
        write(flags=EventFlag.RESULT_LOST),
    )
    chunk = Chunk(encode_events(batch, CLOCK)[0], CLOCK)

    others = {(1, 2): (-1, 1, 9), (0, 2): (9, 9, 9), (5, 5): (1, 1, 9)}
    found = list(chunk.batch({(1, 1): (-32, 70, 9), **others}))

    assert [event.returned for event in found] == [None, -32, 6, None]
    assert [event.duration_ns for event in found] == [None, 70, 1500, None]
    assert [event.flags for event in found] == [
        UNFINISHED,
        EventFlag.TRUNCATED,
        EventFlag(0),
        EventFlag.RESULT_LOST,
    ]
    assert len(chunk.batch({(1, 1): (-32, 70, 9)}).select(slice(0, 1))) == 1


@pytest.mark.parametrize(("number", "returned"), [(3, 6), (4, None), (5, None)])
def test_a_result_completes_only_an_event_of_an_earlier_chunk(number, returned):
    """SPEC R17"""
    batch = batch_of(write(flags=EventFlag.UNFINISHED))
    (event,) = Chunk(encode_events(batch, CLOCK)[0], CLOCK, number).batch({(0, 1): (6, 9, 4)})
    assert event.returned == returned


def test_of_two_results_for_one_event_the_first_counts():
    body = encode_results([(0, 1, 6, 70), (0, 1, -32, 80), (1, 1, 5, 1)])
    assert decode_results(body) == {(0, 1): (6, 70), (1, 1): (5, 1)}


RESULTS = st.lists(
    st.tuples(
        st.integers(0, 2**32 - 1),
        st.integers(1, 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(-(2**63), 2**63 - 1),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda row: row[:2],
)


@settings(deadline=None)
@given(RESULTS)
def test_any_results_come_back(results):
    expected = {(cpu, sequence): (value, took) for cpu, sequence, value, took in results}
    assert decode_results(encode_results(results)) == expected


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"results": 0}, CorruptionError),
        ({"results": -1}, CorruptionError),
        ({"results": "1"}, CorruptionError),
        ({"results": 2**20 + 1}, LimitError),
        ({"results": 2**63}, CorruptionError),
        ({"columns": None}, CorruptionError),
        ({"columns": {}}, CorruptionError),
        ({"columns": {"cpu": 5}}, CorruptionError),
        ({"columns": {"cpu": {"base": -1, "width": 0}}}, CorruptionError),
        ({"columns": {"cpu": {"delta-by": [[0, 0]], "base": 0, "width": 0}}}, CorruptionError),
        ({"sequence": {"base": 0, "width": 0}}, CorruptionError),
        ({"returned": {"minus": "count", "base": 0, "width": 0}}, CorruptionError),
    ],
)
def test_results_that_break_a_rule_are_refused(keys, error):
    """SPEC R15"""
    body = msgpack.unpackb(encode_results([(0, 1, -32, 7)]))
    body["columns"]["count"] = {"base": 0, "width": 0}
    (name, value), *_ = keys.items()
    (body if name in body else body["columns"])[name] = value
    with pytest.raises(error):
        decode_results(msgpack.packb(body))


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=4)
    | st.binary(max_size=16),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["base", "width", "data", "size", "delta", "delta-by", "minus", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
KEYS = [
    "summary",
    "processes",
    "comms",
    "syscalls",
    "targets",
    "addresses",
    "columns",
    "payload",
    "essential",
    *(f"column_{name}" for name in COLUMNS),
    *(f"summary_{name}" for name in Summary.__slots__),
]


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from(KEYS), ANYTHING, min_size=1, max_size=2))
def test_a_chunk_with_any_value_raises_a_format_error_and_nothing_else(keys):
    """SPEC R19"""
    batch = batch_of(write(), write(cpu=1, flags=UNFINISHED, **EVERYTHING))
    try:
        body = changed(batch, **dict(sorted(keys.items(), reverse=True)))
    except (TypeError, KeyError):
        return  # a part of a part that is no map any more
    assert is_good_answer(lambda: columns_of(Chunk(body, CLOCK).batch({(1, 1): (1, 1, 9)})))
