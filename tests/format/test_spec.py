"""SPEC.md and what it says of itself, of the code and of the tests."""

from __future__ import annotations

import io
import json
import re
import subprocess
import zlib
from pathlib import Path

import msgpack
import numpy as np
import pytest
from bytesupport import columns_of, frames_of, read
from support import CLOCK, STARTED_NS, batch_of, write

import wcap
from wcap import (
    chunk_summary,
    chunks,
    columns,
    envelope,
    errors,
    fields,
    index_frames,
    packed,
    sources,
    tables,
)
from wcap import format as wire
from wcap.batch import COLUMNS, OPTIONAL, EventBatch
from wcap.chunks import decode_results
from wcap.cli.info import END_REASONS
from wcap.envelope import check_body, decode_envelope, decode_preamble
from wcap.events import BYPASSES, TARGET_KINDS, Bypass, EventFlag, Gap, Process, Target
from wcap.exporters.jsonl import format_batch
from wcap.exporters.shared import PayloadForm
from wcap.fields import decode_map
from wcap.format import (
    MERGED,
    RECOVERED,
    Clock,
    End,
    FrameType,
    Header,
    Origin,
    Rewriting,
    decode_gaps,
    encode_gaps,
)
from wcap.index_frames import decode_footer
from wcap.reader import Capture
from wcap.syscalls import SYSCALLS
from wcap.writer import CaptureWriter

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "SPEC.md").read_text(encoding="utf-8")
TESTS = {path: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py")}
CODE = {
    path: path.read_text(encoding="utf-8") for path in Path(wcap.__file__).parent.glob("**/*.py")
}

REQUIREMENTS = re.findall(r"^\* \*\*\[([WR]\d+)\]\*\*", SPEC, re.MULTILINE)
SECTIONS = set(re.findall(r"^#+ (\d+(?:\.\d+)?) ", SPEC, re.MULTILINE))


def block(name: str) -> bytes:
    """Return the bytes of an example: the hex digits of a block, without its comments."""
    found = re.search(rf"^```hex {name}\n(.*?)^```$", SPEC, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return bytes.fromhex(re.sub(r"#.*", "", found[1]))


def section(title: str) -> str:
    """Return the text under a heading, up to the next of its rank."""
    found = re.search(rf"^(#+) {re.escape(title)}.*?\n(.*?)(?=^\1 |\Z)", SPEC, re.M | re.S)
    assert found is not None, title
    return found[2]


def table(text: str) -> dict[str, list[str]]:
    """Return the rows of a table, by the names in code type of their first cell."""
    rows = {}
    for line in re.findall(r"^\| (.*) \|$", text, re.MULTILINE):
        cells = [cell.strip() for cell in line.split("|")]
        for name in re.findall(r"`([^`]+)`", cells[0]):
            rows[name] = cells[1:]
    return rows


def test_every_requirement_has_a_number_of_its_own():
    for letter in "WR":
        numbers = [int(name[1:]) for name in REQUIREMENTS if name[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_every_requirement_has_a_test_that_names_it(requirement):
    named = re.compile(rf'"""SPEC (?:[WR]\d+ )*{requirement}\b')
    assert any(named.search(text) for text in TESTS.values())


def test_no_test_names_a_requirement_that_is_not_there():
    named = {
        name
        for text in TESTS.values()
        for line in re.findall(r'"""SPEC ((?:[WR]\d+ ?)+)', text)
        for name in line.split()
    }
    assert named == set(REQUIREMENTS)


def test_a_must_stands_only_under_a_number():
    numbered = "".join(re.findall(r"^\* \*\*\[[WR]\d+\]\*\*.*?(?=^\* |^$)", SPEC, re.M | re.S))
    allowed = numbered + section("2.1 Requirement words")
    assert SPEC.count("MUST") == allowed.count("MUST")


def test_the_code_cites_sections_that_are_there():
    cited = {
        number
        for text in CODE.values()
        for line in re.findall(
            r"SPEC\.md\s+sections? ((?:[\d.]+\d|\d)(?:(?:, | and )[\d.]*\d)*)", text
        )
        for number in re.split(r", | and ", line)
    }
    assert len(cited) > 9
    assert cited <= SECTIONS
    inside = set(re.findall(r"section (\d+(?:\.\d+)?)", SPEC))
    assert inside <= SECTIONS


def test_frame_types_flags_and_columns_are_those_of_the_code():
    types = dict(re.findall(r"^\| (\d+) \| ([A-Z]+) \|", section("3.4 Frame types"), re.M))
    assert {int(number): name for number, name in types.items()} == {
        kind.value: kind.name for kind in FrameType
    }
    flags = re.findall(r"^\| (\d+) \| (\d+) \| ([A-Z_]+) \|", section("5.3 Flags"), re.M)
    assert [(1 << int(bit), int(value), name) for bit, value, name in flags] == [
        (flag.value, flag.value, flag.name) for flag in EventFlag
    ]
    told = {name: cells[0].split(",")[0] for name, cells in table(section("5.1 Columns")).items()}
    assert told == {name: kind.name for name, kind in COLUMNS.items()}
    last = [*COLUMNS][-len(OPTIONAL) :]
    assert last == [*OPTIONAL]
    assert "The last four each" in section("5.1 Columns")
    assert f"up to `{[*COLUMNS][-len(OPTIONAL) - 2]}` are required" in section("5.1 Columns")


def test_system_calls_and_kinds_of_targets_are_those_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \|", section("5.7 System calls"), re.M)
    assert sorted(rows) == sorted(SYSCALLS)
    registry = section("14 Registries")
    kinds = re.search(r"^\| `kind` of a target \| (.*) \|$", registry, re.M)
    assert kinds is not None
    assert tuple(re.findall(r"`(\w+)`", kinds[1])) == TARGET_KINDS
    ways = re.search(r"^\| `how` of `bypassed` \| (.*) \|$", registry, re.M)
    assert ways is not None
    assert set(re.findall(r"`(\w+)`", ways[1])) == set(BYPASSES)


def keys_of(title: str) -> set[str]:
    return set(table(section(title)))


def test_key_tables_are_those_of_the_code():
    frames = dict(capture_maps())
    process = frames[2]["processes"]["processes"][0]

    assert keys_of("4.1 HEADER") >= set(frames[1])
    optional = {"targets", "addresses", "essential", *Process.__slots__, *Target.__slots__}
    assert keys_of("4.2 EVENTS") == {*frames[2], *process, *optional}
    gap = Gap(0, 1, 1, 1, 0, 0, "x", ((5, 1),))
    assert keys_of("4.3 GAPS") == set(
        msgpack.unpackb(encode_gaps([gap], Clock("x", 0, 0)))["gaps"][0]
    )
    optional = {"unfollowed", "exit_status", "warnings", "bypassed", "left_out", "origins"}
    assert keys_of("4.5 END") == {*frames[5], *optional, *Bypass.__slots__}
    assert keys_of("4.6 INDEX") == {"entries", "previous"}
    summary = {*frames[2]["summary"], "payload_lost", "targets", "kinds"}
    assert keys_of("5.5 Summary") == set(chunk_summary.Summary.__slots__) == summary
    required = {name for name, cells in table(section("4.1 HEADER")).items() if "yes" in cells}
    assert required == {"clock", "snaplen", "syscalls", "what"}
    merged = {"origins", *Origin.__slots__} - {"header"}
    assert keys_of("4.1 HEADER") >= {"rewritten", *Rewriting.__slots__, *merged}


def test_the_json_keys_are_those_of_the_code():
    batch = next(Capture(io.BytesIO(CAPTURE)).batches())
    assert keys_of("Appendix F") == set(json.loads(format_batch(batch, tuple(PayloadForm))))


def test_the_names_that_may_be_essential_are_those_of_the_code():
    text = section("8.3 Unknown keys")
    told = re.findall(r"`([\w-]+)`", text[text.index("this version knows") :])
    assert {*told, *COLUMNS} == chunks._KNOWN
    assert not {*told} & {*COLUMNS}


def capture_maps() -> list[tuple[int, dict]]:
    """Return the frames of Appendix A, with what is packed in them unpacked."""
    maps = []
    for frame in frames_of(CAPTURE):
        body = msgpack.unpackb(CAPTURE[frame.start + 18 : frame.end])
        for name in ("processes", "entries"):
            if name in body:
                body[name] = decode_map(packed.unpack(body[name], 9999))._map
        maps.append((frame.type, body))
    return maps


@pytest.mark.parametrize(
    ("row", "limit"),
    [
        ("body of a frame", envelope.MAX_FRAME),
        ("msgpack objects", fields.MAX_ITEMS),
        ("events in a chunk", chunk_summary.MAX_EVENTS),
        ("`payload` of a chunk", chunks.MAX_PAYLOAD),
        ("`processes` of a chunk", tables.MAX_TABLE),
        ("`targets` of a chunk", tables.MAX_TABLE),
        ("`entries` of an INDEX", index_frames.MAX_INDEX),
        ("results in a RESULTS", chunk_summary.MAX_EVENTS),
        ("results in all RESULTS", chunks.MAX_RESULTS),
    ],
)
def test_limits_are_those_of_the_code(row, limit):
    found = re.search(rf"^\| {re.escape(row)}[^|]*\| ([^|;]*)", section("9 Limits"), re.MULTILINE)
    assert found is not None
    told = found[1].strip()
    assert told == (f"{limit >> 20} MiB" if "MiB" in told else {1 << 20: "2²⁰"}[limit])


def test_other_numbers_are_those_of_the_code():
    assert f"more than {chunk_summary.MAX_LISTED} entries" in section("5.5 Summary")
    bounds = (chunk_summary.MAX_TARGETS, chunk_summary.MAX_TARGET_BYTES)
    assert "more than {} entries or more than {} bytes".format(*bounds) in section("5.5 Summary")
    assert f"{sources._VAIN_BYTES >> 20} MiB" in section("12.2 Corruption")
    assert sources._VAIN_TIMES == 4
    assert f"{index_frames.FOOTER_SIZE} bytes before the end" in section("4.7 FOOTER")
    assert wire.FIRST_OPTIONAL_TYPE == 64
    assert f"version {wcap.FORMAT_VERSION[0]}.{wcap.FORMAT_VERSION[1]} " in SPEC[:99]


def test_the_reasons_of_end_are_those_of_the_code():
    row = re.search(r"^\| `reason` of END \| (.*) \|$", section("14 Registries"), re.MULTILINE)
    assert row is not None
    told = set(re.findall(r"`(\w+)`", row[1]))
    recording = "".join(
        text for path, text in CODE.items() if path.name == "record.py" or "recorder" in path.parts
    )
    written = set(re.findall(r"(?:\bstop\(|_reason = |_standing\()\"(\w+)\"", recording))
    assert len(written) == 10
    # The reasons `recovered` and `merged` are no recorder's.
    assert told == set(END_REASONS) == written | {RECOVERED, MERGED}


def test_error_classes_are_those_of_the_code():
    told = re.findall(r"`(\w+Error)`", section("11 Conforming readers"))
    assert set(told) == {cls.__name__ for cls in errors.FormatError.__subclasses__()}


def test_every_example_is_looked_at_by_a_test():
    named = re.findall(r"^```hex (\S+)$", SPEC, re.MULTILINE)
    here = Path(__file__).read_text(encoding="utf-8")
    assert len(named) == len(set(named)) == 14
    for name in named:
        assert f'"{name}"' in here


def test_the_preamble_example():
    preamble = decode_preamble(block("preamble"))
    assert (preamble.major, preamble.minor, preamble.salt) == (1, 3, 0x57434150)


def test_the_envelope_example():
    frame = block("envelope")
    envelope = decode_envelope(frame, 0)
    check_body(envelope, frame[18:], 0x57434150, 0)
    assert (envelope.type, envelope.length, envelope.number) == (64, 1, 5)


def checksum(salt: int, data: bytes) -> int:
    """Follow the three steps of section 3.3 to the letter."""
    register = salt ^ 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ 0xEDB88320 if register & 1 else register >> 1
    return register ^ 0xFFFFFFFF


def test_the_checksum_is_what_its_three_steps_say():
    frame = block("envelope")
    assert checksum(0x57434150, frame[1:6] + frame[14:]) == int.from_bytes(frame[10:14], "big")
    rows = re.findall(r"^\| `(\w{8})` \| `(\w+)` in ASCII \| `(\w{8})` \|", SPEC, re.MULTILINE)
    assert len(rows) == 2
    for salt, data, expected in rows:
        assert checksum(int(salt, 16), data.encode()) == int(expected, 16)
        assert zlib.crc32(data.encode(), int(salt, 16)) == int(expected, 16)


def test_the_targets_example():
    table = {"data": block("targets")}
    target = Target("file", "/tmp/x", (8, 1), 1001, deleted=True)
    batch = batch_of(write(target=target))
    body = msgpack.unpackb(chunks.encode_events(batch, CLOCK)[0])
    assert packed.unpack(body["targets"], 999) == block("targets")
    body["targets"] = table
    assert chunks.Chunk(msgpack.packb(body), CLOCK).batch().targets == [target]


def test_the_gaps_example():
    clock = Clock("boottime", 0, STARTED_NS)
    (gap,) = decode_gaps(block("gaps"), clock)
    start = STARTED_NS + 5_000_000_000
    assert gap == Gap(0, 4, 6, 3, start, start + 2_000, "buffer-full")
    assert encode_gaps([gap], clock) == block("gaps")


def test_the_results_example():
    assert decode_results(block("results")) == {(0, 1): (-32, 7000)}
    assert chunks.encode_results([(0, 1, -32, 7000)]) == block("results")


def test_the_footer_example():
    assert decode_footer(block("footer")) == 885
    assert index_frames.encode_footer(885) == block("footer")


def test_the_packed_example():
    assert packed.unpack(msgpack.unpackb(block("packed")), 100) == b"ab" * 50


CPU, COUNT = np.array([0, 1, 0, 0, 1]), np.array([6, 6, 6])


@pytest.mark.parametrize(
    ("name", "numbers", "how"),
    [
        ("column-plain", [-11, 8, 8, 300], {}),
        ("column-constant", [7, 7, 7], {}),
        ("column-delta", [100000, 100300, 100610, 100915], {}),
        ("column-delta-by", [5, 9, 6, 8, 10], {"by": CPU}),
        ("column-minus", [6, -11, 6], {"minus": ("count", COUNT)}),
        ("column-extreme", [-(2**63), 2**63 - 1, 0], {}),
    ],
)
def test_the_column_examples(name, numbers, how):
    stored = msgpack.unpackb(block(name))
    decoded = columns.decode(stored, len(numbers), {"cpu": CPU, "count": COUNT})
    assert decoded.tolist() == numbers
    assert columns.encode(np.array(numbers), **how) == stored


CAPTURE = block("capture")


def test_the_smallest_capture_says_what_appendix_a_says():
    found = read(CAPTURE)
    (event,) = found.events

    assert found.damage == []
    assert (event.pid, event.comm, event.fd, event.data) == (100, "hello", 1, b"hi\n")
    assert (event.count, event.returned, event.duration_ns) == (3, 3, 1500)
    assert decode_preamble(CAPTURE).salt == 0x01020304
    index = capture_maps()[3][1]["entries"]["frames"]
    told = re.search(r'\{"frames": (\[.*?\])\}`', section("Appendix A"))
    assert told is not None
    rows = [[*row[:3], "{…}"] if len(row) == 4 else row for row in index]
    assert told[1] == str(rows).replace("'", "")
    assert index[1][3] == capture_maps()[1][1]["summary"]


def test_the_writer_writes_the_smallest_capture():
    needed = [name for name in COLUMNS if name not in ("target", *OPTIONAL)]
    row = dict.fromkeys(needed, 0) | {
        "time_ns": STARTED_NS + 1_000_000,
        "sequence": 1,
        "tid": 100,
        "fd": 1,
        "count": 3,
        "captured": 3,
        "returned": 3,
        "duration_ns": 1500,
    }
    batch = EventBatch(
        1,
        {name: np.array([value], dtype=COLUMNS[name]) for name, value in row.items()},
        b"hi\n",
        processes=[Process(100, "hello")],
        comms=["hello"],
        syscalls=["write"],
    )
    stream = io.BytesIO()
    header = Header(Clock("boottime", 5_000_000_000, STARTED_NS), 4096, ("write",))
    writer = CaptureWriter(stream, header, salt=0x01020304)
    writer.write(batch)
    writer.close(End("signal", 6_000_000_000, STARTED_NS + 1_000_000_000, {0: 1}))
    data = stream.getvalue()

    *others, index, footer = frames_of(CAPTURE)
    assert data[: index.start] == CAPTURE[: index.start]
    # zstd versions differ in what they make of the index.
    assert columns_of(next(Capture(stream).batches())) == columns_of(batch)
    assert data[-16:] == CAPTURE[-16:]
    assert [frame.type for frame in frames_of(data)] == [
        *(frame.type for frame in others),
        index.type,
        footer.type,
    ]


def test_the_comments_of_appendix_a_say_where_frames_start():
    told = re.findall(r"^# ([A-Z]+) at byte (\d+)$", section("Appendix A"), re.MULTILINE)
    assert [(FrameType(f.type).name, str(f.start)) for f in frames_of(CAPTURE)] == told


def test_the_program_of_section_1_3_walks_a_capture():
    found = re.search(r"```python\n(.*?)```", section("1.3 A complete example"), re.DOTALL)
    assert found is not None
    program: dict = {}
    exec(found[1], program)
    frames = list(program["frames"](CAPTURE))
    assert [kind for kind, _ in frames] == [1, 2, 5, 6, 7]
    assert frames[1][1]["payload"] == {"data": b"hi\n"}


def test_the_test_vectors_are_there_and_no_others():
    told = keys_of("Appendix B")
    folders = {f"{path.name}/" for path in ROOT.glob("samples/vectors/*/")}
    assert told == {path.name for path in ROOT.glob("samples/*.wcap")} | folders


def test_the_magic_line_is_that_of_the_magic_file():
    found = re.search(r"```magic\n(.*?)```", SPEC, re.DOTALL)
    assert found is not None
    shipped = (ROOT / "samples" / "wcap.magic").read_text()
    assert "".join(line for line in shipped.splitlines(True) if line[0] != "#") == found[1]
    pattern = found[1].split("\t")[2]
    assert pattern.encode().decode("unicode_escape").encode("latin-1") == envelope.MAGIC


@pytest.mark.needs("file")
def test_file_knows_a_capture_by_the_magic_file(tmp_path):
    (tmp_path / "capture").write_bytes(CAPTURE)
    (tmp_path / "text").write_bytes(CAPTURE.replace(b"\r\n", b"\n"))

    def told(name: str, *options: str) -> str:
        command = ["file", "-b", *options, "-m", ROOT / "samples/wcap.magic", tmp_path / name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    version = ".".join(str(number) for number in CAPTURE[10:12])
    assert told("capture") == f"wcap capture, format version {version}"
    assert told("capture", "--mime-type") == "application/vnd.wcap"
    assert "wcap" not in told("text")


def test_the_examples_of_versions_are_vectors():
    """Each row of the first table of section 8.1 that has an example has a file."""
    vectors = {path.stem for path in ROOT.glob("samples/vectors/*/*.wcap")}
    assert {"older-minor", "newer-minor", "frame-64", "unknown-key-header", "unknown-column",
            "flag-unknown", "essential-unknown", "frame-8", "newer-major"} <= vectors  # fmt: skip
