"""Each CPU's sequence numbers, chunk by chunk: which stand for events, which for losses, which for
neither (SPEC.md section 6).

Memory holds a few numbers a CPU, however many events there are: what is counted is how many
numbers a stretch has, and how many events and losses lie in it. That is exact, unless a number
stands twice.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wcap.events import DAMAGE, Gap


@dataclass(frozen=True, slots=True)
class Unexplained:
    """``count`` numbers of a CPU between two others, both included, that stand for nothing."""

    cpu: int
    first_sequence: int
    last_sequence: int
    count: int


@dataclass(slots=True)
class _Account:
    """One CPU: up to which number all is settled, and what was seen above it.

    ``past`` is the highest number of any gap.
    """

    settled: int = 0
    reached: int = 0
    events: int = 0
    first_event: int | None = None
    past: int = 0
    gaps: list[Gap] = field(default_factory=list)


class Accounts:
    """Follows the numbers of every CPU through a capture, in the order of its frames.

    Args:
        after: the number that each CPU had given before this capture.

    Attributes:
        told_late: of each CPU, how many numbers that stood for nothing a gap of the cause
            ``damage`` explained afterwards (SPEC.md section 12.4).
    """

    def __init__(self, after: Mapping[int, int]) -> None:
        self.told_late: Counter[int] = Counter()
        self._of_cpu: defaultdict[int, _Account] = defaultdict(_Account)
        for cpu, last in after.items():
            self._of_cpu[cpu] = _Account(settled=last, reached=last)

    @property
    def reached(self) -> dict[int, int]:
        """The highest number of each CPU that was seen."""
        return {cpu: account.reached for cpu, account in sorted(self._of_cpu.items())}

    def add_gap(self, gap: Gap) -> bool:
        """Take in a gap; return whether it stands before the events after it."""
        account = self._of_cpu[gap.cpu]
        in_time = gap.last_sequence > account.reached
        if gap.cause == DAMAGE and gap.first_sequence <= account.settled:
            self.told_late[gap.cpu] += gap.count
        else:
            account.gaps.append(gap)
        account.past = max(account.past, gap.last_sequence)
        return in_time

    def add_events(
        self, sequences: Iterable[tuple[int, int, int, int]]
    ) -> Iterator[Unexplained | tuple[int, int, int]]:
        """Take in a chunk's events: (CPU, first, last, events) of each of its CPUs.

        Yields:
            What stands for nothing between the numbers before and these; and as (CPU, first,
            reached) where numbers lead back, so that some stand twice or too late.
        """
        for cpu, first, last, events in sequences:
            account = self._of_cpu[cpu]
            if first <= account.reached:
                yield cpu, first, account.reached
            account.events += events
            if account.first_event is None:
                account.first_event = first
            account.reached = max(account.reached, last)
            yield from _settle(cpu, account)

    def finish(self, counted: Iterable[tuple[int, int]]) -> Iterator[Unexplained]:
        """Yield what stands for nothing up to the (CPU, last number) that the recorder counted."""
        for cpu, last in counted:
            account = self._of_cpu[cpu]
            account.reached = max(account.reached, last)
        for cpu, account in sorted(self._of_cpu.items()):
            account.reached = max(account.reached, account.past)
            yield from _settle(cpu, account)


def _settle(cpu: int, account: _Account) -> Iterator[Unexplained]:
    """Balance the numbers since the last time, unless a gap reaches beyond them."""
    gaps = [gap for gap in account.gaps if gap.first_sequence <= account.reached]
    if any(gap.last_sequence > account.reached for gap in gaps):
        return
    start, last = account.settled + 1, account.reached
    count = last - account.settled - account.events - sum(gap.count for gap in gaps)
    if count > 0:
        yield _bounds(cpu, start, last, count, account.first_event, gaps)
    account.gaps = [gap for gap in account.gaps if gap.first_sequence > account.reached]
    account.settled, account.events, account.first_event = last, 0, None


def _bounds(
    cpu: int, start: int, last: int, count: int, first_event: int | None, gaps: Sequence[Gap]
) -> Unexplained:
    """Say where numbers are missing: right before the events if there is room for all of them."""
    before = (first_event or last + 1) - 1
    inside = sum(gap.count for gap in gaps if gap.last_sequence <= before)
    if before - start + 1 - inside == count:
        full = sorted((gap.first_sequence, gap.last_sequence) for gap in gaps)
        for lowest, highest in full:
            if lowest == start:
                start = highest + 1
        for lowest, highest in reversed(full):
            if highest == before:
                before = lowest - 1
        last = before
    return Unexplained(cpu, start, last, count)
