from __future__ import annotations

import dataclasses
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import CLOCK, HEADER, STARTED_NS, batch_of, end_of, write, write_capture

from wcap.cli import main
from wcap.cli.verdict import missing, verdict
from wcap.errors import FormatError
from wcap.events import Bypass, EventFlag, Gap
from wcap.format import End
from wcap.summary import Facts, Hole
from wcap.writer import CaptureWriter, open_output

FULL = Gap(0, 2, 6, 5, STARTED_NS, STARTED_NS + 1_000_000_000, "ring buffer full")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.wcap"


def run(capsys, path):
    status = main(["info", str(path)])
    return status, capsys.readouterr().out


def run_json(capsys, path):
    status = main(["info", str(path), "--json"])
    return status, json.loads(capsys.readouterr().out)


def closed(path, *batches, header=HEADER, **facts):
    """Write a capture whose end tells these facts."""
    with open_output(path) as stream:
        writer = CaptureWriter(stream, header, salt=0)
        for batch in batches:
            writer.write(batch)
        writer.close(end_of(batches, **facts))
    return path


def test_everything_that_is_known_is_said(path, capsys):
    header = dataclasses.replace(
        HEADER,
        command=("make", "-j8", "a b"),
        filters={
            "given": ["--", "make", "a b"],
            "resolved": {"comms": ["c d", "e"], "pids": [0, 7], "tids": [], "all": False, "n": 0},
        },
        warnings=("tracefs was not mounted",),
    )
    closed(
        path,
        batch_of(write(), write(b"no", after_ns=3000, cpu=1, returned=-32)),
        header=header,
        reason="command ended",
        exit_status=2,
        wall_ns=CLOCK.wall_ns + 12_500_000_000,
    )
    size = path.stat().st_size

    status, out = run(capsys, path)

    assert status == 0
    assert (
        out
        == f"""\
file              {path}, {size / 1024:.1f} KiB ({size:,} bytes)
format            1.3, indexed
started           2026-01-02T03:04:05.000000Z
ended             2026-01-02T03:04:17.500000Z, command ended, after 10 s
command           make -j8 'a b'
                  exit status 2
filters given     -- make 'a b'
filters resolved  comms 'c d' e; pids 0 7; n 0
captured          write; up to 4,096 bytes of each
transport         ring-buffer
host              testhost
boot              6f1c3b5e-0000-4000-8000-000000000000
kernel            6.18.0 #1 SMP x86_64
clock             boottime, and the wall clock was set ahead by 2.5 s
versions          wcap 0.1.0
warning           tracefs was not mounted
events            2 in 1 chunk from 2 CPUs, 0.2/s
                  2026-01-02T03:04:05.000000Z to 2026-01-02T03:04:05.000003Z
payload           8 bytes, 8 B
written           6 bytes, 6 B
failed            1 event
density           {round(size / 2):,} bytes of file per event, 0.0 of payload per byte

complete: 2 events of 2 CPUs, none lost
"""
    )


def test_who_was_left_out_and_where_that_was_decided_have_rows_of_their_own(path, capsys):
    resolved = {
        "users": [0],
        "left_out": {"comms": ["a b", "c*"], "fds": [0]},
        "decided_in_kernel": ["comms", "fds", "users"],
        "decided_by_recorder": ["paths"],
    }
    closed(
        path, batch_of(write()), header=dataclasses.replace(HEADER, filters={"resolved": resolved})
    )

    _, out = run(capsys, path)

    assert (
        """\
filters resolved  users 0
left out          comms 'a b' 'c*'; fds 0
decided           in the kernel: comms fds users; by the recorder: paths
"""
        in out
    )


@pytest.mark.parametrize(
    "resolved", ["words", ["a"], 7, {}, {"left_out": "x", "decided_in_kernel": 7}]
)
def test_filters_of_any_shape_are_told(resolved, path, capsys):
    closed(
        path, batch_of(write()), header=dataclasses.replace(HEADER, filters={"resolved": resolved})
    )

    status, out = run(capsys, path)

    assert status == 0
    assert "filters resolved" in out


