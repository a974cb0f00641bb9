from __future__ import annotations

import argparse

import pytest

from benchmarks.__main__ import parts_of
from benchmarks.figures import Spread, growth, median_ratio
from benchmarks.launch import MeasurementError, last_line
from benchmarks.machine import processor
from benchmarks.made import SHAPES, make_capture
from benchmarks.processes import buffers
from benchmarks.programs import Asked, ab_answers, redis_rates
from benchmarks.recorders import counted, occurrences
from benchmarks.tracers import bpftrace_program
from benchmarks.workload import Report, Workload
from wcap.cli import main

AB = (
    "Complete requests:      820\nFailed requests:        0\nRequests per second:    41.5 [#/sec]\n"
)
SMAPS = """7f00-8f00 r--s 00000000 00:0e 7  /lib/x.so
Rss:                  40 kB
7f0000000000-7f0000001000 rw-s 00000000 00:0e 7  anon_inode:bpf-map
Rss:                   4 kB
7f0000001000-7f0000022000 r--s 00001000 00:0e 7  anon_inode:bpf-map
Rss:                 132 kB
7f0000100000-7f0000111000 rw-s 00000000 00:0e 7  anon_inode:[perf_event]
Rss:                   8 kB
7f0000200000-7f0000300000 rw-p 00000000 00:00 0  [heap]
Rss:                 900 kB
"""


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


def test_a_ring_that_is_mapped_twice_counts_once_and_all_its_pages_are_no_memory_of_the_recorder():
    ring, perf = 0x21000 // 2, 0x11000

    assert buffers(SMAPS) == (ring + perf, (4 + 132 + 8) * 1024)


def test_what_the_writer_says_is_read_and_something_else_is_refused():
    assert Report.parse("10 500 900 800 7\n") == Report(10, 500, 900, 800, 7_000)
    with pytest.raises(MeasurementError, match="five numbers of the writer expected"):
        Report.parse("10 500\n")


def test_a_workload_is_what_the_writer_is_told(tmp_path):
    command = Workload(255, threads=2, sink="file").command(tmp_path / "writer", 7, 1.5)

    assert command[1:7] == ["-n", "7", "-d", "1.5", "-s", "255"]
    assert command[7:] == ["-t", "2", "-o", str(tmp_path / "written"), "-c", "write"]


def test_the_counts_of_bpftrace_are_read_and_none_are_refused():
    assert counted("Attaching 2 probes...\n\n@entered: 12\n@returned: 11\n") == 11
    with pytest.raises(MeasurementError, match="it counted no writes"):
        counted("Attaching 2 probes...\n")


def test_words_are_counted_across_the_blocks_that_a_file_is_read_in(tmp_path):
    edge = (1 << 22) - 3
    (tmp_path / "log").write_bytes(b" write(" + b"." * (edge - 7) + b" write( write(")

    assert occurrences(tmp_path / "log", b" write(") == 3


def test_what_ab_prints_is_read_and_failed_requests_are_refused():
    assert ab_answers(AB) == Asked(820, 41.5)
    with pytest.raises(MeasurementError, match="ab: 3 of 820 requests failed"):
        ab_answers(f"{AB}Non-2xx responses:      3\n")
    with pytest.raises(MeasurementError, match="ab: connection refused"):
        ab_answers("connection refused\n")


def test_the_rates_that_redis_benchmark_prints_are_read():
    printed = '"test","rps","avg_latency_ms"\n"SET","500.25","1"\n"GET","1000.00","1"\n'

    assert redis_rates(printed) == [500.25, 1000.0]


def test_bpftrace_is_told_to_print_the_calls_of_one_user_only():
    program = bpftrace_program(65534)

    assert program.count("/uid == 65534/") == program.count("tracepoint:") == 8
    assert 'printf("sendto %d %d %r\\n", pid, args->fd, buf(args->buff, args->len))' in program
    assert 'printf("writev %d %d\\n", pid, args->fd)' in program


def test_parts_are_named_and_others_are_refused():
    assert parts_of("idle,readers") == ("idle", "readers")
    with pytest.raises(argparse.ArgumentTypeError, match="'speed' found"):
        parts_of("idle,speed")


def test_the_last_line_is_where_a_program_says_what_failed():
    assert last_line("warning\nerror: no\n\n") == "error: no"


def test_a_made_capture_is_complete_and_one_of_its_processes_rare(tmp_path, capsys):
    made = tmp_path / "made.wcap"
    make_capture(made, SHAPES["lines"], 250_000)

    assert main(["info", str(made)]) == 0
    assert "complete: 250,000 events of 2 CPUs, none lost" in capsys.readouterr().out
    assert main(["show", "-p", "1008", str(made)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 100
