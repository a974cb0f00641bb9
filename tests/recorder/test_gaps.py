from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorder.cutting import CLOCK, HOUR, OFFSET_NS, cut_of, make_assembler
from recorder.rawrecords import enter, span_of

from wcap.events import Gap
from wcap.recorder import gaps
from wcap.recorder.gaps import MAX_GAPS, GapFinder


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), max_size=60), st.integers(1, 4), st.integers(0, 60))
def test_many_holes_become_few_gaps_that_count_the_same_events(kept, most_gaps, middle):
    assembler, told = make_assembler(), []
    writes = [
        enter(b"x", sequence=place + 1, time_ns=CLOCK.clock_ns + 10 * place)
        for place, keep in enumerate(kept)
        if keep
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps, "MAX_GAPS", most_gaps)
        for part in (writes[:middle], writes[middle:]):
            assembler.feed(span_of(*part))
            found = assembler.cut(HOUR, HOUR, last=True).gaps
            assert len(found) <= most_gaps
            told += found
    told += assembler.finish({0: len(kept)}, CLOCK.clock_ns + 10_000)

    lost = [place + 1 for place, keep in enumerate(kept) if not keep]
    assert sum(gap.count for gap in told) == len(lost)
    for number in lost:
        around = [gap for gap in told if gap.first_sequence <= number <= gap.last_sequence]
        assert len(around) == 1
        moment = CLOCK.clock_ns + 10 * (number - 1) + OFFSET_NS
        assert around[0].first_ns <= moment <= around[0].last_ns
    for gap in told:
        covered = range(gap.first_sequence, gap.last_sequence + 1)
        assert gap.count == sum(number in covered for number in lost)
        assert gap.first_sequence in lost
        assert gap.last_sequence in lost


def test_lost_events_become_a_gap_between_their_neighbours_with_the_cpus_own_cause():
    assembler = make_assembler(cause_of=lambda cpu: f"cause {cpu}")

    cut = cut_of(
        enter(cpu=3, sequence=3, time_ns=70),
        enter(cpu=3, sequence=7, time_ns=90),
        assembler=assembler,
        last=True,
    )

    start = CLOCK.wall_ns
    assert cut.gaps == [
        Gap(3, 1, 2, 2, start, 70 + OFFSET_NS, "cause 3"),
        Gap(3, 4, 6, 3, 70 + OFFSET_NS, 90 + OFFSET_NS, "cause 3"),
    ]
    assert assembler.finish({3: 9, 4: 2}, 100) == [
        Gap(3, 8, 9, 2, 90 + OFFSET_NS, 100 + OFFSET_NS, "cause 3"),
        Gap(4, 1, 2, 2, start, 100 + OFFSET_NS, "cause 4"),
    ]


def test_nothing_lost_is_no_gap():
    assembler = make_assembler()

    cut = cut_of(enter(sequence=1), enter(sequence=2, time_ns=1), assembler=assembler, last=True)

    assert cut.gaps == []
    assert assembler.finish({0: 2}, HOUR) == []


def test_gaps_of_one_batch_are_limited():
    every_other = [enter(sequence=2 * n + 2, time_ns=n) for n in range(10 * MAX_GAPS)]

    cut = cut_of(*every_other, last=True)

    assert len(cut.gaps) == MAX_GAPS
    assert sum(gap.count for gap in cut.gaps) == 10 * MAX_GAPS


def finder_of(*runs, cpu=0):
    """Make a finder whose kernel side put down these runs: (first number, last number, pid)."""
    return GapFinder(CLOCK, lambda _: "full", lambda asked: list(runs) if asked == cpu else [])


def found(finder, *numbers):
    """Return the gaps around events of these numbers."""
    sequence = np.array(numbers, dtype=np.int64)
    return finder.find(np.zeros(len(numbers), dtype=np.uint32), sequence, sequence + CLOCK.clock_ns)


def test_a_gap_says_whose_events_were_lost_most_first():
    finder = finder_of((2, 2, 7), (3, 5, 8), (6, 6, 7))

    assert [gap.processes for gap in found(finder, 1, 7)] == [((8, 3), (7, 2))]


def test_a_gap_speaks_of_its_own_numbers_only():
    finder = finder_of((1, 4, 7), (6, 9, 8), cpu=0)

    told = found(finder, 2, 5, 8)

    assert [(gap.first_sequence, gap.last_sequence) for gap in told] == [(1, 1), (3, 4), (6, 7)]
    assert [gap.processes for gap in told] == [((7, 1),), ((7, 2),), ((8, 2),)]
    [after] = finder.finish({0: 9}, HOUR)
    assert after.processes == ((8, 1),)


def test_a_gap_of_which_nothing_was_put_down_says_nothing():
    assert [gap.processes for gap in found(finder_of((2, 2, 7)), 1, 3, 5)] == [((7, 1),), ()]
    assert [gap.processes for gap in found(finder_of((2, 2, 7), cpu=1), 1, 3)] == [()]


def test_what_was_put_down_is_asked_for_only_where_something_is_missing():
    def refuse(cpu):
        raise AssertionError(f"nothing of CPU {cpu} is missing")

    finder = GapFinder(CLOCK, refuse, refuse)

    assert found(finder, 1, 2, 3) == []
    assert finder.finish({0: 3}, HOUR) == []


@given(st.lists(st.sampled_from([0, 0, 7, 8]), max_size=40), st.integers(1, 3))
def test_gaps_tell_of_each_process_how_many_events_it_lost(owners, most_gaps):
    """0 stands for an event that came through, others for the process of one that was lost."""
    runs = []
    for number, owner in enumerate(owners, 1):
        if owner and runs and runs[-1][1:] == (number - 1, owner):
            runs[-1] = (runs[-1][0], number, owner)
        elif owner:
            runs.append((number, number, owner))
    finder = finder_of(*runs)
    through = [number for number, owner in enumerate(owners, 1) if not owner]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gaps, "MAX_GAPS", most_gaps)
        told = found(finder, *through) if through else []
    told += finder.finish({0: len(owners)} if owners else {}, HOUR)

    for pid in (7, 8):
        assert sum(dict(gap.processes).get(pid, 0) for gap in told) == owners.count(pid)
    for gap in told:
        assert sum(events for _, events in gap.processes) == gap.count
