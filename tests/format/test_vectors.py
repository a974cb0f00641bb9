"""The test vectors: made again byte by byte, and read by wcap as their JSON says."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from bytesupport import Pipe

from wcap.check import Check
from wcap.cli import main
from wcap.errors import (
    CorruptionError,
    FormatError,
    LimitError,
    NotACaptureError,
    TruncatedError,
    UnsupportedVersionError,
)
from wcap.exporters.jsonl import format_batch
from wcap.fields import untext
from wcap.format import End, Header
from wcap.reader import Capture

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "samples"
VECTORS = SAMPLES / "vectors"
README = (VECTORS / "README.md").read_text(encoding="utf-8")
NAMES = sorted(str(path.relative_to(VECTORS))[:-5] for path in VECTORS.glob("*/*.json"))
CLASSES = {
    NotACaptureError: "not a capture",
    UnsupportedVersionError: "unsupported",
    CorruptionError: "corruption",
    TruncatedError: "truncation",
    LimitError: "limit",
}


def told(name: str) -> dict[str, Any]:
    meaning: dict[str, Any] = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    if "/frozen-" in name:  # whose JSON leaves out empty maps
        meaning["end"] = {"lost": {}, "lost_results": {}, **meaning["end"]}
    return meaning


def data_of(name: str) -> bytes:
    return (VECTORS / f"{name}.wcap").read_bytes()


def fault(error: FormatError) -> dict[str, Any]:
    return {"class": CLASSES[type(error)], "offset": error.offset}


def texts(value: Any) -> Any:
    """Return what a decoded frame holds as JSON has it: names as UTF-8, lists for tuples."""
    if isinstance(value, dict):
        return {key: texts(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [texts(inner) for inner in value]
    return untext(value).decode("utf-8", "replace") if isinstance(value, str) else value


def known(facts: Any) -> dict[str, Any]:
    """Return the facts of a dataclass that are known."""
    return {key: value for key, value in texts(asdict(facts)).items() if value not in (None, False)}


def header_form(header: Header) -> dict[str, Any]:
    given = known(header)
    clock = header.clock
    given["clock"] = {"name": clock.name, "anchor": [clock.clock_ns, clock.wall_ns]}
    given["after"] = [[cpu, last] for cpu, last in sorted(header.after.items())]
    empty = {
        "after": [],
        "kernel": {},
        "filters": {},
        "versions": {},
        "warnings": [],
        "at": "enter",
        "rewritten": [],
        "origins": [],
    }
    given["rewritten"] = [
        {key: value for key, value in done.items() if value not in (None, {})}
        for done in given["rewritten"]
    ]
    given["origins"] = [
        {"first_cpu": origin.first_cpu, "cpus": origin.cpus, **header_form(origin.header)}
        for origin in header.origins
    ]
    return {key: value for key, value in given.items() if value != empty.get(key)}


def end_form(end: End) -> dict[str, Any]:
    given = known(end)
    given["anchor"] = [given.pop("clock_ns"), given.pop("wall_ns")]
    given["sequences"] = [[cpu, last] for cpu, last in sorted(end.sequences.items())]
    given["origins"] = [
        {key: value for key, value in end_form(own).items() if key != "sequences"}
        for own in end.origins
    ]
    given["left_out"] = [[cpu, count] for cpu, count in sorted(end.left_out.items())]
    given["bypassed"] = [known(bypass) for bypass in end.bypassed]
    stays = ("reason", "sequences", "lost", "lost_results")  # an empty map says: none
    return {key: value for key, value in given.items() if value or key in stays}


def gap_form(gap: Any) -> dict[str, Any]:
    return {key: value for key, value in texts(asdict(gap)).items() if value != []}


def read(stream: Any) -> dict[str, Any]:
    """Read a capture to its end, and say what was in it in the form of a vector's JSON."""
    events: list[dict[str, Any]] = []
    processes: list[Any] = []
    late, stopped = [], None
    with Capture(stream, errors="salvage") as capture:
        try:
            for batch in capture.batches():
                lines = format_batch(batch).splitlines()
                events += [json.loads(line) for line in lines]
                processes += [known(batch.processes[row]) for row in batch.process.tolist()]
        except UnsupportedVersionError as error:
            stopped = error
        except FormatError as error:
            late = [error]
        return {
            "header": header_form(capture.header),
            "events": events,
            "gaps": [gap_form(gap) for gap in capture.gaps],
            "end": None if capture.end is None else end_form(capture.end),
            "damage": [fault(error) for error in [*capture.damage, *late]],
            "processes": processes,
            "stopped": None if stopped is None else fault(stopped),
        }


