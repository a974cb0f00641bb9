from __future__ import annotations

import json
from dataclasses import replace

import pytest

from benchmarks import report
from benchmarks.applications import Application, Work
from benchmarks.bystanders import Bystanders, filters
from benchmarks.endurance import LongRun, cases
from benchmarks.goals import judge
from benchmarks.machine import Machine
from benchmarks.measured import Results
from benchmarks.processes import Memory
from benchmarks.readers import LARGE, MANY, Names, Reading
from benchmarks.recorders import (
    BARE,
    EMPTY,
    FLOOR,
    STRACE,
    WCAP_EXIT,
    WCAP_RECORD,
)
from benchmarks.recording import Comparison, Outcome, Run
from benchmarks.workload import Workload

MIB = 1 << 20
MACHINE = Machine("Example CPU", 2, 8 << 30, "6.18.0 x86_64", 0.1, "2026-01-02", {"wcap": "0.1.0"})
MEMORY = Memory(own=150 * MIB, highest=190 * MIB, buffer=64 * MIB)


def run(ns, writes=1000, **what):
    return Run(writes, ns * writes, ns * writes, ns * writes, **what)


def recorded(ns, recorder_ns=800, size=2.5, writes=1000):
    return run(
        ns,
        writes,
        kept=writes,
        lost=0,
        output_bytes=int(size * writes),
        recorder_ns=recorder_ns * writes,
        memory=MEMORY,
    )


def compared(workload, **runs):
    return Comparison(workload, [Outcome(name, [one]) for name, one in runs.items()])


RECORDERS = compared(
    Workload(),
    **{
        BARE.name: run(200),
        FLOOR.name: run(600, kept=1000),
        WCAP_EXIT.name: recorded(700, recorder_ns=600),
        WCAP_RECORD.name: recorded(920),
    },
)
BYSTANDERS = Bystanders(
    [0.6, 0.7, 0.8],
    0.005,
    [
        compared(
            Workload(call="write"),
            **{BARE.name: run(200), EMPTY.name: run(300), **dict.fromkeys(filters(), run(310))},
        ),
        compared(
            Workload(call="getppid"),
            **{BARE.name: run(100), EMPTY.name: run(200), **dict.fromkeys(filters(), run(210))},
        ),
    ],
)
LONG = [
    LongRun(
        case.workload,
        case.recorder.name,
        replace(recorded(1000), elapsed_ns=60_000_000_000),
        [100] * 8,
    )
    for case in cases(60, 60, 60)
]
PROGRAMS = [
    Application("git gc", BARE.name, False, [Work(2.0)]),
    Application(
        "git gc",
        WCAP_RECORD.name,
        False,
        [Work(3.0, events=5, lost=0, output_bytes=1_100, payload_bytes=1_000)],
    ),
    Application(
        "git gc", STRACE.name, False, [Work(9.0, events=5, output_bytes=9000, packed_bytes=2_200)]
    ),
]


def reading(name, seconds, amount=None):
    return Reading(name, amount, "events", [seconds], [seconds], [150_000_000])


READERS = [
    reading(Names.version, 0.15),
    reading(Names.stats, 1.0, 30_000_000),
    reading(Names.stats + MANY, 1.0, 30_000_000),
    reading(Names.stats_jobs + MANY, 0.5, 30_000_000),
    reading(Names.show, 1.0, 600_000),
    reading(Names.csv, 1.0, 600_000),
    reading(Names.csv + MANY, 1.0, 600_000),
    reading(Names.csv_jobs + MANY, 0.5, 600_000),
    reading(Names.jsonl, 1.0, 400_000),
    *(reading(Names.scan + note, 10.0) for note in ("", LARGE)),
    *(reading(Names.filter + note, 0.3) for note in ("", LARGE)),
    *(reading(Names.info + note, 0.225) for note in ("", LARGE)),
]


def results(**changes):
    """Results with which every goal is reached, but for ``changes``."""
    good = Results(
        MACHINE,
        recorders=RECORDERS,
        long_runs=LONG,
        bystanders=BYSTANDERS,
        applications=PROGRAMS,
        readers=READERS,
    )
    return replace(good, **changes)


def missed(measured):
    return [goal.what for goal in judge(measured) if goal.reached is False]


def with_reading(name, seconds):
    return [
        replace(one, seconds=[seconds], cpu_seconds=[seconds]) if one.name == name else one
        for one in READERS
    ]


def with_long(size, writers, recorder, **changes):
    return [
        replace(one, run=replace(one.run, **changes))
        if (one.workload, one.recorder) == (Workload(size, threads=writers), recorder.name)
        else one
        for one in LONG
    ]


def test_what_a_run_cost_is_spread_over_its_writes_and_events():
    one = run(500, kept=500, output_bytes=1000, recorder_ns=750_000)

    assert (one.ns_a_write, one.recorder_ns_an_event, one.bytes_an_event) == (500, 1500, 2)


def test_what_two_threads_took_is_the_cost_of_each_of_their_writes():
    assert Run(100, elapsed_ns=5_000, threads_ns=10_000, cpu_ns=9_000).ns_a_write == 100


def test_what_is_lost_is_the_larger_of_what_is_said_and_what_is_not_there():
    assert run(1, kept=990, lost=3).missing == 10
    assert run(1, kept=1000, lost=3).missing == 3


