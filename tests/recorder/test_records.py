from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorder import rawrecords
from recorder.rawrecords import (
    bypass,
    enter,
    extra_of,
    leave,
    part,
    process,
    reread,
    sent,
    span_of,
    target,
)

import wcap
from wcap.events import Bypass, Target
from wcap.recorder.descriptions import Seen
from wcap.recorder.records import Decoder, sizes

BPF = Path(wcap.__file__).parent / "bpf"
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="compiles C: needs gcc")
UINT32 = st.integers(0, 2**32 - 1)
UINT64 = st.integers(0, 2**64 - 1)
INT64 = st.integers(-(2**63), 2**63 - 1)
COUNTS = st.integers(0, 2**63 - 1)

enters = st.fixed_dictionaries(
    {
        "payload": st.binary(max_size=20) | st.just(b"x" * 16),
        "pid": UINT32,
        "tid": UINT32,
        "cpu": UINT32,
        "time_ns": COUNTS,
        "sequence": COUNTS,
        "fd": st.integers(-(2**31), 2**31 - 1),
        "count": UINT64,
        "comm": st.binary(min_size=16, max_size=16),
        "unreadable": st.booleans(),
        "syscall": st.integers(0, 255),
        "target": UINT32,
        "flags": st.sampled_from([0, 4, 1024]),
    }
)
extras = st.fixed_dictionaries(
    {
        "offset": INT64,
        "source_fd": st.integers(-(2**31), 2**31 - 1),
        "source": UINT32,
        "message": UINT32,
        "address": st.binary(max_size=128),
    }
)
exits = st.fixed_dictionaries(
    {"returned": INT64, "pid": UINT32, "tid": UINT32, "cpu": UINT32, "time_ns": COUNTS}
)
rereads = st.fixed_dictionaries(
    {
        "payload": st.binary(max_size=20),
        "returned": INT64,
        "failed": st.booleans(),
        "pid": UINT32,
        "tid": UINT32,
        "time_ns": COUNTS,
        "asked": UINT32,
        "flags": st.sampled_from([0, 4]),
    }
)
processes = st.fixed_dictionaries(
    {
        "pid": UINT32,
        "ppid": UINT32,
        "uid": UINT32,
        "start_ns": UINT64,
        "known": st.booleans(),
        "comm": st.binary(max_size=15),
        "leader": st.binary(max_size=15),
    }
)
records = st.lists(
    st.one_of(
        st.tuples(st.just(enter), enters),
        st.tuples(st.just(leave), exits),
        st.tuples(st.just(reread), rereads),
        st.tuples(st.just(process), processes),
    ),
    max_size=20,
)


def of_kind(drawn, *kinds):
    """Return the records of these kinds with their positions."""
    return [(place, facts) for place, (kind, facts) in enumerate(drawn) if kind in kinds]


def decode(span, decoder=None):
    return (decoder or Decoder()).decode(span)


def decoded(drawn, decoder=None):
    return decode(span_of(*(make(**facts) for make, facts in drawn)), decoder)


def after(records):
    """Return a decoder that has numbered so many records."""
    decoder = Decoder()
    decoder._order = records
    return decoder


@given(records, st.integers(0, 2**40))
def test_a_beginning_is_decoded_field_by_field(drawn, first_order):
    found = decoded(drawn, after(first_order)).enters

    expected = of_kind(drawn, enter)
    assert found.order.tolist() == [first_order + place for place, _ in expected]
    facts = [facts for _, facts in expected]
    for name in ("time_ns", "cpu", "sequence", "fd", "count", "syscall", "target"):
        assert getattr(found, name).tolist() == [one[name] for one in facts]
    assert found.pid_tgid.tolist() == [rawrecords.both(one["pid"], one["tid"]) for one in facts]
    assert found.flags.tolist() == [one["unreadable"] + one["flags"] for one in facts]
    assert found.returned is None
    assert found.details is None
    assert found.captured.tolist() == [len(one["payload"]) for one in facts]
    assert found.payload == b"".join(one["payload"] for one in facts)
    names = zip(found.comm0, found.comm1, strict=True)
    assert [first.tobytes() + second.tobytes() for first, second in names] == [
        one["comm"] for one in facts
    ]


