from __future__ import annotations

import msgpack
import pytest
from bytesupport import SALT, is_good_answer
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import ANYTHING, gaps
from support import CLOCK, HEADER

from wcap.envelope import encode_frame
from wcap.errors import CorruptionError
from wcap.events import Bypass
from wcap.fields import text
from wcap.format import (
    Clock,
    End,
    Header,
    decode_end,
    decode_gaps,
    decode_header,
    encode_end,
    encode_gaps,
    encode_header,
)
from wcap.index_frames import (
    FOOTER_SIZE,
    Index,
    IndexEntry,
    decode_footer,
    decode_index,
    encode_footer,
    encode_index,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
PLAIN = st.recursive(
    TEXT | st.integers(-(2**63), 2**63 - 1) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
).filter(lambda value: depth(value) < 4)
MOMENTS = st.integers(0, 2**63 - 1)


def depth(value):
    if not isinstance(value, list | dict):
        return 0
    inside = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, inside), default=0)


@settings(deadline=None)
@given(
    st.builds(
        Header,
        clock=st.builds(Clock, TEXT, MOMENTS, MOMENTS),
        snaplen=st.integers(0, 2**32 - 1),
        syscalls=st.lists(TEXT, max_size=3).map(tuple),
        transport=st.none() | TEXT,
        kernel=st.dictionaries(TEXT, TEXT, max_size=3),
        host=st.none() | TEXT,
        boot_id=st.none() | TEXT,
        filters=st.dictionaries(TEXT, PLAIN, max_size=3),
        command=st.none() | st.lists(st.binary(max_size=9).map(text), max_size=3).map(tuple),
        versions=st.dictionaries(TEXT, TEXT, max_size=3),
        warnings=st.lists(TEXT, max_size=3).map(tuple),
        at=st.sampled_from(["enter", "exit"]) | TEXT,
    )
)
def test_any_header_comes_back(header):
    assert decode_header(encode_header(header)) == header


def test_what_is_not_known_has_no_key():
    """SPEC W7"""
    header = msgpack.unpackb(encode_header(Header(CLOCK, 4096, ("write",))))
    end = msgpack.unpackb(encode_end(End("signal", 1, 2)))

    assert {"transport", "host", "boot_id", "command", "at"}.isdisjoint(header)
    assert {"unfollowed", "exit_status", "warnings", "bypassed"}.isdisjoint(end)
    assert None not in [*header.values(), *end.values()]


def changed(body: bytes, **keys: object) -> bytes:
    return msgpack.packb({**msgpack.unpackb(body), **keys})


ANCHORS = [None, 5, [], [1], [1, 2, 3], [1, "2"], [1, 2.0], [-1, 2], [1, 2**63], [True, 1], [None]]
BAD_HEADER = [
    *({"clock": {"name": "boottime", "anchor": anchor}} for anchor in ANCHORS),
    {"clock": None},
    {"clock": []},
    {"clock": {"anchor": [1, 2]}},
    {"snaplen": -1},
    {"snaplen": 2**32},
    {"snaplen": None},
    {"syscalls": None},
    {"syscalls": "write"},
    {"syscalls": [1]},
    {"kernel": []},
    {"kernel": {"release": 6}},
    {"kernel": {6: "release"}},
    {"host": b"raw"},
    {"boot_id": 1},
    {"at": 1},
    {"command": ["text"]},
    {"command": b"raw"},
    {"versions": {"wcap": 1}},
    {"warnings": [b"raw"]},
    {"filters": []},
    {"filters": {1: "x"}},
    {"filters": {"given": b"raw"}},
    {"filters": {"given": [1.5]}},
    {"filters": {"given": [None]}},
    {"filters": {"a": [[[[1]]]]}},
    {"filters": {"a": [{"b": {"c": {}}}]}},
]


@pytest.mark.parametrize("keys", BAD_HEADER)
def test_a_header_that_breaks_a_rule_is_refused(keys):
    with pytest.raises(CorruptionError):
        decode_header(changed(encode_header(HEADER), **keys))


def test_unknown_keys_of_a_header_are_skipped():
    """SPEC R6"""
    assert decode_header(changed(encode_header(HEADER), newer=[1], x_mine={})) == HEADER


@settings(deadline=None)
@given(st.lists(gaps(), max_size=5))
def test_any_gaps_come_back(some):
    assert decode_gaps(encode_gaps(some, CLOCK), CLOCK) == some


@pytest.mark.parametrize(
    "keys",
    [
        {"cpu": -1},
        {"cpu": 2**32},
        {"first_sequence": 0},
        {"last_sequence": 1},
        {"last_sequence": 2**63},
        {"count": 0},
        {"count": 3},
        {"count": "2"},
        {"first_ns": 2**64 - 1},
        {"last_ns": -(2**63)},
        {"last_ns": None},
        {"cause": b"full"},
        {"processes": 5},
        {"processes": [5]},
        {"processes": [[1]]},
        {"processes": [[1, 2, 3]]},
        {"processes": [[2**32, 1]]},
        {"processes": [[-1, 1]]},
        {"processes": [[1, -1]]},
        {"processes": [[1, "1"]]},
    ],
)
def test_a_gap_that_breaks_a_rule_is_refused(keys):
    gap = {
        "cpu": 0,
        "first_sequence": 4,
        "last_sequence": 5,
        "count": 2,
        "first_ns": 10,
        "last_ns": 20,
        "cause": "buffer-full",
    }
    early = Clock("boottime", 5, 3)

    assert len(decode_gaps(msgpack.packb({"gaps": [gap]}), early)) == 1
    with pytest.raises(CorruptionError):
        decode_gaps(msgpack.packb({"gaps": [{**gap, **keys}]}), early)


