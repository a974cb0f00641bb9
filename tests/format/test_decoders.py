"""The decoder in JavaScript, written from SPEC.md alone, and wcap make the same of a capture."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wcap.cli import main

ROOT = Path(__file__).parents[2]
DECODER = ROOT / "samples/decoders/javascript"
VECTORS = ROOT / "samples/vectors"
INSTALL = ROOT / "scripts/install_decoder.py"
HELLO = ROOT / "samples/hello.wcap"
NAMES = sorted(str(path.relative_to(VECTORS))[:-5] for path in VECTORS.glob("*/*.json"))
# What breaks no rule, or was cut off by the death of its recorder.
SOUND = sorted(
    str(path.relative_to(ROOT))
    for path in [*VECTORS.glob("valid/*.wcap"), *(ROOT / "samples").glob("*.wcap")]
)
PACKAGES = [
    f"samples/decoders/javascript/node_modules/{name}/package.json"
    for name in ("@msgpack/msgpack", "zstddec")
]

needs_decoder = pytest.mark.needs("node", *PACKAGES)


@pytest.fixture(scope="module")
def decoded() -> dict[Path, dict[str, Any]]:
    """What the decoder makes of every vector and sample, read as a file and as a pipe."""
    paths = [*(ROOT / path for path in SOUND), *(VECTORS / f"{name}.wcap" for name in NAMES)]
    done = subprocess.run(
        ["node", Path(__file__).with_name("decode_all.mjs")],
        input="".join(f"{path}\n" for path in paths),
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return dict(zip(paths, map(json.loads, done.stdout.splitlines()), strict=True))


def faults(complaints: list[str]) -> list[tuple[str, int | None]]:
    """Return class and offset of what the decoder complains of; gaps are no complaint."""
    form = r": (?:offset (\d+): )?(not a capture|unsupported|corruption|truncation|limit): "
    found = [
        re.search(form, line) for line in complaints if not re.search(r": gap on CPU \d", line)
    ]
    assert None not in found
    return [(one[2], one[1] and int(one[1])) for one in found if one]


def told_faults(meaning: dict[str, Any]) -> list[tuple[str, int | None]]:
    ends = [meaning[key] for key in ("refused", "stopped") if key in meaning]
    return [(one["class"], one["offset"]) for one in (*meaning.get("damage", ()), *ends)]


def status_of(meaning: dict[str, Any], found: list[tuple[str, int | None]]) -> int:
    if "refused" in meaning or "stopped" in meaning:
        return 1
    return 3 if found else 0


@needs_decoder
@pytest.mark.parametrize("path", SOUND)
def test_it_prints_what_show_prints(path, decoded, capsys):
    main(["show", "--json", str(ROOT / path)])

    assert decoded[ROOT / path]["file"]["events"] == capsys.readouterr().out.splitlines()


@needs_decoder
@pytest.mark.parametrize("name", NAMES)
def test_it_reads_a_file_as_the_json_beside_it_says(name, decoded):
    meaning = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    found = decoded[VECTORS / f"{name}.wcap"]["file"]

    assert [json.loads(line) for line in found["events"]] == meaning.get("events", [])
    told, complained = told_faults(meaning), faults(found["complaints"])
    assert set(told) <= set(complained)  # one damage may be described in several ways
    assert bool(told) == bool(complained)
    assert found["status"] == status_of(meaning, told)


@needs_decoder
@pytest.mark.parametrize("name", NAMES)
def test_it_reads_a_pipe_as_the_json_beside_it_says(name, decoded):
    meaning = json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
    found = decoded[VECTORS / f"{name}.wcap"]["pipe"]

    events = meaning.get("streamed_events", meaning.get("events", []))
    assert [json.loads(line) for line in found["events"]] == events
    told = [] if meaning.get("only_seeking_readers_notice") else told_faults(meaning)
    assert bool(told) == bool(faults(found["complaints"]))
    assert found["status"] == status_of(meaning, told)


@needs_decoder
@pytest.mark.parametrize("by_pipe", [False, True])
def test_its_command_reads_files_and_pipes(by_pipe, decoded):
    for path, status in (
        (HELLO, 0),
        (VECTORS / "damaged/not-a-capture.wcap", 1),
        (VECTORS / "damaged/checksum-chunk.wcap", 3),
    ):
        done = subprocess.run(
            ["node", DECODER / "decode.mjs", "-" if by_pipe else path],
            input=path.read_bytes() if by_pipe else b"",
            capture_output=True,
            check=False,
        )
        assert done.returncode == status
        expected = decoded[path]["pipe" if by_pipe else "file"]
        assert done.stdout.decode("ascii").splitlines() == expected["events"]
        assert len(done.stderr.splitlines()) == len(expected["complaints"])


def test_it_imports_two_packages_of_npm_and_nothing_of_wcap():
    imported = {
        name
        for path in DECODER.glob("*.mjs")
        for name in re.findall(r"from '([^']+)'", path.read_text(encoding="utf-8"))
    }

    outside = {name for name in imported if not name.startswith(("./", "node:"))}
    assert outside == {"@msgpack/msgpack", "zstddec"}
    lock = json.loads((DECODER / "package-lock.json").read_text(encoding="utf-8"))
    assert lock["packages"][""]["dependencies"].keys() == outside
    assert {f"samples/decoders/javascript/{at}/package.json" for at in lock["packages"] if at} == {
        *PACKAGES
    }


def test_packages_that_differ_from_the_lock_are_not_installed(tmp_path):
    """The registry that npm is told of is asked, and not believed."""
    for name, version in (("@msgpack/msgpack", "3.1.3"), ("zstddec", "0.3.4")):
        place = tmp_path / "registry" / name / "-" / f"{name.rpartition('/')[2]}-{version}.tgz"
        place.parent.mkdir(parents=True)
        place.write_bytes(b"something else")
    project = tmp_path / "samples/decoders/javascript"
    project.mkdir(parents=True)
    (project / "package-lock.json").write_bytes((DECODER / "package-lock.json").read_bytes())
    script = tmp_path / "scripts" / INSTALL.name
    script.parent.mkdir()
    script.write_bytes(INSTALL.read_bytes())

    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "npm_config_registry": (tmp_path / "registry").as_uri()},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert done.returncode == 1
    assert "could not install @msgpack/msgpack: @msgpack/msgpack 3.1.3: sha512-" in done.stderr
    assert [path.name for path in project.rglob("*")] == ["package-lock.json"]
