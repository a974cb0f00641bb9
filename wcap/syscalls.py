"""The system calls that wcap records, and how a command line names some of them.

The one table of them: recording, filters and documentation read it. A class stands for calls of
one sort, so that ``file`` and ``net`` need not be spelt out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wcap.errors import FilterError
from wcap.units import parse_list

# A call's number is its place here: what is new goes to the end.
SYSCALLS = (
    "write", "pwrite64", "writev", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg",
    "sendfile", "splice", "tee", "vmsplice", "copy_file_range",
)  # fmt: skip

CLASSES: Mapping[str, tuple[str, ...]] = {
    "file": (
        "write", "pwrite64", "writev", "pwritev", "pwritev2", "copy_file_range", "sendfile",
        "splice", "tee", "vmsplice",
    ),
    "net": ("sendto", "sendmsg", "sendmmsg"),
}  # fmt: skip


def parse_syscalls(given: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Read the values of a repeated option, such as ``file,!write``, as (named, excluded) calls.

    Names and classes stand between commas; a ``!`` excludes what follows it in the same value.

    Raises:
        FilterError: one is neither a call nor a class.
    """
    named, excluded = parse_list(given)
    return _calls(named), _calls(excluded)


def chosen_syscalls(given: Iterable[str]) -> tuple[str, ...]:
    """Return the calls that such values leave, in the order of `SYSCALLS`.

    Where nothing is named, they are all calls but those excluded.

    Raises:
        FilterError: one is neither a call nor a class, or no call is left.
    """
    values = list(given)
    named, excluded = parse_syscalls(values)
    left = (named or frozenset(SYSCALLS)) - excluded
    if not left:
        raise FilterError(f"--syscall: no system call is left of {','.join(values)[:80]!r}")
    return tuple(call for call in SYSCALLS if call in left)


def _calls(words: Iterable[str]) -> frozenset[str]:
    calls: set[str] = set()
    for word in words:
        if word not in SYSCALLS and word not in CLASSES:
            raise FilterError(
                f"--syscall: one of {', '.join((*CLASSES, *SYSCALLS))} expected, "
                f"{word[:40]!r} found"
            )
        calls.update(CLASSES.get(word, (word,)))
    return frozenset(calls)