def test_json_has_the_documented_keys(path, capsys):
    write_capture(path, batch_of(write(b"hell", count=6, flags=EventFlag.TRUNCATED)))

    status, found = run_json(capsys, path)

    assert status == 0
    assert found.pop("header")["kernel"] == HEADER.kernel
    assert found == {
        "complete": True,
        "missing": [],
        "events": 1,
        "bytes": 4,
        "written_bytes": 6,
        "lost": 0,
        "failed_events": 0,
        "truncated_events": 1,
        "unreadable_events": 0,
        "payload_lost_events": 0,
        "bypassed": [],
        "unseen_events": 0,
        "unfinished": 0,
        "results_lost": 0,
        "started_ns": STARTED_NS,
        "ended_ns": STARTED_NS + 10_000_000_000,
        "first_ns": STARTED_NS,
        "last_ns": STARTED_NS,
        "duration_ns": 10_000_000_000,
        "clock_step_ns": 0,
        "ended": "signal",
        "exit_status": None,
        "unfollowed": 0,
        "end_warnings": [],
        "format_version": "1.3",
        "file_bytes": path.stat().st_size,
        "chunks": 1,
        "cpus": 1,
        "indexed": True,
        "growing": False,
        "expected_events": 1,
        "left_out": 0,
        "discrepancies": [],
        "uncounted": 0,
        "lost_by_cause": {},
        "lost_results_by_cause": {},
        "gaps": [],
        "unaccounted": [],
        "damage": [],
    }


@given(
    facts=st.builds(
        Facts,
        header=st.just(HEADER),
        version=st.just((1, 0)),
        unreadable=st.integers(0, 2),
        unseen=st.integers(0, 1),
        results_lost=st.integers(0, 1),
        payload_lost=st.integers(0, 1),
        truncated=st.integers(0, 1),
        unfinished=st.integers(0, 1),
        discrepancies=st.dictionaries(st.integers(0, 2), st.sampled_from([-1, 1])),
        uncounted=st.integers(0, 1),
        holes=st.lists(st.just(Hole(0, 1, 2, None, None)), max_size=1),
        gaps=st.lists(st.just(FULL), max_size=1),
        damage=st.lists(st.just(FormatError("bad")), max_size=1),
        growing=st.booleans(),
        end=st.none()
        | st.builds(
            End,
            reason=st.just("signal"),
            clock_ns=st.just(0),
            wall_ns=st.just(0),
            lost=st.dictionaries(st.just("full"), st.integers(0, 6)),
            lost_results=st.dictionaries(st.just("full"), st.integers(0, 1)),
            bypassed=st.lists(st.just(Bypass(1, "foo", "compat")), max_size=2).map(tuple),
        ),
    )
)
def test_a_capture_is_complete_exactly_when_nothing_is_named_as_missing(facts):
    lines = list(verdict(facts))

    assert facts.complete == (not list(missing(facts)))
    assert lines[0].startswith("complete:" if facts.complete else "incomplete:")


def test_a_payload_cut_at_the_snaplen_is_said_next_to_the_verdict(path, capsys):
    write_capture(path, batch_of(write(flags=EventFlag.TRUNCATED)))

    status, out = run(capsys, path)

    assert status == 0
    assert out.endswith(
        "complete: 1 event of 1 CPU, none lost\n1 payload cut at 4,096 bytes (snaplen)\n"
    )


def test_a_write_that_had_not_returned_is_said_next_to_the_verdict(path, capsys):
    write_capture(path, batch_of(write(flags=EventFlag.UNFINISHED)))

    status, out = run(capsys, path)

    assert status == 0
    assert out.endswith("1 write had not returned when recording ended\n")


def test_a_payload_that_the_kernel_could_not_read_either_is_said_next_to_the_verdict(path, capsys):
    write_capture(path, batch_of(write(b"", count=6, returned=-14, flags=EventFlag.UNREADABLE)))

    status, out = run(capsys, path)

    assert status == 0
    assert out.endswith(
        "1 payload could not be read, but of what is missing the kernel took nothing\n"
    )


@pytest.mark.parametrize(
    ("reason", "said"),
    [("output", "nobody read any more what was shown"), ("\x1b[1mnewer", "\\x1b[1mnewer")],
)
def test_why_a_recording_ended_is_said_in_words_where_the_reason_is_known(
    path, capsys, reason, said
):
    closed(path, batch_of(write()), reason=reason)

    _, out = run(capsys, path)
    _, found = run_json(capsys, path)

    assert f"Z, {said}, after 10 s\n" in out
    assert found["ended"] == reason


def test_a_warning_is_said_once_though_it_was_given_at_the_start(path, capsys):
    header = dataclasses.replace(HEADER, warnings=("no BTF",))
    closed(path, batch_of(write()), header=header, warnings=("no BTF", "the command runs on"))

    _, out = run(capsys, path)
    _, found = run_json(capsys, path)

    assert out.count("warning           ") == 2
    assert out.count("no BTF") == 1
    assert "warning           the command runs on\n" in out
    assert found["end_warnings"] == ["no BTF", "the command runs on"]


