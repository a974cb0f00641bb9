"""Vectors of what rewriting tools make: captures before and after, section 8.7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vectormaker import chunk as c
from vectormaker.chunk import CLOCK_NS, WALL_NS, Event, chunk
from vectormaker.facts import results
from vectormaker.meaning import Vector
from vectormaker.story import ONE, TWO, Frame, ending, gap, head
from vectormaker.wire import END, EVENTS, GAPS, HEADER, RESULTS, Bytes

HOUR = 3_600_000_000_000
# One machine, and another that began an hour before, when the first was not booted yet.
NEW, OLD = (1_000_000_000, WALL_NS), (9 * HOUR, WALL_NS - HOUR)
UNKNOWN_BIT = 1 << 31


def vectors() -> Iterator[Vector]:
    """Yield every vector of this folder."""
    for part in (hosts, unknowns, left_out, parts):
        for vector in part():
            yield replace(vector, name=f"rewritten/{vector.name}", rules=f"W14 {vector.rules}")


def at(anchor: tuple[int, int], after_ns: int) -> int:
    """Return ``Event.at`` of a moment (nanoseconds after `WALL_NS`) on a clock."""
    return anchor[0] + WALL_NS + after_ns - anchor[1] - CLOCK_NS


def clock(anchor: tuple[int, int]) -> dict[str, Any]:
    """Return the map of a clock."""
    return {"name": "boottime", "anchor": [*anchor]}


def moment(anchor: tuple[int, int], after_ns: int) -> list[int]:
    """Return an anchor of END, a time after `WALL_NS`, where nobody set the wall clock."""
    return [CLOCK_NS + at(anchor, after_ns), WALL_NS + after_ns]


def written(header: Mapping[str, Any], *frames: Frame, end: Mapping[str, Any], salt: int) -> bytes:
    """Return a closed capture of format 1.3."""
    made = Bytes(salt=salt, minor=3).frame(HEADER, header).frames(*frames)
    return made.frame(END, end).closed()


def done(header: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return a header that says what was done last."""
    return {**header, "rewritten": [*header.get("rewritten", ()), {"what": what}]}


def rewritten(
    name: str, shows: str, rules: str, made_by: Sequence[str], before: Sequence[bytes],
    header: Mapping[str, Any], frames: Sequence[Frame], *events: Event, end: Mapping[str, Any],
    gaps: Sequence[Mapping[str, Any]] = (), status: int = 0, **more: Any,
) -> Vector:  # fmt: skip
    """Return a vector: what ``made_by`` makes of ``before``, and its meaning."""
    after = done(header, made_by[0])
    anchor = header["clock"]["anchor"]
    return Vector(
        name, shows, rules, written(after, *frames, end=end, salt=7), events, gaps=gaps,
        header=after, end=end, status=status, anchor=(anchor[0], anchor[1]), made_by=made_by,
        before=before, **more,
    )  # fmt: skip


def two_hosts() -> tuple[list[bytes], dict[str, Any], list[Event], dict[str, Any]]:
    """Return two recordings, and header, events and END of what they are as one."""
    new = head(clock=clock(NEW), host="new", kernel={"release": "6.1.0"}, boot_id="n")
    old = head(clock=clock(OLD), host="old", kernel={"release": "5.4.0"}, boot_id="o",
               at="exit", command=[b"secret"], snaplen=64)  # fmt: skip
    mine = [replace(ONE, at=at(NEW, 1000), cpu=1), replace(TWO, at=at(NEW, 1000), sequence=1)]
    others = [replace(ONE, at=at(OLD, -HOUR + 9), data=b"early\n"),
              replace(TWO, at=at(OLD, 5000), data=b"late\n")]  # fmt: skip
    ended: dict[str, Any] = {"anchor": moment(NEW, 9000), "lost": {}, "lost_results": {}}
    gone: dict[str, Any] = {"anchor": moment(OLD, 8000), "reason": "command", "exit_status": 3}
    before = [
        written(new, (EVENTS, chunk(*mine)), end=ending(mine, **ended), salt=1),
        written(old, (EVENTS, chunk(*others)), end=ending(others, **gone), salt=2),
    ]
    both = head(clock=clock(OLD), snaplen=4096, origins=[
        {**new, "first_cpu": 0, "cpus": 2}, {**old, "first_cpu": 2, "cpus": 1}])  # fmt: skip
    events = [
        replace(others[0], cpu=2),
        *(replace(event, at=at(OLD, 1000)) for event in mine),
        replace(others[1], cpu=2),
    ]
    end = ending(events, anchor=moment(OLD, 9000), reason="merged", origins=[
        {"reason": "signal", **ended}, gone])  # fmt: skip
    return before, both, events, end


