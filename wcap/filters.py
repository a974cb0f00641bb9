"""Which events are wanted: a mask over a batch, and a test that skips whole chunks.

Conditions of different kinds narrow each other; several values of one kind widen it; what is
excluded is a filter of its own. Columns are compared whole, names once for each entry of a table;
payloads are looked at last, and only those of events that still match.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeAlias

from wcap.chunk_summary import Summary
from wcap.errors import FilterError
from wcap.events import TARGET_KINDS, Gap, Target
from wcap.hosts import UNKNOWN_HOSTS, Hosts
from wcap.syscalls import CLASSES
from wcap.units import parse_list

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from wcap.batch import Column, EventBatch

    Mask: TypeAlias = npt.NDArray[np.bool_]

# TASK_COMM_LEN - 1 (include/linux/sched.h): what the kernel keeps of a name.
COMM_BYTES = 15
# Calls of these never say which address they send to.
_UNADDRESSED = frozenset(CLASSES["file"])

Listed: TypeAlias = frozenset[Any] | None


@dataclass(frozen=True, slots=True)
class CommPattern:
    """A process or thread name: ``text`` exactly, or as a prefix; at most 15 bytes."""

    text: bytes
    prefix: bool = False

    @classmethod
    def parse(cls, pattern: str) -> CommPattern:
        """Read ``NAME`` or ``NAME*``; what is longer than a name can be is cut to 15 bytes.

        Raises:
            FilterError: it is empty, or a NUL is in it.
        """
        raw = pattern.encode("utf-8", "surrogateescape")
        prefix = raw.endswith(b"*")
        name = raw.removesuffix(b"*") if prefix else raw
        if not raw or b"\0" in name:
            raise FilterError(f"a name or NAME* expected, {pattern!r} found")
        return cls(name[:COMM_BYTES], prefix)

    def matches(self, name: str) -> bool:
        """Tell whether a name is meant."""
        raw = name.encode("utf-8", "surrogateescape")
        return raw.startswith(self.text) if self.prefix else raw == self.text

    def __str__(self) -> str:
        return self.text.decode("utf-8", "surrogateescape") + "*" * self.prefix


@dataclass(frozen=True, slots=True)
class Filter:
    """The events wanted; a condition that is None lets every event pass.

    Attributes:
        pids, tids, fds: numbers, any of which matches.
        comms: names of the thread or of its process's leader.
        targets: patterns of `fnmatch`, case-sensitive, of which one matches the name, the path or
            an address of what the descriptor stood for, or the address that was sent to.
        kinds: of what the descriptor stood for (`TARGET_KINDS`).
        syscalls: names of system calls.
        hosts: names of machines.
        since_ns, until_ns: wall clock in nanoseconds, the first included, the last not.
        grep: found anywhere in the payload.
        errors: only writes that failed.
        without: events that any of these lets pass are not wanted.
    """

    pids: frozenset[int] | None = None
    tids: frozenset[int] | None = None
    fds: frozenset[int] | None = None
    comms: tuple[CommPattern, ...] | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    grep: re.Pattern[bytes] | None = None
    errors: bool = False
    targets: tuple[str, ...] | None = None
    kinds: frozenset[str] | None = None
    syscalls: frozenset[str] | None = None
    hosts: frozenset[str] | None = None
    without: tuple[Filter, ...] = ()

    def may_match(self, summary: Summary, offset_ns: int, hosts: Hosts = UNKNOWN_HOSTS) -> bool:
        """Tell whether a chunk with this summary may hold a wanted event.

        Args:
            summary: of the chunk.
            offset_ns: from the capture's clock to the wall clock (`Clock.offset_ns`).
            hosts: which machine each CPU number belongs to.
        """
        if self.since_ns is not None and summary.last_ns + offset_ns < self.since_ns:
            return False
        if self.until_ns is not None and summary.first_ns + offset_ns >= self.until_ns:
            return False
        if self.errors and summary.failed == 0 and summary.unfinished == 0:
            return False
        conditions = [*self._complete(summary, hosts), *self._partial(summary)]
        if not all(found is None or any(map(wanted, found)) for wanted, found in conditions):
            return False
        return not any(other.must_match(summary, offset_ns, hosts) for other in self.without)

    def must_match(self, summary: Summary, offset_ns: int, hosts: Hosts = UNKNOWN_HOSTS) -> bool:
        """Tell whether every event of a chunk with this summary is certainly a wanted one."""
        since, until = self.since_ns, self.until_ns
        unlisted = (self.targets, self.kinds, self.grep)
        if self.errors or self.without or any(condition is not None for condition in unlisted):
            return False
        return (
            (since is None or summary.first_ns + offset_ns >= since)
            and (until is None or summary.last_ns + offset_ns < until)
            and all(
                found is not None and all(map(wanted, found))
                for wanted, found in self._complete(summary, hosts)
            )
        )

    def _complete(
        self, summary: Summary, hosts: Hosts
    ) -> Iterator[tuple[Callable[[Any], bool], Listed]]:
        """Yield conditions, each with the values of which every event of the chunk has one."""
        if self.pids is not None:
            yield self.pids.__contains__, summary.pids
        if self.tids is not None:
            yield self.tids.__contains__, summary.tids
        if self.fds is not None:
            yield self.fds.__contains__, summary.fds
        if self.comms is not None:
            yield self._named, summary.comms
        if self.syscalls is not None:
            yield self.syscalls.__contains__, summary.calls
        if self.hosts is not None:
            yield self.hosts.__contains__, frozenset(hosts.of(row[0]) for row in summary.sequences)

    def _partial(self, summary: Summary) -> Iterator[tuple[Callable[[Any], bool], Listed]]:
        """Yield conditions, each with the values of which an event must have one to match."""
        if self.kinds is not None:
            yield self.kinds.__contains__, summary.kinds
        # Addresses that were sent to are not listed, but these calls have none.
        if self.targets is not None and summary.calls is not None and summary.calls <= _UNADDRESSED:
            yield lambda name: self._meant(*_texts_of(name)), summary.targets

    def may_be_on(self, host: str | None) -> bool:
        """Tell whether events of a machine may be wanted."""
        return (self.hosts is None or host in self.hosts) and not any(
            other == Filter(hosts=other.hosts) and other.may_be_on(host) for other in self.without
        )

    def may_be_of(self, pid: int, name: str) -> bool:
        """Tell whether events of a process may be wanted, as far as its id and name tell."""
        if self.pids is not None and pid not in self.pids:
            return False
        if self.comms is not None and not self._named(name):
            return False
        return not any(
            other == Filter(pids=other.pids, comms=other.comms) and other.may_be_of(pid, name)
            for other in self.without
        )

    def may_miss(self, gap: Gap, hosts: Hosts = UNKNOWN_HOSTS) -> bool:
        """Tell whether a wanted event may be among those lost: their time and CPU are known."""
        return self.may_be_on(hosts.of(gap.cpu)) and not (
            (self.since_ns is not None and gap.last_ns <= self.since_ns)
            or (self.until_ns is not None and gap.first_ns >= self.until_ns)
        )

    def apply(self, batch: EventBatch) -> EventBatch:
        """Return the wanted events of a batch, or the batch itself when all are."""
        mask = self._mask(batch)
        return batch if mask is None or bool(mask.all()) else batch.select(mask)

    def _mask(self, batch: EventBatch) -> Mask | None:
        """Return which events are wanted; None where all are."""
        import numpy as np

        masks = [*self._numbers(batch), *self._names(batch)]
        if self.since_ns is not None:
            masks.append(batch.time_ns >= self.since_ns)
        if self.until_ns is not None:
            masks.append(batch.time_ns < self.until_ns)
        if self.errors:
            masks.append((batch.returned < 0) & batch.has_result)
        for other in self.without:
            unwanted = other._mask(batch)
            masks.append(np.zeros(len(batch), np.bool_) if unwanted is None else ~unwanted)
        mask: Mask | None = np.logical_and.reduce(masks) if masks else None
        return mask if self.grep is None else self._grepped(batch, mask, self.grep)

    def _numbers(self, batch: EventBatch) -> Iterator[Mask]:
        if self.pids is not None:
            yield _among(batch.pid, self.pids)
        if self.tids is not None:
            yield _among(batch.tid, self.tids)
        if self.fds is not None:
            yield _among(batch.fd, self.fds)

    def _names(self, batch: EventBatch) -> Iterator[Mask]:
        if self.comms is not None:
            threads = _each(self._named, batch.comms)
            leaders = _each(
                lambda p: p.leader is not None and self._named(p.leader), batch.processes
            )
            yield threads[batch.comm] | leaders[batch.process]
        if self.syscalls is not None:
            yield _each(self.syscalls.__contains__, batch.syscalls)[batch.syscall]
        if self.hosts is not None:
            yield _each(self.hosts.__contains__, batch.hosts.names)[batch.host]
        if self.kinds is not None:
            kinds = [target.kind for target in batch.targets]
            yield _each(self.kinds.__contains__, kinds)[batch.target]
        if self.targets is not None:
            meant = _each(lambda t: self._meant(*_texts(t)), batch.targets)[batch.target]
            sent = batch.has("address").nonzero()[0]
            if len(sent):
                meant[sent] |= _each(self._meant, batch.addresses)[batch.column("address")[sent]]
            yield meant

    def _grepped(self, batch: EventBatch, mask: Mask | None, grep: re.Pattern[bytes]) -> Mask:
        chosen = batch if mask is None else batch.select(mask)
        found = _each(lambda data: grep.search(data) is not None, chosen.payloads())
        if mask is None:
            return found
        mask[mask] = found
        return mask

    def _named(self, name: str) -> bool:
        return any(pattern.matches(name) for pattern in self.comms or ())

    def _meant(self, *texts: str) -> bool:
        return any(fnmatchcase(text, pattern) for pattern in self.targets or () for text in texts)


def _each(test: Callable[[Any], bool], table: Iterable[Any]) -> Mask:
    import numpy as np

    return np.array([test(value) for value in table], dtype=np.bool_)


def _texts(target: Target) -> list[str]:
    """Return what a target may be meant by: its name, and the parts that its name is made of."""
    if target.kind is None:
        return []
    by_path = target.kind == "anonymous" or target.path is not None
    parts = [target.path] if by_path else [target.local, target.peer]
    return [text for text in (target.name, *parts) if text is not None]


def _texts_of(name: str) -> set[str]:
    """Return at least the `_texts` of any target that has this name."""
    whole = {name, name.removeprefix("anon_inode:"), name.removeprefix("…/")}
    addresses = name.partition(" ")[2]
    ends = addresses.split("→")
    cuts = range(1, len(ends))
    return {
        *whole,
        *(text.removesuffix(" (deleted)") for text in whole),
        addresses,
        *("→".join(ends[:cut]) for cut in cuts),
        *("→".join(ends[cut:]) for cut in cuts),
    }


def _among(column: Column, wanted: Iterable[int]) -> Mask:
    import numpy as np

    limits = np.iinfo(column.dtype)
    possible = [number for number in wanted if limits.min <= number <= limits.max]
    return np.isin(column, np.array(possible, dtype=column.dtype))


def parse_glob(pattern: str) -> str:
    """Return a pattern for names of targets.

    Raises:
        FilterError: it is empty.
    """
    if not pattern:
        raise FilterError("--target: a pattern such as /var/log/* or *:443 expected, none found")
    return pattern


def parse_kinds(given: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Read the values of a repeated option, such as ``tcp,udp``, as (named, excluded) kinds.

    Raises:
        FilterError: one is not among `TARGET_KINDS`.
    """
    named, excluded = parse_list(given)
    return frozenset(map(check_kind, named)), frozenset(map(check_kind, excluded))


def check_kind(word: str) -> str:
    """Return a word that is a kind of target.

    Raises:
        FilterError: it is not among `TARGET_KINDS`.
    """
    if word not in TARGET_KINDS:
        raise FilterError(
            f"--target-kind: one of {', '.join(TARGET_KINDS)} expected, {word[:40]!r} found"
        )
    return word


def compile_grep(pattern: str) -> re.Pattern[bytes]:
    """Compile a regular expression over payload bytes.

    Raises:
        FilterError: it does not compile.
    """
    try:
        with warnings.catch_warnings():
            # What Python may read differently one day is no business of who searches today.
            warnings.simplefilter("ignore")
            return re.compile(pattern.encode("utf-8", "surrogateescape"))
    except (re.error, OverflowError, RecursionError) as error:
        raise FilterError(f"not a regular expression: {pattern!r}: {error}") from error