def test_every_cpu_whose_events_do_not_add_up_is_named(path, capsys):
    rows = [
        {**write(cpu=cpu, after_ns=number), "sequence": number}
        for cpu, number in ((0, 1), (0, 4), (1, 1), (2, 1))
    ]
    closed(path, batch_of(*rows), sequences={0: 4, 1: 1})

    status, out = run(capsys, path)
    _, found = run_json(capsys, path)

    assert status == 3
    assert "2 events not accounted for inside chunks:\n    2 events on CPU 0\n" in out
    assert "1 event more than the recorder counted:\n    1 event on CPU 2\n" in out
    assert found["discrepancies"] == [{"cpu": 0, "events": 2}, {"cpu": 2, "events": -1}]


def test_lost_events_are_told_with_time_cpu_and_cause(path, capsys):
    write_capture(path, batch_of(write()), gaps=[FULL])

    status, out = run(capsys, path)

    assert status == 3
    assert out.endswith("""
incomplete:
  5 events lost in 1 gap:
    5 events on CPU 0 between 2026-01-02T03:04:05.000000Z and 2026-01-02T03:04:06.000000Z: \
ring buffer full
""")


def test_a_gap_says_whose_events_it_took_as_far_as_that_is_known(path, capsys):
    known = dataclasses.replace(FULL, processes=((812, 4), (7, 1)))
    many = dataclasses.replace(FULL, cpu=1, processes=tuple((pid, 1) for pid in range(30)))
    write_capture(path, batch_of(write()), gaps=[known, many])

    _, out = run(capsys, path)
    _, found = run_json(capsys, path)

    assert "Z: ring buffer full; 4 of process 812, 1 of process 7\n" in out
    assert "1 of process 19, and of 10 more processes (--json)\n" in out
    assert found["gaps"][0]["processes"] == [[812, 4], [7, 1]]
    assert len(found["gaps"][1]["processes"]) == 30


@pytest.mark.parametrize(
    ("bypass", "said"),
    [
        (
            Bypass(812, "foo", "io_uring", 1009),
            "process 812 (foo) wrote through io_uring: 1,009 requests are not in this capture",
        ),
        (
            Bypass(812, "foo", "io_uring", 1),
            "process 812 (foo) wrote through io_uring: 1 request is not in this capture",
        ),
        (
            Bypass(812, "foo", "compat"),
            "process 812 (foo) is a 32-bit program: its writes are not in this capture",
        ),
        (
            Bypass(812, "\x1b[1m", "\x1b[2m"),
            "process 812 (\\x1b[1m) wrote past the recorder (\\x1b[2m): its writes are not in this "
            "capture",
        ),
    ],
)
def test_a_process_that_wrote_past_the_recorder_is_named(path, capsys, bypass, said):
    closed(path, batch_of(write()), bypassed=(bypass,))

    status, out = run(capsys, path)
    _, found = run_json(capsys, path)

    assert status == 3
    assert out.endswith(f"\nincomplete:\n  {said}\n")
    assert found["bypassed"] == [dataclasses.asdict(bypass)]
    assert len(found["missing"]) == 1


def test_many_processes_that_wrote_past_the_recorder_are_not_all_listed(path, capsys):
    closed(path, bypassed=tuple(Bypass(pid, "foo", "compat") for pid in range(30)))

    _, out = run(capsys, path)
    _, found = run_json(capsys, path)

    assert out.count("(foo)") == 20
    assert out.endswith("  10 more processes wrote past the recorder (--json)\n")
    assert len(found["bypassed"]) == 30


@pytest.mark.parametrize(("at", "said"), [("enter", "each"), ("exit", "each, at exit")])
def test_that_calls_were_recorded_at_exit_is_said(path, capsys, at, said):
    write_capture(path, header=dataclasses.replace(HEADER, at=at))

    _, out = run(capsys, path)
    _, found = run_json(capsys, path)

    assert f"captured          write; up to 4,096 bytes of {said}\n" in out
    assert found["header"]["at"] == at


