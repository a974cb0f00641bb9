"""The flight recorder: the newest events in bounded memory, each dump a capture of its own."""

from __future__ import annotations

import tracemalloc

import pytest
from recorder.partfiles import Files
from support import CLOCK, HEADER, batch_of, end_of, write

import wcap
from wcap.events import Gap
from wcap.recorder.flight import FlightRecorder
from wcap.seams import Cut
from wcap.summary import examine

SECOND = 1_000_000_000


class Machine:
    """A flight recorder that is given numbered events, and a clock that goes with them."""

    def __init__(self, folder, *, room=None, **limits):
        self.folder = folder
        self.files = Files(folder, room=room)
        self.now_ns = CLOCK.clock_ns
        self.given = 0
        self.recorder = FlightRecorder(
            HEADER,
            self.files,
            lambda: self.now_ns,
            lambda: end_of([], reason="dump", sequences={}),
            **limits,
        )

    def give(self, events, *, size=0, gaps=()):
        first = self.given + 1
        after_ns = self.now_ns - CLOCK.clock_ns
        batch = batch_of(
            *(
                write(b"%d" % n + b"." * size, after_ns=after_ns)
                for n in range(first, first + events)
            ),
            first_sequence=first,
        )
        self.given += events
        self.recorder.take(Cut(batch, list(gaps)))

    def proved(self, part):
        path = self.folder / f"{part}.wcap"
        with wcap.open(path) as capture:
            facts = examine(capture)
            numbers = [int(event.data.rstrip(b".")) for event in capture]
        assert (facts.holes, facts.discrepancies, facts.uncounted, facts.damage) == ([], {}, 0, [])
        return facts, numbers


def test_a_dump_has_the_newest_and_says_from_where_on(tmp_path):
    machine = Machine(tmp_path, most_bytes=64 << 10)
    for _ in range(400):
        machine.give(50, size=20)
        assert machine.recorder.size <= 64 << 10

    machine.recorder.dump()

    facts, numbers = machine.proved(1)
    assert numbers == list(range(numbers[0], 20_001))
    assert 1 < numbers[0] < 20_000
    assert facts.header.after == {0: numbers[0] - 1}
    assert facts.header.part is None
    assert facts.header.started_ns <= facts.first_ns
    assert (facts.complete, facts.end.reason, facts.expected) == (True, "dump", len(numbers))
    assert (tmp_path / "1.wcap").stat().st_size < 80 << 10


def test_memory_is_bounded_by_what_is_kept(tmp_path):
    machine = Machine(tmp_path, most_bytes=256 << 10)
    for _ in range(50):
        machine.give(500, size=100)
    tracemalloc.start()
    try:
        for _ in range(200):
            machine.give(500, size=100)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * (256 << 10)


def test_by_time_what_is_too_old_goes_even_when_nothing_comes(tmp_path):
    machine = Machine(tmp_path, most_ns=5 * SECOND)
    for _ in range(10):
        machine.give(2)
        machine.now_ns += SECOND
    machine.recorder.dump()
    machine.now_ns += SECOND
    machine.recorder.close(end_of([], sequences={0: 20}))

    assert machine.proved(1)[1] == list(range(11, 21))
    assert machine.proved(2)[1] == list(range(13, 21))


def test_dumps_overlap_and_the_end_writes_what_is_left(tmp_path):
    machine = Machine(tmp_path, most_bytes=1 << 20)
    machine.give(3)
    machine.recorder.dump()
    machine.give(3)
    machine.recorder.close(end_of([], sequences={0: 6}))

    assert machine.proved(1)[1] == [1, 2, 3]
    facts, numbers = machine.proved(2)
    assert numbers == [1, 2, 3, 4, 5, 6]
    assert (facts.header.after, facts.end.reason) == ({}, "signal")
    assert (machine.recorder.parts, machine.recorder.events) == (2, 6)


def test_gaps_are_kept_and_go_like_events(tmp_path):
    machine = Machine(tmp_path, most_ns=5 * SECOND)
    old = Gap(1, 1, 3, 3, CLOCK.wall_ns, CLOCK.wall_ns + 1, "buffer-full")
    new = Gap(1, 4, 5, 2, CLOCK.wall_ns, CLOCK.wall_ns + 1, "buffer-full")
    machine.recorder.take(Cut(gaps=[old]))
    machine.now_ns += 6 * SECOND
    machine.give(1)
    machine.recorder.take(Cut(gaps=[new]))
    machine.recorder.dump()

    facts, _ = machine.proved(1)
    assert facts.header.after == {1: 3}
    assert facts.gaps == [new]
    assert facts.end.lost == {"buffer-full": 2}


def test_with_nothing_in_memory_a_dump_is_an_empty_capture(tmp_path):
    machine = Machine(tmp_path, most_bytes=1 << 20)
    machine.recorder.dump()

    facts, numbers = machine.proved(1)
    assert (facts.complete, numbers) == (True, [])


def test_a_dump_that_fails_leaves_memory_as_it_was(tmp_path):
    machine = Machine(tmp_path, most_bytes=1 << 20)
    machine.give(3)
    (tmp_path / "1.wcap").touch()
    with pytest.raises(FileExistsError):
        machine.recorder.dump()
    (tmp_path / "1.wcap").unlink()
    machine.recorder.dump()

    assert machine.proved(1)[1] == [1, 2, 3]


def test_a_dump_that_has_no_room_leaves_no_file_and_the_next_one_has_all(tmp_path):
    """A file with some of it would say that what is missing had been left out on purpose."""
    machine = Machine(tmp_path, room={1: 3000}, most_bytes=1 << 20)
    for _ in range(20):
        machine.give(50, size=100)

    for _ in range(2):
        with pytest.raises(OSError, match="No space left") as caught:
            machine.recorder.dump()
        assert caught.value.filename == str(tmp_path / "1.wcap")
        assert list(tmp_path.iterdir()) == []

    machine.files.room.clear()
    machine.recorder.dump()
    assert machine.proved(1)[1] == list(range(1, 1001))


def test_what_there_was_room_for_at_the_end_stays(tmp_path):
    machine = Machine(tmp_path, room={1: 6000}, most_bytes=1 << 20)
    for _ in range(20):
        machine.give(50, size=100)

    with pytest.raises(OSError, match="No space left") as caught:
        machine.recorder.close(end_of([], sequences={0: 1000}))

    assert caught.value.filename == str(tmp_path / "1.wcap")
    with wcap.open(tmp_path / "1.wcap", errors="salvage") as capture:
        numbers = [int(event.data.rstrip(b".")) for event in capture]
        assert "no footer" in str(capture.damage[0])
    assert numbers == list(range(1, len(numbers) + 1))
    assert 50 <= len(numbers) < 1000


def test_an_end_that_there_is_no_room_to_begin_leaves_no_file(tmp_path):
    machine = Machine(tmp_path, room={1: 20}, most_bytes=1 << 20)
    machine.give(1)

    with pytest.raises(OSError, match="No space left"):
        machine.recorder.close(end_of([], sequences={0: 1}))

    assert list(tmp_path.iterdir()) == []
