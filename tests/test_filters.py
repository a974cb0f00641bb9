import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import CLOCK, STARTED_NS, batch_of, write

from wcap.chunk_summary import summarise
from wcap.errors import FilterError
from wcap.events import EventFlag, Gap
from wcap.filters import CommPattern, Filter, compile_grep

# Each condition with a write that it lets pass and one that it does not.
CONDITIONS = {
    "pid": (Filter(pids=frozenset({200})), {"pid": 200}, {"pid": 100, "tid": 200}),
    "one of several pids": (Filter(pids=frozenset({1, 200})), {"pid": 200}, {"pid": 2}),
    "tid": (Filter(tids=frozenset({200})), {"tid": 200}, {"pid": 200, "tid": 201}),
    "fd": (Filter(fds=frozenset({2})), {"fd": 2}, {"fd": 1}),
    "negative fd": (Filter(fds=frozenset({-1})), {"fd": -1, "returned": -9}, {"fd": 1}),
    "comm": (
        Filter(comms=(CommPattern.parse("make"),)),
        {"comm": "make"},
        {"comm": "makefile"},
    ),
    "comm prefix": (
        Filter(comms=(CommPattern.parse("make*"),)),
        {"comm": "makefile"},
        {"comm": "cmake"},
    ),
    "comm of the leader": (
        Filter(comms=(CommPattern.parse("make"),)),
        {"comm": "worker", "leader": "make"},
        {"comm": "worker", "leader": "ninja"},
    ),
    "one of several comms": (
        Filter(comms=(CommPattern.parse("cc"), CommPattern.parse("make"))),
        {"comm": "make"},
        {"comm": "ld"},
    ),
    "since": (Filter(since_ns=STARTED_NS + 5), {"after_ns": 5}, {"after_ns": 4}),
    "until": (Filter(until_ns=STARTED_NS + 5), {"after_ns": 4}, {"after_ns": 5}),
    "errors": (Filter(errors=True), {"returned": -32}, {"returned": 3}),
    "errors, not what is unknown": (
        Filter(errors=True),
        {"returned": -4},
        {"returned": -4, "flags": EventFlag.RESULT_LOST},
    ),
    "grep": (Filter(grep=compile_grep("l+o$")), {"data": b"hello"}, {"data": b"hello!"}),
    "all of several": (
        Filter(fds=frozenset({2}), pids=frozenset({7}), grep=compile_grep("x")),
        {"fd": 2, "pid": 7, "data": b"x"},
        {"fd": 2, "pid": 8, "data": b"x"},
    ),
    "grep after others": (
        Filter(fds=frozenset({2}), grep=compile_grep("x")),
        {"fd": 2, "data": b"x"},
        {"fd": 2, "data": b"y"},
    ),
}


@pytest.mark.parametrize(
    ("where", "wanted", "unwanted"), CONDITIONS.values(), ids=CONDITIONS.keys()
)
def test_a_filter_lets_pass_what_matches_and_nothing_else(where, wanted, unwanted):
    first, second = sorted((wanted, unwanted), key=lambda facts: facts.get("after_ns", 0))
    batch = batch_of(write(**first), write(**second), write(**second), write(**first))

    chosen = where.apply(batch)

    expected = [0, 3] if first is wanted else [1, 2]
    assert chosen.sequence.tolist() == [row + 1 for row in expected]


@pytest.mark.parametrize(
    ("where", "wanted", "unwanted"),
    [facts for facts in CONDITIONS.values() if facts[0].grep is None],
    ids=[name for name, facts in CONDITIONS.items() if facts[0].grep is None],
)
def test_a_chunk_is_skipped_only_if_nothing_in_it_matches(where, wanted, unwanted):
    def may_match(*writes):
        return where.may_match(summarise(batch_of(*writes), CLOCK), CLOCK.offset_ns)

    first, second = sorted((wanted, unwanted), key=lambda facts: facts.get("after_ns", 0))

    assert may_match(write(**wanted))
    assert may_match(write(**first), write(**second))
    assert not may_match(write(**unwanted))


def test_a_chunk_whose_values_are_too_many_to_list_is_not_skipped():
    batch = batch_of(*[write(pid=pid, tid=pid, fd=pid, comm=f"c{pid}") for pid in range(1, 300)])
    summary = summarise(batch, CLOCK)

    for where in (
        Filter(pids=frozenset({5_000})),
        Filter(tids=frozenset({5_000})),
        Filter(fds=frozenset({5_000})),
        Filter(comms=(CommPattern.parse("other"),)),
    ):
        assert where.may_match(summary, CLOCK.offset_ns)
        assert len(where.apply(batch)) == 0


def test_a_chunk_with_unfinished_writes_may_hold_failures():
    summary = summarise(batch_of(write(flags=EventFlag.UNFINISHED)), CLOCK)

    assert Filter(errors=True).may_match(summary, CLOCK.offset_ns)


