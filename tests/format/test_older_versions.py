"""Captures of every older format version are read forever: bytes, and what was read from them then.

A twin `.jsonl` holds one event a line, as the version of wcap that made the capture read it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import STARTED_NS

import wcap
from wcap.events import UNKNOWN_TARGET
from wcap.summary import examine

DATA = Path(__file__).parent / "data"
CAPTURES = sorted(path.stem for path in DATA.glob("*.wcap"))


def test_the_captures_are_there():
    assert CAPTURES == ["1.0-binary", "1.0-hello", "1.1-calls"]


@pytest.mark.parametrize("name", CAPTURES)
def test_the_events_of_an_older_capture_are_what_they_were(name):
    with wcap.open(DATA / f"{name}.wcap") as capture:
        events = list(capture)

    expected = [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text().splitlines()]
    assert [f"{number}" for number in capture.version] == name.partition("-")[0].split(".")
    assert len(events) == len(expected) > 5
    for event, told in zip(events, expected, strict=True):
        data = bytes.fromhex(told.pop("data_hex"))
        assert event.data == data
        assert {key: getattr(event, key) for key in told} == told


@pytest.mark.parametrize("name", ["1.0-binary", "1.0-hello"])
def test_what_version_1_0_did_not_know_is_unknown_in_its_captures(name):
    with wcap.open(DATA / f"{name}.wcap") as capture:
        events = list(capture)
        facts = examine(capture)

    assert {event.target for event in events} == {UNKNOWN_TARGET}
    for event in events:
        assert (event.offset, event.source_fd, event.source, event.address) == (None,) * 4
    assert {(event.flags & ~31) for event in events} == {0}
    assert capture.header.at == "enter"
    assert (facts.payload_lost, facts.end.bypassed) == (0, ())
    assert all(summary.targets is None and summary.kinds is None for summary in facts_of(name))
    assert facts.header.started_ns == STARTED_NS


def facts_of(name):
    with wcap.open(DATA / f"{name}.wcap") as capture:
        return list(capture.summaries())