def test_many_gaps_are_not_all_listed_but_json_has_them(path, capsys):
    gaps = [Gap(cpu, 1, 5, 5, 1, 2, "ring buffer full") for cpu in range(1, 31)]
    write_capture(path, batch_of(write()), gaps=gaps)

    _, out = run(capsys, path)
    _, found = run_json(capsys, path)

    assert "and 10 more (--json)" in out
    assert out.count("ring buffer full") == 20
    assert found["gaps"] == [{**dataclasses.asdict(gap), "processes": []} for gap in gaps]
    assert found["missing"] == ["150 events lost in 30 gaps"]


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (
            {"sequences": {0: 3, 2: 4}},
            "6 events not accounted for:\n"
            "    2 events on CPU 0 after 2026-01-02T03:04:05.000000Z, numbers 2 to 3\n"
            "    4 events on CPU 2, numbers 1 to 4",
        ),
        ({"sequences": {}}, "1 number beyond the last that a CPU counted"),
        ({"lost": {"queue full": 2}}, "2 events lost as the recorder counted (queue full 2)"),
        ({"lost_results": {"queue full": 2}}, "results of 2 events lost (queue full 2)"),
        ({"reason": "error"}, "recording failed: what came after the last event may be missing"),
        ({"unfollowed": 3}, "children not recorded, being too many: 3"),
        (
            {"bypassed": (Bypass(812, "foo", "io_uring", 1009),)},
            "process 812 (foo) wrote through io_uring: 1,009 requests are not in this capture",
        ),
        (
            {"bypassed": (Bypass(812, "foo", "compat"),)},
            "process 812 (foo) is a 32-bit program: its writes are not in this capture",
        ),
    ],
)
def test_what_the_recorder_counted_must_agree(path, capsys, facts, verdict):
    closed(path, batch_of(write()), **facts)

    status, out = run(capsys, path)

    assert status == 3
    assert verdict in out


@pytest.mark.parametrize(
    ("flag", "verdict"),
    [
        (
            EventFlag.UNREADABLE,
            "1 payload could not be read, and the kernel took more than was captured, or may have",
        ),
        (EventFlag.RESULT_LOST, "results of 1 event lost"),
        (EventFlag.PAYLOAD_LOST, "the end of 1 payload lost: the kernel's buffer was full"),
    ],
)
def test_what_an_event_lacks_is_something_missing(path, capsys, flag, verdict):
    write_capture(path, batch_of(write(b"hello", count=6, flags=flag)))

    status, out = run(capsys, path)

    assert status == 3
    assert out.endswith(f"\nincomplete:\n  {verdict}\n")


def test_a_recording_that_was_killed_is_incomplete(path, capsys):
    write_capture(path, batch_of(write()), closed=False)

    status, out = run(capsys, path)

    assert status == 3
    assert "no footer" in out
    assert "no end: what came after 2026-01-02T03:04:05.000000Z is unknown" in out


def test_a_recording_that_goes_on_is_incomplete(path, capsys):
    with open_output(path) as stream:
        CaptureWriter(stream, HEADER, salt=0).write(batch_of(write()))

        status, found = run_json(capsys, path)

    assert (status, found["growing"], found["complete"]) == (3, True, False)
    assert found["missing"][0] == "still being recorded: more may come"


def test_text_from_a_capture_reaches_the_terminal_escaped(path, capsys):
    evil = "\x1b]0;\x07\u202e\x7f"
    header = dataclasses.replace(
        HEADER,
        host=evil,
        boot_id=evil,
        transport=evil,
        syscalls=(evil,),
        command=(evil, "\udcff"),
        warnings=(evil,),
        kernel={evil: evil},
        versions={evil: evil},
        filters={evil: [evil]},
    )
    gap = dataclasses.replace(FULL, cause=evil)
    with open_output(path) as stream:
        writer = CaptureWriter(stream, header, salt=0)
        writer.write_gaps([gap])
        batch = batch_of(write())
        writer.write(batch)
        writer.close(end_of([batch], [gap], reason=evil))

    _, out = run(capsys, path)
    main(["info", str(path), "--json"])
    as_json = capsys.readouterr().out

    assert out.count("\\x1b]0;\\x07\\u202e\\x7f") >= 10
    assert (out + as_json).replace("\n", "").isprintable()
    assert json.loads(as_json)["header"]["host"] == evil


def test_times_beyond_the_calendar_harm_nobody(path, capsys):
    clock = dataclasses.replace(CLOCK, wall_ns=(1 << 62) - 1, clock_ns=0)
    write_capture(path, header=dataclasses.replace(HEADER, clock=clock))

    assert run(capsys, path)[0] == 0


def test_what_is_no_capture_is_refused_in_one_line(path, capsys):
    path.write_bytes(os.urandom(100))

    assert main(["info", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"wcap: {path}: not a wcap capture")
    assert err.count("\n") == 1
