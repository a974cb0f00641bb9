from __future__ import annotations

import io
import sys

import msgpack
import pytest
from bytesupport import (
    SMALL_GAP,
    Pipe,
    assembled,
    body_of,
    columns_of,
    frames_of,
    possible_events,
    read,
    small_capture,
    true_events,
    written,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import batches
from support import CLOCK, HEADER, STARTED_NS, batch_of, end_of, write, write_capture

import wcap
from wcap import chunks, writer
from wcap.envelope import MAGIC_SIZE, encode_frame
from wcap.errors import (
    CorruptionError,
    FormatError,
    LimitError,
    NotACaptureError,
    TruncatedError,
    UnsupportedVersionError,
)
from wcap.events import EventFlag, Gap
from wcap.filters import Filter
from wcap.format import Clock, End, FrameType, Header, encode_end, encode_gaps, encode_header
from wcap.index_frames import Index, IndexEntry, encode_footer, encode_index
from wcap.reader import Capture
from wcap.sources import FileSource


@pytest.mark.parametrize("pipe", [None, 1, 7, 1 << 16])
def test_a_capture_comes_back_whole_from_a_file_and_from_a_pipe(pipe):
    found = read(small_capture(), pipe=pipe)

    assert [event.data for event in found.events] == [
        b"one\n",
        b"two\n",
        b"five",
        b"six\n",
        b"7" * 200,
    ]
    assert found.gaps == [SMALL_GAP]
    assert found.damage == []


@settings(deadline=None, max_examples=20)
@given(st.lists(batches(), min_size=1, max_size=3), st.sampled_from([None, 5, 1 << 16]))
def test_any_batches_come_back(some, pipe):
    data = written(*some, end_of(some))
    stream = io.BytesIO(data) if pipe is None else Pipe(data, pipe)
    with Capture(stream) as capture:
        assert [columns_of(batch) for batch in capture.batches()] == list(map(columns_of, some))


def test_a_capture_says_what_it_is(tmp_path):
    path = write_capture(tmp_path / "run.wcap", batch_of(write()))
    with wcap.open(path) as capture:
        assert capture.header == HEADER
        assert capture.header.started_ns == STARTED_NS
        assert capture.version == (1, 3)
        assert capture.name == str(path)
        assert capture.size == path.stat().st_size
        assert capture.indexed
        assert capture.end is not None
        assert capture.end.sequences == {0: 1}
    with Capture(Pipe(path.read_bytes())) as capture:
        assert capture.size is None
        assert (capture.header, capture.version) == (HEADER, (1, 3))


def test_a_capture_is_closed_with_its_file(tmp_path):
    path = write_capture(tmp_path / "run.wcap", batch_of(write()))
    with wcap.open(path) as capture:
        pass
    with pytest.raises(ValueError, match="closed"):
        list(capture)


def test_a_file_is_read_any_number_of_times():
    with Capture(io.BytesIO(small_capture())) as capture:
        assert list(capture) == list(capture)


def test_standard_input_is_called_minus(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(small_capture())))
    with wcap.open("-") as capture:
        assert capture.name == "standard input"
        assert list(capture) == true_events()


def test_a_file_that_is_refused_is_closed(tmp_path):
    (tmp_path / "odd").write_bytes(b"not a capture at all")
    with pytest.raises(NotACaptureError):
        wcap.open(tmp_path / "odd")  # pytest fails on a ResourceWarning


def test_late_results_complete_unfinished_events():
    """SPEC R17"""
    event = true_events()[1]
    assert (event.returned, event.duration_ns, event.flags) == (-32, 777, EventFlag(0))
    for stream in (io.BytesIO(small_capture()), Pipe(small_capture())):
        with Capture(stream) as capture:
            list(capture)
            assert capture.late_results == {(1, 1): (-32, 777)}
    (early,) = [e for e in read(small_capture(), pipe=99).events if e.cpu == 1]
    assert (early.returned, early.duration_ns) == (None, None)
    assert early.flags == EventFlag.UNFINISHED


@pytest.mark.parametrize("pipe", [None, 9])
def test_a_result_before_its_event_means_nothing(pipe):
    """SPEC R17"""
    batch = batch_of(write(flags=EventFlag.UNFINISHED))
    found = read(written([(0, 1, 6, 1)], batch, end_of([batch])), pipe=pipe)
    assert [event.returned for event in found.events] == [None]
    assert found.damage == []


