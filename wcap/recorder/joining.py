"""Which end belongs to which beginning: a thread is in one system call at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wcap.recorder.records import PID_SHIFT, TID, Enters, Exits
from wcap.syscalls import SYSCALLS

_SENDMMSG = SYSCALLS.index("sendmmsg")


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
    follows = np.zeros(total, dtype=np.bool_)
    follows[:-1] = threads[1:] == threads[:-1]
    messages = enters.syscall[by_thread] == _SENDMMSG
    if bool(messages.any()):
        times = enters.time_ns[by_thread]
        follows[:-1] &= ~(messages[1:] & messages[:-1] & (times[1:] == times[:-1]))
    if exits is not None:
        exit_rows, end_keys, exit_threads = _keys(exits.pid_tgid, exits.order - first)
        found = np.searchsorted(end_keys, begin_keys)
        inside = np.minimum(found, len(end_keys) - 1)
        ok = (found < len(end_keys)) & (exit_threads[inside] == threads)
        ok[:-1] &= ~follows[:-1] | (end_keys[inside[:-1]] < begin_keys[1:])
        ends[by_thread[ok]] = exit_rows[inside[ok]]
    lost = np.zeros(total, dtype=np.bool_)
    lost[by_thread[follows]] = True
    return Joined(ends, lost & (ends < 0))


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
