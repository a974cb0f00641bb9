from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks import report
from benchmarks.figures import Spread, growth, median_ratio
from benchmarks.goals import judge
from benchmarks.launch import MeasurementError
from benchmarks.machine import Machine, processor
from benchmarks.made import make_capture
from benchmarks.readers import Reading
from benchmarks.recorders import BARE, BPFTRACE, BPFTRACE_BUFFERED, PERF_RECORD, STRACE, WCAP_RECORD
from benchmarks.recording import LongRun, Outcome, Run
from benchmarks.results import Results
from wcap.cli import main

MACHINE = Machine("Example CPU", 2, 8 << 30, "6.18.0 x86_64", 0.1, {"wcap": "0.1.0"})
GOOD = Run(1000, 800_000, kept=1000, lost=0, output_bytes=2000, recorder_ns=1_000_000)
MINUTE = replace(GOOD, elapsed_ns=60_000_000_000)


def outcome(recorder, *runs, problem=None):
    return Outcome(recorder.name, list(runs), problem)


def results(**changes):
    """Results with which every goal is reached, but for ``changes``."""
    return replace(
        Results(
            MACHINE,
            [
                outcome(BARE, Run(1000, 200_000)),
                outcome(WCAP_RECORD, GOOD),
                outcome(BPFTRACE, Run(1000, 3_200_000, kept=170, output_bytes=9000)),
                outcome(BPFTRACE_BUFFERED, Run(1000, 7_000_000, kept=1000)),
                outcome(STRACE, Run(10, 1_000_000, kept=10)),
            ],
            LongRun(MINUTE, [50, 90, 100, 100, 100, 100, 100, 101]),
            [
                Reading("wcap --help", None, "", [0.3]),
                Reading("wcap info", None, "", [0.5]),
                Reading("wcap stats", 10_000_000, "events", [1.0]),
                Reading("wcap show", 1_000_000, "lines", [2.0]),
                Reading("perf script", 1_000_000, "lines", [2.0]),
            ],
        ),
        **changes,
    )


def missed(measured):
    return [goal.what for goal in judge(measured) if goal.reached is False]


def test_a_spread_is_the_middle_the_lowest_and_the_highest():
    assert Spread.of([3, 9, 1]) == Spread(3, 1, 9)


def test_a_ratio_is_taken_round_by_round():
    assert median_ratio([10, 100, 20], [40, 400, 10]) == 0.25


def test_growth_leaves_out_the_time_in_which_buffers_fill():
    assert growth([1, 1, 100, 100, 100, 100, 110, 110]) == 1.1


def test_growth_of_too_few_samples_is_refused():
    with pytest.raises(ValueError, match="4 samples at least expected, 3 found"):
        growth([1, 2, 3])


def test_the_processor_is_named_where_it_has_a_name():
    assert processor("vendor_id\t: X\nmodel name\t: Example  CPU \n") == "Example CPU"
    assert processor("processor\t: 0\nBogoMIPS\t: 50\n") is None


def test_what_a_run_cost_is_spread_over_its_writes_and_events():
    run = Run(1000, 500_000, kept=500, output_bytes=1000, recorder_ns=750_000)

    assert run.ns_a_write == 500
    assert run.recorder_ns_an_event == 1500
    assert run.bytes_an_event == 2


def test_results_at_the_limits_reach_every_goal():
    measured = results()

    assert missed(measured) == []
    assert all(goal.reached for goal in judge(measured))


@pytest.mark.parametrize("run", [replace(MINUTE, kept=999), replace(MINUTE, lost=1)])
def test_a_missing_event_of_the_long_recording_is_a_goal_missed(run):
    measured = results(long_run=LongRun(run, [1] * 8))

    assert missed(measured) == ["events missing from any recording of wcap"]


def test_a_recorder_that_uses_more_time_than_it_may_is_a_goal_missed():
    measured = results(long_run=LongRun(replace(MINUTE, recorder_ns=1_600_000), [1] * 8))

    assert missed(measured) == ["CPU time of a long recording, by its events"]


def test_growing_memory_is_a_goal_missed():
    measured = results(long_run=LongRun(MINUTE, [100] * 6 + [106] * 2))

    assert missed(measured) == ["memory of a long recording, its last quarter to its second"]


