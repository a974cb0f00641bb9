"""Which end belongs to which beginning: a thread is in one system call at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.recorder.calls import PID_SHIFT, TID, Enters, Exits
from wcap.syscalls import SYSCALLS

SENDMMSG = SYSCALLS.index("sendmmsg")
_BEYOND = np.uint64(0xFFFF_FFFF_FFFF_FFFF)  # after the keys of all threads


@dataclass(frozen=True, slots=True)
class Joined:
    """Where each call's end is (-1: nowhere), and which ends are lost for good."""

    ends: npt.NDArray[np.int64]
    lost: npt.NDArray[np.bool_]


def join(enters: Enters, exits: Exits | None) -> Joined:
    """Find each call's end: the next of its thread, unless the thread began another before.

    The messages of one sendmmsg are events of one call, and have the same time.
    """
    total = len(enters.order)
    ends = np.full(total, -1, dtype=np.int64)
    first = int(enters.order.min())
    if exits is not None:
        first = min(first, int(exits.order.min()))
    by_thread, begin_keys, threads = _keys(enters.pid_tgid, enters.order - first)
    until = _next_calls(enters, by_thread, begin_keys)
    if exits is not None:
        exit_rows, end_keys, exit_threads = _keys(exits.pid_tgid, exits.order - first)
        found = np.searchsorted(end_keys, begin_keys)
        inside = np.minimum(found, len(end_keys) - 1)
        ok = (found < len(end_keys)) & (exit_threads[inside] == threads)
        ok &= end_keys[inside] < until
        ends[by_thread[ok]] = exit_rows[inside[ok]]
    lost = np.zeros(total, dtype=np.bool_)
    lost[by_thread[until >> PID_SHIFT == threads]] = True
    return Joined(ends, lost & (ends < 0))


def _next_calls(
    enters: Enters, by_thread: npt.NDArray[np.intp], keys: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    """Return for each key that of the next call, be it of another thread.

    Messages of one call are those of one thread at one time, whose numbers rise.
    """
    after = np.append(keys[1:], _BEYOND)
    messages = enters.syscall[by_thread] == SENDMMSG
    if enters.details is None or not bool(messages.any()):
        return after
    times, threads = enters.time_ns[by_thread], keys >> PID_SHIFT
    numbers = enters.details.message[by_thread]
    same_call = (
        (messages[1:] & messages[:-1])
        & (threads[1:] == threads[:-1])
        & (times[1:] == times[:-1])
        & (numbers[1:] > numbers[:-1])
    )
    lasts = np.append(np.flatnonzero(~same_call), len(keys) - 1)
    found: npt.NDArray[np.uint64] = after[lasts[np.searchsorted(lasts, np.arange(len(keys)))]]
    return found


def _keys(
    pid_tgid: npt.NDArray[Any], order: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Order rows by thread, then record; return them, their (thread, record) keys and threads.

    Records are counted from the batch's first: they are fewer than 2**32.
    """
    threads = pid_tgid & TID
    if bool((threads == threads[0]).all()):
        rows: npt.NDArray[np.intp] = np.arange(len(threads))
    else:
        rows = np.argsort(threads, kind="stable")
        threads = threads[rows]
    return rows, (threads << PID_SHIFT) | order[rows].astype(np.uint64), threads