@given(records, st.integers(0, 2**40))
def test_an_end_is_decoded_field_by_field(drawn, first_order):
    found = decoded(drawn, after(first_order)).exits

    expected = of_kind(drawn, leave, reread)
    assert found.order.tolist() == [first_order + place for place, _ in expected]
    facts = [facts for _, facts in expected]
    for name in ("time_ns", "returned"):
        assert getattr(found, name).tolist() == [one[name] for one in facts]
    assert found.pid_tgid.tolist() == [rawrecords.both(one["pid"], one["tid"]) for one in facts]
    assert found.sent == {}
    assert found.reread == {
        place: (one["payload"], one["failed"] + one["flags"], one["asked"])
        for place, one in enumerate(facts)
        if "payload" in one
    }


@given(records, st.integers(0, 2**40))
def test_a_process_is_decoded_field_by_field(drawn, first_order):
    found = decoded(drawn, after(first_order)).processes

    assert found == [
        Seen(
            order=first_order + place,
            pid=one["pid"],
            comm=one["comm"].split(b"\0", 1)[0],
            uid=one["uid"],
            gid=0,
            leader=one["leader"].split(b"\0", 1)[0] if one["known"] else None,
            ppid=one["ppid"] if one["known"] else None,
            start_ns=one["start_ns"] if one["known"] else None,
        )
        for place, one in of_kind(drawn, process)
    ]


@pytest.mark.parametrize(
    "payloads",
    [
        [b"sixteen bytes ..", b"0123456789abcdef", b"................"],
        [b"a", b"bb", b"", b"ccc" * 5],
        [b"", b"", b""],
        [b""],
        [b"alone"],
    ],
    ids=["equal", "unequal", "empty", "one empty", "one"],
)
def test_payloads_follow_each_other_whatever_their_lengths(payloads):
    found = decode(span_of(*(enter(payload) for payload in payloads))).enters

    assert found.payload == b"".join(payloads)
    assert found.captured.tolist() == [len(payload) for payload in payloads]


@given(st.lists(st.tuples(enters, st.none() | extras, INT64), max_size=8), st.booleans())
def test_what_only_some_calls_have_stands_in_their_rows_and_nothing_in_the_others(drawn, at_exit):
    raw = [
        enter(
            **facts,
            extra=b"" if more is None else extra_of(**more),
            returned=returned if at_exit else None,
        )
        for facts, more, returned in drawn
    ]

    found = Decoder(at_exit=at_exit).decode(span_of(*raw)).enters

    assert found.payload == b"".join(facts["payload"] for facts, _, _ in drawn)
    if at_exit:
        assert found.returned.tolist() == [returned for _, _, returned in drawn]
    if all(more is None for _, more, _ in drawn):
        assert found.details is None
        return
    for name in ("offset", "source_fd", "source", "message"):
        expected = [0 if more is None else more[name] for _, more, _ in drawn]
        assert getattr(found.details, name).tolist() == expected
    assert found.details.addresses == {
        row: more["address"] for row, (_, more, _) in enumerate(drawn) if more and more["address"]
    }


@given(st.lists(UINT32, max_size=20), INT64)
def test_the_end_of_several_messages_tells_what_was_sent_of_each(lengths, returned):
    found = decode(span_of(leave(), sent(lengths, returned))).exits

    assert found.sent == {1: lengths}
    assert found.reread == {}
    assert found.returned.tolist() == [0, returned]


def test_descriptions_and_what_passes_by_are_found_among_calls():
    found = decode(span_of(enter(), target(7), leave(), bypass(1, pid=5), target(9, inode=3)))

    assert found.targets == [
        (7, Target("file", inode=0)),
        (9, Target("file", inode=3)),
    ]
    assert found.bypasses == [Bypass(5, "hello", "io_uring")]
    assert len(found.enters.order) == len(found.exits.order) == 1


def test_records_of_a_kind_that_is_not_known_are_passed_over():
    unknown = bytes([200]) + leave()[1:]

    found = decode(span_of(enter(b"a"), unknown, leave(3)))

    assert (found.enters.payload, found.exits.returned.tolist()) == (b"a", [3])
    assert found.exits.order.tolist() == [2]


def payloads_of(enters):
    ends = np.cumsum(enters.captured)
    return [
        enters.payload[end - length : end]
        for end, length in zip(ends.tolist(), enters.captured.tolist(), strict=True)
    ]


