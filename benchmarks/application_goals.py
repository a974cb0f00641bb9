"""What wcap is to reach on real programs: how small its file is beside strace's, packed."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence

from benchmarks.applications import Application, Work
from benchmarks.goal import Goal, at_most
from benchmarks.recorders import STRACE, STRACE_SECCOMP, WCAP_RECORD

_OF_STRACE, _OF_PAYLOAD = 0.5, 1.1


def judge_applications(applications: Sequence[Application]) -> Iterator[Goal]:
    """Judge the file's size for each program, in relation to strace's and to the payload alone."""
    for program in dict.fromkeys(one.program for one in applications):
        ours = _works(applications, program, WCAP_RECORD.name)
        theirs = _works(applications, program, STRACE.name)
        theirs = theirs or _works(applications, program, STRACE_SECCOMP.name)
        packed = _ratio(_of_a_request(ours, _stored), _of_a_request(theirs, _packed))
        yield at_most(
            f"bytes of wcap for {program}, to strace's after zstd -3", packed, _OF_STRACE, "{:.2f}"
        )
        payload = _ratio(_of_a_request(ours, _stored), _of_a_request(ours, _payload))
        yield at_most(
            f"bytes of wcap for {program}, to the payload after zstd -3",
            payload,
            _OF_PAYLOAD,
            "{:.2f}",
        )


def _works(applications: Sequence[Application], program: str, recorder: str) -> list[Work]:
    return next(
        (one.works for one in applications if (one.program, one.recorder) == (program, recorder)),
        [],
    )


def _of_a_request(works: Sequence[Work], size: Callable[[Work], int | None]) -> float | None:
    """Return the median of bytes for each request; a slow recorder sees fewer requests."""
    known = [bytes_ / one.requests for one in works if (bytes_ := size(one)) is not None]
    return statistics.median(known) if known else None


def _stored(work: Work) -> int | None:
    return work.output_bytes


def _packed(work: Work) -> int | None:
    return work.packed_bytes


def _payload(work: Work) -> int | None:
    return work.payload_bytes


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None
