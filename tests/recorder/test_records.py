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
from recorder.rawrecords import enter, leave, part, process, reread, span_of

import wcap
from wcap.recorder.descriptions import Seen
from wcap.recorder.records import (
    Decoder,
    joined_enters,
    joined_exits,
    sizes,
    some_enters,
    some_exits,
)

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
    for name in ("time_ns", "cpu", "sequence", "fd", "count"):
        assert getattr(found, name).tolist() == [one[name] for one in facts]
    assert found.pid_tgid.tolist() == [rawrecords.both(one["pid"], one["tid"]) for one in facts]
    assert found.flags.tolist() == [int(one["unreadable"]) for one in facts]
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
    assert found.payloads == {
        place: (one["payload"], int(one["failed"]))
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
            cgroup="/" if one["known"] else None,
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


def test_nothing_decodes_to_nothing():
    found = decode(span_of(process(), leave()))

    assert len(found.enters.order) == 0
    assert found.enters.payload == b""
    assert len(decode(span_of(enter(b"x"))).exits.order) == 0


@given(records, st.integers(0, 20), st.data())
def test_parts_joined_are_the_whole_and_rows_taken_are_those_rows(drawn, split, data):
    whole = decoded(drawn)
    decoder = Decoder()
    parts = [decoded(drawn[:split], decoder), decoded(drawn[split:], decoder)]

    enters_again = joined_enters([part.enters for part in parts])
    exits_again = joined_exits([part.exits for part in parts])

    assert enters_again.payload == whole.enters.payload
    assert exits_again.payloads == whole.exits.payloads
    for name in ("order", "time_ns", "pid_tgid"):
        assert getattr(enters_again, name).tolist() == getattr(whole.enters, name).tolist()
        assert getattr(exits_again, name).tolist() == getattr(whole.exits, name).tolist()
    rows = sorted(data.draw(st.sets(st.integers(0, len(drawn)), max_size=8)))
    of_enters = [row for row in rows if row < len(whole.enters.order)]
    some = some_enters(whole.enters, np.array(of_enters, dtype=np.int64))
    expected = [facts for _, facts in of_kind(drawn, enter)]
    assert some.payload == b"".join(expected[row]["payload"] for row in of_enters)
    of_exits = [row for row in rows if row < len(whole.exits.order)]
    chosen = some_exits(whole.exits, np.array(of_exits, dtype=np.int64))
    assert [chosen.payloads.get(place) for place in range(len(of_exits))] == [
        whole.exits.payloads.get(row) for row in of_exits
    ]


def test_no_parts_join_to_none():
    assert joined_enters([]) is None
    assert joined_exits([]) is None


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
        "reread": (rawrecords.REREAD_LAYOUT, "captured:32"),
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
        part(b"b ", end_ns=9, tid=6),
        reread(b"c", tid=5, time_ns=9),
    ]
    decoder = Decoder()
    if spans == 2:
        decoder.decode(span_of(*records[:2]))
        records = records[2:]

    decoded = decoder.decode(span_of(*records))

    assert (decoded.enters.payload, decoded.enters.captured.tolist()) == (b"one two three", [13])
    assert decoded.exits.payloads == {0: (b"a c", 0)}


def test_parts_whose_record_was_lost_are_not_taken_for_those_of_another():
    decoder = Decoder()
    decoder.decode(span_of(part(b"of a lost call", sequence=1), part(b"of a lost end", end_ns=3)))

    decoded = decoder.decode(span_of(enter(b"next", sequence=2), reread(b"next", time_ns=4)))

    assert decoded.enters.payload == b"next"
    assert decoded.exits.payloads == {0: (b"next", 0)}
