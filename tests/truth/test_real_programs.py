"""What real programs write is recorded exactly as strace sees it, and no program notices."""

from __future__ import annotations

import pytest
from truth.scenarios import SCENARIOS
from truth.sequences import recorded_sequences, traced_sequences
from truth.trial import observe, record, run, traced

pytestmark = [pytest.mark.kernel, pytest.mark.needs("strace", "bash")]


def scenarios(*names):
    """Parametrize a test by scenarios: those named, or all."""
    chosen = [SCENARIOS[name] for name in names or SCENARIOS]
    return pytest.mark.parametrize(
        "scenario",
        [pytest.param(each, id=each.name, marks=pytest.mark.needs(*each.needs)) for each in chosen],
    )


@scenarios()
def test_every_write_is_recorded_as_strace_sees_it(scenario, tmp_path):
    comparison = observe(scenario, scenario.short, tmp_path)

    assert comparison.told == []
    assert comparison.differing == 0
    assert comparison.writes > 0


@scenarios("archive", "pipes", "threads", "calls")
def test_a_program_without_strace_is_recorded_as_strace_alone_sees_it(scenario, tmp_path):
    command = scenario.command(scenario.short)
    run(traced(command, tmp_path / "alone"), tmp_path)

    recorded = record(command, tmp_path)

    assert recorded.status == 0, recorded.said
    assert recorded_sequences(recorded.path) == traced_sequences(tmp_path / "alone")


@scenarios("git", "build", "sqlite", "pipes", "calls")
def test_a_recorded_program_prints_and_returns_what_it_does_otherwise(scenario, tmp_path):
    command = scenario.command(scenario.short)
    plain = run(command, tmp_path)

    recorded = record(command, tmp_path)

    assert recorded.status == 0, recorded.said
    assert plain.stdout != b""
    assert (recorded.end.exit_status, recorded.stdout) == (plain.returncode, plain.stdout)
