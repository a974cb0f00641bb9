from __future__ import annotations

import numpy as np
import pytest
from bytesupport import columns_of
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import batches
from support import STARTED_NS, batch_of, write

from wcap.events import COLUMNS, EventBatch, EventFlag, Target, error_name, gather


def test_an_event_says_what_was_asked_captured_and_returned():
    one = write(b"hel", count=6, returned=-32, flags=EventFlag.TRUNCATED, ppid=None, fd=2)
    (event,) = batch_of(one)

    assert (event.count, event.captured, event.returned) == (6, 3, -32)
    assert (event.pid, event.ppid, event.comm, event.fd) == (100, None, "hello", 2)
    assert event.flags.names == ["truncated"]
    assert event.time_ns == STARTED_NS


@pytest.mark.parametrize("flag", [EventFlag.UNFINISHED, EventFlag.RESULT_LOST])
def test_an_event_without_a_result_has_none(flag):
    (event,) = batch_of(write(flags=flag, returned=5))
    assert (event.returned, event.duration_ns) == (None, None)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (Target(), None),
        (Target(path="/x"), None),
        (Target("anonymous", "[eventfd]", inode=7), "anon_inode:[eventfd]"),
        (Target("anonymous"), "anon_inode:?"),
        (Target("file", "/tmp/x", (8, 1), 7), "/tmp/x"),
        (Target("pipe", "x", partial=True, deleted=True), "…/x (deleted)"),
        (Target("pipe", inode=7), "pipe:[7]"),
        (Target("socket"), "socket:[?]"),
        (Target("tcp", local="[::1]:5", peer="[::1]:80"), "tcp [::1]:5→[::1]:80"),
        (Target("udp", local="0.0.0.0:53"), "udp 0.0.0.0:53"),
        (Target("unix", inode=7, peer="@bus"), "unix [7]→@bus"),
        (Target("unix", peer="[9]"), "unix [?]→[9]"),
    ],
)
def test_a_target_has_the_name_that_section_4_2_of_the_spec_gives_it(target, name):
    assert target.name == name


def test_flags_have_names_and_unknown_ones_are_kept():
    """SPEC R6"""
    flags = EventFlag(1 | 8 | 1 << 20)

    assert flags.names == ["truncated", "unfinished"]
    assert int(flags) == 1 | 8 | 1 << 20
    assert EventFlag(0).names == []


@pytest.mark.parametrize(
    ("returned", "name"),
    [
        (-32, "EPIPE"),
        (-11, "EAGAIN"),
        (-512, "ERESTARTSYS"),
        (-40, "ELOOP"),
        (-4000, "errno 4000"),
        (-(2**63), "errno 9223372036854775808"),
    ],
)
def test_errors_have_their_linux_names(returned, name):
    assert error_name(returned) == name


@settings(deadline=None)
@given(batches(), st.data())
def test_selected_rows_are_the_rows_of_every_column(batch, data):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(batch), max_size=len(batch))))
    rows, everything = np.flatnonzero(mask), columns_of(batch)
    expected = {name: [values[row] for row in rows] for name, values in everything.items()}

    for chosen in (mask, rows):
        assert columns_of(batch.select(chosen)) == expected
    assert batch.select(mask).joined() == b"".join(expected["payload"])
    half = len(batch) // 2
    twice = batch.select(slice(half, None)).select(slice(0, 1))
    assert columns_of(twice) == {name: v[half : half + 1] for name, v in everything.items()}


def test_a_batch_names_its_columns():
    batch = batch_of(write(b"a", cpu=3), write(b"bc", pid=7, fd=2, returned=-1))

    assert len(batch) == 2
    for name in COLUMNS:
        assert getattr(batch, name).tolist() == batch.column(name).tolist()
    assert batch.pid.tolist() == [100, 7]
    assert batch.has_result.tolist() == [True, True]
    assert [column.tolist() for column in batch.bounds] == [[0, 1], [1, 3]]
    assert list(batch.payloads()) == [b"a", b"bc"]


def test_the_payload_is_not_asked_for_until_it_is_needed():
    asked = []

    def data() -> bytes:
        asked.append(1)
        return b"abc"

    plain = batch_of(write(b"a"), write(b"bc"))
    batch = EventBatch(
        2,
        {name: plain.column(name) for name in COLUMNS},
        data,
        processes=plain.processes,
        comms=plain.comms,
        syscalls=plain.syscalls,
    )
    chosen = batch.select(slice(1, 2))
    assert batch.count.sum() == 3
    assert chosen.fd.tolist() == [1]
    assert asked == []

    assert chosen.joined() == b"bc"
    assert batch.data == b"abc"
    assert asked == [1]


def test_columns_of_a_selection_are_taken_when_they_are_looked_at():
    chosen = batch_of(write(), write()).select(slice(0, 1))
    assert set(chosen._columns) == set(COLUMNS)
    assert len(chosen._columns) == len(COLUMNS)
    assert chosen.fd is chosen.fd


def test_an_empty_batch_has_no_events():
    batch = batch_of(write()).select(slice(0, 0))

    assert len(batch) == 0
    assert list(batch) == []
    assert batch.joined() == b""


@given(st.data())
def test_pieces_are_gathered_wherever_they_lie(data):
    block = data.draw(st.binary(min_size=1, max_size=60))
    size = st.integers(0, len(block))
    pieces = data.draw(
        st.lists(st.tuples(size, size).map(sorted), min_size=1, max_size=6)
        | st.integers(1, len(block)).flatmap(
            lambda width: st.lists(
                st.integers(0, len(block) // width - 1).map(lambda n: [n * width, (n + 1) * width]),
                min_size=1,
                max_size=6,
            )
        )
        | st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(0, 5)).map(
            lambda shape: (
                [
                    [at, at + min(shape[0], shape[1])]
                    for at in range(shape[2], len(block) - shape[0], shape[1])
                ]
                or [[0, 1]]
            )
        )
    )
    starts, ends = np.array(pieces, dtype=np.int64).T
    assert gather(block, starts, ends - starts) == b"".join(block[a:b] for a, b in pieces)
