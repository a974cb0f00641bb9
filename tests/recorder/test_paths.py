from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from recorder.cutting import CLOCK, HOUR, make_assembler
from recorder.rawrecords import enter, span_of, target

WANTED, UNWANTED = 1, 2


def chooser(ignored, runs=()):
    """Make an assembler that leaves out what goes to /unwanted and to what is not known."""
    assembler = make_assembler(
        wants=lambda target: target.path == "/wanted",
        ignore=ignored.append,
        losers_of=lambda cpu: list(runs) if cpu == 0 else [],
    )
    assembler.feed(span_of(target(WANTED, path=b"wanted\0"), target(UNWANTED, path=b"unwanted\0")))
    return assembler


def written(number, to, cpu=0):
    moment = CLOCK.clock_ns + number
    return enter(b"%d" % number, cpu=cpu, sequence=number, target=to, time_ns=moment)


def test_the_kernel_side_is_told_to_ignore_what_is_not_wanted_and_not_known():
    ignored = []
    chooser(ignored)

    assert ignored == [0, UNWANTED]


def test_what_came_by_then_is_left_out_and_the_rest_is_numbered_without_a_hole():
    assembler = chooser([])
    to = {1: WANTED, 2: UNWANTED, 3: WANTED, 4: 9, 5: WANTED}
    for number, number_of_target in to.items():
        assembler.feed(span_of(written(number, number_of_target)))

    cut = assembler.cut(HOUR, HOUR, last=True)

    assert list(cut.batch.payloads()) == [b"1", b"3", b"5"]
    assert cut.batch.sequence.tolist() == [1, 2, 3]
    assert cut.gaps == []
    assert assembler.finish(assembler.numbered({0: 5}), HOUR) == []


def test_a_cpu_whose_every_event_is_left_out_has_seen_nothing():
    assembler = chooser([])
    assembler.feed(span_of(written(1, UNWANTED), written(1, WANTED, cpu=1)))

    assert assembler.numbered({0: 1, 1: 1}) == {1: 1}


@given(st.lists(st.sampled_from(["wanted", "unwanted", 7, 8]), max_size=30), st.integers(0, 30))
def test_gaps_tell_whose_events_were_lost_though_others_were_left_out(history, middle):
    """A number stands for the process of an event that was lost."""
    raw, runs = [[], []], []
    for number, what in enumerate(history, 1):
        if isinstance(what, str):
            to = WANTED if what == "wanted" else UNWANTED
            raw[number > middle].append(written(number, to))
        elif runs and runs[-1][1:] == (number - 1, what):
            runs[-1] = (runs[-1][0], number, what)
        else:
            runs.append((number, number, what))
    assembler = chooser([], runs)
    told = []
    for records in raw:
        assembler.feed(span_of(*records))
        told += assembler.cut(HOUR, HOUR, last=True).gaps
    told += assembler.finish(assembler.numbered({0: len(history)} if history else {}), HOUR)

    for gap in told:
        assert sum(events for _, events in gap.processes) == gap.count
    for pid in (7, 8):
        assert sum(dict(gap.processes).get(pid, 0) for gap in told) == history.count(pid)