def test_of_two_late_results_the_first_counts():
    batch = batch_of(write(flags=EventFlag.UNFINISHED))
    found = read(written(batch, [(0, 1, 6, 1)], [(0, 1, -5, 2)], end_of([batch])))
    assert [event.returned for event in found.events] == [6]


def test_more_late_results_than_a_capture_may_have_are_reported(monkeypatch):
    """SPEC R4"""
    batch = batch_of(write(flags=EventFlag.UNFINISHED), write(flags=EventFlag.UNFINISHED))
    data = written(batch, [(0, 1, 6, 1)], [(0, 2, 6, 1)], end_of([batch]))
    monkeypatch.setattr(chunks, "MAX_RESULTS", 1)

    found = read(data)

    assert [event.returned for event in found.events] == [6, None]
    assert [type(error) for error in found.damage] == [LimitError]


GAPS = [
    Gap(0, 2, 2, 1, STARTED_NS, STARTED_NS + 10, "first"),
    Gap(1, 1, 2, 2, STARTED_NS, STARTED_NS + 25, "second"),
    Gap(0, 5, 5, 1, STARTED_NS, STARTED_NS + 25, "third"),
    Gap(0, 9, 9, 1, STARTED_NS, STARTED_NS + 1000, "last"),
]


@pytest.mark.parametrize("pipe", [False, True])
def test_gaps_come_where_they_lie(pipe):
    """SPEC R18"""
    first = batch_of(*(write(bytes([n]), after_ns=10 * n) for n in range(1, 5)))
    second = batch_of(write(b"\x05", after_ns=50), first_sequence=6)
    data = written(GAPS[::-1], first, second, end_of([first, second], GAPS))

    with Capture(Pipe(data) if pipe else io.BytesIO(data)) as capture:
        found = [
            entry.cause if isinstance(entry, Gap) else entry.joined() for entry in capture.entries()
        ]

    seconds = found[2:4]
    assert found[:2] == ["first", b"\x01\x02"]
    assert sorted(seconds) == ["second", "third"]
    assert found[4:] == [b"\x03\x04", b"\x05", "last"]


def test_gaps_of_a_pipe_come_with_the_events_around_them():
    with Capture(Pipe(small_capture())) as capture:
        kinds = [type(entry).__name__ for entry in capture.entries()]
    assert kinds == ["EventBatch", "Gap", "EventBatch", "EventBatch"]


def test_batches_leave_gaps_out():
    with Capture(io.BytesIO(small_capture())) as capture:
        assert len(list(capture.batches())) == 3
        assert capture.gaps == [SMALL_GAP]


def test_a_filter_skips_the_chunks_that_it_cannot_match(monkeypatch):
    frames = []
    original = FileSource.frame

    def watched(self, offset):
        frames.append(offset)
        return original(self, offset)

    with Capture(io.BytesIO(small_capture())) as capture:
        monkeypatch.setattr(FileSource, "frame", watched)
        (batch,) = capture.batches(Filter(fds=frozenset({2})))
    assert batch.joined() == b"7" * 200
    assert len(frames) == 1


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("pipe", [True, False])
def test_a_filter_gives_the_same_with_and_without_an_index(closed, pipe):
    data = small_capture() if closed else small_capture()[: frames_of(small_capture())[-1].start]
    where = Filter(since_ns=STARTED_NS + 20, until_ns=STARTED_NS + 50)
    stream = Pipe(data) if pipe else io.BytesIO(data)
    with Capture(stream, errors="salvage") as capture:
        found = [event.data for batch in capture.batches(where) for event in batch]
    assert found == [b"two\n", b"five"]


def test_summaries_come_from_the_index_or_from_the_chunks(monkeypatch):
    data = small_capture()
    with Capture(Pipe(data)) as capture:
        from_pipe = list(capture.summaries())
    cut = data[: frames_of(data)[-1].start]
    with Capture(io.BytesIO(cut), errors="salvage") as capture:
        from_chunks = list(capture.summaries())
    with Capture(io.BytesIO(data)) as capture:
        monkeypatch.setattr(FileSource, "frame", None)  # nothing is read any more
        from_index = list(capture.summaries())

    assert from_pipe == from_chunks == from_index
    assert [summary.events for summary in from_index] == [2, 2, 1]


def test_a_damaged_chunk_has_no_summary():
    data, frames = bytearray(small_capture()), frames_of(small_capture())
    data[frames[1].end - 1] ^= 1
    for stream in (io.BytesIO(bytes(data[: frames[-1].start])), Pipe(bytes(data))):
        with Capture(stream, errors="salvage") as capture:
            assert [summary.events for summary in capture.summaries()] == [2, 1]


