"""Files made to waste memory and time: each is refused, in little of both (SPEC.md section 9)."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgpack
import pytest
import zstandard
from bytesupport import SALT, assembled, body_of, small_capture
from support import CLOCK, batch_of, end_of, write

import wcap
from wcap.chunks import encode_events
from wcap.envelope import MAGIC_SIZE, encode_frame
from wcap.events import EventFlag
from wcap.format import FrameType, encode_end

HEADER = body_of(small_capture(), FrameType.HEADER)
BATCH = batch_of(write(b"x" * 100))
CHUNK = msgpack.unpackb(encode_events(BATCH, CLOCK)[0])
END = encode_end(end_of([BATCH]))
# Above what the command takes for a sound capture of a few events.
MOST_BYTES = 64 << 20
MOST_SECONDS = 2.0


def chunk(**changed: object) -> bytes:
    return capture((2, msgpack.packb({**CHUNK, **changed})))


def column(name: str, **stored: object) -> bytes:
    return chunk(columns={**CHUNK["columns"], name: stored})


def capture(*frames: tuple[int, bytes]) -> bytes:
    return assembled([(1, HEADER), *frames, (5, END)])


def bomb(size: int) -> dict[str, object]:
    return {"data": zstandard.ZstdCompressor().compress(bytes(size)), "size": size}


def with_index(offset: int, index: bytes | None = None) -> bytes:
    """End a capture in a footer that points to ``offset``, after an INDEX of this body."""
    data = capture((2, msgpack.packb(CHUNK)))
    number = 3
    if index is not None:
        data += encode_frame(6, index, number, SALT)
        number += 1
    footer = b"\x81\xa5index\xcf" + struct.pack(">Q", offset)
    return data + encode_frame(7, footer, number, SALT)


END_OF_FRAMES = len(capture((2, msgpack.packb(CHUNK))))
MAKERS: dict[str, Callable[[], bytes]] = {
    "a frame of 4 GiB": lambda: (
        capture()[: -len(END) - 18] + b"\xc9\xff\xff\xff\xff\x02\xf5WCF" + bytes(60)
    ),
    "a header of 4 GiB": lambda: (
        small_capture()[:MAGIC_SIZE] + b"\xc9\xff\xff\xff\xff\x01\xf5WCF" + bytes(66)
    ),
    "a payload that is a bomb": lambda: chunk(payload=bomb(1 << 30)),
    "processes that are a bomb": lambda: chunk(processes=bomb(1 << 30)),
    "a column that is a bomb": lambda: column("fd", base=0, width=8, **bomb(1 << 30)),
    "a bomb that lies of its size": lambda: chunk(payload={**bomb(1 << 30), "size": 100}),
    "a million columns": lambda: chunk(
        columns={**CHUNK["columns"], **{f"x-{n}": {} for n in range(1_000_000)}}
    ),
    "a promise of 4 billion objects": lambda: capture((2, b"\xdf\xff\xff\xff\xff")),
    "deep nesting": lambda: capture((2, b"\x81\xa1x" + b"\x91" * 500_000 + b"\xc0")),
    "a deeply nested header": lambda: assembled(
        [(1, b"\x81\xa1x" + b"\x91" * 500_000 + b"\xc0"), (5, END)]
    ),
    "text that is not UTF-8": lambda: chunk(syscalls=[b"\xff\xfe"]).replace(
        b"\x91\xc4\x02\xff\xfe", b"\x91\xa2\xff\xfe\xc0"
    ),
    "a negative size": lambda: chunk(payload={"data": b"x", "size": -1}),
    "a negative width": lambda: column("fd", base=0, width=-8),
    "a negative count of events": lambda: chunk(summary={**CHUNK["summary"], "events": -1}),
    "counts that disagree": lambda: chunk(summary={**CHUNK["summary"], "events": 1 << 20}),
    "an index that points into itself": lambda: with_index(
        END_OF_FRAMES,
        msgpack.packb(
            {
                "entries": {
                    "data": msgpack.packb({"frames": [[6, END_OF_FRAMES, 50]]}),
                },
                "previous": END_OF_FRAMES,
            }
        ),
    ),
    "an index beyond the end": lambda: with_index(1 << 62),
    "an index entry beyond the end": lambda: with_index(
        END_OF_FRAMES,
        msgpack.packb({"entries": {"data": msgpack.packb({"frames": [[2, 1 << 62, 1 << 40]]})}}),
    ),
    "an index that is a bomb": lambda: with_index(
        END_OF_FRAMES, msgpack.packb({"entries": bomb(1 << 30)})
    ),
}
# The most that one chunk may take of a reader (docs/performance.md), and what 2**20 events that
# differ in everything that a column can tell without a byte of data may.
MOST_OF_DISTINCT = 256 << 20
COMMANDS = [
    ["show"],
    ["stats"],
    ["info"],
    ["export", "--csv"],
    ["export", "--jsonl"],
    ["replay", "--no-delay"],
    ["verify"],
    ["recover", "--force", "-o", "OUT"],
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A file of each kind by its name, and a sound one."""
    folder = tmp_path_factory.mktemp("strangers")
    made = {}
    for number, (name, make) in enumerate({"sound": small_capture, **MAKERS}.items()):
        made[name] = folder / f"{number}.wcap"
        made[name].write_bytes(make())
    return made