def targets_of(data: bytes) -> list[dict[str, Any]]:
    with Capture(io.BytesIO(data)) as capture:
        return [known(event.target) for event in capture]


def test_there_are_vectors_of_every_sort():
    sorts = {name.partition("/")[0] for name in NAMES}
    assert sorts == {"valid", "damaged", "unsupported", "rewritten"}
    assert len(NAMES) > 300


def test_the_vectors_are_what_their_generator_makes(tmp_path):
    """Made in another process, into another folder: no byte depends on either."""
    subprocess.run([sys.executable, str(SAMPLES / "make_vectors.py"), str(tmp_path)], check=True)

    made = {str(path.relative_to(tmp_path)): path.read_bytes() for path in files_in(tmp_path)}
    shipped = {str(path.relative_to(VECTORS)): path.read_bytes() for path in files_in(VECTORS)}
    assert sorted(made) == sorted(shipped)
    for name, data in made.items():
        assert data == shipped[name], name


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.glob("**/*") if path.is_file()]


REQUIREMENTS = re.findall(
    r"^\* \*\*\[([WR]\d+)\]\*\*", (ROOT / "SPEC.md").read_text(encoding="utf-8"), re.MULTILINE
)
# What no file can show has a test instead, which the README names.
BY_TEST = {"W11": "tests/test_writer.py"}


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_every_requirement_has_a_vector(requirement):
    about = [name for name in NAMES if requirement in told(name)["rules"]]

    row = re.search(rf"^\| {requirement} \| (.*) \|$", README, re.MULTILINE)
    assert row is not None
    if requirement in BY_TEST:
        assert about == []
        assert BY_TEST[requirement] in row[1]
        assert f'"""SPEC {requirement}' in (ROOT / BY_TEST[requirement]).read_text("utf-8")
    else:
        assert about
        assert about[0] in row[1] or "more" in row[1]


def test_vectors_are_about_requirements_that_are_there():
    assert {rule for name in NAMES for rule in told(name)["rules"]} <= {*REQUIREMENTS}


def test_vectors_are_small():
    assert max(len(data_of(name)) for name in NAMES) < 5000


# Captures that were written by the version in their name. They are never made again.
FROZEN = {
    "frozen-1.0-binary": "f56c08bf29c68c2913fa63681c590ff03aed2b4e5fecc033483d46b9bf0beb4f",
    "frozen-1.0-hello": "e491e6d9f2454bfd2ca4e6e77b4038091c0c7e8dd9aba5572431084eda0c5d4b",
    "frozen-1.1-calls": "12ad74b44249edc0521feb11e435f0bba37a755b73fed17358586a035e47e24a",
    "frozen-1.1-exits": "1f3c475f1efaa03b7e5e0e05c2aa0d9fedfc1a2ffdfbb63e86c9d71f9cef3e86",
    "frozen-1.2-exits": "071d3cb3d27f6000f0deaaa99a7b8cc0616b9295206fb9d42031184026b7451e",
}


def test_frozen_captures_are_what_they_were():
    assert {name[6:] for name in NAMES if "/frozen-" in name} == {*FROZEN}
    for name, digest in FROZEN.items():
        data = data_of(f"valid/{name}")
        assert hashlib.sha256(data).hexdigest() == digest
        assert name.split("-")[1] == f"{data[10]}.{data[11]}"
        twin = Path(__file__).parent / "data" / f"{name.removeprefix('frozen-')}.wcap"
        assert not twin.exists() or twin.read_bytes() == data


