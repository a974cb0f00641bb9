import pytest

from wcap.errors import FilterError
from wcap.syscalls import CLASSES, SYSCALLS, chosen_syscalls, parse_syscalls


def test_every_call_but_none_other_is_of_exactly_one_class():
    assert sorted(call for calls in CLASSES.values() for call in calls) == sorted(SYSCALLS)


@pytest.mark.parametrize(
    ("given", "named", "excluded"),
    [
        (["write"], {"write"}, set()),
        (["write, sendto"], {"write", "sendto"}, set()),
        (["net"], {"sendto", "sendmsg", "sendmmsg"}, set()),
        (["net,!sendto"], {"sendto", "sendmsg", "sendmmsg"}, {"sendto"}),
        (["!tee,splice"], set(), {"tee", "splice"}),
        (["!tee", "splice"], {"splice"}, {"tee"}),
        ([], set(), set()),
    ],
)
def test_names_and_classes_are_read_and_an_exclamation_mark_excludes_what_follows(
    given, named, excluded
):
    assert parse_syscalls(given) == (named, excluded)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ([], SYSCALLS),
        (["sendto,write"], ("write", "sendto")),
        (["net,!sendto"], ("sendmsg", "sendmmsg")),
        (["!file"], ("sendto", "sendmsg", "sendmmsg")),
    ],
)
def test_what_is_left_comes_in_the_order_of_the_table(given, left):
    assert chosen_syscalls(given) == left


@pytest.mark.parametrize("given", ["", "!", "read", "Write", "write,", "write,!nosuch", "file*"])
def test_what_is_neither_a_call_nor_a_class_is_refused_in_one_line(given):
    with pytest.raises(FilterError, match=r"^--syscall: one of file, net, write, .* found$"):
        parse_syscalls([given])


@pytest.mark.parametrize("given", [["write,!file"], ["!file,net"], ["tee", "!tee"]])
def test_excluding_every_call_is_refused(given):
    with pytest.raises(FilterError, match=r"^--syscall: no system call is left of "):
        chosen_syscalls(given)
