"""The demonstration where nothing can be recorded; `.ci/run` runs the one that records."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "demo.py"
REASON = "recording needs a reason to work"


@pytest.fixture
def demo(monkeypatch):
    specification = importlib.util.spec_from_file_location("demo", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)

    def refuse():
        raise module.NotRecordedError(REASON)

    monkeypatch.setattr(module, "privileges", refuse)
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.chdir(SCRIPT.parent)
    return module


def test_where_nothing_can_be_recorded_a_sample_is_read(demo, monkeypatch, capfd):
    monkeypatch.delenv("CI", raising=False)

    status = demo.main()

    lines = capfd.readouterr().out.splitlines()
    assert status == 0
    assert [line for line in lines if REASON in line] == [
        f"demo: nothing is recorded here: {REASON}; reading samples/hello.wcap instead"
    ]
    assert [line for line in lines if line.startswith("$ wcap")] == [
        "$ wcap show samples/hello.wcap --hex",
        "$ wcap stats samples/hello.wcap",
        "$ wcap info samples/hello.wcap",
        "$ wcap export --csv samples/hello.wcap",
    ]


def test_in_ci_a_demonstration_that_does_not_record_has_failed(demo, monkeypatch, capfd):
    monkeypatch.setenv("CI", "true")

    status = demo.main()

    assert status == 1
    assert "$ wcap" not in capfd.readouterr().out
