from __future__ import annotations

import pytest

from wcap.recorder.pauses import Pauses

LARGE = 64 << 20


def test_what_was_found_lets_some_more_gather():
    pauses = Pauses(LARGE)

    assert [pauses.after(found) for found in (1, 1 << 20)] == [0.005, 0.005]


def test_a_buffer_that_fills_fast_is_looked_at_again_at_once():
    assert Pauses(LARGE).after(2 << 20) == 0


def test_a_buffer_that_stays_empty_is_looked_at_ever_less_often_and_soon_again_when_it_is_not():
    pauses = Pauses(LARGE)
    pauses.after(4 << 20)

    assert [pauses.after(0) for _ in range(6)] == [0.005, 0.01, 0.02, 0.04, 0.05, 0.05]
    pauses.after(1)
    assert pauses.after(0) == 0.005


@pytest.mark.parametrize(
    ("buffer_bytes", "busy", "idle"),
    [(1, 0.001, 0.001), (1 << 20, 0.0026, 0.0026), (4 << 20, 0.005, 0.0105), (LARGE, 0.005, 0.05)],
)
def test_the_smaller_the_buffer_the_sooner_it_is_looked_at_again(buffer_bytes, busy, idle):
    pauses = Pauses(buffer_bytes)

    assert pauses.after(1) == pytest.approx(busy, rel=0.01)
    assert max(pauses.after(0) for _ in range(9)) == pytest.approx(idle, rel=0.01)
