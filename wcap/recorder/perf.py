"""Perf buffers, one a CPU, drained in whole spans: for kernels before 5.8.

The kernel's layout (include/uapi/linux/perf_event.h): a page of control words, then the data. A
record is an 8-byte header (u32 type, u16 misc, u16 size); of a sample, a u32 size and the data
follow, which so lie 4 bytes past a multiple of 8. Each CPU's records are in order; the newest of
all wait in their buffers until no other CPU can have an older one.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import platform
import struct
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from wcap.recorder import kernel
from wcap.recorder.records import Span

_PERF_EVENT_OPEN = {"x86_64": 298}.get(platform.machine(), 241)
# include/uapi/linux/perf_event.h
_TYPE_SOFTWARE, _COUNT_SW_BPF_OUTPUT, _SAMPLE_RAW = 1, 10, 1 << 10
_RECORD_SAMPLE = 9
_IOC_ENABLE = 0x2400
_DATA_HEAD, _DATA_TAIL = 1024 // 8, 1032 // 8

_HEADER = struct.Struct("IHH")
# From a sample's start: its data, and in these the time (struct prefix of bpf/record.h).
_DATA = 12
_TIME = struct.Struct("Q")
_TIME_AT = _DATA + 8
# Dropping these makes every sample's data start at a multiple of 8.
_SHIFT = 4
# A record's time is read at most this long before the record is in the buffer.
_SETTLED_NS = 1_000_000


class _Attributes(ctypes.Structure):
    """The start of ``struct perf_event_attr``, as long as its first version was."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("config", ctypes.c_uint64),
        ("sample_period", ctypes.c_uint64),
        ("sample_type", ctypes.c_uint64),
        ("rest", ctypes.c_uint64 * 4),
    )


_END_OF_TIME = 1 << 64
# What is taken of one CPU at once, and more than a record can take (its length has 16 bits).
_SPAN = 4 << 20
_LARGEST = 1 << 17


@dataclass(frozen=True, slots=True)
class _Look:
    """What a CPU's buffer holds: samples by place and time, and the time of the next beyond."""

    data: bytes
    places: list[int] = field(default_factory=list)
    times_ns: list[int] = field(default_factory=list)
    rest_ns: int = _END_OF_TIME


class PerfBuffers:
    """The perf buffers of all CPUs that are online.

    Args:
        register: called with a CPU and the file descriptor of its buffer.
        size: bytes of all buffers together; each gets a power of two.
        clock: reads the clock that records are stamped with, in nanoseconds.

    Raises:
        OSError: a buffer cannot be opened or mapped.
    """

    def __init__(
        self, register: Callable[[int, int], None], size: int, clock: Callable[[], int]
    ) -> None:
        self._clock = clock
        cpus = kernel.online_cpus()
        pages = max(1, size // len(cpus) // mmap.PAGESIZE)
        each = mmap.PAGESIZE << (pages.bit_length() - 1)
        self._buffers = [_CpuBuffer(cpu, _open(cpu), each) for cpu in cpus]
        for buffer in self._buffers:
            register(buffer.cpu, buffer.descriptor)

    def drain(self, *, last: bool = False) -> Span | None:
        """Take out what is settled, in order of time; None when nothing is.

        Args:
            last: recording has ended, so take all.
        """
        horizon = _END_OF_TIME if last else self._clock() - _SETTLED_NS
        looks = [buffer.look() for buffer in self._buffers]
        # Where one CPU has more than is taken at once, the others go no further than it does.
        horizon = min([horizon, *(look.rest_ns for look in looks)])
        pieces, starts, times, length = [], [], [], 0
        for buffer, look in zip(self._buffers, looks, strict=True):
            taken = bisect_left(look.times_ns, horizon)
            size = look.places[taken] if taken < len(look.places) else len(look.data)
            buffer.release(size)
            pieces.append(look.data[:size])
            starts += [length + place + _DATA - _SHIFT for place in look.places[:taken]]
            times += look.times_ns[:taken]
            length += size
        if not starts:
            return None
        data = b"".join(pieces)[_SHIFT:]
        at = np.array(starts, dtype=np.int64)
        order = np.argsort(np.array(times, dtype=np.int64), kind="stable")
        return Span(data, at[order])

    def close(self) -> None:
        """Unmap and close."""
        for buffer in self._buffers:
            buffer.close()


def _open(cpu: int) -> int:
    """Open the perf event that BPF programs on a CPU send records to."""
    attributes = _Attributes(
        type=_TYPE_SOFTWARE,
        size=ctypes.sizeof(_Attributes),
        config=_COUNT_SW_BPF_OUTPUT,
        sample_period=1,
        sample_type=_SAMPLE_RAW,
    )
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.syscall(
        _PERF_EVENT_OPEN, ctypes.byref(attributes), -1, cpu, -1, ctypes.c_ulong(8)
    )
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), f"perf buffer of CPU {cpu}")
    fcntl.ioctl(descriptor, _IOC_ENABLE, 0)
    return descriptor


class _CpuBuffer:
    def __init__(self, cpu: int, descriptor: int, size: int) -> None:
        self.cpu = cpu
        self.descriptor = descriptor
        self._size = size
        self._map = mmap.mmap(descriptor, mmap.PAGESIZE + size)
        self._control = memoryview(self._map)[: mmap.PAGESIZE].cast("Q")
        self._data = memoryview(self._map)[mmap.PAGESIZE :]

    def look(self) -> _Look:
        """Copy out what is there, up to a few MiB, and find the samples in it.

        x86 keeps these loads in order by itself; elsewhere the system calls between two drains
        (sleeping, reading the clock) order the head's load before the data's.
        """
        head, tail = self._control[_DATA_HEAD], self._control[_DATA_TAIL]
        look = _Look(self._copy(tail, min(head - tail, _SPAN + _LARGEST)))
        place = 0
        while place < len(look.data):
            kind, _, size = _HEADER.unpack_from(look.data, place)
            if kind == _RECORD_SAMPLE:
                (time_ns,) = _TIME.unpack_from(look.data, place + _TIME_AT)
                if place >= _SPAN:
                    return replace(look, data=look.data[:place], rest_ns=time_ns)
                look.places.append(place)
                look.times_ns.append(max(time_ns, look.times_ns[-1] if look.times_ns else 0))
            place += size
        return look

    def release(self, size: int) -> None:
        """Give the kernel back the first bytes of what is there."""
        if size:
            self._control[_DATA_TAIL] += size

    def _copy(self, tail: int, length: int) -> bytes:
        begin = tail % self._size
        first = self._data[begin : begin + length]
        return bytes(first) + bytes(self._data[: length - len(first)])

    def close(self) -> None:
        self._control.release()
        self._data.release()
        self._map.close()
        os.close(self.descriptor)