@pytest.mark.parametrize("name", NAMES)
def test_a_file_means_what_its_json_says(name):
    meaning, data = told(name), data_of(name)
    if "refused" in meaning:
        with pytest.raises(FormatError) as caught:
            read(io.BytesIO(data))
        assert fault(caught.value) == meaning["refused"]
        return

    found = read(io.BytesIO(data))

    assert found["stopped"] == meaning.get("stopped")
    for key in ("header", "events", "gaps", "end", "processes"):
        assert key not in meaning or found[key] == meaning[key], key
    if "targets" in meaning:
        assert targets_of(data) == meaning["targets"]
    assert found["damage"] == meaning["damage"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("step", [1 << 16, 7])
def test_a_pipe_of_it_means_the_same(name, step):
    """What is wrong may be found elsewhere, but not by a pipe alone, nor by a file alone."""
    meaning, data = told(name), data_of(name)
    if "refused" in meaning and "streamed_events" not in meaning:
        with pytest.raises(FormatError) as caught:
            read(Pipe(data, step))
        assert fault(caught.value)["class"] == meaning["refused"]["class"]
        return

    found = read(Pipe(data, step))
    if "refused" in meaning or "stopped" in meaning:
        assert found["events"] == meaning.get("streamed_events", meaning.get("events"))
        assert found["stopped"] == meaning.get("refused", meaning.get("stopped"))
        return

    assert found["header"] == meaning["header"]
    assert found["events"] == meaning.get("streamed_events", meaning["events"])
    assert found["gaps"] == meaning["gaps"]
    if "status_if_found_late" not in meaning:  # then it stops before the end
        assert found["end"] == meaning["end"]
    index_only = meaning.get("only_seeking_readers_notice", False)
    assert bool(found["damage"]) == (bool(meaning["damage"]) and not index_only)


@pytest.mark.parametrize("name", NAMES)
def test_show_prints_the_events_and_ends_with_the_status(name, capsys):
    meaning = told(name)

    status = main(["show", "--json", str(VECTORS / f"{name}.wcap")])

    out, err = capsys.readouterr()
    assert [json.loads(line) for line in out.splitlines()] == meaning.get("events", [])
    assert status == meaning.get("status_if_found_late", meaning["status"])
    assert bool(err) >= (status == 1)
    assert err.replace("\n", "").isprintable()


def raw_flags(stream: Any) -> list[int]:
    with Capture(stream, errors="salvage") as capture:
        return [flags for batch in capture.batches() for flags in batch.flags.tolist()]


@pytest.mark.parametrize("name", [name for name in NAMES if "before" in told(name)])
def test_rewriting_what_was_before_makes_what_is_after(name, tmp_path, capsys):
    """SPEC W14 W15 W16 W17 W18 W19 W20 W21: bytes may differ, the meaning does not."""
    meaning, made = told(name), tmp_path / "made.wcap"
    command, *options = meaning["made_by"]
    before = []
    for number, source in enumerate(meaning["before"]):  # no file may be given twice
        before.append(str(tmp_path / f"{number}.wcap"))
        Path(before[-1]).write_bytes((VECTORS / source).read_bytes())

    status = main([command, *before, *options, "-o", str(made)])

    if status == 2 and meaning.get("may_be_refused"):
        assert len(capsys.readouterr().err.splitlines()) == 1
        return
    assert status in (0, 3)  # 3 if something is missing of what was read
    assert main(["show", "--json", str(made)]) == meaning["status"]
    found = read(made.open("rb"))
    last = found["header"]["rewritten"].pop()
    assert last["what"] == meaning["header"]["rewritten"].pop()["what"]
    if not meaning["header"]["rewritten"]:
        del meaning["header"]["rewritten"], found["header"]["rewritten"]
    for key in ("header", "events", "gaps", "end", "damage"):
        assert found[key] == meaning[key], key
    after = VECTORS / f"{name}.wcap"
    assert raw_flags(made.open("rb")) == raw_flags(after.open("rb"))
    assert main(["verify", str(made), str(after)]) == 0
    frames = made.read_bytes()
    salts = {(VECTORS / source).read_bytes()[12:16] for source in meaning["before"]}
    assert frames[12:16] not in salts


@pytest.mark.parametrize("name", [name for name in NAMES if "unsound" in told(name)])
def test_verify_finds_what_does_no_harm_to_a_reader(name):
    found = list(Check(io.BytesIO(data_of(name))).findings())

    expected = {(one["section"], one["offset"]) for one in told(name)["unsound"]}
    assert {(finding.section, finding.offset) for finding in found} == expected


@pytest.mark.parametrize("name", ["valid/header-after", "valid/header-part"])
def test_a_part_of_a_recording_is_sound_by_itself_and_so_is_what_is_recovered_of_it(name, tmp_path):
    part, recovered = VECTORS / f"{name}.wcap", tmp_path / "recovered.wcap"

    assert main(["verify", str(part)]) == 0
    assert main(["recover", str(part), "-o", str(recovered)]) == 0
    assert main(["verify", str(recovered)]) == 0
