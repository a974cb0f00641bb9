from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import CLOCK, HEADER, STARTED_NS, batch_of, end_of, write

import wcap
from wcap.events import Bypass, EventFlag, Gap
from wcap.format import FrameType
from wcap.sources import FileSource
from wcap.summary import examine
from wcap.writer import CaptureWriter, open_output


def gap(first, last, *, cpu=0, count=None, cause="ring buffer full"):
    lost = last - first + 1 if count is None else count
    return Gap(cpu, first, last, lost, STARTED_NS, STARTED_NS + 1000, cause)


def numbered(*sequences, cpu=0):
    """Make a batch of events with these sequence numbers."""
    rows = [{**write(cpu=cpu, after_ns=number), "sequence": number} for number in sequences]
    return batch_of(*rows)


def facts_of(path, *frames, end=None, header=HEADER, **facts):
    """Write batches, gaps and late results in that order, and examine the capture.

    ``end`` is what each CPU counted, False for no end at all.
    """
    with open_output(path) as stream:
        writer = CaptureWriter(stream, header, salt=0)
        batches, gaps = [], []
        for frame in frames:
            if isinstance(frame, Gap):
                writer.write_gaps([frame])
                gaps.append(frame)
            elif isinstance(frame, list):
                writer.write_results(frame)
            else:
                writer.write(frame)
                batches.append(frame)
        counted = {} if end is None else {"sequences": end}
        writer.close(None if end is False else end_of(batches, gaps, **{**counted, **facts}))
    with wcap.open(path, errors="salvage") as capture:
        return examine(capture)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "x.wcap"


def test_a_capture_without_a_hole_is_complete(path):
    facts = facts_of(path, numbered(1, 2, 3), numbered(4, 5))

    assert facts.complete
    assert (facts.events, facts.expected, facts.lost) == (5, 5, 0)


def test_a_capture_in_which_nothing_happened_is_complete(path):
    facts = facts_of(path)

    assert facts.complete
    assert (facts.events, facts.first_ns, facts.cpus) == (0, None, 0)


def test_a_gap_is_something_missing_but_leaves_nothing_unaccounted_for(path):
    facts = facts_of(path, numbered(1, 2), gap(3, 5), numbered(6))

    assert not facts.complete
    assert (facts.lost, facts.holes, facts.discrepancies) == (3, [], {})


def test_a_gap_inside_a_chunk_is_accounted_for(path):
    facts = facts_of(path, gap(3, 5), numbered(1, 2, 6))

    assert (facts.lost, facts.holes, facts.discrepancies) == (3, [], {})


def test_several_holes_in_one_gap_are_accounted_for(path):
    facts = facts_of(path, gap(2, 6, count=3), numbered(1, 3), numbered(5, 7))

    assert (facts.lost, facts.holes, facts.discrepancies) == (3, [], {})


@pytest.mark.parametrize(
    ("frames", "counted", "hole"),
    [
        ([numbered(3, 4)], {0: 4}, (1, 2)),
        ([numbered(1), numbered(5)], {0: 5}, (2, 4)),
        ([numbered(1, 2)], {0: 9}, (3, 9)),
        ([gap(1, 3), numbered(6)], {0: 6}, (4, 5)),
        ([gap(4, 5), numbered(1), numbered(6)], {0: 6}, (2, 3)),
        ([gap(2, 5, cpu=1), numbered(1), numbered(6)], {0: 6}, (2, 5)),
    ],
)
def test_a_hole_that_no_gap_explains_is_found(path, frames, counted, hole):
    facts = facts_of(path, *frames, end=counted)

    assert not facts.complete
    assert [(found.first_sequence, found.last_sequence) for found in facts.holes] == [hole]


def test_a_cpu_of_which_no_event_arrived_is_a_hole(path):
    facts = facts_of(path, numbered(1), end={0: 1, 7: 2})

    assert [(hole.cpu, hole.count) for hole in facts.holes] == [(7, 2)]


def test_a_hole_is_placed_in_time(path):
    (hole,) = facts_of(path, numbered(1, 2), numbered(5, 6), end={0: 6}).holes

    assert (hole.first_ns, hole.last_ns) == (STARTED_NS + 1, STARTED_NS + 6)


