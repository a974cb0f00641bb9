"""Vectors of what is broken: by accident (cuts, wrong checksums, missing frames) or on purpose."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from vectormaker.chunk import Event, chunk
from vectormaker.keys import keys, unsound
from vectormaker.meaning import Vector
from vectormaker.spoiled import bodies, broken_columns, broken_maps, limits
from vectormaker.story import HEAD, ONE, TWO, ending, gap
from vectormaker.wire import (
    END,
    ENVELOPE_SIZE,
    EVENTS,
    GAPS,
    HEADER,
    PREAMBLE_SIZE,
    RESULTS,
    Bytes,
    envelope,
    packed,
    preamble,
)

THREE = Event(b"third\n", at=3_000_000, sequence=3)
LAST = ending([ONE, TWO, THREE])


def vectors() -> Iterator[Vector]:
    """Yield every vector of this folder."""
    for part in (
        not_captures, cuts, checksums, lost_places, frames_out_of_place, indexes, bodies,
        broken_maps, broken_columns, limits, keys, unsound,
    ):  # fmt: skip
        for vector in part():
            yield replace(vector, name=f"damaged/{vector.name}")


def whole() -> Bytes:
    """Return a capture of three chunks, closed."""
    made = Bytes().frames((HEADER, HEAD))
    made.frames(*((EVENTS, chunk(event)) for event in (ONE, TWO, THREE)))
    return made.frame(END, LAST).index().footer()


def refused(name: str, shows: str, rules: str, data: bytes, kind: str, place: int | None) -> Vector:
    """Return a vector of bytes that are refused as a whole."""
    return Vector(name, shows, rules, data, refused=(kind, place), status=1)


def not_captures() -> Iterator[Vector]:
    """Bytes that do not start as a capture."""
    data = bytes(whole().data)
    what = "not a capture"
    yield refused("empty", "no bytes at all", "R1", b"", what, None)
    yield refused("not-a-capture", "text", "R1", b"hello, world\n", what, 0)
    yield refused("not-a-capture-short", "one byte, and not the first of the magic", "R1", b"\xc8",
                  what, 0)  # fmt: skip
    yield refused("text-mode-to-unix", "a transfer that made LF of CR LF", "R1",
                  data.replace(b"\r\n", b"\n"), what, 0)  # fmt: skip
    yield refused("text-mode-to-windows", "a transfer that made CR LF of LF", "R1",
                  data.replace(b"\n", b"\r\n"), what, 0)  # fmt: skip
    yield refused("seven-bits", "a transfer that cleared the high bit", "R1",
                  bytes(byte & 127 for byte in data), what, 0)  # fmt: skip
    yield refused("recoded", "a transfer that took the bytes for Latin-1 and made UTF-8 of them",
                  "R1", data.decode("latin-1").encode(), what, 0)  # fmt: skip


def cut(name: str, shows: str, at: int, *events: Event, inside: int | None) -> Vector:
    """Return a vector of the whole capture cut at a place; ``inside`` which frame, if any."""
    made = whole()
    damage: list[tuple[str, int | None]] = []
    if inside is not None:
        damage.append(("truncation", made.parts[inside].offset))
    end = LAST if at >= made.parts[5].offset else None
    return Vector(
        name, shows, "R9 R10 W3", bytes(made.data[:at]), events, header=HEAD, end=end,
        damage=[*damage, ("truncation", None)], status=3,
    )  # fmt: skip


def cuts() -> Iterator[Vector]:
    """A capture that ends too soon."""
    made = whole()
    starts = [part.offset for part in made.parts]
    data = bytes(made.data)
    for name, at, place in (
        ("cut-in-magic", 5, 0), ("cut-in-salt", 14, 0), ("cut-after-preamble", PREAMBLE_SIZE, 16),
        ("cut-in-header", starts[1] - 3, 16), ("cut-in-header-envelope", PREAMBLE_SIZE + 5, 16),
    ):  # fmt: skip
        yield refused(name, f"the first {at} bytes of a capture", "R10", data[:at], "truncation",
                      place)  # fmt: skip
    yield cut("cut-after-header", "ends after the header", starts[1], inside=None)
    yield cut("cut-in-envelope", "ends inside an envelope", starts[2] + 7, ONE, inside=2)
    yield cut("cut-after-envelope", "ends after an envelope", starts[2] + ENVELOPE_SIZE, ONE,
              inside=2)  # fmt: skip
    yield cut("cut-in-chunk", "ends inside the body of a chunk", starts[3] - 1, ONE, inside=2)
    yield cut("cut-after-chunk", "ends after a chunk: the recorder was killed", starts[3], ONE,
              TWO, inside=None)  # fmt: skip
    yield cut("cut-in-end", "ends inside END", starts[5] - 1, ONE, TWO, THREE, inside=4)
    yield cut("cut-after-end", "ends after END", starts[5], ONE, TWO, THREE, inside=None)
    yield cut("cut-in-index", "ends inside INDEX", starts[6] - 1, ONE, TWO, THREE, inside=5)
    yield cut("cut-after-index", "ends after INDEX", starts[6], ONE, TWO, THREE, inside=None)
    yield cut("cut-in-footer", "ends inside FOOTER", len(data) - 1, ONE, TWO, THREE, inside=6)


def damaged(
    name: str, shows: str, rules: str, data: bytes, *events: Event, at: int | None,
    kind: str = "corruption", end: Mapping[str, Any] | None = LAST, **more: Any,
) -> Vector:  # fmt: skip
    """Return a vector of a capture with damage in one place."""
    more.setdefault("damage", [(kind, at)])
    return Vector(name, shows, rules, data, events, header=HEAD, end=end, status=3, **more)


def checksums() -> Iterator[Vector]:
    """A byte of a body that changed, in each type of frame."""

    def flipped(part: int) -> tuple[bytes, int]:
        made = whole()
        found = made.parts[part]
        made.data[found.offset + found.length - 1] ^= 1
        return bytes(made.data), found.offset

    data, place = flipped(0)
    yield refused("checksum-header", "a changed byte in HEADER", "R3", data, "corruption", place)
    data, place = flipped(2)
    yield damaged("checksum-chunk", "a changed byte in a chunk: the others are read", "R3 R11",
                  data, ONE, THREE, at=place)  # fmt: skip
    data, place = flipped(4)
    yield damaged("checksum-end", "a changed byte in END", "R3 R11", data, ONE, TWO, THREE,
                  at=place, end=None)  # fmt: skip
    data, place = flipped(5)
    yield damaged("checksum-index", "a changed byte in INDEX", "R3 R13", data, ONE, TWO, THREE,
                  at=place)  # fmt: skip
    data, place = flipped(6)
    yield damaged("checksum-footer", "a changed byte in FOOTER", "R3 R9", data, ONE, TWO, THREE,
                  at=place)  # fmt: skip
    for name, frame in (
        ("gaps", (GAPS, {"gaps": [gap(0, 2, 2)]})),
        ("results", (RESULTS, {"results": 1, "columns": {}})),
    ):
        made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE)))
        place = made.place
        made.frame(*frame)
        made.data[-1] ^= 1
        made.frame(END, ending([ONE]))
        yield damaged(f"checksum-{name}", f"a changed byte in {name.upper()}", "R3 R11",
                      made.closed(), ONE, at=place, end=ending([ONE]))  # fmt: skip
    made = whole()
    made.data[12] ^= 1
    yield refused("salt-changed", "another salt: no checksum holds", "R3", bytes(made.data),
                  "corruption", 16)  # fmt: skip


def lost_places() -> Iterator[Vector]:
    """Envelopes that changed, and bytes that are no frames."""
    for name, shows, byte in (
        ("first-byte", "the first byte of an envelope", 0),
        ("length", "the length in an envelope, by a little", 4),
        ("length-much", "the length in an envelope, beyond the file", 2),
        ("marker", "the marker of an envelope", 7),
        ("checksum", "the checksum in an envelope", 11),
        ("number", "the number in an envelope", 17),
    ):
        made = whole()
        place = made.parts[2].offset
        made.data[place + byte] ^= 0x40 if byte != 17 else 0x08
        kind = "truncation" if name == "length-much" else "corruption"
        yield damaged(f"envelope-{name}", f"{shows}: the next frame is found by its marker",
                      "R11", bytes(made.data), ONE, THREE, at=place, kind=kind)  # fmt: skip
    for name, junk in (
        ("bytes", b"\0" * 40),
        ("markers", b"\xf5WCF" * 9),
        # Each promises a frame of 256 bytes, and none has its checksum.
        ("envelopes", envelope(EVENTS, bytes(244), 2, salt=5)[:ENVELOPE_SIZE] * 99),
    ):
        made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE)))
        place = made.place
        made.raw(junk).frames((EVENTS, chunk(TWO)), (EVENTS, chunk(THREE)), (END, LAST))
        yield damaged(f"{name}-between-frames", "bytes between frames that belong there", "R11",
                      made.closed(), ONE, TWO, THREE, at=place,
                      damage=[("corruption", made.parts[5].offset), ("corruption", place)])  # fmt: skip
    made = whole()
    yield damaged("tail", "bytes after the footer", "R9 R11", bytes(made.data) + b"tail" * 9,
                  ONE, TWO, THREE, at=len(made.data))  # fmt: skip
    other = bytes(Bytes(salt=1).frames((HEADER, HEAD), (EVENTS, chunk(THREE))).data)
    yield damaged("two-captures", "another capture behind the footer: its salt is another",
                  "R3 R11", bytes(made.data) + other, ONE, TWO, THREE, at=len(made.data))  # fmt: skip


def frames_out_of_place() -> Iterator[Vector]:
    """Whole frames that are missing, stand twice, or stand elsewhere: section 3.4, R12."""
    made = whole()
    data = bytes(made.data)
    pieces = [data[part.offset : part.offset + part.length] for part in made.parts]
    starts = [part.offset for part in made.parts]
    begin = data[:PREAMBLE_SIZE]

    def put(*order: int) -> bytes:
        return begin + b"".join(pieces[place] for place in order)

    yield damaged("frame-missing", "a chunk is missing", "R12 R13", put(0, 1, 3, 4, 5, 6), ONE,
                  THREE, at=0, damage=[("corruption", starts[5]), ("corruption", starts[2])])  # fmt: skip
    yield damaged("frame-twice", "a chunk stands twice: it is delivered once", "R12 R13",
                  put(0, 1, 2, 2, 3, 4, 5, 6), ONE, TWO, THREE, at=0,
                  damage=[("corruption", starts[5]), ("corruption", starts[3])])  # fmt: skip
    yield damaged("frames-swapped", "two chunks in the wrong order: the late one is left out",
                  "R12", put(0, 1, 3, 2, 4), ONE, THREE, at=0,
                  damage=[("corruption", starts[2]), ("corruption", starts[3]),
                          ("truncation", None)])  # fmt: skip
    body = {"clock": {"name": "boottime", "anchor": [0, 0]}, "snaplen": 1, "syscalls": []}
    made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE)))
    place = made.place
    made.frames((HEADER, body), (EVENTS, chunk(TWO)), (END, ending([ONE, TWO])))
    yield damaged("header-twice", "a second HEADER: the first one holds", "R11", made.closed(), ONE,
                  TWO, at=place, end=ending([ONE, TWO]))  # fmt: skip
    made = Bytes().frames((HEADER, HEAD), (EVENTS, chunk(ONE))).index().footer()
    made.frames((EVENTS, chunk(TWO)), (END, ending([ONE, TWO])))
    yield damaged("footer-not-last", "frames after the footer count", "R9", bytes(made.data), ONE,
                  TWO, at=None, kind="truncation", end=ending([ONE, TWO]))  # fmt: skip
    made = Bytes().frames((EVENTS, chunk(ONE)), (HEADER, HEAD))
    yield refused("no-header", "the first frame is no HEADER", "R11", made.closed(), "corruption",
                  16)  # fmt: skip
    yield refused("bytes-for-header", "no frame at byte 16", "R11",
                  preamble() + b"\0" * 100 + pieces[0], "corruption", 16)  # fmt: skip


def indexes() -> Iterator[Vector]:
    """Indexes that do not account for every frame, or lie: a reader does without them."""

    def indexed(
        name: str, shows: str, rules: str, made: Bytes, *damage: tuple[str, int | None]
    ) -> Vector:
        return damaged(name, shows, rules, bytes(made.data), ONE, TWO, THREE, at=0, damage=damage,
                       by_seeking=True)  # fmt: skip

    def opened() -> Bytes:
        made = Bytes().frames((HEADER, HEAD))
        made.frames(*((EVENTS, chunk(event)) for event in (ONE, TWO, THREE)))
        return made.frame(END, LAST)

    made = opened()
    rows: list[list[Any]] = [
        [part.kind, part.offset, part.length, *([part.summary] if part.summary else [])]
        for part in made.parts
    ]
    place = made.place

    def listing(*entries: Any) -> Bytes:
        body = {"data": packed({"frames": list(entries)})}
        return opened().index(entries=body).footer()

    for name, shows, entries, at in (
        (
            "index-lacks-the-first",
            "an index without the first frame",
            rows[1:],
            made.parts[1].offset,
        ),
        ("index-with-a-hole", "an index without a frame between", [*rows[:2], *rows[3:]], place),
        ("index-lacks-the-last", "an index without the last frame", rows[:-1], place),
        ("index-empty", "an index of nothing", [], place),
        ("index-beyond", "an entry beyond the index", [*rows[:-1], [5, 1 << 40, 93]], place),
        ("index-negative", "an entry of negative length", [*rows[:-1], [5, 16, -5]], place),
        ("index-short-entry", "an entry of two numbers", [*rows[:-1], rows[-1][:2]], place),
        ("index-summary-no-map", "a summary that is no map", [[*rows[0], 5], *rows[1:]], place),
    ):
        yield indexed(name, shows, "R13", listing(*entries), ("corruption", at))
    lie = dict(rows[2][3], pids=[999])
    yield indexed("index-contradicts", "a summary in the index that differs from the chunk's",
                  "R14", listing(*rows[:2], [*rows[2][:3], lie], *rows[3:]),
                  ("corruption", rows[2][1]))  # fmt: skip
    yield replace(
        indexed("index-summary-broken", "a summary in the index that breaks a rule costs its chunk",
                "R13", listing(*rows[:2], [*rows[2][:3], {"events": 0}], *rows[3:]),
                ("corruption", rows[2][1])),
        events=[ONE, THREE], streamed=[ONE, TWO, THREE],
    )  # fmt: skip
    wrong = [[4, *rows[1][1:]]]
    yield replace(
        indexed("index-wrong-type", "an entry that names another type than the frame has", "R13",
                listing(rows[0], *wrong, *rows[2:]), ("corruption", rows[1][1])),
        events=[TWO, THREE], streamed=[ONE, TWO, THREE],
    )  # fmt: skip
    for name, shows, previous in (
        ("index-leads-to-itself", "an index that is the one before itself", place),
        ("index-leads-ahead", "an index that leads to a later byte", place + 500),
        ("index-leads-to-a-chunk", "an index that leads to a frame that is none", rows[1][1]),
    ):
        made = opened()
        body = {"entries": {"data": packed({"frames": rows[2:]})}, "previous": previous}
        at = rows[2][1] if previous > rows[1][1] else previous
        made.index(**body).footer()
        yield indexed(name, shows, "R13", made, ("corruption", at))
    for name, shows, target in (
        ("footer-beyond", "a footer that points beyond the file", 1 << 50),
        ("footer-to-itself", "a footer that points to itself", None),
        ("footer-to-a-chunk", "a footer that points to a chunk", rows[1][1]),
    ):
        made = opened().index()
        own = made.place
        made.footer(own if target is None else target)
        at = rows[1][1] if name == "footer-to-a-chunk" else own
        yield indexed(name, shows, "R13", made, ("corruption", at))
    made = opened()
    made.index().frame(64, {}).footer()
    yield indexed("frame-behind-index", "a frame between INDEX and FOOTER is in no index", "R13",
                  made, ("corruption", place))  # fmt: skip