def hosts() -> Iterator[Vector]:
    """Merged recordings, and what is left when one is cut away."""
    before, header, events, end = two_hosts()
    yield rewritten("merge-hosts", "the second began first: its clock, and no fact that differs",
                    "W16 W19 W21", ["merge"], before, header, [(EVENTS, chunk(*events))], *events,
                    end=end)  # fmt: skip
    both = written(done(header, "merge"), (EVENTS, chunk(*events)), end=end, salt=3)
    new, old = (
        {key: value for key, value in origin.items() if key not in ("first_cpu", "cpus")}
        for origin in header["origins"]
    )
    for which, origin, own in (
        ("new", 0, [replace(event, at=at(NEW, 1000)) for event in events[1:3]]),
        ("old", 1, [events[0], events[3]]),
    ):
        left = {**done((new, old)[origin], "merge"), "origins": [header["origins"][origin]]}
        last = {**ending(own), **end["origins"][origin], "origins": [end["origins"][origin]]}
        yield rewritten(f"cut-to-{which}", "nothing is left of the other machine, nor its clock",
                        "W15 W16", ["cut", "--host", which], [both], left,
                        [(EVENTS, chunk(*own))], *own, end=last)  # fmt: skip
    lost = gap(2, 3, 4, first_ns=CLOCK_NS + at(OLD, 5000), last_ns=CLOCK_NS + at(OLD, 7000))
    last = {**end, "sequences": [[0, 1], [1, 1], [2, 4]], "lost": {"buffer-full": 2}}
    kept = {**last, "left_out": [[2, 2]]}
    made = [(EVENTS, chunk(*events)), (GAPS, {"gaps": [lost]})]
    both = written(done(header, "merge"), *made, end=last, salt=3)
    yield rewritten("cut-origin-with-gap", "a gap may hide what is asked for: its origin stays",
                    "W15 W20", ["cut", "--fd", "1", "--grep", "hi|again"], [both],
                    done(header, "merge"),
                    [(EVENTS, chunk(*events[1:3])), (GAPS, {"gaps": [lost]})], *events[1:3],
                    gaps=[lost], end=kept, status=3)  # fmt: skip


def unknowns() -> Iterator[Vector]:
    """What is not known is not said."""
    lost, there = replace(ONE, special=c.RESULT_LOST), replace(TWO, fd=2)
    for name, shows, told, left in (
        ("two-causes", "results lost by two causes: nobody knows which is kept",
         {"buffer-full": 1, "other": 1}, {}),
        ("one-cause", "as many results lost as events say so: those that are kept",
         {"other": 2}, {"lost_results": {"other": 1}}),
        ("more", "more results lost than events say so", {"other": 3}, {}),
    ):  # fmt: skip
        other = replace(there, special=c.RESULT_LOST)
        end = ending([lost, other])
        before = written(head(), (EVENTS, chunk(lost, other)), end={**end, "lost_results": told},
                         salt=1)  # fmt: skip
        yield rewritten(f"cut-lost-results-{name}", shows, "W19", ["cut", "--fd", "1"], [before],
                        head(), [(EVENTS, chunk(lost))], lost,
                        end={**end, **left, "left_out": [[0, 1]]}, status=3 * bool(left))  # fmt: skip
    end = ending([lost, there], lost_results={"other": 1})
    before = written(head(), (EVENTS, chunk(lost, there)), end=end, salt=1)
    yield rewritten("cut-lost-results-none", "no event that is kept lacks its result", "W19",
                    ["cut", "--fd", "2"], [before], head(), [(EVENTS, chunk(there))], there,
                    end={**end, "lost_results": {}, "left_out": [[0, 1]]})  # fmt: skip


