"""The BPF ring buffer, drained by copying whole spans out of it.

The kernel's layout (kernel/bpf/ringbuf.c): one page with the consumer's position, one with the
producer's, then the data, mapped twice in a row so that every span is contiguous. A record is
an 8-byte header (u32 length, with a busy bit while it is being written), the payload, and
padding to 8 bytes. bcc makes the map; nothing here calls back per record.
"""

from __future__ import annotations

import mmap
import threading

import numpy as np
import numpy.typing as npt

from wcap.recorder.records import Span

_BUSY = 1 << 31
_HEADER = 8
# What one drain hands on at most: enough to be worth numpy's while, small enough for the cache.
_SPAN = 4 << 20
# How many records of one rhythm make it worth looking for more of them at once.
_RHYTHM_CHECK = 8192
_RHYTHM_PAUSE = 256


_STILL_BUSY = Span(b"", np.empty(0, dtype=np.int64))


class RingBuffer:
    """A mapped ring buffer.

    Args:
        map_fd: file descriptor of the BPF map.
        size: of its data in bytes, a power of two.
    """

    def __init__(self, map_fd: int, size: int) -> None:
        page = mmap.PAGESIZE
        self._mask = size - 1
        self._consumer_map = mmap.mmap(map_fd, page)
        self._producer_map = mmap.mmap(map_fd, page + 2 * size, prot=mmap.PROT_READ, offset=page)
        self._consumer = memoryview(self._consumer_map).cast("Q")
        self._producer = memoryview(self._producer_map)[:8].cast("Q")
        self._data = memoryview(self._producer_map)[page:]
        self._lock = threading.Lock()

    def drain(self, *, last: bool = False) -> Span | None:
        """Take out what is finished, up to a few MiB; None when the buffer is empty."""
        begin = self._consumer[0]
        self._fence()
        end = min(self._producer[0], begin + _SPAN)
        if end == begin:
            return None
        self._fence()
        place = begin & self._mask
        starts, length = walk(self._data[place : place + end - begin])
        if length == 0:
            return _STILL_BUSY
        self._fence()
        data = bytes(self._data[place : place + length])
        self._fence()
        self._consumer[0] = begin + length
        return Span(data, starts)

    @property
    def filled(self) -> int:
        """Bytes that wait in the buffer."""
        filled: int = self._producer[0] - self._consumer[0]
        return filled

    def close(self) -> None:
        """Unmap."""
        for view in (self._consumer, self._producer, self._data):
            view.release()
        self._consumer_map.close()
        self._producer_map.close()

    def _fence(self) -> None:
        """Keep loads and stores on either side in their order.

        x86 does so by itself. arm64 does not: there the kernel's position must be read before the
        headers, a header before its payload, and the payload before our position is given back.
        Releasing a lock and taking it again orders what is before against what is after, as a
        store-release followed by a load-acquire of the same location.
        """
        with self._lock:
            pass
        with self._lock:
            pass


def walk(data: memoryview) -> tuple[npt.NDArray[np.int64], int]:
    """Find the finished records at the start of a span.

    Args:
        data: bytes of the ring from a record's header on; the last record may be cut off.

    Returns:
        Where the payload of each record starts, and how many bytes all of them take.
    """
    lengths = data[: len(data) & ~7].cast("I")
    words = np.frombuffer(lengths, dtype=np.uint32)
    end = len(lengths)
    found: list[npt.NDArray[np.int64]] = []
    singles: list[int] = []
    place, look_again = 0, 0
    while place < end:
        length = lengths[place]
        if length & _BUSY:
            break
        following = place + _words(length)
        if following > end:
            break
        singles.append(place)
        if place >= look_again and following < end:
            run = _rhythm(words, lengths, place, following, end)
            if run is None:
                look_again = place + _RHYTHM_PAUSE
            else:
                starts, place = run
                singles.pop()
                found += [np.array(singles, dtype=np.int64), starts]
                singles = []
                continue
        place = following
    found.append(np.array(singles, dtype=np.int64))
    return np.concatenate(found) * 4 + _HEADER, place * 4


def _words(length: int) -> int:
    """Return how many 4-byte words a record takes, header and padding included."""
    return ((length + _HEADER + 7) & ~7) >> 2


def _rhythm(
    words: npt.NDArray[np.uint32], lengths: memoryview, first: int, second: int, end: int
) -> tuple[npt.NDArray[np.int64], int] | None:
    """Look for a pair of record sizes that repeats, as entry and exit of equal writes do.

    Each header found so is reached through those before it, so this is the same walk, done at
    once for many records.

    Returns:
        Where the records start, in words, and where the first that breaks the rhythm does; None
        when there is no rhythm worth it.
    """
    if lengths[second] & _BUSY:
        return None
    step = _words(lengths[first]) + _words(lengths[second])
    pairs = min((end - first) // step, _RHYTHM_CHECK)
    if pairs < 4:
        return None
    same = (words[first : first + pairs * step : step] == lengths[first]) & (
        words[second : first + pairs * step : step] == lengths[second]
    )
    if not bool(same.all()):
        pairs = int(np.argmin(same))
        if pairs < 4:
            return None
    starts = np.empty((pairs, 2), dtype=np.int64)
    starts[:, 0] = np.arange(pairs, dtype=np.int64) * step + first
    starts[:, 1] = starts[:, 0] + (second - first)
    return starts.ravel(), first + pairs * step
