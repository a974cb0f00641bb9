"""Where the frames of a file lie: from its index, or by hopping from envelope to envelope.

Hopping reads a few bytes a frame. Where an envelope is not what it should be, the frame before
it is checked in full: a damaged length would otherwise hide whole frames.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wcap.envelope import ENVELOPE, MAGIC_SIZE, Envelope
from wcap.errors import CorruptionError, FormatError, LimitError, TruncatedError, placed
from wcap.format import FrameType
from wcap.index_frames import FOOTER_SIZE, IndexEntry, decode_footer, decode_index
from wcap.sources import FileSource


@dataclass(slots=True)
class Plan:
    """The frames of a file in order, and what was found wrong while looking for them."""

    entries: list[IndexEntry] = field(default_factory=list)
    damage: list[FormatError] = field(default_factory=list)
    indexed: bool = False


def no_footer() -> TruncatedError:
    """Return what is wrong with a capture that has no footer."""
    return TruncatedError("no footer: the recorder was stopped before it could close the file")


def unexpected_number(envelope: Envelope, expected: int, offset: int) -> CorruptionError:
    """Return what is wrong where frames are missing, stand twice or lie in another order."""
    return CorruptionError(f"frame {expected} expected, frame {envelope.number} found", offset)


def plan(file: FileSource) -> Plan:
    """Find the frames of a file: from its index, or without a sound one by a survey."""
    try:
        entries = _indexed(file)
    except FormatError as error:
        surveyed = survey(file)
        surveyed.damage.insert(0, error)
        return surveyed
    return survey(file) if entries is None else Plan(entries, indexed=True)


def hides_frames(file: FileSource, entry: IndexEntry) -> bool:
    """Whether other whole frames lie where the index says that this one does, which is damaged."""
    try:
        place = file.next_whole(entry.offset)
        if place is None or place >= entry.offset + entry.length:
            return False
        return place != entry.offset or file.envelope(place).number != entry.number
    except LimitError:
        return False


def _indexed(file: FileSource) -> list[IndexEntry] | None:
    """Follow the footer to the index frames; None when the file does not end in a footer."""
    try:
        footer = file.frame(max(MAGIC_SIZE, file.size - FOOTER_SIZE))
    except FormatError:
        return None
    if footer.envelope.type != FrameType.FOOTER:
        return None
    parts: list[tuple[IndexEntry, ...]] = []
    place: int | None = decode_footer(footer.body)
    # The frames from here on, and this number on, are accounted for: nothing may be left out.
    start, number = footer.offset, footer.envelope.number
    while place is not None:
        if not MAGIC_SIZE <= place < start:
            raise CorruptionError(f"an index is said to be at byte {place}", start)
        frame = file.frame(place)
        envelope = frame.envelope
        if envelope.type != FrameType.INDEX:
            raise CorruptionError(f"an index expected, frame type {envelope.type} found", place)
        if (place + ENVELOPE.size + envelope.length, envelope.number + 1) != (start, number):
            raise CorruptionError(f"frames before byte {start} are in no index", place)
        with placed(place):
            index = decode_index(frame.body, place, envelope.number)
        parts.append(index.entries)
        start, number = place, envelope.number
        if index.entries:
            start, number = index.entries[0].offset, index.entries[0].number
        place = index.previous
    if (start, number) != (MAGIC_SIZE, 0):
        raise CorruptionError(f"frames before byte {start} are in no index", start)
    return [entry for part in reversed(parts) for entry in part]


def survey(file: FileSource, start: int = MAGIC_SIZE, number: int = 0) -> Plan:
    """Hop from envelope to envelope, from where the frame of this number should start."""
    found = Plan()
    offset: int | None = start
    footer = False
    while offset is not None and offset < file.size:
        try:
            envelope = file.envelope(offset)
            if envelope.number != number:
                raise unexpected_number(envelope, number, offset)
        except FormatError as error:
            offset, number = _recover(file, found, error, offset, number)
            continue
        footer = envelope.type == FrameType.FOOTER
        length = ENVELOPE.size + envelope.length
        found.entries.append(IndexEntry(envelope.number, envelope.type, offset, length))
        offset += length
        number = envelope.number + 1
    if not footer:
        found.damage.append(no_footer())
    return found


def _recover(
    file: FileSource, found: Plan, error: FormatError, offset: int, number: int
) -> tuple[int | None, int]:
    """Find where to go on after an envelope that is not what it should be.

    Returns:
        The place of the next whole frame that was not read yet, and its number.
    """
    start = offset
    if found.entries:
        last = found.entries[-1]
        try:
            file.frame(last.offset)
        except FormatError as cause:
            found.entries.pop()
            error, start, number = cause, last.offset + 1, last.number
    found.damage.append(error)
    try:
        while (place := file.next_whole(start)) is not None:
            envelope = file.envelope(place)
            if envelope.number >= number:
                return place, envelope.number
            start = place + ENVELOPE.size + envelope.length  # a frame that stands twice
    except LimitError as wasteful:
        found.damage.append(wasteful)
    return None, number
