import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import CLOCK, STARTED_NS, batch_of, write

from wcap.errors import FilterError
from wcap.events import TARGET_KINDS, EventFlag, Gap, Target
from wcap.filters import CommPattern, Filter, compile_grep, parse_glob, parse_kinds
from wcap.summarising import summarise

LOG = Target("file", "/var/log/x.log")
WEB = Target("tcp", local="10.0.0.1:5187", peer="10.0.0.2:443")

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
    "target": (Filter(targets=("/var/log/*",)), {"target": LOG}, {"target": WEB}),
    "one of several targets": (
        Filter(targets=("*:443", "/srv/*")),
        {"target": WEB},
        {"target": LOG},
    ),
    "target, not what was read from": (
        Filter(targets=("*.log",)),
        {"target": LOG, "syscall": "splice"},
        {"target": WEB, "source_fd": 3, "source": Target("file", "/srv/x")},
    ),
    "kind": (Filter(kinds=frozenset({"tcp", "udp"})), {"target": WEB}, {"target": LOG}),
    "kind in any case": (
        Filter(kinds=frozenset({"file"})),
        {"target": LOG},
        {"target": Target("FILE", "/var/log/x.log")},
    ),
    "syscall": (Filter(syscalls=frozenset({"writev"})), {"syscall": "writev"}, {}),
    "without a pid": (Filter(without=(Filter(pids=frozenset({200})),)), {}, {"pid": 200}),
    "without some fds": (
        Filter(without=(Filter(fds=frozenset({1, 2})),)),
        {"fd": 3},
        {"fd": 2},
    ),
    "without a comm, nor its process": (
        Filter(without=(Filter(comms=(CommPattern.parse("make*"),)),)),
        {"comm": "cc", "leader": "ninja"},
        {"comm": "makefile", "leader": "make"},
    ),
    "without a syscall, even one of a newer format": (
        Filter(without=(Filter(syscalls=frozenset({"write"})),)),
        {"syscall": "brandnew"},
        {"syscall": "write"},
    ),
    "without a time": (
        Filter(without=(Filter(since_ns=STARTED_NS + 5, until_ns=STARTED_NS + 9),)),
        {"after_ns": 9},
        {"after_ns": 8},
    ),
    "without what matches in every way": (
        Filter(without=(Filter(pids=frozenset({7}), fds=frozenset({1})),)),
        {"pid": 7, "fd": 2},
        {"pid": 7, "fd": 1},
    ),
    "without any of several": (
        Filter(without=(Filter(pids=frozenset({7})), Filter(fds=frozenset({1})))),
        {"pid": 8, "fd": 2},
        {"pid": 8, "fd": 1},
    ),
    "named and excluded": (
        Filter(fds=frozenset({1, 2}), without=(Filter(fds=frozenset({2})),)),
        {"fd": 1},
        {"fd": 2},
    ),
    "without anything": (Filter(without=(Filter(fds=frozenset({3})),)), {"fd": 4}, {"fd": 3}),
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


# The same for conditions by which no chunk can be skipped.
UNLISTED = {
    "target that is not known": (Filter(targets=("*",)), {"target": LOG}, {}),
    "address": (
        Filter(targets=("127.*:53",)),
        {"syscall": "sendto", "address": "127.0.0.1:53"},
        {"syscall": "sendto", "address": "127.0.0.2:54"},
    ),
    "address of an unknown call": (
        Filter(targets=("127.*",)),
        {"syscall": "brandnew", "address": "127.0.0.1:53"},
        {"syscall": "brandnew", "target": LOG},
    ),
    "without a target": (Filter(without=(Filter(targets=("*.log",)),)), {}, {"target": LOG}),
    "without an address": (
        Filter(without=(Filter(targets=("*:53",)),)),
        {"syscall": "sendto", "address": "127.0.0.1:54"},
        {"syscall": "sendto", "address": "127.0.0.1:53"},
    ),
    "without a kind": (Filter(without=(Filter(kinds=frozenset({"tcp"})),)), {}, {"target": WEB}),
    "without failures": (Filter(without=(Filter(errors=True),)), {}, {"returned": -32}),
    "without a payload": (
        Filter(without=(Filter(grep=compile_grep("x")),)),
        {"data": b"y"},
        {"data": b"x"},
    ),
    "without what a filter excludes": (
        Filter(without=(Filter(without=(Filter(fds=frozenset({2})),)),)),
        {"fd": 2},
        {"fd": 3},
    ),
}