@pytest.mark.parametrize("read_all", [list, lambda capture: list(capture.summaries())])
@pytest.mark.parametrize("pipe", [False, True])
def test_a_strict_reader_raises_after_everything_whole(read_all, pipe):
    """SPEC R9 R10"""
    cut = small_capture()[: frames_of(small_capture())[6].start + 1]
    with Capture(Pipe(cut) if pipe else io.BytesIO(cut)) as capture:
        events = []
        with pytest.raises(TruncatedError, match="cut short"):  # noqa: PT012
            for event in capture:
                events.append(event)  # noqa: PERF402
        assert len(events) == 5
        assert [type(error) for error in capture.damage] == [TruncatedError] * 2
        if not pipe:
            with pytest.raises(TruncatedError):
                read_all(capture)


def test_a_fault_in_a_body_says_where_its_frame_is():
    data = assembled([(1, encode_header(HEADER)), (3, b"\x80"), (2, b"\x80")])
    places = [frame.start for frame in frames_of(data)]
    for pipe in (None, 9):
        damage = read(data, pipe=pipe).damage
        assert [error.offset for error in damage if error.offset is not None] == places[1:]
    with pytest.raises(CorruptionError) as fault:
        read(assembled([(1, b"\x80")]))
    assert fault.value.offset == MAGIC_SIZE


@pytest.mark.parametrize("pipe", [None, 9])
@pytest.mark.parametrize(
    ("data", "error"),
    [
        (assembled([]), TruncatedError),
        (assembled([(2, b"\x80")]), CorruptionError),
        (assembled([(1, b"\x80")]), CorruptionError),
        (assembled([]) + b"junk" * 9, CorruptionError),
    ],
)
def test_a_capture_without_a_header_is_refused(data, error, pipe):
    with pytest.raises(error):
        read(data, pipe=pipe)


HEAD = (1, encode_header(HEADER))
CHUNK = (2, body_of(small_capture(), FrameType.EVENTS))


@pytest.mark.parametrize("pipe", [None, 9])
def test_a_second_header_is_damage(pipe):
    found = read(assembled([HEAD, HEAD, CHUNK]), pipe=pipe)

    assert len(found.events) == 2
    assert "a second header" in str(found.damage[-1 if pipe is None else 0])


@pytest.mark.parametrize("pipe", [None, 9])
def test_frames_after_the_end_count_and_the_last_end_holds(pipe):
    ends = [(5, encode_end(End(reason, 1, 2))) for reason in ("signal", "command")]
    data = assembled([HEAD, ends[0], CHUNK, ends[1]])
    with Capture(Pipe(data, pipe) if pipe else io.BytesIO(data), errors="salvage") as capture:
        assert len(list(capture)) == 2
        assert capture.end is not None
        assert capture.end.reason == "command"
        assert [type(error) for error in capture.damage] == [TruncatedError]


@pytest.mark.parametrize("pipe", [None, 9])
def test_a_footer_that_is_not_last_is_none(pipe):
    found = read(assembled([HEAD, (7, encode_footer(16)), CHUNK]), pipe=pipe)
    assert len(found.events) == 2
    assert ["no footer" in str(error) for error in found.damage] == [True]


@pytest.mark.parametrize("pipe", [None, 9])
@pytest.mark.parametrize("kind", [64, 100, 127])
def test_an_unknown_optional_frame_is_skipped(kind, pipe):
    """SPEC R5"""
    found = read(assembled([HEAD, (kind, b"\xc1what"), CHUNK]), pipe=pipe)

    assert len(found.events) == 2
    assert [type(error) for error in found.damage] == [TruncatedError]  # only the footer is absent


@pytest.mark.parametrize("pipe", [None, 9])
@pytest.mark.parametrize("kind", [8, 63, 0, -1, -128])
def test_an_unknown_required_frame_is_refused(kind, pipe):
    """SPEC R5"""
    with pytest.raises(UnsupportedVersionError, match=f"frame type {kind} needs a newer wcap"):
        read(assembled([HEAD, (kind, b"\x80"), CHUNK]), pipe=pipe)


@pytest.mark.parametrize("pipe", [None, 9])
def test_an_essential_part_that_is_not_known_is_refused(pipe):
    """SPEC R7"""
    body = msgpack.packb({**msgpack.unpackb(CHUNK[1]), "essential": ["files"]})
    with pytest.raises(UnsupportedVersionError, match="knows 'files'"):
        read(assembled([HEAD, (2, body)]), pipe=pipe)


