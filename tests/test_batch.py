from __future__ import annotations

import numpy as np
from bytesupport import columns_of
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import batches
from support import batch_of, write

from wcap.batch import COLUMNS, EventBatch, gather


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


def test_pieces_are_the_events_in_order_and_no_more_than_asked_for_at_a_time():
    batch = batch_of(*[write(b"%d" % n, after_ns=n) for n in range(7)])

    assert [len(piece) for piece in batch.pieces(3)] == [3, 3, 1]
    assert [one.data for piece in batch.pieces(3) for one in piece] == list(batch.payloads())
    assert list(batch.pieces(7)) == [batch]
    assert list(batch.select(slice(0, 0)).pieces(7)) == []


def test_events_are_made_a_few_at_a_time(monkeypatch):
    monkeypatch.setattr("wcap.batch._EVENTS_AT_ONCE", 2)
    batch = batch_of(*[write(b"%d" % n, after_ns=n) for n in range(5)])

    assert [event.data for event in batch] == [b"0", b"1", b"2", b"3", b"4"]


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
