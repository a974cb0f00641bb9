"""Recorders that are killed by SIGKILL at given moments, and what must hold of what they leave.

Several record the same processes at once and write to files of their own, since a recorder takes
seconds to start. What does not hold is told as text, so that a hundred moments can be counted.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from crash.load import FD, REST, WRITE, WRITERS, ready_to_write
from kernel.support import Recorder

import wcap
from wcap.batch import EventBatch
from wcap.errors import TruncatedError
from wcap.events import Gap

sys.path.insert(0, str(Path(__file__).parents[2]))

from fuzz.readers import run

# A write is in the file when it is as old as this, if the recorder keeps up (docs/record.md), and
# what a machine may take at most to write it while four recorders share it.
AGE_NS = 1_500_000_000
GRACE_NS = 500_000_000
# Ways to record: of several files all but the newest two are closed.
WAYS = {
    "one file": (),
    "by size": ("-C", "64K"),
    "by time": ("-G", "1"),
    "in turn": ("-C", "64K", "-W", "3"),
}


@dataclass(frozen=True)
class Moment:
    """When a recorder is killed, and how it recorded: a key of `WAYS`."""

    seconds: float
    way: str


@dataclass(frozen=True)
class Left:
    """What a killed recorder left.

    Attributes:
        files: how many.
        events: in all of them.
        lost: as its gaps say.
        age_ns: of the newest event of the writer whose newest is the oldest; None without any.
        wrong: what does not hold.
    """

    files: int
    events: int
    lost: int
    age_ns: int | None
    wrong: list[str]


def kill(rhythm: str, moments: Sequence[Moment], folder: Path) -> list[Left]:
    """Record under load, once for each moment, and kill each recorder at its own."""
    killed_ns = {}
    with ready_to_write(rhythm) as puppets, contextlib.ExitStack() as stack:
        chosen = ("-p", ",".join(str(puppet.pid) for puppet in puppets), "-B", "16M")
        recorders = []
        for place, moment in enumerate(moments):
            (folder / str(place)).mkdir()
            output = folder / str(place) / "run.wcap"
            recorder = Recorder(*chosen, *WAYS[moment.way], output=output)
            recorders.append(stack.enter_context(recorder))
        for recorder in recorders:
            recorder.wait_until_recording()
        for puppet in puppets:
            puppet.go()
        started = time.monotonic()
        for place in sorted(range(len(moments)), key=lambda place: moments[place].seconds):
            time.sleep(max(0, started + moments[place].seconds - time.monotonic()))
            killed_ns[place] = time.time_ns()
            recorders[place].signal(signal.SIGKILL)
            recorders[place].process.wait()
    return [
        _examine(folder / str(place), rhythm, moment, killed_ns[place])
        for place, moment in enumerate(moments)
    ]


class _Examination:
    """Looks at what one recorder left, file by file."""

    def __init__(self, folder: Path) -> None:
        self.wrong: list[str] = []
        self.batches: list[EventBatch] = []
        self.lost = 0
        self.files = sorted(folder.iterdir(), key=_part)
        self._reached: Counter[int] | None = None

    def file(self, path: Path) -> None:
        """Look at the next file; at most the newest two, at whose seam it died, are not closed."""
        if _part(path) == _NOT_BEGUN:
            self._see(path == self.files[-1], path, "no header")
            return
        with wcap.open(path, errors="salvage") as capture:
            batches = list(capture.batches())
            damage, gaps, after = capture.damage, capture.gaps, capture.header.after
            ended = capture.end is not None
            closed = capture.indexed and ended
        self._see(closed or path in self.files[-2:], path, "not closed")
        self._see(not closed or path != self.files[-1], path, "closed, so nobody was killed")
        cut = [error for error in damage if isinstance(error, TruncatedError)]
        self._see((len(damage), bool(cut)) == (len(cut), not closed), path, f"damage: {damage}")
        if self._reached is None:
            self._reached = Counter(after)
        self._see(Counter(after) == self._reached, path, "a seam with a hole")
        self._numbered(path, batches, gaps)
        self._commands(path, sum(map(len, batches)), gaps, ended=ended, closed=closed)
        self.batches += batches
        self.lost += sum(gap.count for gap in gaps)

    def _see(self, holds: bool, path: Path, what: str) -> None:
        if not holds:
            self.wrong.append(f"{path.parent.name}/{path.name}: {what}")

    def _numbered(self, path: Path, batches: Sequence[EventBatch], gaps: Iterable[Gap]) -> None:
        """See that each CPU's events and losses are all that it numbered up to the last event."""
        assert self._reached is not None
        if not batches:
            return
        cpus = np.concatenate([batch.cpu for batch in batches])
        numbers = np.concatenate([batch.sequence for batch in batches])
        for cpu in np.unique(cpus).tolist():
            mine = np.sort(numbers[cpus == cpu])
            last, before = int(mine[-1]), self._reached[cpu]
            lost = sum(gap.count for gap in gaps if gap.cpu == cpu and gap.last_sequence < last)
            self._see(bool((np.diff(mine) > 0).all()), path, "an event stands twice")
            self._see(int(mine[0]) > before, path, "an event of the file before")
            self._see(len(mine) + lost == last - before, path, f"holes on CPU {cpu}")
            self._reached[cpu] = max(last, *(g.last_sequence for g in gaps if g.cpu == cpu), 0)

    def _commands(
        self, path: Path, events: int, gaps: Sequence[Gap], *, ended: bool, closed: bool
    ) -> None:
        """See what the commands say of a file; one that ended lacks at most its index."""
        whole = closed and not gaps
        for command, status in (("info", 0 if whole else 3), ("verify", 0 if closed else 3)):
            found, out, _ = run([command, str(path)])
            self._see(found == status, path, f"{command}: status {found}: {out[-300:]}")
            self._see(closed or "no footer" in out, path, f"{command} does not tell: {out[-300:]}")
        if closed:
            return
        found, out, err = run(["show", str(path)])
        self._see(found == 3 and "no footer" in err, path, f"show: status {found}: {err}")
        self._see(out.count("\n") == events + len(gaps), path, "show shows other events")
        again = path.with_suffix(".again")
        found, _, err = run(["recover", str(path), "-o", str(again)])
        status = 0 if ended and not gaps else 3
        self._see(found == status, path, f"recover: status {found}: {err}")
        found, out, _ = run(["verify", str(again)])
        self._see(found == 0, path, f"recovered, but not sound: {out[-300:]}")
        with wcap.open(again) as capture:
            kept = sum(map(len, capture.batches()))
        self._see(kept == events, path, f"{kept} of {events} events recovered")
        again.unlink()

    def newest(self) -> dict[int, int]:
        """See that each writer's numbers are whole; return the time of its newest event."""
        newest: dict[int, int] = {}
        missing = 0
        chosen = [batch.select(batch.fd == FD) for batch in self.batches]
        if not chosen:
            return newest
        times = np.concatenate([batch.time_ns for batch in chosen])
        payloads = b"".join(batch.joined() for batch in chosen)
        written = np.frombuffer(payloads, dtype=WRITE)
        if payloads != b"".join(one.tobytes()[:16] + REST for one in written):
            self.wrong.append("bytes that nobody wrote")
        for who in np.unique(written["who"]).tolist():
            mine = written["who"] == who
            newest[who] = int(times[mine].max())
            steps = np.diff(np.sort(written["number"][mine]).astype(np.int64))
            missing += int((steps - 1).sum())
            if (steps < 1).any():
                self.wrong.append(f"writer {who}: a write stands twice")
        if missing > self.lost:
            self.wrong.append(f"{missing} writes are missing, and {self.lost} are said to be lost")
        return newest


_NOT_BEGUN = 1 << 62


def _part(path: Path) -> int:
    """Return which file of its recording this is; the one without a whole header is the newest."""
    try:
        with wcap.open(path, errors="salvage") as capture:
            return capture.header.part or 1
    except TruncatedError:
        return _NOT_BEGUN


def _examine(folder: Path, rhythm: str, moment: Moment, killed_ns: int) -> Left:
    found = _Examination(folder)
    for path in found.files:
        found.file(path)
    newest = found.newest()
    age_ns = killed_ns - min(newest.values()) if len(newest) == WRITERS else None
    limit_ns = AGE_NS + GRACE_NS
    if rhythm == "bursts" and moment.seconds * 1e9 > limit_ns and (age_ns or killed_ns) > limit_ns:
        found.wrong.append(f"the newest event is {age_ns} ns old")
    events = sum(map(len, found.batches))
    return Left(len(found.files), events, found.lost, age_ns, found.wrong)