def left_out() -> Iterator[Vector]:
    """What is left out is counted, and nothing else is told of it."""
    kept, gone = replace(ONE, special=UNKNOWN_BIT), replace(TWO, fd=2, process={
        "pid": 5, "comm": b"other", "cmdline": [b"secret"]})  # fmt: skip
    end = ending([kept, gone])
    before = written(head(), (EVENTS, chunk(kept, gone)), end=end, salt=1)
    yield rewritten("cut-unknown-flag", "a bit of flags that nobody knows is copied", "W16 W20",
                    ["cut", "--fd", "1"], [before], head(), [(EVENTS, chunk(kept))], kept,
                    end={**end, "left_out": [[0, 1]]})  # fmt: skip
    kept = ONE
    told = {"warnings": ["secret was slow"], "bypassed": [
        {"pid": 5, "comm": b"other", "how": "compat"}]}  # fmt: skip
    before = written(head(warnings=["secret is slow"]), (EVENTS, chunk(kept, gone)),
                     end={**end, **told}, salt=1)  # fmt: skip
    yield rewritten("cut-warnings", "warnings of HEADER and END, and a process not asked for",
                    "W20", ["cut", "--pid", "100"], [before], head(), [(EVENTS, chunk(kept))], kept,
                    end={**end, "left_out": [[0, 1]]})  # fmt: skip
    lost = gap(0, 3, 5, processes=[[5, 2], [100, 1]])
    last = ending([kept, gone], [lost])
    before = written(head(), (EVENTS, chunk(kept, gone)), (GAPS, {"gaps": [lost]}), end=last,
                     salt=1)  # fmt: skip
    own = {**lost, "processes": [[100, 1]]}
    yield rewritten("cut-gap", "a gap stays, without processes that were not asked for", "W20",
                    ["cut", "--pid", "100"], [before], head(),
                    [(EVENTS, chunk(kept)), (GAPS, {"gaps": [own]})], kept, gaps=[own],
                    end={**last, "left_out": [[0, 1]]}, status=3)  # fmt: skip
    header = head(part=2, after=[[0, 4]], boot_id="b")
    first, second = replace(ONE, sequence=5), replace(TWO, sequence=6, fd=2)
    late = (RESULTS, results((0, 3, -32, 7000)))
    end = ending([first, second])
    before = written(header, (EVENTS, chunk(first, second)), late, end=end, salt=1)
    yield rewritten("cut-result-of-earlier-part", "a late result of an event in an earlier part",
                    "W20", ["cut", "--fd", "1"], [before], header,
                    [(EVENTS, chunk(first)), late], first,
                    end={**end, "left_out": [[0, 1]]})  # fmt: skip


def parts() -> Iterator[Vector]:
    """Parts of one recording."""
    own = (CLOCK_NS, WALL_NS)
    header = head(boot_id="b", part=1)
    open_ = replace(TWO, special=c.UNFINISHED, returned=0)
    closed = replace(TWO, returned=-32, duration=7000)
    third = replace(ONE, at=8_000_000, sequence=6)
    later = head(boot_id="b", part=3, after=[[0, 5]], clock=clock((
        CLOCK_NS + 7_000_000, WALL_NS + 7_000_000)))  # fmt: skip
    late = (RESULTS, results((0, 2, -32, 7000)))
    rotated = ending([ONE, open_], reason="rotation", anchor=moment(own, 3_000_000),
                     lost={}, lost_results={})  # fmt: skip
    last = ending([third], lost={}, lost_results={})
    one = written(header, (EVENTS, chunk(ONE, open_)), end=rotated, salt=1)
    three = written(later, (EVENTS, chunk(third)), late, end=last, salt=2)
    missing = gap(0, 3, 5, first_ns=CLOCK_NS + TWO.at, last_ns=CLOCK_NS + third.at,
                  cause="missing-part")  # fmt: skip
    whole = head(boot_id="b")
    frames = [(EVENTS, chunk(ONE, closed)), (GAPS, {"gaps": [missing]}), (EVENTS, chunk(third))]
    yield rewritten("merge-missing-part", "a part is missing; the later one completes an event",
                    "W18", ["merge"], [three, one], whole, frames, ONE, closed, third,
                    gaps=[missing], end={**last, "lost": {"missing-part": 3}}, status=3)  # fmt: skip
    yield rewritten("merge-part-twice", "the same part twice is refused, or counts once", "W17",
                    ["merge"], [one, one], header, [(EVENTS, chunk(ONE, open_))], ONE, open_,
                    end=rotated, may_be_refused=True)  # fmt: skip
    end = ending([ONE, replace(TWO, fd=2)])
    before = written(head(), (EVENTS, chunk(ONE, replace(TWO, fd=2))), end=end, salt=1)
    cut = written(done(head(), "cut"), (EVENTS, chunk(ONE)),
                  end={**end, "left_out": [[0, 1]]}, salt=2)  # fmt: skip
    yield rewritten("merge-cut-beside-whole", "a cut beside its whole is refused, or counts once",
                    "W17", ["merge"], [before, cut], head(),
                    [(EVENTS, chunk(ONE, replace(TWO, fd=2)))], ONE, replace(TWO, fd=2),
                    end=end, may_be_refused=True)  # fmt: skip
