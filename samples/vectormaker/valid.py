"""Vectors of captures that break no rule: each shows one thing that a reader has to understand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from vectormaker import chunk as c
from vectormaker import extensions, facts
from vectormaker.chunk import Event, chunk, with_column
from vectormaker.columns import above, delta, delta_by, minus, plain
from vectormaker.meaning import Vector
from vectormaker.story import HEAD, ONE, TWO, ending, gap, head, story
from vectormaker.wire import END, EVENTS, GAPS, HEADER, MAGIC, Bytes, packed, zstd


def vectors() -> Iterator[Vector]:
    """Yield every vector of this folder."""
    for part in (
        structure, columns, flags, calls, *facts.PARTS, *extensions.PARTS,
    ):  # fmt: skip
        for vector in part():
            yield replace(vector, name=f"valid/{vector.name}")


def structure() -> Iterator[Vector]:
    """Preamble, frames, index, order."""
    yield story("one-event", "the smallest useful capture", "W1 W2 W7 W9 W10", ONE)
    yield story("no-events", "a recording in which nothing happened", "W2 W10")
    yield story(
        "two-chunks", "two EVENTS frames, each with its own tables", "W6", ONE, TWO,
        frames=[(EVENTS, chunk(ONE)), (EVENTS, chunk(TWO))],
    )  # fmt: skip
    later = [replace(TWO, cpu=1, sequence=1), replace(ONE, data=b"handed over late\n")]
    yield story(
        "chunks-out-of-order", "an event in a later chunk than events after it", "W5", *later,
        frames=[(EVENTS, chunk(later[0])), (EVENTS, chunk(later[1]))],
    )  # fmt: skip
    yield story(
        "same-time", "three events of one time on two CPUs", "W5",
        ONE, replace(ONE, cpu=1, data=b"other CPU\n"), replace(ONE, sequence=2),
    )  # fmt: skip
    yield story(
        "before-the-anchor", "an event before the anchor's moment", "W5", replace(ONE, at=-5)
    )
    for name, salt in (("zero", 0), ("all-ones", 0xFFFFFFFF)):
        yield story(f"salt-{name}", f"a salt of {salt:08x}", "R3", ONE, start=Bytes(salt))
    inner = bytes(story("", "", "", ONE, start=Bytes(0x01020304)).data)
    yield story(
        "capture-in-payload", "a whole capture as a payload, under its own salt", "W1 R3",
        Event(inner),
    )  # fmt: skip
    yield story(
        "magic-in-payload", "the magic and a marker as a payload", "R11", Event(MAGIC + b"\xf5WCF")
    )
    made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE))).index()
    made.frames((EVENTS, chunk(TWO)), (END, ending([ONE, TWO])))
    yield Vector(
        "two-indexes", "an INDEX frame after each chunk; the second leads to the first", "W10 R13",
        made.closed(), [ONE, TWO], header=HEAD, end=ending([ONE, TWO]),
    )  # fmt: skip
    made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE)), (END, ending([ONE])))
    entries = packed({"frames": [[part.kind, part.offset, part.length] for part in made.parts]})
    yield Vector(
        "index-without-summaries", "index entries of three numbers, in a zstd frame", "R13",
        made.closed_with(entries={"data": zstd(entries), "size": len(entries)}), [ONE],
        header=HEAD, end=ending([ONE]),
    )  # fmt: skip


def columns() -> Iterator[Vector]:
    """Every encoding of section 5.2."""

    def encoded(name: str, shows: str, *events: Event, **how: Any) -> Vector:
        body = chunk(*events, encodings=how)
        return story(f"column-{name}", shows, "R15", *events, frames=[(EVENTS, body)])

    pairs = [ONE, TWO, Event(b"third\n", at=2_000_700, sequence=3)]
    yield encoded("constant", "width 0: every number is the base", *pairs, tid=plain(), fd=plain())
    for width, far in ((1, 250), (2, 60_000), (4, 4_000_000_000), (8, 1 << 62)):
        events = [ONE, replace(TWO, count=far, special=c.TRUNCATED, returned=far)]
        yield encoded(f"width-{width}", f"steps of {width} bytes, in byte planes", *events,
                      count=plain(base=0, width=width))  # fmt: skip
        if width > 1:
            yield encoded(f"width-{width}-needlessly", "wider steps than the numbers need", *pairs,
                          duration_ns=plain(width=width))  # fmt: skip
    yield encoded("base-negative", "a base below 0", ONE, replace(TWO, fd=-1), fd=plain())
    yield encoded("base-below", "a base that is not the smallest number", *pairs, fd=plain(-7, 1))
    yield encoded("base-above", "a base above the numbers: steps wrap modulo 2**64", *pairs,
                  fd=plain(9, 8))  # fmt: skip
    extremes = [replace(ONE, returned=-(1 << 63)), replace(TWO, returned=(1 << 63) - 1)]
    yield encoded("extreme", "a spread that fits into no signed number", *extremes,
                  returned=plain())  # fmt: skip
    huge = replace(TWO, at=2_000_000_000, returned=1 << 62)
    huge_ones = [ONE, *(replace(huge, sequence=number) for number in (2, 3, 4))]
    yield encoded("results-huge", "results whose sum is beyond 63 bits", *huge_ones)
    yield encoded("uint64", "counts of 2**63 and 2**64-1, whose base is negative",
                  replace(ONE, count=1 << 63, returned=3),
                  replace(TWO, count=(1 << 64) - 1, returned=3, special=c.TRUNCATED),
                  count=lambda n, _: above([x - (1 << 64) for x in n]), captured=plain(),
                  returned=plain())  # fmt: skip
    yield encoded("delta", "differences between neighbours", *pairs, time_ns=delta())
    falling = [replace(event, tid=9 - place) for place, event in enumerate(pairs)]
    yield encoded("delta-falling", "differences below 0", *falling, tid=delta())
    yield encoded("delta-of-one", "one number has no differences: data is absent", ONE,
                  time_ns=lambda n, _: {"delta": n[0], "base": 5, "width": 4})  # fmt: skip
    yield encoded("delta-wide", "differences in steps of 8 bytes", *pairs, time_ns=delta(width=8))
    mixed = [
        Event(b"%d\n" % place, at=place, cpu=cpu, sequence=number)
        for place, (cpu, number) in enumerate(((0, 5), (7, 9), (0, 6), (0, 8), (7, 10)))
    ]
    holes = [gap(0, 1, 4), gap(0, 7, 7), gap(7, 1, 8)]
    for name, order in (("", sorted), ("-other-order", lambda cpus: sorted(cpus)[::-1])):
        yield story(
            f"column-delta-by{name}", "differences within each CPU", "R15 R18", *mixed, gaps=holes,
            frames=[(GAPS, {"gaps": holes}),
                    (EVENTS, chunk(*mixed, encodings={"sequence": delta_by(order)}))],
        )  # fmt: skip
    yield encoded("minus", "differences from count", replace(ONE, returned=-11), TWO,
                  captured=minus(), returned=minus(width=8))  # fmt: skip
    yield encoded("without-minus", "captured and returned as they are", ONE, TWO,
                  captured=plain(), returned=plain())  # fmt: skip
    yield encoded("nil-keys", "nil for the keys of the other encodings", *pairs,
                  fd=lambda n, _: {**above(n), "delta": None, "minus": None, "data": None,
                                   "delta-by": None, "size": None})  # fmt: skip
    yield encoded("empty-data", "width 0 and a data of no bytes", *pairs,
                  fd=lambda n, _: {**above(n), "data": b""})  # fmt: skip
    yield encoded("unknown-key", "a key of a column that no version knows", *pairs,
                  fd=lambda n, _: {**above(n), "x-note": "skip me"})  # fmt: skip

    def squeezed(numbers: Any, _: Any) -> dict[str, Any]:
        stored = above(numbers, width=4)
        return {**stored, "data": zstd(stored["data"]), "size": len(stored["data"])}

    yield encoded("zstd", "steps in a zstd frame", *pairs, duration_ns=squeezed)
    long = Event(b"ab" * 50)
    frame = bytes.fromhex("28b52ffd20644500001061620100dfe4b0")
    yield story(
        "payload-zstd", "the payload in a zstd frame with a compressed block", "W8 R16", long,
        frames=[(EVENTS, chunk(long, pack={"payload": lambda _: {"data": frame, "size": 100}}))],
    )  # fmt: skip

    def framed(data: bytes) -> dict[str, Any]:
        return {"data": zstd(data), "size": len(data)}

    named = replace(ONE, target={"kind": "file", "path": b"/tmp/x"})
    for table, event in (("processes", ONE), ("targets", named)):
        yield story(
            f"{table}-zstd", f"the table of {table} in a zstd frame", "W8 R16", event,
            frames=[(EVENTS, chunk(event, pack={table: framed}))],
        )  # fmt: skip
    empty = replace(ONE, data=b"")
    yield story(
        "payload-empty-zstd", "no payload, in a zstd frame of size 0", "R16", empty,
        frames=[(EVENTS, chunk(empty, pack={"payload": framed}))],
    )  # fmt: skip


def flags() -> Iterator[Vector]:
    """Every flag of section 5.3."""

    def flagged(name: str, shows: str, event: Event, **more: Any) -> Vector:
        return story(f"flag-{name}", shows, more.pop("rules", "R6"), event, **more)

    yield flagged("truncated", "less captured than asked to write, for the snaplen",
                  replace(ONE, count=8192, special=c.TRUNCATED))  # fmt: skip
    yield flagged("read-at-exit", "a payload read when the call ended",
                  replace(ONE, special=c.READ_AT_EXIT))  # fmt: skip
    gone = replace(ONE, data=b"", count=64, special=c.UNREADABLE)
    yield flagged("unreadable", "nothing of the payload could be read: its forms are null", gone)
    yield flagged("unreadable-in-part", "the first bytes of the payload could be read",
                  replace(gone, data=b"abc"))  # fmt: skip
    yield flagged("unreadable-failed", "the kernel could not read it either: nothing is missing",
                  replace(gone, returned=-14))  # fmt: skip
    yield flagged("unfinished", "the call had not ended: the two columns mean nothing",
                  replace(ONE, special=c.UNFINISHED, returned=77))  # fmt: skip
    yield flagged("result-lost", "the result was lost: the two columns mean nothing",
                  replace(ONE, special=c.RESULT_LOST))  # fmt: skip
    yield flagged("payload-lost", "the end of the payload was lost",
                  replace(ONE, count=9000, special=c.PAYLOAD_LOST))  # fmt: skip
    yield flagged("payload-lost-whole", "all of the payload was lost: its forms are null",
                  replace(gone, special=c.PAYLOAD_LOST))  # fmt: skip
    yield flagged("at-exit", "recorded when the call had ended: no duration; marked as essential",
                  replace(ONE, special=c.AT_EXIT), rules="W12 R7", header=head(at="exit"))  # fmt: skip
    moved = replace(gone, syscall="vmsplice", special=c.NO_PAYLOAD)
    yield flagged("no-payload", "a call whose bytes are not recorded: the forms are null", moved)
    yield flagged("unsent", "a message that was not sent: no result",
                  replace(ONE, syscall="sendmmsg", special=c.UNSENT))  # fmt: skip
    yield flagged("has-offset", "an offset in the row that has the flag, 0 in the other",
                  replace(ONE, syscall="pwrite64", offset=-9), rules="W6 W13")  # fmt: skip
    mixed = [replace(ONE, syscall="pwrite64", offset=4096), TWO]
    yield story("flag-has-offset-mixed", "offset means nothing in the row without its flag",
                "W6 W13", *mixed)  # fmt: skip
    source = {"kind": "file", "path": b"/from"}
    copied = replace(moved, syscall="sendfile", source_fd=6, source=source)
    yield story("flag-has-source", "source_fd and source", "W13", copied,
                replace(TWO, target=source))  # fmt: skip
    yield flagged("has-source-unknown", "a source of which nothing is known",
                  replace(copied, source=None), rules="W13")  # fmt: skip
    yield story("flag-has-address", "an address, and an event without one", "W13",
                replace(ONE, syscall="sendto", address=b"192.0.2.1:53"), TWO)  # fmt: skip
    yield flagged("unknown", "bits that no version has named are ignored",
                  replace(ONE, special=1 << 31 | 1 << 12))  # fmt: skip
    yield flagged("several", "all flags of one event that can stand together",
                  replace(ONE, count=9, special=c.TRUNCATED | c.READ_AT_EXIT | c.UNREADABLE))  # fmt: skip
    body = chunk(replace(ONE, syscall="pwrite64", offset=1), TWO)
    offset = body["columns"]["offset"]
    event = replace(ONE, syscall="pwrite64")
    yield story("column-without-its-flag", "a column offset that no flag speaks of", "R6", event,
                TWO, frames=[(EVENTS, with_column(chunk(event, TWO), "offset", offset))])  # fmt: skip


def calls() -> Iterator[Vector]:
    """Every system call of section 5.7, with the facts that it has."""
    file = {"kind": "file", "path": b"/srv/x", "device": [8, 1], "inode": 77}
    pipe = {"kind": "pipe", "inode": 5}
    moved: dict[str, Any] = {"data": b"", "count": 4096, "special": c.NO_PAYLOAD}
    facts: dict[str, dict[str, Any]] = {
        "write": {},
        "pwrite64": {"offset": 1 << 40, "target": file},
        "writev": {"data": b"twosegments"},
        "pwritev": {"offset": 0},
        "pwritev2": {"offset": 7},
        "sendto": {"address": b"[2001:db8::7]:53", "target": {"kind": "udp", "local": b":53"}},
        "sendmsg": {"address": b"@abstract"},
        "sendmmsg": {"address": b"sockaddr 1f0001"},
        "sendfile": {**moved, "source_fd": 6, "source": file},
        "splice": {**moved, "source_fd": 6, "source": pipe, "offset": 12, "returned": -11},
        "tee": {**moved, "source_fd": 6, "source": pipe, "target": pipe},
        "copy_file_range": {**moved, "source_fd": 6, "source": file, "offset": 0, "target": file},
        "vmsplice": {**moved, "target": pipe},
    }
    for call, more in facts.items():
        event = replace(ONE, syscall=call, fd=4, **more)
        yield story(f"call-{call.replace('_', '-')}", f"{call} with its facts", "W13", event,
                    header=head(syscalls=[call]), full=True)  # fmt: skip
    yield story("call-pwritev2-position", "an offset of -1 is no fact: the flag is absent", "W6",
                replace(ONE, syscall="pwritev2"))  # fmt: skip
    yield story("call-unknown", "a system call that this version does not name", "R6",
                replace(ONE, syscall="write_later"))  # fmt: skip
    sent = replace(ONE, syscall="sendmmsg", data=b"first")
    yield story("call-sendmmsg-messages", "one call of three messages, the last not sent", "W5",
                sent, replace(sent, data=b"second", sequence=2, returned=-11),
                replace(sent, data=b"third", sequence=3, special=c.UNSENT))  # fmt: skip
    for code in (9, 32, 512, 4095):
        yield story(f"error-{code}", f"a write that failed with errno {code}", "R6",
                    replace(ONE, returned=-code))  # fmt: skip
    yield story("short-write", "fewer bytes written than asked", "R6", replace(ONE, returned=1))
    yield story("empty-write", "nothing to write is no absence: the forms are empty", "W7",
                replace(ONE, data=b""))  # fmt: skip
    yield story("all-byte-values", "every byte value as payload", "R6", Event(bytes(range(256))))
    yield story("not-utf-8", "payload and name that are not UTF-8", "R6",
                Event(b"\xff\xc3 \xe2\x82 \xf0\x9f\x98 \xed\xa0\x80", thread=b"\xfe\x80"))  # fmt: skip
    yield story("escape-sequences", "what must not act on a terminal", "R6",
                Event(b"\x1b]0;owned\x07\x1b[2J\xc2\x9b31m\xe2\x80\xae\x7f\r", thread=b"\x1b[31m"))  # fmt: skip
    yield story("formulas", "what must not act in a spreadsheet", "R6", Event(b"=1+1"),
                replace(TWO, data=b"@SUM(A1)", thread=b"-2+3"))  # fmt: skip
