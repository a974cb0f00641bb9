"""Parts of a recording and their seams, without a kernel."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from recorder.partfiles import Files
from support import CLOCK, HEADER, STARTED_NS, batch_of, end_of, write

import wcap
from wcap.events import Gap
from wcap.rotation import PartLimits, Rotation
from wcap.seams import Cut, slices
from wcap.summary import examine

SECOND = 1_000_000_000


def rotated(folder, cuts, limits, *, end=None):
    files = Files(folder)
    rotation = Rotation(HEADER, files.open(1, STARTED_NS), files, limits, lambda: end_of([]))
    for cut in cuts:
        rotation.take(cut)
    batches = [cut.batch for cut in cuts if cut.batch is not None]
    rotation.close(end or end_of(batches, [gap for cut in cuts for gap in cut.gaps]))
    rotation._stream.close()
    return [folder / f"{part}.wcap" for part in range(1, rotation.parts + 1)], files.started[1:]


def proved(path):
    """Return what is in a part, which must account for every number."""
    with wcap.open(path) as capture:
        facts = examine(capture)
        events = list(capture)
    assert (facts.holes, facts.discrepancies, facts.uncounted, facts.damage) == ([], {}, 0, [])
    assert sum(facts.end.lost.values()) == facts.lost
    return facts, events


def test_events_are_in_the_part_of_their_time_and_idle_times_have_none(tmp_path):
    times = (0, SECOND // 2, SECOND - 1, SECOND, 3 * SECOND + 7, 3 * SECOND + 8)
    batch = batch_of(*(write(b"%d" % n, after_ns=time) for n, time in enumerate(times)))

    paths, started = rotated(tmp_path, [Cut(batch)], PartLimits(period_ns=SECOND))

    parts = [proved(path) for path in paths]
    assert [[event.data for event in events] for _, events in parts] == [
        [b"0", b"1", b"2"],
        [b"3"],
        [b"4", b"5"],
    ]
    assert started == [STARTED_NS + SECOND, STARTED_NS + 3 * SECOND]
    assert [facts.header.part for facts, _ in parts] == [1, 2, 3]
    assert [dict(facts.header.after) for facts, _ in parts] == [{}, {0: 3}, {0: 4}]
    assert {facts.header.clock.offset_ns for facts, _ in parts} == {CLOCK.offset_ns}
    assert [facts.expected for facts, _ in parts] == [3, 1, 2]


def test_a_gap_out_of_several_holes_is_divided_at_a_seam_and_all_numbers_are_told(tmp_path):
    writes = [
        {**write(b"x", after_ns=after), "sequence": sequence}
        for after, sequence in ((1, 1), (2, 4), (SECOND - 1, 6), (SECOND, 9), (SECOND + 1, 10))
    ]
    gap = Gap(0, 2, 8, 5, STARTED_NS + 1, STARTED_NS + SECOND, "buffer-full", ((100, 5),))

    paths, _ = rotated(tmp_path, [Cut(batch_of(*writes), [gap])], PartLimits(period_ns=SECOND))

    (first, _), (second, _) = map(proved, paths)
    assert [(g.first_sequence, g.last_sequence, g.count) for g in first.gaps + second.gaps] == [
        (2, 6, 3),
        (7, 8, 2),
    ]
    assert second.end.sequences == {0: 10}


def test_parts_are_no_larger_than_asked_for(tmp_path):
    cuts = [
        Cut(
            batch_of(
                *(write(bytes(range(256)) * 4, after_ns=100 * n + k, cpu=k % 2) for k in range(50)),
                first_sequence=25 * n + 1,
            )
        )
        for n in range(20)
    ]
    size = 64 << 10

    paths, _ = rotated(tmp_path, cuts, PartLimits(size=size))

    assert len(paths) > 1 or paths[0].stat().st_size <= size
    assert all(path.stat().st_size <= size for path in paths)
    assert sum(len(proved(path)[1]) for path in paths) == 1000


def test_results_of_earlier_parts_are_told_apart(tmp_path):
    one = batch_of(write(b"a"), write(b"b", after_ns=1))
    two = batch_of(write(b"c", after_ns=2 * SECOND), first_sequence=3)
    cuts = [Cut(one), Cut(two), Cut(results=[(0, 2, 5, 7), (0, 3, 6, 8)])]

    paths, _ = rotated(tmp_path, cuts, PartLimits(period_ns=SECOND))

    with wcap.open(paths[1]) as last:
        assert last.earlier_results == {(0, 2): (5, 7)}
        assert last.late_results == {(0, 3): (6, 8)}


def test_a_part_that_cannot_be_made_leaves_the_one_before_to_be_closed(tmp_path):
    files = Files(tmp_path)
    rotation = Rotation(
        HEADER, files.open(1, 0), files, PartLimits(period_ns=SECOND), lambda: end_of([])
    )
    batch = batch_of(write(b"a"), write(b"b", after_ns=SECOND))
    (tmp_path / "2.wcap").touch()

    with pytest.raises(FileExistsError):
        rotation.take(Cut(batch))
    rotation.close(replace(end_of([batch_of(write(b"a"))]), reason="error"))
    rotation._stream.close()

    facts, events = proved(tmp_path / "1.wcap")
    assert [event.data for event in events] == [b"a"]
    assert facts.end.reason == "error"


def failed(folder, cuts, limits, room):
    """Rotate onto disks that get full, and close as well as can be; return whom the error names."""
    files = Files(folder, room=room)
    rotation = Rotation(
        HEADER, files.open(1, STARTED_NS), files, limits, lambda: end_of([], reason="rotation")
    )
    with pytest.raises(OSError, match="No space left") as caught:  # noqa: PT012
        for cut in cuts:
            rotation.take(cut)
    with suppress(OSError):
        rotation.close(replace(end_of([cuts[0].batch]), reason="error"))
    rotation._stream.close()
    return Path(caught.value.filename).name, sorted(path.name for path in folder.iterdir())


TWO = [
    Cut(batch_of(write(b"a"), write(b"b", after_ns=1))),
    Cut(batch_of(write(os.urandom(3000), after_ns=SECOND), first_sequence=3)),
]


def test_a_part_that_there_is_no_room_to_begin_is_named_and_removed(tmp_path):
    named, left = failed(tmp_path, TWO, PartLimits(period_ns=SECOND), {2: 20})

    assert (named, left) == ("2.wcap", ["1.wcap"])
    facts, events = proved(tmp_path / "1.wcap")
    assert [event.data for event in events] == [b"a", b"b"]
    assert facts.end.reason == "error"


def test_the_part_that_has_no_room_is_named_and_those_before_are_whole(tmp_path):
    named, left = failed(tmp_path, TWO, PartLimits(period_ns=SECOND), {2: 3000})

    assert (named, left) == ("2.wcap", ["1.wcap", "2.wcap"])
    facts, events = proved(tmp_path / "1.wcap")
    assert [event.data for event in events] == [b"a", b"b"]
    assert facts.end.reason == "rotation"


def test_a_part_that_cannot_be_closed_is_named_and_no_other_begun(tmp_path):
    size = rotated(tmp_path, TWO[:1], PartLimits())[0][0].stat().st_size
    (tmp_path / "1.wcap").unlink()

    named, left = failed(tmp_path, TWO, PartLimits(period_ns=SECOND), {1: size - 10})

    assert (named, left) == ("1.wcap", ["1.wcap"])
    with wcap.open(tmp_path / "1.wcap", errors="salvage") as capture:
        assert [event.data for event in capture] == [b"a", b"b"]
        assert "no footer" in str(capture.damage[0])


@pytest.mark.parametrize("set_by_ns", [-3600 * SECOND, 3600 * SECOND])
def test_parts_are_those_of_the_header_s_clock_whatever_is_done_to_the_wall_clock(
    set_by_ns, tmp_path
):
    files = Files(tmp_path)
    wall_ns = STARTED_NS + 2 * SECOND + set_by_ns
    rotation = Rotation(
        HEADER,
        files.open(1, STARTED_NS),
        files,
        PartLimits(period_ns=SECOND),
        lambda: replace(end_of([]), clock_ns=CLOCK.clock_ns + 2 * SECOND, wall_ns=wall_ns),
    )
    rotation.take(Cut(batch_of(*(write(b"x", after_ns=n * SECOND) for n in range(3)))))
    rotation.close(end_of([], sequences={0: 3}))
    rotation._stream.close()

    parts = [proved(tmp_path / f"{part}.wcap") for part in (1, 2, 3)]
    assert files.started == [STARTED_NS + n * SECOND for n in range(3)]
    assert [[event.time_ns for event in events] for _, events in parts] == [
        [STARTED_NS + n * SECOND] for n in range(3)
    ]
    assert [facts.header.clock.offset_ns for facts, _ in parts] == [CLOCK.offset_ns] * 3
    assert parts[0][0].clock_step_ns == set_by_ns


def test_what_comes_without_events_is_a_slice_too():
    gap = Gap(1, 1, 3, 3, STARTED_NS, STARTED_NS + 1, "buffer-full")

    [only] = slices(Cut(gaps=[gap]), CLOCK)

    assert (only.chunk, only.lost, only.reached) == (None, {"buffer-full": 3}, {1: 3})
