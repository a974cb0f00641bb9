from __future__ import annotations

import pytest

from benchmarks import __main__ as command
from benchmarks import parts
from benchmarks.machine import describe
from benchmarks.measured import Results

PARTS_THAT_RECORD = "recorders, sizes, long, idle, programs"


def test_without_root_what_records_is_named_as_not_measured(tmp_path, monkeypatch):
    monkeypatch.setattr(parts.os, "geteuid", lambda: 1000)
    results = Results(describe())

    parts.measure(results, tmp_path, parts.PARTS[:-1], parts.QUICK, print)

    assert results.problems == [f"not measured: {PARTS_THAT_RECORD}: recording needs root"]
    assert results.recorders is None


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted: this is what was measured until then"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
    ],
)
def test_what_was_measured_is_shown_though_the_rest_could_not_be(
    error, status, said, tmp_path, monkeypatch, capsys
):
    def measure(results, *_):
        results.problems.append("one part was measured")
        raise error

    monkeypatch.setattr(command, "measure", measure)
    found = tmp_path / "found.json"
    monkeypatch.setattr("sys.argv", ["benchmarks", "--json", str(found)])

    assert command.main() == status
    printed = capsys.readouterr()
    assert said in printed.err
    assert "one part was measured" in printed.out
    assert "one part was measured" in found.read_text()
