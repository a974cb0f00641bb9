from __future__ import annotations

import subprocess
import sys

import msgpack
import pytest
from bytesupport import is_good_answer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from strategies import ANYTHING

from wcap.errors import CorruptionError, LimitError
from wcap.fields import MAX_ITEMS, Fields, check_items, decode_map, encode_map, text, untext


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x81",
        b"\xc1",
        b"\x80\x80",
        b"\x90",
        b"\xc0",
        b"\x05",
        b"\x81\xa1a",
        b"\x81\x90\x01",
        b"\x81\x80\x01",
        b"\x81\xa1\xff\x01",
        b"\x81\xa1a\xd6\xff\0\0\0\0",
        b"\x81\xa1a\xc7\x00\xff",
        b"\x81\xa1a\xc7\x00\x05",
        b"\x81\xa1a\xd9",
        b"\x81\xa1a" + b"\x91" * 5000 + b"\x01",
    ],
)
def test_a_body_that_is_no_map_is_refused(body):
    with pytest.raises(CorruptionError):
        decode_map(body)


@pytest.mark.parametrize(
    "body",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa1a\xdd\x00\x10\x00\x00",
        b"\x81\xa1a" + b"\xdc\xff\xff" * 17,
        b"\x81\xa1a\xdd\x00\x0f\xff\xff" + b"\x91\xc0" * 9,
    ],
)
def test_a_map_of_more_objects_than_memory_is_refused_unread(body):
    """SPEC R4"""
    with pytest.raises(LimitError, match=f"more than {MAX_ITEMS} objects"):
        decode_map(body)


@settings(deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats()
        | st.text(max_size=300)
        | st.binary(max_size=300)
        | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)),
        lambda inner: (
            st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=3), inner, max_size=20)
        ),
        max_leaves=40,
    )
)
@example([0] * 70_000)
@example({str(n): n for n in range(70_000)})
@example([b"x" * 70_000, "x" * 70_000, msgpack.ExtType(5, b"x" * 70_000)])
@example([1.5, 2**40, -(2**40), msgpack.ExtType(5, b"xxxx"), 1])
def test_objects_are_counted_as_msgpack_reads_them(value):
    """What follows a value is found only if its end is: so a large map behind it is refused."""
    check_items(msgpack.packb(value))
    with pytest.raises(LimitError):
        check_items(msgpack.packb([value]).replace(b"\x91", b"\x92", 1) + b"\xdd\xff\xff\xff\xff")


def test_a_deep_body_takes_no_memory():
    """SPEC R4"""
    program = """
import resource, sys
from wcap.errors import FormatError
from wcap.fields import decode_map
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for lists in (b"\\xdd\\x00\\x0f\\xff\\x00" * 1000, b"\\xdc\\xff\\xff" * 9999):
    try:
        decode_map(b"\\x81\\xa1a" + lists)
    except FormatError:
        continue
    sys.exit("not refused")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    grown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout
    assert int(grown) < 4096  # KiB


def test_a_key_whose_value_is_nil_is_absent():
    """SPEC R8"""
    fields = decode_map(msgpack.packb({"a": None, "b": 1}))

    assert fields.find("a", int) is None
    with pytest.raises(CorruptionError, match="a is missing"):
        fields.take("a", int)


@pytest.mark.parametrize(
    ("value", "kind"), [("1", int), (True, int), (1, str), (b"a", str), ("a", bytes), ({}, list)]
)
def test_a_value_of_another_type_is_refused(value, kind):
    with pytest.raises(CorruptionError, match=f"a is .*, {kind.__name__} expected"):
        Fields({"a": value}).take("a", kind)
    with pytest.raises(CorruptionError, match=f"a holds .*, {kind.__name__} expected"):
        Fields({"a": [value]}).each("a", kind)


def test_only_a_map_has_fields():
    with pytest.raises(CorruptionError, match="a map expected, list found"):
        Fields([])


def test_keys_that_are_no_text_are_skipped_and_of_equal_keys_the_last_counts():
    fields = decode_map(b"\x85\xa1a\x01\xa1a\x02\xc4\x01a\x03\x05\x04\xc0\x05")
    assert fields.number("a") == 2


def test_text_that_is_no_unicode_is_escaped_and_names_keep_their_bytes():
    assert msgpack.unpackb(encode_map({"a": text(b"x\xff")})) == {"a": "x\\udcff"}
    assert untext(text(b"x\xff\xc3\xa4")) == b"x\xff\xc3\xa4"


TAKEN = {
    "a number": lambda fields: fields.number("a"),
    "a list": lambda fields: fields.each("a", int),
    "words": lambda fields: fields.words("a"),
    "counts": lambda fields: fields.find_counts("a"),
    "rows": lambda fields: fields.rows("a", 2),
    "plain": lambda fields: fields.plain("a"),
}
HOSTILE = "\x1b[2J\x9b31m\u202e"


@pytest.mark.parametrize("take", TAKEN.values(), ids=TAKEN)
@given(body=st.binary(max_size=60) | ANYTHING.map(lambda value: msgpack.packb({"a": value})))
@example(body=msgpack.packb({"a": {HOSTILE: -1}}))
@example(body=msgpack.packb({"a": {HOSTILE: HOSTILE}}))
@example(body=msgpack.packb({"a": [[HOSTILE]]}))
def test_garbage_raises_a_format_error_that_can_be_shown_and_nothing_else(take, body):
    """SPEC R19"""
    assert is_good_answer(lambda: take(decode_map(body)))
