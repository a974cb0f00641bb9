"""What was cut or merged, then damaged, is recovered to a capture in which nothing is wrong."""

from __future__ import annotations

import io

from bytesupport import frames_of
from hypothesis import given
from hypothesis import strategies as st
from rewritesupport import FILTERS, SLOWLY, events_of, facts_of, findings, merged, moved, recorded
from support import batch_of, write, write_capture

from wcap.cli.verdict import verdict
from wcap.filters import Filter
from wcap.reader import Capture
from wcap.recover import Recovered, recover
from wcap.rewrite import cut


def cut_of(data: bytes, where: Filter) -> bytes:
    target = io.BytesIO()
    with Capture(io.BytesIO(data), errors="salvage") as source:
        cut(source, target, where=where, salt=0)
    return target.getvalue()


def recovered(data: bytes) -> tuple[Recovered, bytes]:
    made = io.BytesIO()
    return recover(io.BytesIO(data), made, salt=77), made.getvalue()


def spoiled(data: bytes, place: int) -> bytes:
    frames = frames_of(data)
    damaged = bytearray(data)
    damaged[frames[1 + place % (len(frames) - 1)].end - 1] ^= 1
    return bytes(damaged)


@SLOWLY
@given(recorded(), recorded(), FILTERS, st.booleans(), st.integers(0, 99))
def test_a_damaged_cut_or_merge_is_recovered_to_what_is_sound(one, other, where, together, place):
    made = merged(one.data, moved(other).data) if together else one.data
    damaged = spoiled(cut_of(made, where), place)

    done, again = recovered(damaged)
    twice, last = recovered(again)

    assert findings(again) == []
    assert findings(last) == []
    assert (twice.marked, events_of(last)) == (0, events_of(again))
    facts = facts_of(again)
    assert (facts.holes, facts.discrepancies, facts.uncounted) == ([], {}, 0)
    assert done.events == facts.events


def test_a_chunk_lost_out_of_a_cut_is_one_gap_that_verify_counts(tmp_path):
    batches = [
        batch_of(*(write(after_ns=20 * chunk + number, pid=pid) for number in range(10)),
                 first_sequence=10 * chunk + 1)
        for chunk, pid in enumerate([100, 200, 100, 200, 100])
    ]  # fmt: skip
    path = write_capture(tmp_path / "run.wcap", *batches)
    half = cut_of(path.read_bytes(), Filter(pids=frozenset({100})))

    done, again = recovered(spoiled(half, 1))

    assert done.marked == 10
    assert findings(again) == []
    facts = facts_of(again)
    assert [gap.count for gap in facts.gaps] == [10]
    assert not any("recorder counted" in line for line in verdict(facts))