@given(st.data())
def test_parts_come_before_the_rest_of_their_call_however_the_records_are_cut_into_spans(data):
    """CPUs take turns anywhere; each sends the parts of a call and then its record, if at all."""
    queues, expected, ends = [[], [], []], {}, {}
    for cpu, queue in enumerate(queues):
        for number in range(1, data.draw(st.integers(0, 4)) + 1):
            of = {"cpu": cpu, "time_ns": 10 * number, "pid": data.draw(st.sampled_from([7, 8]))}
            later = {**of, "time_ns": 10 * number + 5}
            at_exit = data.draw(st.booleans())
            pieces = data.draw(st.lists(st.binary(max_size=5), min_size=1, max_size=4))
            own = {"end_ns": of["time_ns"]} if at_exit else {"sequence": number}
            queue += [part(piece, **own, **later) for piece in pieces[:-1]]
            if data.draw(st.sampled_from([True, True, False])):
                if at_exit:
                    queue.append(reread(pieces[-1], cpu * 10 + number, **of))
                    ends[cpu * 10 + number] = b"".join(pieces)
                else:
                    queue.append(enter(pieces[-1], sequence=number, **of))
                    expected[cpu, number] = b"".join(pieces)
    records = []
    while any(queues):
        records.append(data.draw(st.sampled_from([q for q in queues if q])).pop(0))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=3)))

    decoder, found, found_ends = Decoder(), {}, {}
    for begin, end in zip([0, *cuts], [*cuts, len(records)], strict=True):
        one = decoder.decode(span_of(*records[begin:end]))
        keys = zip(one.enters.cpu.tolist(), one.enters.sequence.tolist(), strict=True)
        found |= dict(zip(keys, payloads_of(one.enters), strict=True))
        returned = one.exits.returned.tolist()
        found_ends |= {returned[place]: again.payload for place, again in one.exits.reread.items()}
        assert len({call.cpu for call in decoder._parts}) == len(decoder._parts)

    assert found == expected
    assert found_ends == ends


def test_parts_wait_for_the_record_of_their_call_in_a_later_span():
    decoder = Decoder()

    decode(span_of(part(b"a", sequence=3), part(b"b", sequence=3)), decoder)
    found = decode(span_of(enter(b"c", sequence=3, count=9)), decoder).enters

    assert (found.payload, found.captured.tolist(), found.count.tolist()) == (b"abc", [3], [9])
    assert decoder._parts == {}


def test_two_calls_of_one_thread_read_again_at_their_ends_each_have_their_own_parts():
    found = decode(
        span_of(
            *(part(b"a", end_ns=1), reread(b"b", time_ns=1)),
            *(part(b"c", end_ns=2), reread(b"d", time_ns=2)),
        )
    ).exits

    assert [found.reread[place].payload for place in (0, 1)] == [b"ab", b"cd"]


def test_parts_of_an_end_that_was_lost_are_not_given_to_the_next_end_of_the_thread():
    decoder = Decoder()

    decode(span_of(part(b"lost", end_ns=1)), decoder)
    found = decode(span_of(reread(b"mine", time_ns=2)), decoder).exits

    assert found.reread[0].payload == b"mine"


@pytest.mark.parametrize("at_exit", [False, True])
def test_parts_whose_call_was_lost_are_forgotten_and_do_not_pile_up(at_exit):
    decoder = Decoder()
    for number in range(1, 100):
        of = {"cpu": number % 2, "time_ns": number, "pid": number}
        own = {"end_ns": number} if at_exit else {"sequence": number}
        decode(span_of(part(b"x" * 1000, **own, **of)), decoder)

    assert len(decoder._parts) == 2  # one CPU each, which may yet send the record


def test_parts_of_many_lost_calls_in_one_span_are_forgotten():
    decoder = Decoder()
    raw = [part(b"x", sequence=number, time_ns=number) for number in range(1, 100)]

    decode(span_of(*raw, enter(b"y", sequence=100, time_ns=100)), decoder)

    assert len(decoder._parts) == 1


def test_nothing_decodes_to_nothing():
    found = decode(span_of(process(), leave()))

    assert len(found.enters.order) == 0
    assert found.enters.payload == b""
    assert len(decode(span_of(enter(b"x"))).exits.order) == 0


