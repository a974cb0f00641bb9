from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wcap.batch import gather

DATA = bytes(range(256)) * 2


def pieces_of(data, starts, lengths):
    return b"".join(data[a : a + n] for a, n in zip(starts, lengths, strict=True))


def gathered(data, starts, lengths):
    return gather(data, np.array(starts, dtype=np.int64), np.array(lengths, dtype=np.int64))


@st.composite
def anywhere(draw):
    """Draw pieces of any length at any place, overlapping ones too."""
    pairs = draw(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 12)), min_size=1))
    return [a for a, _ in pairs], [n for _, n in pairs]


@st.composite
def in_a_row(draw):
    """Draw pieces that follow each other without a hole."""
    first = draw(st.integers(0, 50))
    lengths = draw(st.lists(st.integers(0, 12), min_size=1, max_size=30))
    return (first + np.cumsum([0, *lengths[:-1]])).tolist(), lengths


@st.composite
def in_steps(draw):
    """Draw pieces of one length at one distance, of which one may be elsewhere."""
    length, step = draw(st.integers(0, 12)), draw(st.integers(-12, 20))
    many = draw(st.integers(1, 20))
    first = draw(st.integers(max(0, -step * many), 490 - max(0, step * many)))
    starts = [first + step * row for row in range(many)]
    if draw(st.booleans()):
        starts[draw(st.integers(0, many - 1))] = draw(st.integers(0, 500))
    return starts, [length] * many


@st.composite
def on_a_grid(draw):
    """Draw pieces of one length at multiples of it, in any order."""
    length = draw(st.sampled_from([1, 2, 8, 16]))
    rows = draw(st.lists(st.integers(0, 512 // length - 1), min_size=1, max_size=20))
    return [row * length for row in rows], [length] * len(rows)


@given(st.one_of(anywhere(), in_a_row(), in_steps(), on_a_grid()), st.sampled_from([512, 509]))
def test_gather_equals_the_pieces_joined_one_by_one(pieces, size):
    starts, lengths = pieces
    data = DATA[:size]
    lengths = [max(0, min(n, size - a)) for a, n in zip(starts, lengths, strict=True)]

    assert gathered(data, starts, lengths) == pieces_of(data, starts, lengths)


@pytest.mark.parametrize(
    ("starts", "lengths"),
    [
        ([], []),
        ([5], [0]),
        ([500], [12]),
        ([0, 100, 200], [0, 0, 0]),
        ([0, 4, 8], [4, 4, 4]),
        ([0, 172, 344], [168, 168, 168]),
        ([496, 0, 16], [16, 16, 16]),
        ([8, 8, 8], [8, 8, 8]),
        ([30, 20, 10], [4, 4, 4]),
    ],
    ids=[
        *("nothing", "one empty", "the last bytes", "all empty", "in a row", "up to the end"),
        *("a grid", "the same again", "backwards"),
    ],
)
def test_gather_of(starts, lengths):
    assert gathered(DATA, starts, lengths) == pieces_of(DATA, starts, lengths)
