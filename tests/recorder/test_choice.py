from __future__ import annotations

import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wcap.filters import CommPattern
from wcap.recorder import choice
from wcap.recorder.choice import ANYONE, OF_CALLS, Cgroup, Conditions

WORD = re.compile(r"0x[0-9a-f]+(?=ULL)")
NAMES = st.binary(min_size=1, max_size=15).filter(lambda name: b"\0" not in name)


def test_a_kind_is_passed_on_only_when_it_has_values():
    assert choice.flags(ANYONE, ANYONE) == []
    patterns = (CommPattern(b"a"), CommPattern(b"b", prefix=True))
    [flag] = choice.flags(Conditions(comms=patterns), ANYONE)
    assert flag.startswith("-DCOMMS=X(0x")
    assert flag.count("X(") == 2


@pytest.mark.parametrize(
    ("kind", "values", "flag"),
    [("users", (0, 1000), "USERS=X(0) X(1000)"), ("fds", (1, 2), "FDS=X(1) X(2)")],
)
def test_what_is_left_out_has_a_list_of_its_own(kind, values, flag):
    conditions = Conditions(**{kind: values})

    assert choice.flags(conditions, ANYONE)[0] == f"-D{flag}"
    assert choice.flags(ANYONE, conditions)[0] == f"-DNOT_{flag}"


@pytest.mark.parametrize("kind", OF_CALLS)
def test_ends_are_told_by_beginnings_where_a_thread_s_calls_are_not_all_recorded(kind):
    conditions = Conditions(**{kind: ("1",)})

    assert "-DBY_CALL" in choice.flags(conditions, ANYONE)
    assert "-DBY_CALL" in choice.flags(ANYONE, conditions)
    assert "-DBY_CALL" not in choice.flags(Conditions(users=(0,)), Conditions(tids=(1,)))


def test_numbers_that_may_be_used_again_stand_in_a_map():
    chosen, left_out = Conditions(tids=(7, 8)), Conditions(tids=(9,), pids=(7,))

    assert choice.flags(chosen, left_out) == ["-DTIDS", "-DNOT_TIDS", "-DNOT_PIDS", "-DNUMBERED"]
    assert choice.numbered(chosen, left_out) == {7: 1 | 4, 8: 1, 9: 2}


def test_cgroups_are_counted_and_stand_for_their_places():
    chosen = Conditions(cgroups=(Cgroup("/c", "/a"),))
    left_out = Conditions(cgroups=(Cgroup("/c", "/b"), Cgroup("/c", "/d")))

    assert choice.flags(chosen, left_out) == [
        "-DCGROUPS=X(0)",
        "-DNOT_CGROUPS=X(1) X(2)",
        "-DCGROUP_COUNT=3",
    ]


def kernel_matches(pattern, name):
    """Compare a name with a pattern as choose.h does."""
    word0, mask0, word1, mask1 = (int(word, 16) for word in WORD.findall(choice._pattern(pattern)))
    words = [int.from_bytes(name[at : at + 8], sys.byteorder) for at in (0, 8)]
    return ((words[0] ^ word0) & mask0) | ((words[1] ^ word1) & mask1) == 0


def kept(name, rest=b""):
    """Return a name as the kernel keeps it: 16 bytes, a NUL behind it, then anything."""
    return (name + b"\0" + rest)[:16].ljust(16, b"\0")


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("hello", b"hello", True),
        ("hello", b"hello2", False),
        ("hello", b"hell", False),
        ("hello*", b"hello", True),
        ("hello*", b"hello2", True),
        ("hello*", b"hell", False),
        ("*", b"anything", True),
        ("exactly-8", b"exactly-8", True),
        ("exactly8", b"exactly8", True),
        ("exactly8", b"exactly8-not", False),
        ("exactly8*", b"exactly8-not", True),
        ("fifteen-bytes-x", b"fifteen-bytes-x", True),
        ("fifteen-bytes-x", b"fifteen-bytes-y", False),
        ("fifteen-bytes-x", b"fifteen-bytes-", False),
        ("fifteen-bytes-xyz", b"fifteen-bytes-x", True),
        ("fifteen-bytes-*", b"fifteen-bytes-x", True),
        ("fifteen-bytes-x*", b"fifteen-bytes-x", True),
    ],
)
def test_the_kernel_side_compares_what_is_meant(pattern, name, matches):
    assert kernel_matches(CommPattern.parse(pattern), kept(name)) is matches


@given(NAMES, st.booleans(), NAMES, st.binary(max_size=15))
def test_the_kernel_side_and_the_readers_agree_on_every_name(text, prefix, name, rest):
    pattern = CommPattern(text, prefix)

    for other in (name, text, text[:-1], (text + name)[:15]):
        readable = other.decode("utf-8", "surrogateescape")
        assert kernel_matches(pattern, kept(other, rest)) == pattern.matches(readable)
