"""Payloads of every size are whole, through both transports, or cut exactly where asked."""

from __future__ import annotations

import random

import pytest
from kernel.support import CALLS, as_code, numbered, python, record

from wcap.events import EventFlag

pytestmark = pytest.mark.kernel

MIB = 1 << 20
SIZES = (
    *(0, 1, 127, 128, 129, 4095, 4096, 4097, 32767, 32768, 32769, 65535, 65536, 65537),
    *(MIB, 16 * MIB),
)
# Lengths of segments, over and over.
SEGMENTS = (1, 4095, 0, 8191, 32771, 17, 65537)
FDS = numbered("WHOLE", "GATHERED", "TOO_LARGE")

WORKLOAD = (
    CALLS
    + as_code(FDS)
    + f"""
import random
PATTERN = random.Random(7).randbytes(33 << 20)
held = ctypes.create_string_buffer(PATTERN, len(PATTERN))
start = ctypes.addressof(held)

def gather_at(fd, count):
    segments, place, turn = [], 0, 0
    while place < count:
        size = min({SEGMENTS}[turn % 7], count - place)
        if len(segments) == 1023:
            size = count - place
        segments.append((start + place, size))
        place += size
        turn += 1
    call("writev", fd, vector(segments), len(segments))

for fd in (WHOLE, GATHERED, TOO_LARGE):
    null_at(fd)
for size in SIZES:
    raw_write(WHOLE, start, size)
    gather_at(GATHERED, size)
if LARGEST:
    raw_write(TOO_LARGE, start, LARGEST)
    gather_at(TOO_LARGE, LARGEST)
"""
)


@pytest.fixture(scope="module")
def pattern():
    return random.Random(7).randbytes(33 * MIB)


def record_sizes(sizes, largest, *options, output):
    code = f"SIZES = {sizes}\nLARGEST = {largest}\n"
    recorded = record(*options, "--", *python(code + WORKLOAD), output=output)
    assert recorded.status == 0, recorded.said
    assert (recorded.gaps, recorded.end.exit_status) == ([], 0)
    return recorded


def written(recorded, name):
    return [event for event in recorded.events if event.fd == FDS[name]]


# The buffer has room for all of it, on one CPU as well: this is not about losses.
@pytest.fixture(scope="module", params=[("ring", "128M"), ("perf", "256M")], ids=lambda of: of[0])
def whole(request, tmp_path_factory):
    output = tmp_path_factory.mktemp("sizes") / "run.wcap"
    transport, buffer = request.param
    options = ("-s", "32M", "-B", buffer, "--transport", transport)
    return record_sizes(SIZES, 33 * MIB, *options, output=output)


@pytest.mark.parametrize("name", ["WHOLE", "GATHERED"])
def test_a_payload_of_any_size_is_whole(name, whole, pattern):
    events = written(whole, name)

    assert [event.count for event in events] == list(SIZES)
    assert [event.returned for event in events] == list(SIZES)
    assert {event.flags for event in events} == {EventFlag(0)}
    assert [event.data == pattern[: event.count] for event in events] == [True] * len(SIZES)


def test_what_is_more_than_can_be_kept_is_cut_there_and_the_count_tells_by_how_much(whole, pattern):
    events = written(whole, "TOO_LARGE")

    assert [event.syscall for event in events] == ["write", "writev"]
    for event in events:
        assert (event.count, event.returned) == (33 * MIB, 33 * MIB)
        assert event.flags == EventFlag.TRUNCATED
        assert len(event.data) == 32 * MIB
        assert event.data == pattern[: 32 * MIB]


@pytest.mark.parametrize("snaplen", [1, 100, 4096, 40_000])
def test_a_payload_is_cut_exactly_at_the_snaplen(snaplen, pattern, tmp_path):
    sizes = (0, 1, 2, snaplen - 1, snaplen, snaplen + 1, 4 * snaplen, 70_001)

    recorded = record_sizes(sizes, 0, "-s", str(snaplen), output=tmp_path / "run.wcap")

    for name in ("WHOLE", "GATHERED"):
        events = written(recorded, name)
        assert [event.count for event in events] == list(sizes)
        assert [event.data for event in events] == [pattern[: min(n, snaplen)] for n in sizes]
        cut = [bool(event.flags & EventFlag.TRUNCATED) for event in events]
        assert cut == [n > snaplen for n in sizes]