@pytest.mark.parametrize("pipe", [None, 9])
def test_a_newer_minor_version_is_read(pipe):
    """SPEC R2 R6"""
    newer = msgpack.packb({**msgpack.unpackb(CHUNK[1]), "files": [1]})
    data = assembled([HEAD, (2, newer), (70, b"\x80")], minor=7)
    assert len(read(data, pipe=pipe).events) == 2


def with_index(entries: list[IndexEntry], frames: list[tuple[int, bytes]]) -> bytes:
    data = assembled(frames)
    place = len(data)
    salt = int.from_bytes(data[12:16], "big")
    data += encode_frame(6, encode_index(Index(tuple(entries))), len(frames), salt)
    return data + encode_frame(7, encode_footer(place), len(frames) + 1, salt)


def listed(frames: list[tuple[int, bytes]]) -> list[IndexEntry]:
    data = assembled(frames)
    entries = []
    for number, frame in enumerate(frames_of(data)):
        summary = msgpack.unpackb(frames[number][1])["summary"] if frame.type == 2 else None
        entries.append(
            IndexEntry(number, frame.type, frame.start, frame.end - frame.start, summary)
        )
    return entries


def test_an_index_that_lies_about_a_chunk_is_reported():
    """SPEC R14"""
    frames = [HEAD, CHUNK]
    entries = listed(frames)
    assert entries[1].summary is not None
    lie = {**entries[1].summary, "captured": 0}
    lying = IndexEntry(1, 2, entries[1].offset, entries[1].length, lie)

    assert read(with_index(entries, frames)).damage == []
    found = read(with_index([entries[0], lying], frames))

    assert len(found.events) == 2
    assert ["contradicts" in str(error) for error in found.damage] == [True]


def test_an_index_with_a_broken_summary_costs_the_chunk_and_says_so():
    frames = [HEAD, CHUNK]
    entries = listed(frames)
    broken = IndexEntry(1, 2, entries[1].offset, entries[1].length, {"events": "2"})
    found = read(with_index([entries[0], broken], frames))
    assert [type(error) for error in found.damage] == [CorruptionError]


@pytest.mark.parametrize("kind", [3, 70])
def test_an_index_that_hides_a_chunk_is_reported(kind):
    frames = [HEAD, CHUNK]
    entries = listed(frames)
    hiding = IndexEntry(1, kind, entries[1].offset, entries[1].length)
    damage = read(with_index([entries[0], hiding], frames)).damage
    assert [f"of type {kind} expected" in str(error) for error in damage] == [True]


def test_an_index_that_calls_something_else_a_chunk_is_reported():
    frames = [HEAD, (3, encode_gaps([SMALL_GAP], CLOCK))]
    entries = listed(frames)
    odd = IndexEntry(1, 2, entries[1].offset, entries[1].length)
    damage = read(with_index([entries[0], odd], frames)).damage
    assert ["of type 2 expected" in str(error) for error in damage] == [True]


@pytest.mark.parametrize("pipe", [None, 9])
@pytest.mark.parametrize("where", [None, Filter(fds=frozenset({1}))])
def test_a_chunk_that_breaks_a_rule_costs_only_itself(pipe, where):
    body = msgpack.unpackb(CHUNK[1])
    broken = msgpack.packb({**body, "columns": {**body["columns"], "fd": 5}, "syscalls": 5})
    data = assembled([HEAD, (2, broken), CHUNK])
    with Capture(Pipe(data) if pipe else io.BytesIO(data), errors="salvage") as capture:
        events = [e for batch in capture.batches(where or Filter()) for e in batch]
    assert len(events) == 2
    assert "syscalls is int" in str(capture.damage[-1 if pipe is None else 0])


def test_times_that_break_a_chunk_cost_only_it_even_between_gaps():
    body = msgpack.unpackb(CHUNK[1])
    broken = msgpack.packb({**body, "columns": {**body["columns"], "time_ns": {"width": 5}}})
    data = assembled([HEAD, (3, encode_gaps([SMALL_GAP], CLOCK)), (2, broken), CHUNK])
    found = read(data)
    assert (len(found.events), found.gaps) == (2, [SMALL_GAP])
    assert "lacks 'base'" in str(found.damage[-1])