@pytest.mark.parametrize("value", [None, 5, [], "x"])
def test_gaps_are_maps(value):
    with pytest.raises(CorruptionError):
        decode_gaps(msgpack.packb({"gaps": [value]}), CLOCK)


BYPASSED = st.builds(
    Bypass,
    pid=st.integers(0, 2**32 - 1),
    comm=st.binary(max_size=15).map(text),
    how=st.sampled_from(["io_uring", "compat"]) | TEXT,
    count=st.none() | MOMENTS,
)
COUNTS = st.dictionaries(TEXT, MOMENTS, max_size=3)


@settings(deadline=None)
@given(
    st.builds(
        End,
        reason=TEXT,
        clock_ns=MOMENTS,
        wall_ns=MOMENTS,
        sequences=st.dictionaries(st.integers(0, 2**32 - 1), MOMENTS, max_size=3),
        lost=COUNTS,
        lost_results=COUNTS,
        unfollowed=st.integers(0, 2**31),
        exit_status=st.none() | st.integers(-64, 255),
        warnings=st.lists(TEXT, max_size=3).map(tuple),
        bypassed=st.lists(BYPASSED, max_size=3).map(tuple),
    )
)
def test_any_end_comes_back(end):
    assert decode_end(encode_end(end)) == end


@pytest.mark.parametrize(
    "keys",
    [
        *({"anchor": anchor} for anchor in ANCHORS),
        {"reason": None},
        {"reason": 5},
        {"unfollowed": -1},
        {"unfollowed": "1"},
        {"sequences": None},
        {"sequences": [5]},
        {"sequences": [[1]]},
        {"sequences": [[1, 2, 3]]},
        {"sequences": [[1, -2]]},
        {"sequences": [[1, "2"]]},
        {"lost": []},
        {"lost": {"full": -1}},
        {"lost": {"full": "1"}},
        {"lost": {1: 1}},
        {"lost_results": {"full": 2**63}},
        {"exit_status": 2**31},
        {"exit_status": "0"},
        {"warnings": "text"},
        {"warnings": [b"raw"]},
        {"bypassed": {}},
        {"bypassed": [5]},
        *(
            {"bypassed": [{"pid": 1, "comm": b"a", "how": "compat", **keys}]}
            for keys in (
                {"pid": None},
                {"pid": 2**32},
                {"comm": "text"},
                {"comm": None},
                {"how": None},
                {"how": b"raw"},
                {"count": -1},
                {"count": "1"},
            )
        ),
    ],
)
def test_an_end_that_breaks_a_rule_is_refused(keys):
    with pytest.raises(CorruptionError):
        decode_end(changed(encode_end(End("signal", 1, 2, {0: 5})), **keys))


@pytest.mark.parametrize(
    "facts",
    [
        {"lost": {"other": 1}},
        {"lost_results": {"other": 1}},
        {"unfollowed": 1},
        {"bypassed": (Bypass(1, "a", "compat"),)},
        {"reason": "error"},
    ],
)
def test_an_end_that_tells_of_something_missing_is_short(facts):
    complete = {"reason": "signal", "clock_ns": 1, "wall_ns": 2}

    assert not End(**complete).short
    assert End(**{**complete, **facts}).short


def test_an_index_comes_back():
    entries = (IndexEntry(3, 1, 16, 30), IndexEntry(4, 2, 46, 20, {"events": 1}))
    index = Index(entries, previous=None)

    assert decode_index(encode_index(index), 66, 5) == index
    later = Index((IndexEntry(5, 1, 66, 34),), previous=16)
    assert decode_index(encode_index(later), 100, 6) == later
    assert decode_index(encode_index(Index(())), 100, 6) == Index(())


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 16]],
        [[1, 16, "50"]],
        [[1, 16, 50, []]],
        [5],
        [[1, 16, 17], [1, 33, 33]],
        [[1, 16, 49]],
        [[1, 15, 51]],
        [[1, 16, 30], [1, 47, 19]],
        [[1, 16, 30], [1, 45, 21]],
        [[1, 36, 30], [1, 16, 20]],
        [[1, 16, -50]],
        [[1, -16, 82]],
        [[1, 2**64 - 1, 50]],
    ],
)
def test_an_index_that_leaves_something_out_is_refused(rows):
    """SPEC R13"""
    body = msgpack.packb({"entries": {"data": msgpack.packb({"frames": rows})}})
    with pytest.raises(CorruptionError):
        decode_index(body, 66, 5)


def test_the_footer_is_of_one_size():
    assert len(encode_frame(7, encode_footer(5), 1, SALT)) == FOOTER_SIZE == 34
    for offset in (0, 127, 2**32, 2**64 - 1):
        assert decode_footer(encode_footer(offset)) == offset


DECODERS = [
    decode_header,
    decode_end,
    decode_footer,
    lambda body: decode_gaps(body, CLOCK),
    lambda body: decode_index(body, 100, 5),
]


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60) | ANYTHING.map(msgpack.packb))
def test_garbage_raises_a_format_error_that_can_be_shown_and_nothing_else(body):
    """SPEC R19"""
    for decode in DECODERS:
        assert is_good_answer(lambda decode=decode: decode(body))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_known_key_with_any_value_raises_a_format_error_and_nothing_else(data):
    """SPEC R19"""
    body, decode = data.draw(
        st.sampled_from(
            [
                (encode_header(HEADER), decode_header),
                (encode_end(End("signal", 1, 2, {0: 5})), decode_end),
                (encode_index(Index((IndexEntry(4, 1, 16, 50),), 0)), DECODERS[4]),
            ]
        )
    )
    key = data.draw(st.sampled_from(sorted(msgpack.unpackb(body))))
    spoilt = changed(body, **{key: data.draw(ANYTHING)})
    assert is_good_answer(lambda: decode(spoilt))
