"""Captures as bytes: a small one with every kind of frame, and ways to read and to spoil it."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from support import CLOCK, STARTED_NS, batch_of, end_of, write

from wcap.batch import COLUMNS, OPTIONAL, EventBatch
from wcap.envelope import (
    ENVELOPE,
    MAGIC_SIZE,
    decode_envelope,
    encode_frame,
)
from wcap.errors import FormatError
from wcap.events import Event, EventFlag, Gap
from wcap.format import FrameType, Header
from wcap.reader import Capture
from wcap.writer import CaptureWriter

SMALL_HEADER = Header(CLOCK, 256, ("write",))
SALT = 0x57434150
SMALL_GAP = Gap(0, 2, 4, 3, STARTED_NS + 10, STARTED_NS + 40, "buffer-full")


class Pipe(io.RawIOBase):
    """A stream that cannot seek and hands out at most ``step`` bytes at a time."""

    def __init__(self, data: bytes, step: int = 1 << 16) -> None:
        self._rest = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(self._step if size < 0 else min(size, self._step))


class Slice(NamedTuple):
    """Where a frame lies in a capture."""

    type: int
    start: int
    end: int


class Read(NamedTuple):
    """What a reader made of some bytes."""

    events: list[Event]
    gaps: list[Gap]
    damage: list[FormatError]


def written(*steps: Any, header: Header = SMALL_HEADER, salt: int | None = SALT) -> bytes:
    """Write a capture: batches, lists of gaps, lists of results, and an end to close it."""
    stream = io.BytesIO()
    writer = CaptureWriter(stream, header, salt=salt)
    for step in steps:
        if isinstance(step, EventBatch):
            writer.write(step)
        elif not isinstance(step, list):
            writer.close(step)
        elif isinstance(step[0], Gap):
            writer.write_gaps(step)
        else:
            writer.write_results(step)
    return stream.getvalue()


@functools.cache
def small_capture() -> bytes:
    """Return a capture of three chunks with all kinds of frames."""
    chunks = [
        batch_of(
            write(b"one\n", after_ns=10),
            write(b"two\n", after_ns=20, cpu=1, flags=EventFlag.UNFINISHED, returned=0),
        ),
        batch_of(write(b"five", after_ns=40), write(b"six\n", after_ns=50), first_sequence=5),
        batch_of(write(b"7" * 200, after_ns=60, fd=2), first_sequence=7),
    ]
    return written(
        chunks[0],
        [SMALL_GAP],
        chunks[1],
        [(1, 1, -32, 777)],
        chunks[2],
        end_of(chunks, [SMALL_GAP]),
    )


@functools.cache
def true_events() -> list[Event]:
    """Return the events of `small_capture`."""
    with Capture(io.BytesIO(small_capture())) as capture:
        return list(capture)


@functools.cache
def possible_events() -> set[Event]:
    """Return what may be said of `small_capture` without a lie: a late result may be unknown."""
    with Capture(Pipe(small_capture())) as capture:
        return {*capture, *true_events()}


def read(data: bytes, *, pipe: int | None = None) -> Read:
    """Read bytes as a file, or as a pipe that gives ``pipe`` bytes at a time, and keep going.

    Raises:
        FormatError: the bytes are refused as a whole.
    """
    stream = io.BytesIO(data) if pipe is None else Pipe(data, pipe)
    with Capture(stream, errors="salvage") as capture:
        events: list[Event] = []
        gaps: list[Gap] = []
        for entry in capture.entries():
            if isinstance(entry, Gap):
                gaps.append(entry)
            else:
                events += entry
        return Read(events, gaps, capture.damage)


def read_or_refuse(data: bytes, *, pipe: int | None = None) -> Read:
    """Read as `read` does; a refusal is damage without events."""
    try:
        return read(data, pipe=pipe)
    except FormatError as error:
        return Read([], [], [error])


def is_good_answer(call: Callable[[], object]) -> bool:
    """Call what decodes; tell whether it raised nothing but, maybe, a fault that can be shown."""
    try:
        call()
    except FormatError as error:
        return str(error).isprintable()
    return True


def frames_of(data: bytes) -> list[Slice]:
    """Say where the frames of a whole capture lie."""
    frames, offset = [], MAGIC_SIZE
    while offset < len(data):
        envelope = decode_envelope(data[offset : offset + ENVELOPE.size], offset)
        end = offset + ENVELOPE.size + envelope.length
        frames.append(Slice(envelope.type, offset, end))
        offset = end
    return frames


def body_of(data: bytes, kind: FrameType) -> bytes:
    """Return the body of the first frame of a type."""
    frame = next(frame for frame in frames_of(data) if frame.type == kind)
    return data[frame.start + ENVELOPE.size : frame.end]


def assembled(frames: Sequence[tuple[int, bytes]], *, minor: int = 0) -> bytes:
    """Put bodies into a capture that was not closed, with right numbers and checksums."""
    data = bytearray(small_capture()[:MAGIC_SIZE])
    data[11] = minor
    for number, (kind, body) in enumerate(frames):
        data += encode_frame(kind, body, number, SALT)
    return bytes(data)


def columns_of(batch: EventBatch) -> dict[str, list[Any]]:
    """Return a batch as lists, with what its columns point to in place of positions.

    Where a column means nothing, None stands in its row.
    """
    tables: dict[str, Sequence[Any]] = {
        "process": batch.processes,
        "comm": batch.comms,
        "syscall": batch.syscalls,
        "target": batch.targets,
        "source": batch.targets,
        "address": batch.addresses,
    }
    rows: dict[str, list[Any]] = {}
    for name in COLUMNS:
        present = batch.has(name).tolist() if name in OPTIONAL else [True] * len(batch)
        values = zip(batch.column(name).tolist(), present, strict=True)
        rows[name] = [
            None if not there else tables[name][value] if name in tables else value
            for value, there in values
        ]
    rows["payload"] = list(batch.payloads())
    return rows
