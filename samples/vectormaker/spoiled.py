"""Frames whose checksum holds and whose body breaks a rule: no accident makes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vectormaker import chunk as c
from vectormaker.chunk import CLOCK_NS, PROCESS, Event, chunk, with_column
from vectormaker.columns import above
from vectormaker.meaning import Vector
from vectormaker.story import HEAD, ONE, TWO, ending, gap, head
from vectormaker.wire import (
    END,
    EVENTS,
    GAPS,
    HEADER,
    MARKER,
    RESULTS,
    Bytes,
    packed,
    zstd,
)

MIB = 1 << 20


def broken(
    name: str, shows: str, rules: str, kind: int, body: Mapping[str, Any] | bytes, *,
    late: bool = False, fault: str = "corruption",
) -> Vector:  # fmt: skip
    """Return a vector with one good chunk and, behind it, a frame that is to be refused."""
    if kind == HEADER:
        data = bytes(Bytes().frames((HEADER, body), (EVENTS, chunk(ONE))).data)
        return Vector(name, shows, rules, data, refused=(fault, 16), status=1)
    made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE)))
    place, last = made.place, None if kind == END else ending([ONE])
    made.frame(kind, body)
    if last is not None:
        made.frame(END, last)
    return Vector(
        name, shows, rules, made.closed(), [ONE], header=HEAD, end=last,
        damage=[(fault, place)], status=3, late=late,
    )  # fmt: skip


def bodies() -> Iterator[Vector]:
    """Bodies that are no msgpack map as section 3.4 has it."""
    body = chunk(TWO)
    for name, shows, data in (
        ("body-empty", "a body of no bytes", b""),
        ("body-no-map", "a list in place of the map", packed([1, 2])),
        ("body-tail", "bytes after the map", packed(body) + b"\xc0"),
        ("body-cut", "a map that ends too soon", packed(body)[:-9]),
        ("body-never-used", "the byte c1, which msgpack never uses", b"\x81\xa1x\xc1"),
        (
            "body-ext",
            "an ext object",
            packed(body)[:1] + packed("x-t") + b"\xd4\x05\x00" + packed(body)[1:],
        ),
        ("body-timestamp", "a timestamp, which is an ext object", b"\x81\xa1x\xd6\xff\0\0\0\0"),
        ("body-text-not-utf-8", "a str that is not UTF-8", b"\x81\xa1x\xa2\xff\xfe"),
        ("body-key-not-utf-8", "a key that is not UTF-8", b"\x81\xa1\xff\xc0"),
        ("body-list-as-key", "a list as a key", b"\x81\x90\xc0"),
        ("body-map-as-key", "a map as a key", b"\x81\x80\xc0"),
    ):
        yield broken(name, shows, "R19", EVENTS, data)


def broken_maps() -> Iterator[Vector]:
    """Keys that are missing, of another type, or out of range."""
    clock = HEAD["clock"]
    yield from _headers(clock)
    body = chunk(TWO)
    for key in ("summary", "processes", "comms", "syscalls", "columns", "payload"):
        kept = {own: value for own, value in body.items() if own != key}
        yield broken(f"events-without-{key}", f"a chunk without {key}", "R15 R19", EVENTS, kept,
                     late=key == "payload")  # fmt: skip
    summary = body["summary"]
    for name, shows, changed in (
        ("events-float", "a float in place of an int", {"events": 1.0}),
        ("events-bool", "true in place of an int", {"failed": True}),
        ("events-none", "a summary of no events", {"events": 0, "sequences": []}),
        ("count-beyond", "more failed events than events", {"failed": 2}),
        ("count-negative", "a number of events below 0", {"unseen": -1}),
        ("captured-negative", "bytes below 0", {"captured": -1}),
        ("sequences-short", "a CPU of three numbers", {"sequences": [[0, 2, 2]]}),
        ("sequences-sum", "CPUs whose events do not add up", {"sequences": [[0, 2, 2, 2]]}),
        ("pids-text", "text among the pids", {"pids": ["100"]}),
        ("calls-bin", "bin in place of str", {"calls": [b"write"]}),
        ("comms-str", "str in place of bin", {"comms": ["hello"]}),
    ):
        yield broken(f"summary-{name}", shows, "R19", EVENTS,
                     {**body, "summary": {**summary, **changed}})  # fmt: skip
    for name, shows, process in (
        ("without-pid", "a process without a pid", {"comm": b"x"}),
        ("pid-negative", "a pid below 0", {"pid": -1, "comm": b"x"}),
        ("uid-beyond", "a user of 2**32", {**PROCESS, "uid": 1 << 32}),
        ("comm-str", "a name that is str", {"pid": 1, "comm": "x"}),
        ("cmdline-int", "a number among the arguments", {**PROCESS, "cmdline": [5]}),
        ("no-map", "a process that is no map", 5),
    ):
        table = {"data": packed({"processes": [process]})}
        yield broken(f"process-{name}", shows, "R19", EVENTS, {**body, "processes": table})
    event = replace(TWO, target={"kind": "pipe"})
    for name, shows, target in (
        ("false", "false where true or nothing stands", {"kind": "file", "deleted": False}),
        ("device-short", "a device of one number", {"kind": "file", "device": [8]}),
        ("inode-negative", "an inode below 0", {"kind": "pipe", "inode": -1}),
        ("path-str", "a path that is str", {"kind": "file", "path": "/x"}),
    ):
        table = {"data": packed({"targets": [target]})}
        yield broken(f"target-{name}", shows, "R19", EVENTS, {**chunk(event), "targets": table})
    yield broken("events-essential-int", "a number among the essential names", "R19", EVENTS,
                 {**body, "essential": [5]})  # fmt: skip
    yield from _gaps()
    yield from _results()
    yield from _ends()


def _headers(clock: Mapping[str, Any]) -> Iterator[Vector]:
    for key in ("clock", "snaplen", "syscalls"):
        kept = {own: value for own, value in HEAD.items() if own != key}
        yield broken(f"header-without-{key}", f"a header without {key}", "R19", HEADER, kept)
    for name, shows, changed in (
        ("clock-nil", "nil for a required key", {"clock": None}),
        ("anchor-short", "an anchor of one number", {"clock": {**clock, "anchor": [1]}}),
        ("anchor-negative", "an anchor below 0", {"clock": {**clock, "anchor": [-1, 0]}}),
        ("clock-nameless", "a clock without a name", {"clock": {"anchor": [0, 0]}}),
        ("snaplen-beyond", "a snaplen of 2**32", {"snaplen": 1 << 32}),
        ("host-bin", "bin in place of str", {"host": b"x"}),
        ("command-str", "str in place of bin", {"command": ["x"]}),
        ("kernel-key", "a key of kernel that is no str", {"kernel": {5: "x"}}),
        ("filters-float", "a float among the filters", {"filters": {"x": 1.5}}),
        ("filters-deep", "filters nested deeper than 4", {"filters": {"a": [[[["x"]]]]}}),
        ("filters-nil", "nil in a list of the filters", {"filters": {"x": [None]}}),
        ("filters-beyond", "an int beyond int64 among the filters", {"filters": {"x": 1 << 63}}),
    ):
        yield broken(f"header-{name}", shows, "R19", HEADER, head(**changed))
    yield broken("header-no-map", "a header that is no map", "R19", HEADER, b"\x05")


def _gaps() -> Iterator[Vector]:
    good = gap(0, 2, 4)
    for name, shows, lost in (
        ("without-cause", "a gap without a cause", {k: v for k, v in good.items() if k != "cause"}),
        ("backwards", "a last number before the first", {**good, "last_sequence": 1}),
        ("first-zero", "a number of 0", {**good, "first_sequence": 0}),
        ("count-zero", "a gap of no events", {**good, "count": 0}),
        ("count-beyond", "more events than its span has numbers", {**good, "count": 4}),
        ("cpu-negative", "a CPU below 0", {**good, "cpu": -1}),
        ("time-beyond", "a wall time beyond int64", {**good, "last_ns": (1 << 63) - 1}),
        ("processes-short", "a process without a number of events", {**good, "processes": [[5]]}),
        ("no-map", "a gap that is no map", 7),
    ):
        # It costs all gaps of its frame.
        yield broken(f"gap-{name}", shows, "R19", GAPS, {"gaps": [gap(9, 1, 1), lost]})
    yield broken("gaps-missing", "a GAPS frame without gaps", "R19", GAPS, {})


def _results() -> Iterator[Vector]:
    names = ("cpu", "sequence", "returned", "duration_ns")
    columns = {name: above([1]) for name in names}
    for name, shows, body in (
        ("none", "a frame of no results", {"results": 0, "columns": columns}),
        ("lack-a-column", "no column duration_ns",
         {"results": 1, "columns": {k: columns[k] for k in names[:3]}}),
        ("sequence-zero", "a sequence of 0",
         {"results": 1, "columns": {**columns, "sequence": above([0])}}),
        ("cpu-beyond", "a CPU of 2**32",
         {"results": 1, "columns": {**columns, "cpu": above([1 << 32])}}),
        ("minus", "minus, where there is no count",
         {"results": 1, "columns": {**columns, "returned": {"minus": "count", **above([1])}}}),
        ("short", "fewer numbers than results",
         {"results": 3, "columns": {**columns, "cpu": {"base": 0, "width": 1, "data": b"\0"}}}),
    ):  # fmt: skip
        yield broken(f"results-{name}", shows, "R15", RESULTS, body)


def _ends() -> Iterator[Vector]:
    good = ending([ONE])
    for key in ("reason", "anchor", "sequences"):
        kept = {own: value for own, value in good.items() if own != key}
        yield broken(f"end-without-{key}", f"an END without {key}", "R19", END, kept)
    for name, shows, changed in (
        ("reason-bin", "bin in place of str", {"reason": b"signal"}),
        ("sequences-short", "a CPU without a number", {"sequences": [[0]]}),
        ("sequences-negative", "a last number below 0", {"sequences": [[0, -1]]}),
        ("lost-negative", "events lost, below 0", {"lost": {"other": -1}}),
        ("lost-key", "a cause that is no str", {"lost": {5: 1}}),
        ("exit-status-beyond", "an exit status of 2**31", {"exit_status": 1 << 31}),
        ("bypassed-without-how", "a process that passed by, not how",
         {"bypassed": [{"pid": 5, "comm": b"x"}]}),
    ):  # fmt: skip
        yield broken(f"end-{name}", shows, "R19", END, {**good, **changed})


def broken_columns() -> Iterator[Vector]:
    """Columns that break R15, and packed bytes that break R16; found when they are decoded."""

    def column(name: str, shows: str, of: str, stored: Mapping[str, Any] | None,
               *events: Event, rules: str = "R15", fault: str = "corruption") -> Vector:  # fmt: skip
        body = with_column(chunk(*(events or (TWO,))), of, stored)
        return broken(f"column-{name}", shows, rules, EVENTS, body, late=True, fault=fault)

    two = (TWO, replace(TWO, sequence=3, cpu=0, at=2_500_000))
    zero = {"base": 0, "width": 0}
    for of in c.COLUMNS:
        yield column(f"without-{of.replace('_', '-')}", f"no column {of}", of, None)
    for name, shows, stored in (
        ("no-base", "no base", {"width": 0}),
        ("no-width", "no width", {"base": 0}),
        ("base-nil", "nil for the base", {"base": None, "width": 0}),
        ("base-text", "a base that is text", {"base": "0", "width": 0}),
        ("base-beyond", "a base of 2**63", {"base": 1 << 63, "width": 0}),
        ("width-3", "a width of 3", {"base": 0, "width": 3, "data": b"\0\0\0"}),
        ("width-true", "true for the width", {"base": 0, "width": True, "data": b"\0"}),
        ("data-short", "fewer bytes than the numbers need", {"base": 0, "width": 2, "data": b"\0"}),
        ("data-text", "data that is str", {"base": 0, "width": 1, "data": "x"}),
        ("data-missing", "no data where steps are needed", {"base": 0, "width": 1}),
        ("delta-and-minus", "two kinds of differences", {"delta": 1, "minus": "count", **zero}),
        ("minus-elsewhere", "minus for another column", {"minus": "count", **zero}),
        ("delta-by-elsewhere", "delta-by for another column", {"delta-by": [[0, 1]], **zero}),
    ):
        yield column(name, shows, "tid", stored)
    for name, shows, width in (
        ("data-long", "more bytes than the numbers need", 1),
        ("data-for-width-0", "bytes where the width is 0", 0),
    ):
        yield column(name, shows, "tid", {"base": 0, "width": width, "data": b"\0\0"},
                     rules="R4 R15", fault="limit")  # fmt: skip
    yield column("minus-other", "minus another column than count", "captured",
                 {"minus": "fd", **zero})  # fmt: skip
    for name, shows, listed in (
        ("lacks-a-cpu", "delta-by without a CPU of the chunk", []),
        ("more-cpus", "delta-by with a CPU that the chunk has not", [[0, 2], [1, 1]]),
        ("other-cpu", "delta-by with another CPU", [[1, 2]]),
        ("cpu-twice", "delta-by with a CPU twice", [[0, 2], [0, 2]]),
        ("no-list", "delta-by that is no list", 5),
        ("short", "delta-by of single numbers", [[0]]),
    ):
        yield column(f"delta-by-{name}", shows, "sequence", {"delta-by": listed, **zero}, *two)
    for of, low, high in (
        ("cpu", -1, 1 << 32), ("process", -1, 1 << 32), ("tid", -1, 1 << 32), ("comm", -1, 1 << 32),
        ("syscall", -1, 1 << 32), ("fd", -(1 << 31) - 1, 1 << 31), ("flags", -1, 1 << 32),
        ("captured", -1, 1 << 32), ("sequence", 0, -1),
    ):  # fmt: skip
        for which, number in (("low", low), ("high", high)):
            yield column(f"{of}-too-{which}" if of != "sequence" else f"sequence-{abs(number)}",
                         f"{number} in the column {of}", of, above([number]))  # fmt: skip
    for of in ("process", "comm", "syscall"):
        yield column(f"{of}-outside", f"a position behind the table of {of}", of, above([1]))
    full = replace(
        TWO, target={"kind": "pipe"}, source={"kind": "pipe"}, source_fd=5, address=b"x", offset=1
    )
    for of in ("target", "source", "address"):
        yield column(f"{of}-outside", f"a position behind the table of {of}", of, above([9]), full)
    for of in ("offset", "source-fd", "source", "address"):
        yield column(f"{of}-missing", f"a flag that speaks of a column {of} that is not there",
                     of.replace("-", "_"), None, full, rules="R15 W13")  # fmt: skip
    yield broken("targets-without-column", "targets without the column target", "R15", EVENTS,
                 with_column(chunk(replace(TWO, target={"kind": "pipe"})), "target", None))  # fmt: skip
    yield column("target-without-targets", "the column target without targets", "target",
                 above([0]))  # fmt: skip
    yield column("time-decreases", "a time before the one above it", "time_ns",
                 above([CLOCK_NS + 9, CLOCK_NS + 8]), *two, rules="R15 W5")  # fmt: skip
    yield column("time-beyond", "a wall time beyond int64", "time_ns", above([(1 << 63) - 1]))
    body = chunk(TWO)
    for name, shows, payload in (
        ("payload-short", "fewer bytes than captured", {"data": b"aga"}),
        ("payload-long", "more bytes than captured", {"data": b"again and"}),
        ("packed-no-zstd", "a size, but no zstd frame", {"data": b"again\n", "size": 6}),
        ("packed-sizeless", "a zstd frame that does not carry its content size",
         {"data": zstd(b"again\n", sized=False), "size": 6}),
        ("packed-other-size", "a zstd frame of another content size",
         {"data": zstd(b"again\n"), "size": 7}),
        ("packed-lying", "a zstd frame that holds less than it says",
         {"data": zstd(b"again", size=6), "size": 6}),
        ("packed-tail", "bytes after the zstd frame", {"data": zstd(b"again\n") + b"\0", "size": 6}),
        ("packed-two-frames", "two zstd frames",
         {"data": zstd(b"aga", size=3) + zstd(b"in\n"), "size": 6}),
        ("packed-negative", "a size below 0", {"data": zstd(b"again\n"), "size": -1}),
        ("packed-text", "data that is str", {"data": "again\n"}),
        ("packed-dictionary", "a zstd frame that needs a dictionary",
         {"data": b"\x28\xb5\x2f\xfd\x21\x07\x06" + zstd(b"again\n")[9:], "size": 6}),
    ):  # fmt: skip
        rules = "R16 W8" if name.startswith("packed") else "R15"
        yield broken(name, shows, rules, EVENTS, {**body, "payload": payload}, late=True)


def limits() -> Iterator[Vector]:
    """Promises beyond section 9, in few bytes: refused before memory is taken."""
    body = chunk(TWO)
    many = b"\x81" + packed("x") + b"\xdd" + (1 << 32).__sub__(1).to_bytes(4, "big")
    yield broken("limit-objects", "five bytes that promise 2**32 objects", "R4", EVENTS, many,
                 fault="limit")  # fmt: skip
    nested = b"\x81" + packed("x") + b"\xdd\x00\x0f\xff\xf0" * 4
    yield broken("limit-objects-nested", "nested lists that promise too many objects together",
                 "R4", EVENTS, nested, fault="limit")  # fmt: skip
    yield broken("limit-objects-header", "a header that promises 2**32 objects", "R4", HEADER, many,
                 fault="limit")  # fmt: skip
    count = MIB + 1
    summary = {**body["summary"], "events": count, "sequences": [[0, 2, 2, count]]}
    yield broken("limit-events", "a chunk of 2**20 + 1 events", "R4", EVENTS,
                 {**body, "summary": summary}, fault="limit")  # fmt: skip
    for name, key, most, late in (
        ("payload", "payload", 48, True),
        ("processes", "processes", 8, False),
    ):
        size = most * MIB + 1
        bomb = {"data": zstd(bytes(300), size=size), "size": size}
        yield broken(f"limit-{name}", f"a zstd frame of few bytes that promises {size} of {key}",
                     "R4", EVENTS, {**body, key: bomb}, late=late, fault="limit")  # fmt: skip
    size = 8 * MIB + 1
    bomb = {"data": zstd(bytes(300), size=size), "size": size}
    event = replace(TWO, target={"kind": "pipe"})
    yield broken("limit-targets", f"a zstd frame that promises {size} bytes of targets", "R4",
                 EVENTS, {**chunk(event), "targets": bomb}, fault="limit")  # fmt: skip
    column = {"base": 0, "width": 8, "data": zstd(bytes(300), size=size), "size": size}
    yield broken("limit-column", "a column that promises more than its numbers take", "R4", EVENTS,
                 with_column(body, "tid", column), late=True, fault="limit")  # fmt: skip
    bulky = zstd(bytes(MIB))
    filled = {"data": bulky, "size": MIB}
    yield broken("payload-of-zeros", "a zstd frame of few bytes that is longer than captured",
                 "R15", EVENTS, {**body, "payload": filled}, late=True)  # fmt: skip
    yield broken("limit-results", "2**20 + 1 results", "R4", RESULTS,
                 {"results": count, "columns": {}}, fault="limit")  # fmt: skip
    made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE)))
    place = made.place
    made.raw(b"\xc9" + (64 * MIB + 13).to_bytes(4, "big") + b"\x40" + MARKER + bytes(8))
    made.number += 1
    made.frame(END, ending([ONE]))
    yield Vector(
        "limit-frame", "an envelope that promises more than 64 MiB", "R4 R11", bytes(made.data),
        [ONE], header=HEAD, end=ending([ONE]),
        damage=[("limit", place), ("truncation", None)], status=3,
    )  # fmt: skip
    made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE)), (END, ending([ONE])))
    size = 8 * MIB + 1
    place = made.place
    made.index(entries={"data": zstd(bytes(300), size=size), "size": size}).footer()
    yield Vector(
        "limit-index", f"an index that promises {size} bytes of entries", "R4 R13",
        bytes(made.data), [ONE], header=HEAD, end=ending([ONE]), damage=[("limit", place)],
        status=3, by_seeking=True,
    )  # fmt: skip