@pytest.mark.parametrize("pipe", [None, 9])
def test_missing_and_repeated_frames_are_reported_and_delivered_once(pipe):
    """SPEC R12"""
    data, frames = small_capture(), frames_of(small_capture())
    one, gap, two = (data[frame.start : frame.end] for frame in frames[1:4])

    missing = read(data.replace(one + gap, b""), pipe=pipe)
    twice = read(data.replace(one, one + gap + one), pipe=pipe)

    assert [event.data for event in missing.events] == [b"five", b"six\n", b"7" * 200]
    assert "frame 1 expected, frame 3 found" in "".join(map(str, missing.damage))
    assert [event.data for event in twice.events] == [e.data for e in true_events()]
    assert "frame 3 expected, frame 1 found" in "".join(map(str, twice.damage))
    assert two in data


def test_damage_of_a_pipe_is_not_also_called_missing_frames():
    data, frames = bytearray(small_capture()), frames_of(small_capture())
    data[frames[1].end - 1] ^= 1
    found = read(bytes(data), pipe=99)
    assert [type(error) for error in found.damage] == [CorruptionError]
    assert len(found.events) == 3


def test_the_same_damage_is_reported_once():
    data = bytearray(small_capture())
    data[frames_of(small_capture())[1].end - 1] ^= 1
    with Capture(io.BytesIO(bytes(data)), errors="salvage") as capture:
        for _ in range(3):
            list(capture)
        assert len(capture.damage) == 1


def test_a_pipe_that_was_left_is_read_on():
    batches_ = [batch_of(write(bytes([n])), first_sequence=n + 1) for n in range(3)]
    with Capture(Pipe(written(*batches_, end_of(batches_)))) as capture:
        first = next(capture.batches())
        rest = [batch.joined() for batch in capture.batches()]
    assert (first.joined(), rest) == (b"\0", [b"\1", b"\2"])
    assert capture.damage == []


def test_a_file_without_a_lock_does_not_grow(tmp_path):
    path = write_capture(tmp_path / "run.wcap", batch_of(write()))
    with wcap.open(path) as capture:
        assert capture.growing is False
    assert Capture(io.BytesIO(small_capture())).growing is False


def test_a_file_that_is_being_written_grows(tmp_path):
    path = tmp_path / "run.wcap"
    with wcap.create(path, HEADER) as recording:
        recording.write(batch_of(write()))
        with wcap.open(path, errors="salvage") as capture:
            assert capture.growing is True
            assert [event.data for event in capture] == [b"hello\n"]
    with wcap.open(path) as capture:
        assert capture.growing is False


def test_many_index_frames_are_one_index(monkeypatch):
    monkeypatch.setattr(writer, "INDEX_FRAMES", 3)
    some = [batch_of(write(bytes([n]), after_ns=n), first_sequence=n + 1) for n in range(20)]
    data = written(*some, end_of(some))

    assert sum(frame.type == FrameType.INDEX for frame in frames_of(data)) == 8
    with Capture(io.BytesIO(data)) as capture:
        assert capture.indexed
        assert [event.data for event in capture] == [bytes([n]) for n in range(20)]
    assert read(data, pipe=50).damage == []


def test_absurd_clocks_are_refused_and_extreme_ones_are_read():
    """SPEC R19"""
    body = msgpack.unpackb(encode_header(Header(Clock("boottime", 2**63 - 1, 0), 1, ())))
    assert read(assembled([(1, msgpack.packb(body)), CHUNK])).events
    body["clock"]["anchor"] = [0, 2**64 - 1]
    with pytest.raises(CorruptionError):
        read(assembled([(1, msgpack.packb(body)), CHUNK]))


def test_a_whole_read_says_no_more_than_the_truth():
    assert set(read(small_capture(), pipe=3).events) <= possible_events()


def test_memory_is_that_of_a_chunk(monkeypatch):
    """Batches of a file that are let go of are not kept by the reader."""
    import tracemalloc

    some = [batch_of(*[write(bytes(1000))] * 50, first_sequence=50 * n + 1) for n in range(60)]
    data = written(*some, end_of(some))
    del some
    tracemalloc.start()
    with Capture(io.BytesIO(data)) as capture:
        for batch in capture.batches():
            assert len(batch.joined()) == 50_000
        del batch
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_errors_are_of_the_format_family():
    with pytest.raises(FormatError):
        Capture(io.BytesIO(b"x"))
    assert chunks.MAX_EVENTS == chunks.MAX_RESULTS == 1 << 20
