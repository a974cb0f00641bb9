"""Bytes ⇄ a map that holds them, compressed with zstd where that pays (SPEC.md section 5.2)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import zstandard

from wcap.errors import CorruptionError, LimitError

# Level 1 keeps the recorder ahead of a writer that never pauses; higher levels gain a few
# per cent on columns (`make bench`).
_LEVEL = 1
# Payloads are worth more where there is time: levels for bytes that came in at less than so many
# a second. Whatever they are, compressing them at 100 MB/s takes a sixth of a core at most.
_LEVELS_BELOW = ((16e6, 9), (64e6, 3))
# Of bytes that came in at once, the time that is taken for theirs.
_AT_ONCE_NS = 1_000_000
# Below this a zstd frame's own overhead eats what it saves.
WORTH_COMPRESSING = 64


class _Decompressor(threading.local):
    """A zstd decompressor of each thread: it serves one at a time, and to make one takes long."""

    def __init__(self) -> None:
        self.decompress = zstandard.ZstdDecompressor().decompress


_DECOMPRESSOR = _Decompressor()


def pack(raw: bytes | memoryview, level: int = _LEVEL) -> dict[str, Any]:
    """Store bytes, compressed when that pays: ``data``, and ``size`` if it is a zstd frame."""
    if len(raw) >= WORTH_COMPRESSING:
        squeezed = zstandard.ZstdCompressor(level=level).compress(raw)
        if len(squeezed) < len(raw):
            return {"data": squeezed, "size": len(raw)}
    return {"data": bytes(raw)}


def level_for(size: int, duration_ns: int) -> int:
    """Return the zstd level for bytes that were written within a time: the faster, the lower."""
    a_second = size * 1e9 / max(duration_ns, _AT_ONCE_NS)
    return next((level for below, level in _LEVELS_BELOW if a_second < below), _LEVEL)


def unpack(stored: Mapping[str, Any], limit: int) -> bytes:
    """Return the bytes that `pack` stored.

    Raises:
        LimitError: they would be longer than ``limit``.
        CorruptionError: they are not what the map says.
    """
    data, size = stored.get("data"), stored.get("size")
    if data is None:
        data = b""
    if not isinstance(data, bytes):
        raise CorruptionError("a column's data is not bytes")
    if size is None:
        if len(data) > limit:
            raise LimitError(f"a column of {len(data)} bytes exceeds {limit}")
        return data
    if type(size) is not int or size < 0:
        raise CorruptionError(f"a column's size is {size!r:.40}")
    if size > limit:
        raise LimitError(f"a column of {size} bytes exceeds {limit}")
    try:
        declared = zstandard.get_frame_parameters(data).content_size
        if declared != size:
            raise CorruptionError(f"a column's zstd frame holds {declared} bytes, {size} expected")
        # What does not come to the declared size, zstd refuses itself.
        return _DECOMPRESSOR.decompress(data, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CorruptionError(f"a column does not decompress: {error}") from error
