"""What is lost of calls with large payloads, of vectors and of messages, into a tiny buffer.

Such a payload comes in parts, each of which may find no room, and so may the record of the call
and that of its end. Whatever happens, each call is told or counted, and no byte is a wrong one.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest
from kernel.support import CALLS, Puppet, record

from wcap.events import EventFlag

pytestmark = pytest.mark.kernel

ROUNDS = 211
CPUS = sorted(os.sched_getaffinity(0))[:2]
PATTERN = random.Random(7).randbytes(1 << 18)
SIZES = (3, 40_009, 129_527, 70_001, 32_768)
# Of a round, in events: a write and a writev of each size, and three messages.
EVENTS = 2 * len(SIZES) + 3
WORKLOAD = f"""
def work():
    os.sched_setaffinity(0, [CPU])
    for _ in range({ROUNDS}):
        for size in {SIZES}:
            raw_write(null, start, size)
            third = size // 3
            call("writev", null, vector([(start, third), (start + third, size - third)]), 2)
        call("sendmmsg", null, messages, 3, 0)
work()
"""
SET_UP = (
    CALLS
    + """
import random
PATTERN = random.Random(7).randbytes(1 << 18)
held = ctypes.create_string_buffer(PATTERN, len(PATTERN))
start = ctypes.addressof(held)
messages = headers([([(start, 1009)],), ([(start, 50_021)],), ([],)])
"""
)


def record_writers(cpus, *options, output):
    """Record a writer on each of these CPUs, and return the recording and who wrote."""
    puppets = [Puppet(WORKLOAD, before=f"{SET_UP}\nCPU = {cpu}\n") for cpu in cpus]
    pids = [puppet.pid for puppet in puppets]

    def write():
        for puppet in puppets:
            puppet.go()
        assert [puppet.process.wait() for puppet in puppets] == [0] * len(puppets)

    chosen = ("-p", ",".join(map(str, pids)))
    recorded = record(*chosen, "-s", "0", *options, output=output, during=write)
    for puppet in puppets:
        puppet.process.communicate()
    return recorded, pids


@pytest.fixture(
    scope="module",
    params=[(kind, writers) for kind in ("ring", "perf") for writers in (1, 2)],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def lossy(request, tmp_path_factory):
    transport, writers = request.param
    output = tmp_path_factory.mktemp(transport) / "run.wcap"
    options = ("--transport", transport, "-B", "64K")
    return record_writers(CPUS[:writers], *options, output=output)


def test_of_each_writer_every_call_is_recorded_or_counted_as_lost(lossy):
    recorded, pids = lossy

    told = Counter(event.pid for event in recorded.events)
    lost = Counter()
    for gap in recorded.gaps:
        assert sum(events for _, events in gap.processes) == gap.count
        lost.update(dict(gap.processes))
    assert recorded.status == 3
    assert lost.total() > 0
    assert {pid: told[pid] + lost[pid] for pid in pids} == dict.fromkeys(pids, ROUNDS * EVENTS)


def test_what_is_recorded_and_what_is_lost_add_up_on_each_cpu(lossy):
    recorded, _ = lossy

    for cpu, last in recorded.end.sequences.items():
        told = sum(event.cpu == cpu for event in recorded.events)
        lost = sum(gap.count for gap in recorded.gaps if gap.cpu == cpu)
        assert told + lost == last
    assert sum(recorded.end.lost.values()) == sum(gap.count for gap in recorded.gaps)


def test_no_byte_is_wrong_and_a_payload_is_whole_or_told_not_to_be(lossy):
    recorded, _ = lossy

    for event in recorded.events:
        assert event.data == PATTERN[: len(event.data)]
        if event.flags & EventFlag.PAYLOAD_LOST:
            assert len(event.data) < event.count
        else:
            assert len(event.data) == event.count
    assert any(event.flags & EventFlag.PAYLOAD_LOST for event in recorded.events)


def test_a_result_is_that_of_its_call_or_absent(lossy):
    recorded, _ = lossy

    for event in recorded.events:
        if event.syscall == "sendmmsg":
            assert event.returned in {-88, None}  # ENOTSOCK
        else:
            assert event.returned in {event.count, None}


def test_of_more_messages_than_can_be_read_in_one_call_the_rest_is_lost_and_told(tmp_path):
    before = """
one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
many = headers([([b"%d" % n] + [b"."] * 10,) for n in range(1024)])
"""
    workload = "call('sendmmsg', one.fileno(), many, 1024, 0x40); os.write(null, b'after')"

    with Puppet(workload, before=SET_UP + before) as puppet:
        recorded = record(
            *("-p", str(puppet.pid)), output=tmp_path / "run.wcap", during=puppet.perform
        )

    *messages, after = recorded.events
    assert (recorded.status, recorded.end.lost) == (3, {"other": 1024 - len(messages)})
    assert 300 < len(messages) < 1024
    *whole, last = messages
    assert [event.data for event in whole] == [b"%d.........." % n for n in range(len(whole))]
    assert (b"%d.........." % len(whole)).startswith(last.data)
    assert last.flags & EventFlag.PAYLOAD_LOST or last.count == len(last.data) > 10
    [gap] = recorded.gaps
    assert gap.processes == ((puppet.pid, gap.count),)
    assert after.data == b"after"


# Each write begins elsewhere in a mapped file, no page of which is mapped then.
ABSENT = """
import tempfile
file = tempfile.TemporaryFile()
file.write(random.Random(11).randbytes(2 << 20))
file.flush()
begin = libc.mmap(None, ctypes.c_size_t(2 << 20), 3, 2, file.fileno(), 0)
out = os.open(tempfile.mktemp(), os.O_WRONLY | os.O_CREAT)
for n in range(101):
    libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(2 << 20), 4)  # MADV_DONTNEED
    os.lseek(out, 0, 0)
    raw_write(out, begin + n * 4099, 1 << 20)
"""


def test_what_is_read_at_exit_is_of_this_call_though_others_were_lost(tmp_path):
    content = random.Random(11).randbytes(2 << 20)

    with Puppet(ABSENT, before=SET_UP) as puppet:
        options = ("-p", str(puppet.pid), "-s", "0", "-B", "64K")
        recorded = record(*options, output=tmp_path / "run.wcap", during=puppet.perform)

    writes = [event for event in recorded.events if event.count == 1 << 20]
    assert len(writes) + sum(gap.count for gap in recorded.gaps) >= 101
    for event in writes:
        starts = [n for n in range(101) if content.startswith(event.data[:4096], n * 4099)]
        if event.data:
            [n] = starts
            assert event.data == content[n * 4099 : n * 4099 + len(event.data)]
        whole = len(event.data) == event.count
        explained = EventFlag.PAYLOAD_LOST | EventFlag.UNREADABLE
        assert whole != bool(event.flags & explained)
    assert any(event.flags & EventFlag.READ_AT_EXIT for event in writes)