@pytest.fixture(scope="module")
def run():
    """Run a command in a process of its own; return what `measured` tells of it."""
    environment = {**os.environ, "PYTHONPATH": str(Path(wcap.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, Path(__file__).parents[1] / "measured.py"],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as server:  # fmt: skip

        def ask(words, source, target):
            given = [str(target) if word == "OUT" else word for word in words]
            server.stdin.write(json.dumps([*given, str(source)]) + "\n")
            server.stdin.flush()
            return json.loads(server.stdout.readline())

        yield ask
        server.stdin.close()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0] + words[-1][:7])
def test_a_strangers_file_takes_neither_memory_nor_time(tmp_path, command, files, run):
    """SPEC R4 R19"""
    target = tmp_path / "out.wcap"
    idle = run(command, files["sound"], target)
    assert idle["status"] in (0, 3)
    failures = []
    for name in MAKERS:
        found = run(command, files[name], target)
        lines = found["err"].splitlines()
        # A bad index is made anew, and nothing is missing then.
        mended = command[0] == "recover" and name.startswith("an index")
        if (
            (found["status"] not in (1, 3) and not mended)
            or "Traceback" in found["err"]
            or any(len(line) > 400 for line in lines)
        ):
            failures.append(f"{name}: status {found['status']}: {found['err'][-300:]}")
        if found["bytes"] - idle["bytes"] > MOST_BYTES:
            failures.append(f"{name}: {(found['bytes'] - idle['bytes']) >> 20} MiB above idle")
        if found["seconds"] - idle["seconds"] > MOST_SECONDS:
            failures.append(f"{name}: {found['seconds'] - idle['seconds']:.1f} s")
    assert not failures


def rising(first: int) -> dict[str, int]:
    """Return a column whose numbers all differ, in no bytes at all."""
    return {"delta": first, "base": 1, "width": 0}


def a_million_events() -> bytes:
    """Return a capture of a kilobyte with the most events that a chunk may have."""
    events = 1 << 20
    return chunk(
        summary={**CHUNK["summary"], "events": events, "sequences": [[0, 1, events, events]]},
        columns={
            **CHUNK["columns"],
            "sequence": {"delta-by": [[0, 1]], "base": 1, "width": 0},
            "captured": {"base": 0, "width": 0},
            "flags": {"base": int(EventFlag.TRUNCATED), "width": 0},
            "returned": rising(-events),
            **{name: rising(1) for name in ("tid", "fd", "count", "duration_ns")},
        },
        payload={"data": b""},
    )


@pytest.mark.parametrize(
    "command", [["stats"], ["stats", "--json"], ["verify"], ["show", "--text"]], ids=" ".join
)
def test_a_small_file_of_a_million_distinct_events_takes_no_more_than_is_promised(
    tmp_path, command, files, run
):
    path = tmp_path / "million.wcap"
    path.write_bytes(a_million_events())
    assert path.stat().st_size < 1500
    idle = run(command, files["sound"], "")

    found = run(command, path, "")

    assert (found["status"], "Traceback" in found["err"]) == (3, False), found["err"]
    assert found["bytes"] - idle["bytes"] < MOST_OF_DISTINCT
