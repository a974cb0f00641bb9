"""The fuzzer's own parts, and a short run of it without coverage."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wcap.cli import make_app

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from fuzz.frames import join, mutated, split  # noqa: E402
from fuzz.readers import COMMANDS, check, run  # noqa: E402

SEEDS = sorted([*ROOT.glob("samples/*.wcap"), *ROOT.glob("samples/vectors/*/*.wcap")])
WHOLE = (ROOT / "samples" / "calls.wcap").read_bytes()


def changed(data: bytes, most: int) -> bytes:
    """Change some bytes, as the fuzzer's engine does."""
    chance = random.Random(data)
    spoiled = bytearray(data)
    for _ in range(chance.randrange(4)):
        if spoiled:
            spoiled[chance.randrange(len(spoiled))] = chance.randrange(256)
    return bytes(spoiled)[:most]


def test_frames_that_are_split_and_joined_are_what_they_were():
    assert join(WHOLE[:16], split(WHOLE)) == WHOLE


def test_a_mutated_body_gets_past_its_checksum():
    found = [mutated(WHOLE, len(WHOLE) + 99, seed, changed) for seed in range(60)]
    differ = [split(data) for data in found if data != WHOLE]
    assert len(differ) > 30
    assert any(len(frames) == len(split(WHOLE)) for frames in differ)


# Commands that write a capture, and say on standard error what they did.
WRITING = ("recover", "cut", "merge", "split")


def test_every_command_that_reads_is_in_the_table():
    names = {command.callback.__name__ for command in make_app().registered_commands}
    assert {command[0] for command in COMMANDS} == names - {"record"}


def _named(command):
    """Return a name for a command that is the same in every process: without its output's."""
    return " ".join(command).partition(" -o ")[0]


@pytest.mark.parametrize("command", COMMANDS, ids=_named)
def test_every_command_of_the_table_is_one(command):
    status, out, err = run([*command, str(ROOT / "samples" / "calls.wcap")])
    assert status in (0, 3)
    if command[0] in WRITING:
        assert (out, err.count("\n")) == ("", 1)
    else:
        assert out
        assert status == 3 or err == ""


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(SEEDS), st.integers(0, 2**32), st.sampled_from(COMMANDS))
def test_a_mutated_capture_is_read_or_refused_by_every_reader(tmp_path, seed_file, seed, command):
    """SPEC R19: structure-aware, below the checksums."""
    data = mutated(seed_file.read_bytes(), 20_000, seed, changed)
    check(data, tmp_path / "mutated.wcap", (command,))


@pytest.mark.parametrize("name", ["times-extreme", "column-results-huge", "column-extreme"])
@pytest.mark.parametrize("command", COMMANDS, ids=_named)
def test_the_largest_numbers_are_read_by_every_command(command, name):
    """Found by fuzzing: sums of bytes and differences of times left 64 bits in `stats`."""
    status, out, err = run([*command, str(ROOT / f"samples/vectors/valid/{name}.wcap")])
    if command[0] == "merge" and name == "times-extreme":  # no clock but its own has room for it
        assert (status, out) == (1, "")
        return
    assert status in (0, 3)
    assert status == 3 or err == "" or command[0] in WRITING
    assert out or command[0] in ("show", "replay", *WRITING)


def test_the_rate_of_huge_results_is_not_negative():
    status, out, _ = run(
        ["stats", "--json", str(ROOT / "samples/vectors/valid/column-results-huge.wcap")]
    )
    cells = [cell for cell in json.loads(out)["rate"]["cells"] if cell["events"]]
    assert status == 0
    assert [cell["written_bytes"] for cell in cells] == [3, 3 << 62]
