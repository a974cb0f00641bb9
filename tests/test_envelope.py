from __future__ import annotations

import struct

import msgpack
import pytest
from bytesupport import SALT, is_good_answer
from hypothesis import given
from hypothesis import strategies as st

from wcap.envelope import (
    ENVELOPE,
    MAGIC,
    MAGIC_SIZE,
    MAX_FRAME,
    check_body,
    decode_envelope,
    decode_preamble,
    encode_frame,
    encode_preamble,
)
from wcap.errors import (
    CorruptionError,
    FormatError,
    LimitError,
    NotACaptureError,
    TruncatedError,
    UnsupportedVersionError,
)


def test_the_preamble_is_a_msgpack_object_and_comes_back():
    """SPEC W1"""
    data = encode_preamble(0x01020304)
    preamble = decode_preamble(data)

    assert len(data) == MAGIC_SIZE == 16
    assert msgpack.unpackb(data).code == ord("w")
    assert (preamble.major, preamble.minor, preamble.salt) == (1, 3, 0x01020304)


@pytest.mark.parametrize("length", range(1, MAGIC_SIZE))
def test_a_cut_preamble_is_a_cut_capture(length):
    with pytest.raises(TruncatedError):
        decode_preamble(encode_preamble(SALT)[:length])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\x7fELF" + bytes(20),
        b"\xd4\xc3\xb2\xa1" + bytes(20),
        MAGIC.replace(b"\r\n", b"\n") + bytes(7),
        MAGIC.replace(b"\n", b"\r\n") + bytes(7),
        bytes(byte & 0x7F for byte in MAGIC) + bytes(7),
        MAGIC.decode("latin-1").encode() + bytes(7),
    ],
)
def test_anything_else_is_not_a_capture(data):
    """SPEC R1: also what a transfer in text mode made of one."""
    with pytest.raises(NotACaptureError, match="not a wcap capture"):
        decode_preamble(data)


@pytest.mark.parametrize("major", [0, 2, 255])
def test_another_major_version_is_refused_by_name(major):
    """SPEC R2"""
    data = bytearray(encode_preamble(SALT))
    data[len(MAGIC)] = major
    with pytest.raises(UnsupportedVersionError, match=rf"version {major}\.3 .* reads 1\.x"):
        decode_preamble(bytes(data))


def test_a_newer_minor_version_is_accepted():
    """SPEC R2"""
    data = bytearray(encode_preamble(SALT))
    data[len(MAGIC) + 1] = 9
    assert decode_preamble(bytes(data)).minor == 9


@given(st.integers(-128, 127), st.binary(max_size=99), st.integers(0, 2**32 - 1))
def test_any_frame_comes_back_and_is_msgpack(kind, body, number):
    data = encode_frame(kind, body, number, SALT)
    envelope = decode_envelope(data, 0)
    check_body(envelope, data[ENVELOPE.size :], SALT, 0)

    assert (envelope.type, envelope.length, envelope.number) == (kind, len(body), number)
    if kind >= 0:
        assert msgpack.unpackb(data) == msgpack.ExtType(kind, data[6:])


@given(st.binary(max_size=30), st.data())
def test_any_changed_bit_of_a_frame_is_noticed(body, data):
    """SPEC R3"""
    frame = bytearray(encode_frame(2, body, 7, SALT))
    bit = data.draw(st.integers(0, len(frame) * 8 - 1))
    frame[bit // 8] ^= 1 << bit % 8
    with pytest.raises(FormatError):  # noqa: PT012  # either may notice
        envelope = decode_envelope(bytes(frame), 0)
        check_body(envelope, bytes(frame[ENVELOPE.size :]), SALT, 0)


def test_the_frame_of_another_capture_does_not_pass():
    frame = encode_frame(2, b"\x80", 7, SALT)
    with pytest.raises(CorruptionError, match="checksum"):
        check_body(decode_envelope(frame, 0), b"\x80", SALT + 1, 0)


def test_a_frame_that_promises_too_much_is_refused_by_its_envelope():
    """SPEC R4"""
    head = ENVELOPE.pack(0xC9, 2**32 - 1, 2, b"\xf5WCF", 0, 0)
    with pytest.raises(LimitError, match=r"4294967283 bytes exceeds 67108864 \(at byte 5\)"):
        decode_envelope(head, 5)


def test_a_frame_too_large_to_be_read_is_not_written():
    """SPEC W4"""
    with pytest.raises(LimitError):
        encode_frame(2, bytes(MAX_FRAME + 1), 0, SALT)


def test_the_envelope_is_18_bytes():
    assert ENVELOPE.size == struct.calcsize(">BIb4sII") == 18


@given(st.binary(max_size=60))
def test_garbage_raises_a_format_error_that_can_be_shown_and_nothing_else(data):
    """SPEC R19"""
    for decode, head in (
        (decode_preamble, data),
        (decode_preamble, MAGIC + data),
        (lambda head: decode_envelope(head, 0), data.ljust(ENVELOPE.size, b"\0")),
    ):
        assert is_good_answer(lambda decode=decode, head=head: decode(head))