@pytest.mark.parametrize(
    ("where", "wanted", "unwanted"),
    [*CONDITIONS.values(), *UNLISTED.values()],
    ids=[*CONDITIONS, *UNLISTED],
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


@pytest.mark.parametrize(("where", "wanted"), [facts[:2] for facts in UNLISTED.values()])
def test_a_chunk_with_a_wanted_event_is_never_skipped(where, wanted):
    summary = summarise(batch_of(write(**wanted)), CLOCK)

    assert where.may_match(summary, CLOCK.offset_ns)


def test_an_exclusion_of_everything_leaves_nothing():
    batch = batch_of(write(), write(fd=2))

    assert len(Filter(without=(Filter(),)).apply(batch)) == 0
    assert not Filter(without=(Filter(),)).may_match(summarise(batch, CLOCK), CLOCK.offset_ns)


def test_a_chunk_whose_values_are_too_many_to_list_is_not_skipped():
    batch = batch_of(
        *[
            write(pid=pid, tid=pid, fd=pid, comm=f"c{pid}", target=Target("file", f"/{pid}"))
            for pid in range(1, 300)
        ]
    )
    summary = summarise(batch, CLOCK)

    for where in (
        Filter(pids=frozenset({5_000})),
        Filter(tids=frozenset({5_000})),
        Filter(fds=frozenset({5_000})),
        Filter(comms=(CommPattern.parse("other"),)),
        Filter(targets=("/other",)),
        Filter(pids=frozenset({100}), without=(Filter(pids=frozenset(range(1, 300))),)),
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


# Targets


@pytest.mark.parametrize(
    ("pattern", "target", "matches"),
    [
        ("/var/log/*", LOG, True),
        ("/var/log/x.log", LOG, True),
        ("/VAR/*", LOG, False),
        ("x.log", LOG, False),
        ("*/x.lo[gh]", LOG, True),
        ("/var/???/x.log", LOG, True),
        ("/var*log", LOG, True),
        ("/a", Target("file", "/a", deleted=True), True),
        ("/a (deleted)", Target("file", "/a", deleted=True), True),
        ("a/b", Target("file", "a/b", partial=True), True),
        ("…/a/b", Target("file", "a/b", partial=True), True),
        ("*:443", WEB, True),
        ("10.0.0.1:*", WEB, True),
        ("tcp *→10.0.0.2:443", WEB, True),
        ("tcp*", WEB, True),
        ("[eventfd]", Target("anonymous", "[eventfd]"), False),
        ("[[]eventfd]", Target("anonymous", "[eventfd]"), True),
        ("anon_inode:*", Target("anonymous", "[eventfd]"), True),
        ("pipe:*", Target("pipe", inode=7), True),
        ("@dbus*", Target("unix", local="@dbus-1"), True),
        ("*", Target(path="/no/kind"), False),
        (b"/\xff*".decode("utf-8", "surrogateescape"), Target("file", "/\udcff1"), True),
    ],
)
def test_a_target_is_meant_by_its_path_one_of_its_addresses_or_its_whole_name(
    pattern, target, matches
):
    where = Filter(targets=(pattern,))

    assert len(where.apply(batch_of(write(target=target)))) == matches


names = st.text(alphabet="a/→ :?@…", max_size=4)
targets = st.builds(
    Target,
    kind=st.none() | st.sampled_from(["file", "anonymous", "unix", "tcp", ""]),
    path=st.none() | names,
    inode=st.none() | st.just(7),
    local=st.none() | names,
    peer=st.none() | names,
    partial=st.booleans(),
    deleted=st.booleans(),
)


@given(st.lists(targets, min_size=1, max_size=3), names | st.sampled_from(["*", "?*", "*→*"]))
def test_no_chunk_with_a_target_that_is_meant_is_skipped(found, pattern):
    batch = batch_of(*[write(target=target) for target in found])
    where = Filter(targets=(pattern,))

    assert where.may_match(summarise(batch, CLOCK), CLOCK.offset_ns) or not where.apply(batch)


def test_an_empty_pattern_is_refused():
    assert parse_glob("*.log") == "*.log"
    with pytest.raises(FilterError, match=r"--target: a pattern such as .* expected, none found"):
        parse_glob("")


def test_kinds_are_read_and_excluded():
    assert parse_kinds(["tcp, udp", "!tty,pipe"]) == ({"tcp", "udp"}, {"tty", "pipe"})
    assert parse_kinds([",".join(TARGET_KINDS)])[0] == set(TARGET_KINDS)


@pytest.mark.parametrize("given_kind", ["", "TCP", "tcp6", "tcp,", "!socket,nosuch", "t*"])
def test_an_unknown_kind_is_refused_with_those_there_are(given_kind):
    with pytest.raises(FilterError, match=r"^--target-kind: one of file, .*, anonymous expected, "):
        parse_kinds([given_kind])


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