def test_a_filter_without_conditions_returns_the_batch_itself():
    batch = batch_of(write(), write())

    assert Filter().apply(batch) is batch
    assert Filter(fds=frozenset({1})).apply(batch) is batch


def test_a_number_that_no_column_holds_matches_nothing():
    batch = batch_of(write(pid=5, fd=-1))

    for number in (2**70, -(2**70), 2**32 + 5, 2**32 - 1):
        assert len(Filter(pids=frozenset({number})).apply(batch)) == 0
        assert len(Filter(fds=frozenset({number})).apply(batch)) == 0
    assert len(Filter(pids=frozenset({5, 2**70})).apply(batch)) == 1


def test_times_beyond_every_clock_are_compared_all_the_same():
    batch = batch_of(write())

    assert len(Filter(since_ns=10**30).apply(batch)) == 0
    assert len(Filter(until_ns=10**30).apply(batch)) == 1


def test_payloads_are_not_looked_at_for_events_that_other_conditions_refuse():
    class Refusing:
        def search(self, data):
            assert data == b"wanted"
            return True

    where = Filter(fds=frozenset({2}), grep=Refusing())

    chosen = where.apply(batch_of(write(b"other"), write(b"wanted", fd=2)))

    assert list(chosen.payloads()) == [b"wanted"]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=20))
def test_a_mask_agrees_with_looking_at_each_event(facts):
    batch = batch_of(*[write(pid=pid, fd=fd, comm=f"c{pid}") for pid, fd in facts])
    where = Filter(pids=frozenset({1, 2}), fds=frozenset({0, 1}), comms=(CommPattern.parse("c1"),))

    chosen = where.apply(batch)

    expected = [row + 1 for row, (pid, fd) in enumerate(facts) if pid == 1 and fd in (0, 1)]
    assert chosen.sequence.tolist() == expected


@pytest.mark.parametrize(
    ("window", "concerned"),
    [
        ((None, None), True),
        ((STARTED_NS + 20, None), False),
        ((STARTED_NS + 19, None), True),
        ((None, STARTED_NS + 10), False),
        ((None, STARTED_NS + 11), True),
        ((STARTED_NS + 12, STARTED_NS + 13), True),
    ],
)
def test_a_gap_concerns_the_times_that_it_overlaps(window, concerned):
    gap = Gap(0, 1, 1, 1, STARTED_NS + 10, STARTED_NS + 20, "buffer-full")

    assert Filter(since_ns=window[0], until_ns=window[1]).may_miss(gap) is concerned


# Names


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("make", "make", True),
        ("make", "make ", False),
        ("make", "Make", False),
        ("make*", "make", True),
        ("*", "anything", True),
        ("*", "", True),
        ("a*b", "a*b", True),
        ("a*b", "axb", False),
        ("a-name-too-long-for-linux", "a-name-too-long", True),
        ("a-name-too-long-for-linux*", "a-name-too-long", True),
        ("größe", "größe", True),
        (b"\xff".decode("utf-8", "surrogateescape"), "\udcff", True),
    ],
)
def test_a_name_is_matched_whole_or_by_its_beginning(pattern, name, matches):
    assert CommPattern.parse(pattern).matches(name) is matches


@pytest.mark.parametrize("pattern", ["", "a\0b"])
def test_what_cannot_be_a_name_is_refused(pattern):
    with pytest.raises(FilterError, match=r"a name or NAME\* expected"):
        CommPattern.parse(pattern)


@pytest.mark.parametrize("pattern", ["make", "make*", "größe*"])
def test_a_pattern_is_printed_as_it_was_given(pattern):
    assert str(CommPattern.parse(pattern)) == pattern


# Regular expressions


def test_a_regular_expression_searches_bytes():
    assert compile_grep(r"^\d+\x00").search(b"12\x00")
    assert compile_grep("größe").search("die größe".encode())
    assert compile_grep("(?i)get /").search(b"GET /")
    assert not compile_grep("^b").search(b"a\nb")


@pytest.mark.parametrize("pattern", ["(", "[", "*", "a{99999999999}", "(?P<x>a)(?P<x>b)", "\\"])
def test_what_does_not_compile_is_refused_in_one_line(pattern):
    with pytest.raises(FilterError, match=re.escape(f"not a regular expression: {pattern!r}: ")):
        compile_grep(pattern)


def test_an_expression_that_python_would_warn_of_is_used_as_it_is():
    assert compile_grep("[[a]").search(b"[")


def test_chosen_rows_may_be_chosen_from_again():
    batch = batch_of(*[write(fd=fd, pid=fd % 2 + 1) for fd in range(10)])

    chosen = Filter(pids=frozenset({2})).apply(Filter(fds=frozenset(range(4, 9))).apply(batch))

    assert np.array_equal(chosen.fd, [5, 7])