def test_an_event_missing_inside_a_chunk_is_a_discrepancy(path):
    facts = facts_of(path, numbered(1, 2, 4), end={0: 4})

    assert (facts.holes, facts.discrepancies, facts.complete) == ([], {0: 1}, False)


def test_a_gap_for_events_that_are_there_is_a_discrepancy(path):
    facts = facts_of(path, numbered(1, 2, 3), gap(2, 2), end={0: 3})

    assert facts.discrepancies == {0: -1}


@pytest.mark.parametrize(
    ("frames", "counted", "discrepancies"),
    [
        # CPU 0 lacks its second event, and CPU 1 has its second twice.
        (
            [numbered(1, 3), numbered(1, 2, cpu=1), numbered(2, cpu=1)],
            {0: 3, 1: 2},
            {0: 1, 1: -1},
        ),
        # CPU 0 lacks its second event, and CPU 1 has one that a gap declares lost.
        ([numbered(1, 3), gap(2, 2, cpu=1), numbered(1, 2, 3, cpu=1)], {0: 3, 1: 3}, {0: 1, 1: -1}),
        # CPU 0 lacks an event, and CPU 1, which the recorder saw nothing of, has one.
        ([numbered(1, 3), numbered(1, cpu=1)], {0: 3}, {0: 1, 1: -1}),
        # CPU 0 has an event that its gap counts, CPU 1 lost one more than its gap counts.
        (
            [gap(2, 4), numbered(1, 3, 5), gap(2, 4, cpu=1, count=2), numbered(1, 5, cpu=1)],
            {0: 5, 1: 5},
            {0: -1, 1: 1},
        ),
    ],
)
def test_too_few_events_on_one_cpu_are_not_hidden_by_too_many_on_another(
    path, frames, counted, discrepancies
):
    facts = facts_of(path, *frames, end=counted)

    assert (facts.discrepancies, facts.complete) == (discrepancies, False)


def test_numbers_beyond_what_a_cpu_counted_are_noticed_though_the_sum_is_right(path):
    facts = facts_of(path, numbered(1, 2, 3), numbered(1, 3, cpu=1), end={0: 2, 1: 4})

    assert (facts.uncounted, facts.complete) == (1, False)


@given(st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)), st.integers(1, 10))
def test_complete_means_that_every_number_is_there(tmp_path_factory, present, told, size):
    present = sorted(present)
    path = tmp_path_factory.mktemp("proof") / "x.wcap"
    chunks = [numbered(*present[start : start + size]) for start in range(0, len(present), size)]
    lost = [gap(number, number) for number in sorted(told - set(present))]

    facts = facts_of(path, *lost, *chunks, end={0: 40})

    missing = 40 - len(present) - len(lost)
    assert sum(hole.count for hole in facts.holes) + facts.discrepancies.get(0, 0) == missing
    assert facts.complete == (len(present) == 40)


def test_without_an_end_nothing_is_proved(path):
    facts = facts_of(path, numbered(1), end=False)

    assert (facts.complete, facts.expected) == (False, None)
    assert facts.duration_ns == 1


def test_losses_that_only_the_end_tells_of_are_noticed(path):
    facts = facts_of(path, numbered(1), lost={"ring buffer full": 3})

    assert not facts.complete


@pytest.mark.parametrize(
    "flag", [EventFlag.RESULT_LOST, EventFlag.UNREADABLE, EventFlag.PAYLOAD_LOST]
)
def test_a_lost_result_and_a_payload_only_the_kernel_has_are_something_missing(path, flag):
    facts = facts_of(path, batch_of(write(b"", count=6, flags=flag)))

    assert not facts.complete
    assert facts.results_lost + facts.unseen + facts.payload_lost == 1


@pytest.mark.parametrize(
    "flag", [EventFlag.NO_PAYLOAD, EventFlag.UNSENT, EventFlag.UNSENT | EventFlag.UNREADABLE]
)
def test_a_call_without_a_payload_and_a_message_not_sent_are_nothing_missing(path, flag):
    facts = facts_of(path, batch_of(write(b"", count=6, returned=0, flags=flag)))

    assert facts.complete
    assert facts.written == 0


def test_a_process_that_wrote_past_the_recorder_is_something_missing(path):
    facts = facts_of(path, numbered(1), bypassed=(Bypass(812, "foo", "io_uring", 5),))

    assert not facts.complete