def compile_c(source: str, flags: list[str]) -> subprocess.CompletedProcess[str]:
    types = BPF / "headers/include/linux/types.h"
    return subprocess.run(
        ["gcc", "-fsyntax-only", f"-I{BPF}", "-include", str(types), *flags, "-xc", "-"],
        input=source,
        text=True,
        capture_output=True,
    )


def as_flags(numbers: dict[str, int]) -> list[str]:
    return [f"-D{name}={number}" for name, number in numbers.items()]


@needs_gcc
def test_the_header_agrees_with_the_sizes_and_refuses_others():
    right = sizes(at_exit=False)

    assert compile_c('#include "record.h"\n', as_flags(right)).returncode == 0
    for name in right:
        wrong = compile_c('#include "record.h"\n', as_flags({**right, name: right[name] + 8}))
        assert "is not what records.py reads" in wrong.stderr, name


@needs_gcc
def test_recorded_at_exit_a_call_has_its_result_behind_it():
    flags = [*as_flags(sizes(at_exit=True)), "-DAT_EXIT"]

    assert compile_c('#include "record.h"\n', flags).returncode == 0


@needs_gcc
def test_the_records_of_these_tests_have_the_layout_of_the_header():
    layouts = {
        "enter": (
            rawrecords.ENTER_LAYOUT,
            "sequence:24 count:32 fd:40 captured:44 comm:48 target:64 extra:68",
        ),
        "extra": (rawrecords.EXTRA_LAYOUT, "offset:0 source_fd:8 source:12 message:16 address:24"),
        "exit": (rawrecords.EXIT_LAYOUT, "returned:24"),
        "reread": (rawrecords.REREAD_LAYOUT, "captured:32 count:36"),
        "process": (
            rawrecords.PROCESS_LAYOUT,
            "start_ns:24 ppid:32 uid:36 gid:40 ns_pid:44 comm:48 leader:64 exe_size:80",
        ),
        "part": (rawrecords.PART_LAYOUT, "sequence:24 captured:32"),
        "target": (
            rawrecords.TARGET_LAYOUT,
            "id:24 device:28 family:38 inode:40 target_kind:52 local_port:60 local:64 peer:80 "
            "peer_inode:96 path_size:104 local_size:108 peer_size:110",
        ),
        "bypass": (rawrecords.BYPASS_LAYOUT, "comm:24 how:40"),
        "prefix": (
            rawrecords.struct.Struct(rawrecords.PREFIX),
            "kind:0 syscall:1 flags:2 cpu:4 time_ns:8 pid_tgid:16",
        ),
    }
    lines = ['#include "record.h"']
    for name, (layout, members) in layouts.items():
        lines.append(f'_Static_assert(sizeof(struct {name}) == {layout.size}, "{name}");')
        for member, offset in (word.split(":") for word in members.split()):
            place = f"__builtin_offsetof(struct {name}, {member})"
            lines.append(f'_Static_assert({place} == {offset}, "{name}.{member}");')

    compiled = compile_c("\n".join(lines), as_flags(sizes(at_exit=False)))

    assert compiled.stderr == ""
    assert compiled.returncode == 0


def test_every_size_is_asserted_by_the_kernel_side():
    asserted = (BPF / "record.h").read_text()

    for name in sizes(at_exit=False):
        assert re.search(rf"AGREES\(\w+, {name}\);", asserted), name


@pytest.mark.parametrize("spans", [1, 2])
def test_parts_come_before_what_the_record_of_their_call_has(spans):
    records = [
        part(b"of another", sequence=7, cpu=1),
        part(b"one ", sequence=7),
        part(b"two ", sequence=7),
        enter(b"three", sequence=7),
        part(b"a ", end_ns=9, tid=5),
        part(b"b ", end_ns=9, tid=6, cpu=2),
        reread(b"c", tid=5, time_ns=9),
    ]
    decoder = Decoder()
    if spans == 2:
        decoder.decode(span_of(*records[:2]))
        records = records[2:]

    decoded = decoder.decode(span_of(*records))

    assert (decoded.enters.payload, decoded.enters.captured.tolist()) == (b"one two three", [13])
    assert decoded.exits.reread == {0: (b"a c", 0, 0)}