def test_what_a_recorder_adds_is_compared_with_the_same_round():
    bare = Outcome(BARE.name, [run(100), run(200), run(300)])
    floor = Outcome(FLOOR.name, [run(200), run(400), run(400)])
    ours = Outcome(WCAP_RECORD.name, [run(300), run(800), run(400)])
    both = Comparison(Workload(), [bare, floor, ours])

    assert both.added_ns(WCAP_RECORD.name) == [200, 600, 100]
    assert both.times_floor(WCAP_RECORD.name) == 2


def test_no_ratio_is_taken_to_a_floor_that_adds_nothing():
    both = compared(
        Workload(), **{BARE.name: run(200), FLOOR.name: run(200), WCAP_RECORD.name: run(300)}
    )

    assert both.times_floor(WCAP_RECORD.name) is None


def test_results_at_the_limits_reach_every_goal():
    assert missed(results()) == []
    assert all(goal.reached for goal in judge(results()))


def test_nothing_is_judged_that_was_not_measured():
    assert {goal.reached for goal in judge(Results(MACHINE))} == {None}


def test_what_costs_too_much_is_a_goal_missed():
    outcomes = [
        replace(one, runs=[recorded(930, recorder_ns=810, size=2.6)])
        if one.name == WCAP_RECORD.name
        else one
        for one in RECORDERS.outcomes
    ]

    assert missed(results(recorders=Comparison(Workload(), outcomes))) == [
        "what wcap record adds, to counting",
        "CPU time of wcap record for an event",
        "bytes that wcap record stores of an event",
    ]


@pytest.mark.parametrize("changes", [{"kept": 999}, {"lost": 1}])
def test_one_event_that_is_missing_of_one_writer_is_a_goal_missed(changes):
    measured = results(long_runs=with_long(255, 1, WCAP_RECORD, **changes))

    assert missed(measured) == ["lost by wcap record of one writer of 255 bytes to /dev/null"]


@pytest.mark.parametrize(("kept", "reached"), [(950, True), (949, False)])
def test_of_two_writers_a_twentieth_may_be_missing(kept, reached):
    measured = results(long_runs=with_long(64, 2, WCAP_RECORD, kept=kept))

    assert (missed(measured) == []) is reached


def test_growing_memory_is_judged_by_long_recordings_only():
    grown = replace(LONG[0], memory_bytes=[100] * 6 + [106] * 2)
    short = replace(grown, run=replace(grown.run, elapsed_ns=1_000_000_000))
    what = "memory of a long recording, its last quarter to its second"

    assert missed(results(long_runs=[grown, *LONG[1:]])) == [what]
    assert missed(results(long_runs=[short, *LONG[1:]])) == []


def test_those_who_are_not_recorded_may_not_pay_for_wcap():
    busy = replace(BYSTANDERS, ready_seconds=[0.8], idle_share=0.006)

    assert missed(results(bystanders=busy)) == [
        "CPU time of wcap with nobody to record",
        "from the start until wcap records",
    ]


def test_a_file_is_compared_with_that_of_strace_for_each_request():
    asked = [
        replace(one, asked=True, works=[replace(one.works[0], requests=requests)])
        for one, requests in zip(PROGRAMS, (1, 200, 100), strict=True)
    ]

    found = {goal.what: goal.found for goal in judge(results(applications=asked))}
    assert found["bytes of wcap for git gc, to strace's after zstd -3"] == "0.25"


def test_a_reader_that_is_too_slow_is_a_goal_missed():
    assert missed(results(readers=with_reading(Names.show, 1.1))) == ["rate of wcap show"]
    assert missed(results(readers=with_reading(Names.filter + LARGE, 0.4))) == [
        "time of a filter that 1 chunk in 100 matches, to a full scan, 1 GB"
    ]
    assert missed(results(readers=with_reading(Names.csv_jobs + MANY, 0.7))) == [
        "wcap export --csv, 40 M events with --jobs 2, times as fast"
    ]


def test_a_peer_that_is_absent_is_named_and_not_held_against_wcap():
    absent = Outcome(FLOOR.name, problem="absent: no bpftrace on this machine")
    others = [one for one in RECORDERS.outcomes if one.name != FLOOR.name]
    measured = results(recorders=Comparison(Workload(), [absent, *others]))
    text = report.as_text(measured)

    assert missed(measured) == []
    assert "  bpftrace, counting: absent: no bpftrace on this machine\n" in text
    assert "  not measured  what wcap record adds, to counting " in text


def test_where_nothing_can_be_recorded_the_readers_are_reported():
    measured = Results(MACHINE, readers=READERS, problems=["not measured: recorders: needs root"])
    text = report.as_text(measured)

    assert "\nnot measured: recorders: needs root\n" in text
    assert "  wcap stats " in text
    assert "30,000,000 events " in text


def test_the_report_says_what_was_measured():
    text = report.as_text(results(quick=True))

    assert "2026-01-02, load 0.1\nThese were short runs" in text
    row = next(line for line in text.splitlines() if line.startswith("  wcap record  "))
    assert row.split()[2:] == (
        [
            "920",
            "(920",
            "to",
            "920)",
            "720",
            "720",
            "1.80",
            "100.0",
            "%",
            "0.80",
            "190",
            "150",
            "64.0",
            "2.5",
        ]
    )
    assert "  wcap with nobody to record: 0.50 % of a core\n" in text
    assert "  from the start until wcap records: 0.70 s (0.60 to 0.80)\n" in text


def test_the_json_has_every_round_and_the_verdicts():
    found = json.loads(json.dumps(report.as_json(results())))

    assert found["machine"]["processor"] == "Example CPU"
    assert found["bystanders"]["ready_seconds"] == [0.6, 0.7, 0.8]
    assert {goal["reached"] for goal in found["goals"]} == {True}
