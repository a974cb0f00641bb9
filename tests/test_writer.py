from __future__ import annotations

import errno
import io
import os
import stat
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from bytesupport import SMALL_HEADER, Pipe, columns_of, frames_of, read, written
from support import HEADER, STARTED_NS, batch_of, end_of, write

import wcap
from wcap import chunks, writer
from wcap.envelope import MAGIC_SIZE, decode_envelope, decode_preamble
from wcap.errors import LimitError
from wcap.events import TARGET_KINDS, EventFlag, Gap, Target
from wcap.format import FrameType
from wcap.reader import Capture
from wcap.writer import CaptureWriter, open_output


class Disk(io.BytesIO):
    """A file on a disk with room for so many bytes."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room

    def write(self, data: memoryview) -> int:
        fitting = min(len(data), self.room - self.tell())
        if fitting <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data[:fitting])


def frame_types(data: bytes) -> list[int]:
    return [frame.type for frame in frames_of(data)]


def test_frames_are_numbered_from_0_without_a_hole():
    """SPEC W2"""
    batch = batch_of(write())
    data = written(batch, [(0, 1, 6, 1)], end_of([batch]))

    assert frame_types(data) == [1, 2, 4, 5, 6, 7]
    numbers = [decode_envelope(data[f.start : f.start + 18], 0).number for f in frames_of(data)]
    assert numbers == list(range(6))


def test_every_capture_has_a_salt_of_its_own():
    """SPEC W1"""
    salts = {decode_preamble(written(salt=None)[:MAGIC_SIZE]).salt for _ in range(5)}
    assert len(salts) > 1


def test_the_same_events_and_salt_are_the_same_bytes():
    assert written(batch_of(write())) == written(batch_of(write()))


def test_the_writer_counts_what_it_wrote():
    stream = io.BytesIO()
    capture = CaptureWriter(stream, HEADER)
    capture.write(batch_of(write(b"abc"), write(b"de")))
    capture.write(batch_of(write(b"f"), first_sequence=3))

    assert (capture.events, capture.payload_bytes) == (3, 6)
    assert capture.size == len(stream.getvalue())


def test_nothing_is_no_frame():
    data = written(batch_of(write()).select(slice(0, 0)))
    assert frame_types(data) == [1]
    stream = io.BytesIO()
    capture = CaptureWriter(stream, HEADER)
    capture.write_gaps([])
    capture.write_results([])
    assert frame_types(stream.getvalue()) == [1]


def test_a_capture_is_closed_once():
    stream = io.BytesIO()
    capture = CaptureWriter(stream, HEADER)
    capture.close(end_of([]))
    size = capture.size
    capture.close(end_of([]))

    assert capture.size == size == len(stream.getvalue())
    assert frame_types(stream.getvalue()) == [1, 5, 6, 7]


def test_an_end_may_be_unknown():
    stream = io.BytesIO()
    CaptureWriter(stream, HEADER).close()
    assert frame_types(stream.getvalue()) == [1, 6, 7]
    assert Capture(stream).end is None


@pytest.mark.parametrize(
    ("limit", "value", "sizes"),
    [
        ("CHUNK_EVENTS", 3, [3, 3, 1]),
        ("CHUNK_PAYLOAD", 12, [2, 2, 2, 1]),
        ("CHUNK_PAYLOAD", 5, [1] * 7),
    ],
)
def test_a_large_batch_becomes_several_chunks(monkeypatch, limit, value, sizes):
    """SPEC W4"""
    monkeypatch.setattr(writer, limit, value)
    batch = batch_of(*(write(b"%05d\n" % n, after_ns=n) for n in range(7)))
    data = written(batch)

    with Capture(io.BytesIO(data), errors="salvage") as capture:
        found = list(capture.batches())
    assert [len(part) for part in found] == sizes
    assert b"".join(part.joined() for part in found) == batch.joined()


def test_a_chunk_that_exceeds_a_limit_is_split_in_order(monkeypatch):
    """SPEC W4"""
    monkeypatch.setattr(chunks, "MAX_EVENTS", 3)
    batch = batch_of(*(write(bytes([n]), after_ns=n) for n in range(10)))
    found = read(written(batch))

    assert b"".join(event.data for event in found.events) == bytes(range(10))
    assert [event.sequence for event in found.events] == list(range(1, 11))


def test_an_event_that_exceeds_a_limit_is_an_error(monkeypatch):
    """SPEC W4"""
    monkeypatch.setattr(chunks, "MAX_PAYLOAD", 5)
    with pytest.raises(LimitError, match="6 payload bytes, 5 allowed"):
        written(batch_of(write(b"abc"), write(b"abcdef")))


def test_many_results_become_several_frames(monkeypatch):
    """SPEC W4"""
    monkeypatch.setattr(writer, "CHUNK_EVENTS", 2)
    batch = batch_of(*[write(flags=EventFlag.UNFINISHED)] * 5)
    data = written(batch, [(0, n, 7, 1) for n in range(1, 6)])

    assert frame_types(data).count(FrameType.RESULTS) == 3
    assert [event.returned for event in read(data).events] == [7] * 5


def test_an_index_of_the_fullest_summaries_can_be_read(monkeypatch):
    """SPEC W4"""
    some = batch_of(
        *(
            write(b"", fd=2**30 + n, tid=2**30 + n, pid=2**30 + n, cpu=n, comm=f"{n:015}",
                  syscall=f"call {n:015}", flags=EventFlag.PAYLOAD_LOST,
                  target=Target(TARGET_KINDS[n % len(TARGET_KINDS)], f"/{n % 55:0140}"))
            for n in range(256)
        )
    )  # fmt: skip
    stream = io.BytesIO()
    capture = CaptureWriter(stream, HEADER)
    encoded = chunks.encode_events(some, HEADER.clock)
    monkeypatch.setattr(chunks, "encode_events", lambda batch, clock: encoded)
    for _ in range(writer.INDEX_FRAMES + 1):
        capture.write(some.select(slice(0, 1)))
    capture.close()

    assert frame_types(stream.getvalue()).count(FrameType.INDEX) == 2
    reading = Capture(io.BytesIO(stream.getvalue()))
    assert reading.indexed
    assert len(list(reading.summaries())) == writer.INDEX_FRAMES + 1


@pytest.mark.parametrize("room", [0, 5, 16, 17, 100, 300, 900, 901, 1000, 1500, 1700])
def test_a_full_disk_cuts_the_file_back_to_the_last_whole_frame(room):
    """SPEC W3"""
    disk = Disk(room)
    with pytest.raises(OSError, match="No space left"):  # noqa: PT012
        capture = CaptureWriter(disk, SMALL_HEADER, salt=1)
        for n in range(9):
            capture.write(batch_of(write(os.urandom(99)), first_sequence=n + 1))

    data = disk.getvalue()
    if data:  # without a header there is nothing
        assert frames_of(data)[-1].end == len(data) > MAGIC_SIZE
    assert len(data) <= room


def test_a_disk_that_has_room_again_gets_a_whole_file():
    """SPEC W3"""
    disk = Disk(2000)
    capture = CaptureWriter(disk, SMALL_HEADER)
    capture.write(batch_of(write(b"kept")))
    with pytest.raises(OSError, match="No space left"):
        capture.write(batch_of(write(os.urandom(3000)), first_sequence=2))
    disk.room = 5000
    capture.close(end_of([]))

    found = read(disk.getvalue())
    assert [event.data for event in found.events] == [b"kept"]
    assert found.damage == []


def test_an_interrupted_write_leaves_whole_frames():
    """SPEC W3"""

    class Interrupted(io.BytesIO):
        stop = False

        def write(self, data: memoryview) -> int:
            if self.stop:
                super().write(data[:7])
                raise KeyboardInterrupt
            return super().write(data)

    stream = Interrupted()
    capture = CaptureWriter(stream, HEADER)
    size = capture.size
    stream.stop = True
    with pytest.raises(KeyboardInterrupt):
        capture.write(batch_of(write()))
    assert len(stream.getvalue()) == size == stream.tell()


def test_a_pipe_that_takes_little_at_a_time_gets_everything():
    class Narrow(Pipe):
        def __init__(self) -> None:
            super().__init__(b"")
            self.taken = bytearray()

        def write(self, data: memoryview) -> int:
            self.taken += data[:5]
            return min(5, len(data))

    narrow = Narrow()
    capture = CaptureWriter(narrow, HEADER)
    capture.write(batch_of(write()))
    capture.close()
    assert read(bytes(narrow.taken)).damage == []


def test_a_broken_pipe_is_the_callers_to_handle():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as stream, pytest.raises(BrokenPipeError):
        CaptureWriter(stream, HEADER)


def test_a_pipe_that_must_not_wait_is_an_error_and_no_endless_loop():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with os.fdopen(writing, "wb", buffering=0) as stream, os.fdopen(reading, "rb"):
        capture = CaptureWriter(stream, HEADER)
        with pytest.raises(BlockingIOError):
            capture.write(batch_of(*(write(os.urandom(30_000)) for _ in range(9))))


def test_a_file_is_for_its_owner_alone(tmp_path):
    """SPEC W11"""
    old = os.umask(0)
    try:
        with wcap.create(tmp_path / "run.wcap", HEADER):
            pass
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "run.wcap").stat().st_mode) == 0o600


def test_a_file_is_not_replaced_unless_that_is_asked_for(tmp_path):
    """SPEC W11"""
    path = tmp_path / "run.wcap"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        wcap.create(path, HEADER)
    assert path.read_text() == "precious"

    with wcap.create(path, HEADER, force=True) as capture:
        capture.write(batch_of(write()))
    with wcap.open(path) as reading:
        assert [event.data for event in reading] == [b"hello\n"]


def test_a_link_is_replaced_and_not_what_it_points_to(tmp_path):
    target, link = tmp_path / "precious", tmp_path / "run.wcap"
    target.write_text("precious")
    link.symlink_to(target)
    with pytest.raises(FileExistsError):
        open_output(link)
    open_output(link, force=True).close()
    assert target.read_text() == "precious"
    assert not link.is_symlink()
    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError):
        open_output(dangling)


def test_a_device_is_written_to_and_not_replaced():
    open_output("/dev/null").close()
    open_output("/dev/null", force=True).close()
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_full_device_is_a_full_disk():
    with open_output("/dev/full") as stream, pytest.raises(OSError, match="No space left"):
        CaptureWriter(stream, HEADER)


def test_a_missing_folder_and_a_folder_are_named(tmp_path):
    with pytest.raises(FileNotFoundError) as missing:
        wcap.create(tmp_path / "none" / "run.wcap", HEADER)
    assert str(missing.value.filename) == str(tmp_path / "none" / "run.wcap")
    with pytest.raises(IsADirectoryError):
        wcap.create(tmp_path, HEADER, force=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize(
    ("user", "group", "owner"),
    [("1234", "4321", (1234, 4321)), ("x", "1", (0, 0)), ("", "", (0, 0))],
)
def test_a_file_belongs_to_the_user_behind_sudo(tmp_path, monkeypatch, user, group, owner):
    monkeypatch.setenv("SUDO_UID", user)
    monkeypatch.setenv("SUDO_GID", group)
    with open_output(tmp_path / "run.wcap") as stream:
        found = os.fstat(stream.fileno())
    assert (found.st_uid, found.st_gid) == owner


def test_a_writer_closes_its_file_whole_and_after_an_error_as_it_is(tmp_path):
    with wcap.create(tmp_path / "whole.wcap", HEADER) as capture:
        capture.write(batch_of(write()))
    with suppress(RuntimeError), wcap.create(tmp_path / "cut.wcap", HEADER) as capture:
        capture.write(batch_of(write()))
        raise RuntimeError

    with wcap.open(tmp_path / "whole.wcap") as reading:
        assert reading.indexed
    with wcap.open(tmp_path / "cut.wcap", errors="salvage") as reading:
        assert len(list(reading)) == 1
        assert "no footer" in str(reading.damage[0])


def test_a_file_is_closed_when_its_header_cannot_be_written(tmp_path, monkeypatch):
    def refuse(header: object) -> bytes:
        raise ValueError("no")

    monkeypatch.setattr(writer, "encode_header", refuse)
    with pytest.raises(ValueError, match="no"):
        wcap.create(tmp_path / "run.wcap", HEADER)  # pytest fails on a ResourceWarning


def test_gaps_and_events_keep_their_place():
    gap = Gap(0, 2, 2, 1, STARTED_NS, STARTED_NS + 5, "buffer-full")
    first, second = batch_of(write()), batch_of(write(after_ns=5), first_sequence=3)
    assert frame_types(written(first, [gap], second)) == [1, 2, 3, 2]
    assert read(written(first, [gap], second)).gaps == [gap]


def test_a_batch_out_of_order_is_written_in_order():
    """SPEC W5"""
    batch = batch_of(write(b"b", after_ns=9), write(b"a", after_ns=1))
    with Capture(io.BytesIO(written(batch)), errors="salvage") as capture:
        (found,) = capture.batches()
    assert found.joined() == b"ab"
    assert columns_of(found) == columns_of(batch.select(np.array([1, 0])))