def test_memory_is_not_judged_by_a_short_recording():
    measured = results(long_run=LongRun(GOOD, [100] * 6 + [106] * 2))

    assert missed(measured) == []


def test_a_slow_reader_is_a_goal_missed():
    slow = [replace(reading, seconds=[9.0]) for reading in results().readers[:4]]

    assert missed(results(readers=[*slow, results().readers[4]])) == [
        "lines a second of wcap show, to those of perf script",
        "events a second of wcap stats",
        "time of wcap --help",
        "time of wcap info",
    ]


def test_a_peer_that_is_absent_is_named_and_not_held_against_wcap():
    absent = outcome(STRACE, problem="absent: no strace on this machine")
    measured = results(recorders=[outcome(BARE, Run(1, 200)), outcome(WCAP_RECORD, GOOD), absent])
    text = report.as_text(measured)

    assert missed(measured) == []
    assert "  strace: absent: no strace on this machine\n" in text
    assert "  not measured  a write recorded by wcap, to one under strace" in text


def test_where_nothing_can_be_recorded_the_readers_are_reported():
    refused = "failed: wcap: not root"
    outcomes = [outcome(BARE, problem=refused), outcome(WCAP_RECORD, problem=refused)]
    show = Reading("wcap show", 1, "lines", problem=refused)
    measured = results(recorders=outcomes, long_run=None, readers=[show, *results().readers[:3]])
    text = report.as_text(measured)

    assert "  wcap record: failed: wcap: not root\n" in text
    assert "  wcap show: failed: wcap: not root\n" in text
    assert "  wcap stats   1.00 s  (1.00 to 1.00)  10,000,000 events/s\n" in text


def test_a_recorder_has_a_row_of_its_medians():
    slower = replace(GOOD, elapsed_ns=900_000, recorder_ns=1_200_000)
    recorders = [outcome(BARE, Run(10, 2000)), outcome(WCAP_RECORD, GOOD, slower, slower)]
    row = next(
        line
        for line in report.as_text(results(recorders=recorders)).splitlines()
        if "wcap r" in line
    )

    assert row.split() == [
        "wcap",
        "record",
        "900",
        "(800",
        "to",
        "900)",
        "4.5",
        "100",
        "%",
        "1.20",
        "2.0",
    ]


def test_a_busy_machine_is_told():
    assert "Others" not in report.as_text(results())
    assert "Others were using the machine (load 2.0)" in report.as_text(
        results(machine=replace(MACHINE, load=2.0))
    )


def test_json_holds_every_round_and_the_verdicts():
    measured = json.loads(json.dumps(report.as_json(results())))

    assert measured["machine"]["processor"] == "Example CPU"
    assert measured["recorders"][1]["runs"][0]["elapsed_ns"] == 800_000
    assert measured["long_run"]["memory_bytes"][-1] == 101
    assert measured["readers"][3]["seconds"] == [2.0]
    assert {goal["reached"] for goal in measured["goals"]} == {True}


def test_what_perf_kept_is_read_from_its_last_words(tmp_path):
    said = "[ perf record: Captured and wrote 9.6 MB out (200002 samples) ]\n"

    assert PERF_RECORD.kept(tmp_path, said).events == 100_001


def test_a_perf_that_took_no_samples_is_a_failure(tmp_path):
    with pytest.raises(MeasurementError, match="no samples"):
        PERF_RECORD.kept(tmp_path, "[ perf record: Captured and wrote 0.002 MB out ]\n")


def test_a_recorder_that_prints_kept_the_payloads_in_its_output(tmp_path):
    output = tmp_path / "output"
    output.write_bytes(b"Attaching 1 probe...\n" + (b"7 7 3 " + b"x" * 64 + b"\n") * 3)

    assert BPFTRACE.kept(output, "").events == 3


def test_a_made_capture_is_complete_and_accounts_for_every_event(tmp_path, capsys):
    path = tmp_path / "made.wcap"
    make_capture(path, 2003)

    assert main(["info", "--json", str(path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["complete"]
    assert found["events"] == found["expected_events"] == 2003
