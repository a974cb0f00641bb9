"""Mutations of captures that keep their checksums right, so that they get past the envelope."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

_PREAMBLE, _ENVELOPE = 16, 18
_MARKER = b"\xf5WCF"
# Of so many mutations one leaves checksums as they fall.
_RAW_ONCE_IN = 8

Mutate = Callable[[bytes, int], bytes]


def split(data: bytes) -> list[tuple[int, bytes]]:
    """Return (type, body) of the frames of a capture, as far as envelopes follow each other."""
    frames, place = [], _PREAMBLE
    while place + _ENVELOPE <= len(data) and data[place + 6 : place + 10] == _MARKER:
        length, kind = struct.unpack_from(">Ib", data, place + 1)
        end = place + 6 + max(length, 12)
        frames.append((kind, data[place + _ENVELOPE : end]))
        place = end
    return frames


def join(preamble: bytes, frames: list[tuple[int, bytes]]) -> bytes:
    """Put frames behind a preamble, numbered and with good checksums."""
    salt = struct.unpack(">I", preamble[12:16])[0]
    made = bytearray(preamble)
    for number, (kind, body) in enumerate(frames):
        head = struct.pack(">Ib", 12 + len(body), kind)
        checksum = zlib.crc32(body, zlib.crc32(head + struct.pack(">I", number), salt))
        made += b"\xc9" + head + _MARKER + struct.pack(">II", checksum, number) + body
    return bytes(made)


def mutated(data: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """Return a capture that differs in one frame, or in their order; at most ``most`` bytes."""
    chance = random.Random(seed)
    frames = split(data)
    if not frames or chance.randrange(_RAW_ONCE_IN) == 0:
        return mutate(data, most)
    place = chance.randrange(len(frames))
    kind, body = frames[place]
    what = chance.randrange(12)
    if what == 0:
        frames.insert(place, frames[chance.randrange(len(frames))])
    elif what == 1:
        del frames[place]
    elif what == 2:
        frames.insert(chance.randrange(len(frames)), frames.pop(place))
    elif what == 3:
        frames[place] = (chance.choice((1, 2, 3, 4, 5, 6, 7, 8, 64)), body)
    else:
        frames[place] = (kind, mutate(body, len(body) + 64))
    return join(data[:_PREAMBLE], frames)[:most]
