"""Hypothesis strategies: batches of events with every value that the format can hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from support import STARTED_NS

from wcap.batch import COLUMNS, OPTIONAL, EventBatch
from wcap.events import TARGET_KINDS, UNKNOWN_TARGET, EventFlag, Gap, Process, Target
from wcap.fields import text

UINT32 = st.one_of(st.integers(0, 3), st.integers(0, 2**32 - 1))
INT64 = st.one_of(
    st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([-(2**63), 2**63 - 1]),
)
# What lies on the capture's clock within 36 years of its anchor.
TIMES = st.integers(-(2**60), 2**60).map(lambda after: STARTED_NS + after)
NAMES = st.binary(max_size=15).map(text)
SEQUENCES = st.one_of(st.integers(1, 9), st.integers(1, 2**63 - 1))
VALUES: dict[str, st.SearchStrategy[int]] = {
    "cpu": st.one_of(st.integers(0, 3), UINT32),
    "sequence": SEQUENCES,
    "tid": UINT32,
    "fd": st.one_of(st.integers(-1, 3), st.integers(-(2**31), 2**31 - 1)),
    "count": st.one_of(st.integers(0, 9), st.integers(0, 2**64 - 1), st.just(2**64 - 1)),
    "returned": INT64,
    "duration_ns": INT64,
    "flags": st.one_of(st.integers(0, 31), st.sampled_from(EventFlag).map(int), UINT32),
    "offset": INT64,
    "source_fd": st.integers(-(2**31), 2**31 - 1),
}

# What msgpack may hold in any place.
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4) | st.integers(0, 9), inner, max_size=4)
    ),
    max_leaves=20,
)  # fmt: skip


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values)


def processes() -> st.SearchStrategy[Process]:
    return st.builds(
        Process,
        pid=UINT32,
        comm=NAMES,
        leader=maybe(NAMES),
        ppid=maybe(UINT32),
        uid=maybe(UINT32),
        start_ns=maybe(st.integers(0, 2**63 - 1)),
        exe=maybe(st.binary(max_size=20).map(text)),
        cmdline=maybe(st.lists(st.binary(max_size=9).map(text), max_size=3).map(tuple)),
        gid=maybe(UINT32),
        cgroup=maybe(st.binary(max_size=20).map(text)),
        ns_pid=maybe(UINT32),
    )


def targets() -> st.SearchStrategy[Target]:
    return st.just(UNKNOWN_TARGET) | st.builds(
        Target,
        kind=maybe(st.sampled_from(TARGET_KINDS) | st.text(max_size=9)),
        path=maybe(st.binary(max_size=20).map(text)),
        device=maybe(st.tuples(UINT32, UINT32)),
        inode=maybe(st.integers(0, 2**64 - 1)),
        local=maybe(NAMES),
        peer=maybe(NAMES),
        partial=st.booleans(),
        deleted=st.booleans(),
        from_proc=st.booleans(),
    )


@st.composite
def batches(draw: st.DrawFn, *, in_order: bool = True) -> EventBatch:
    """Draw a batch of any events; their times never decrease if ``in_order``.

    It may lack columns that no event needs.
    """
    tables: dict[str, list[Any]] = {
        "process": draw(st.lists(processes(), min_size=1, max_size=4)),
        "comm": draw(st.lists(NAMES, min_size=1, max_size=4)),
        "syscall": draw(st.lists(st.text(max_size=9), min_size=1, max_size=2)),
        "target": draw(st.lists(targets(), min_size=1, max_size=4)),
        "address": draw(st.lists(NAMES, min_size=1, max_size=4)),
    }
    tables["source"] = tables["target"]
    payloads = draw(st.lists(st.binary(max_size=40), min_size=1, max_size=30))
    length = len(payloads)
    times = draw(st.lists(TIMES, min_size=length, max_size=length))
    rows: dict[str, list[int]] = {
        "time_ns": sorted(times) if in_order else times,
        "captured": [len(payload) for payload in payloads],
    }
    for name, table in tables.items():
        positions = st.integers(0, len(table) - 1)
        rows[name] = draw(st.lists(positions, min_size=length, max_size=length))
    for name, values in VALUES.items():
        rows[name] = draw(st.lists(values, min_size=length, max_size=length))
    needed = {"target": draw(st.booleans())} | {
        name: any(flags & flag for flags in rows["flags"]) for name, flag in OPTIONAL.items()
    }
    return EventBatch(
        length,
        {
            name: np.array(rows[name], dtype=kind)
            for name, kind in COLUMNS.items()
            if needed.get(name, True)
        },
        b"".join(payloads),
        processes=tables["process"],
        comms=tables["comm"],
        syscalls=tables["syscall"],
        targets=tables["target"],
        addresses=tables["address"],
    )


@st.composite
def gaps(draw: st.DrawFn) -> Gap:
    """Draw a gap."""
    first, last = sorted((draw(SEQUENCES), draw(SEQUENCES)))
    first_ns, last_ns = sorted((draw(TIMES), draw(TIMES)))
    count = draw(st.integers(1, last - first + 1))
    cause = draw(st.text(max_size=9))
    whose = draw(st.lists(st.tuples(UINT32, st.integers(0, 2**63 - 1)), max_size=3))
    return Gap(draw(UINT32), first, last, count, first_ns, last_ns, cause, tuple(whose))