def test_a_payload_that_the_kernel_could_not_read_either_is_nothing_missing(path):
    bad_pointer = write(b"", count=64, returned=-14, flags=EventFlag.UNREADABLE)
    facts = facts_of(path, batch_of(bad_pointer))

    assert facts.complete
    assert (facts.unreadable, facts.unseen) == (1, 0)


def test_a_late_result_does_not_prove_an_unreadable_payload_harmless(path):
    flags = EventFlag.UNREADABLE | EventFlag.UNFINISHED
    facts = facts_of(path, batch_of(write(b"", count=6, flags=flags)), [(0, 1, -14, 10)])

    assert (facts.unfinished, facts.unseen, facts.complete) == (0, 1, False)


@pytest.mark.parametrize("flag", [EventFlag.TRUNCATED, EventFlag.UNFINISHED])
def test_a_cut_payload_and_a_write_that_never_returned_are_nothing_missing(path, flag):
    facts = facts_of(path, batch_of(write(flags=flag)))

    assert facts.complete
    assert facts.truncated + facts.unfinished == 1


def test_a_result_that_came_late_counts(path):
    rows = [write(flags=EventFlag.UNFINISHED, returned=0) for _ in range(3)]

    facts = facts_of(path, batch_of(*rows), [(0, 1, 6, 10), (0, 2, -32, 10)])

    assert (facts.unfinished, facts.written, facts.failed) == (1, 6, 1)


def test_a_clock_that_was_set_is_noticed_and_one_that_drifted_is_not(path, tmp_path):
    later_ns = CLOCK.wall_ns + 10_000_000_000

    stepped = facts_of(path, wall_ns=later_ns - 2_000_000)
    drifted = facts_of(tmp_path / "y.wcap", wall_ns=later_ns + 900_000)

    assert (stepped.clock_step_ns, drifted.clock_step_ns) == (-2_000_000, 0)
    assert stepped.duration_ns == 10_000_000_000


def test_a_file_cut_short_is_incomplete_and_says_where(path):
    facts_of(path, numbered(1, 2), numbered(3))
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])

    with wcap.open(path, errors="salvage") as capture:
        facts = examine(capture)

    assert not facts.complete
    assert facts.events == 3
    assert not facts.indexed
    assert facts.damage


def test_a_chunk_that_damage_took_is_a_hole(path):
    facts_of(path, numbered(1, 2), numbered(3, 4), numbered(5))
    with path.open("rb") as stream, wcap.open(path) as capture:
        second = capture._chunks[1].entry.offset
        assert FileSource(stream).envelope(second).type == FrameType.EVENTS
    damaged = bytearray(path.read_bytes())
    damaged[second + 60] ^= 0xFF
    path.write_bytes(damaged[:-20])  # without its footer it is read by scanning

    with wcap.open(path, errors="salvage") as capture:
        facts = examine(capture)

    assert [(hole.first_sequence, hole.last_sequence) for hole in facts.holes] == [(3, 4)]


def test_with_an_index_no_chunk_is_read(path, monkeypatch):
    facts_of(path, numbered(1, 2), numbered(3))
    read = []
    frame = FileSource.frame

    def watched(source, offset):
        found = frame(source, offset)
        read.append(found.envelope.type)
        return found

    monkeypatch.setattr(FileSource, "frame", watched)
    with wcap.open(path) as capture:
        facts = examine(capture)

    assert facts.events == 3
    assert FrameType.HEADER in read
    assert FrameType.EVENTS not in read


def test_the_totals_are_those_of_the_events(path):
    header = dataclasses.replace(HEADER, snaplen=4)
    facts = facts_of(
        path,
        batch_of(
            write(b"hell", count=6, flags=EventFlag.TRUNCATED),
            write(b"x", returned=-11, after_ns=5, cpu=1),
        ),
        header=header,
    )

    assert (facts.events, facts.captured, facts.written, facts.failed) == (2, 5, 6, 1)
    assert (facts.chunks, facts.cpus) == (1, 2)
    assert (facts.first_ns, facts.last_ns) == (STARTED_NS, STARTED_NS + 5)
    assert facts.size == path.stat().st_size
