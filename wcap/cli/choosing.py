"""The options of ``wcap record`` that say whom to record, and what they come to.

Values of one kind widen the choice, kinds narrow it, and what stands behind a ``!`` is taken away.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wcap.errors import FilterError
from wcap.units import parse_list, parse_marked

if TYPE_CHECKING:
    from wcap.filters import CommPattern
    from wcap.recorder import Target
    from wcap.recorder.choice import Conditions

_PANEL = "Whom to record (a ! before a value takes it away)"
# The largest number of a process, a thread or a descriptor: a C int.
_MOST = (1 << 31) - 1


def _option(*names: str, metavar: str, help: str) -> Any:  # noqa: A002
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=_PANEL)


CommandArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- COMMAND ARG…]",
        help="Launch a command and record it and its children from their first instruction, "
        "until it ends.",
        show_default=False,
    ),
]
CommOption = Annotated[
    list[str] | None,
    _option(
        "--comm",
        "-c",
        metavar="COMM",
        help="Threads of this name, and all threads of a process of this name; NAME* "
        "is a prefix. Repeatable.",
    ),
]
PidOption = Annotated[
    list[str] | None, _option("--pid", "-p", metavar="PID,…", help="These processes.")
]
TidOption = Annotated[
    list[str] | None, _option("--tid", "-t", metavar="TID,…", help="These threads.")
]
UserOption = Annotated[
    list[str] | None,
    _option("--user", "-u", metavar="USER,…", help="Processes of these users, by name or number."),
]
CgroupOption = Annotated[
    list[str] | None,
    _option("--cgroup", metavar="PATH", help="Processes in this cgroup (version 2), or below it."),
]
ContainerOption = Annotated[
    list[str] | None,
    _option(
        "--container",
        metavar="ID",
        help="Processes of this container: the name of its cgroup, or 12 digits of its id or more.",
    ),
]
PidnsOption = Annotated[
    list[str] | None,
    _option(
        "--pidns",
        metavar="PID|INODE|self|host",
        help="Processes in this PID namespace, or in that of this process.",
    ),
]
FdOption = Annotated[
    list[str] | None, _option("--fd", metavar="FD,…", help="Only what goes to these descriptors.")
]
PathOption = Annotated[
    list[str] | None,
    _option("--path", "-P", metavar="GLOB", help="Only what goes to paths like this. Repeatable."),
]
KindOption = Annotated[
    list[str] | None,
    _option(
        "--target-kind",
        metavar="KIND,…",
        help="Only what goes to a file, directory, pipe, tty, character or block device, tcp, udp, "
        "unix or other socket, or anonymous file.",
    ),
]
FollowOption = Annotated[
    bool,
    typer.Option(
        "--follow",
        "-f",
        help="The children of the chosen processes too, and theirs.",
        rich_help_panel=_PANEL,
    ),
]
AllOption = Annotated[
    bool,
    typer.Option("--all", "-a", help="Every process but wcap itself.", rich_help_panel=_PANEL),
]

# What is chosen of a kind, and what is left out.
_Sides = tuple[list[Any], list[Any]]


def target_of(
    *,
    command: list[str] | None,
    comm: list[str] | None,
    pid: list[str] | None,
    tid: list[str] | None,
    user: list[str] | None,
    cgroup: list[str] | None,
    container: list[str] | None,
    pidns: list[str] | None,
    fd: list[str] | None,
    path: list[str] | None,
    kind: list[str] | None,
    follow: bool,
    everything: bool,
    say: Callable[[str], None],
) -> Target:
    """Turn the options into a `Target`.

    Raises:
        FilterError: a value is none that the option takes, or names nothing here.
        UsageError: nobody is chosen, or everybody and somebody.
    """
    from wcap.filters import check_kind
    from wcap.recorder import Target
    from wcap.recorder.choice import Conditions
    from wcap.recorder.naming import find_cgroup, find_container, find_pid_namespace, find_user

    sides: dict[str, _Sides] = {
        "pids": _each(parse_list(pid or ()), _number("--pid")),
        "tids": _each(parse_list(tid or ()), _number("--tid")),
        "users": _each(parse_list(user or ()), find_user),
        "comms": _each(parse_marked(comm or ()), lambda word: _pattern(word, say)),
        "pid_namespaces": _each(parse_list(pidns or ()), find_pid_namespace),
        "cgroups": _each(parse_marked(cgroup or ()), find_cgroup),
        "fds": _each(parse_list(fd or ()), _number("--fd")),
        "kinds": _each(parse_list(kind or ()), check_kind),
        "paths": _each(parse_marked(path or ()), _glob),
    }
    for side, found in zip(
        sides["cgroups"], _each(parse_marked(container or ()), find_container), strict=True
    ):
        side += [one for several in found for one in several]
    chosen, left_out = (
        {name: tuple(dict.fromkeys(both[side])) for name, both in sides.items()} for side in (0, 1)
    )
    return Target(
        **chosen,
        left_out=Conditions(**left_out),
        follow=follow,
        command=tuple(command) if command else None,
        everything=everything,
    )


def _each(sides: _Sides, read: Callable[[str], Any]) -> _Sides:
    return [read(word) for word in sides[0]], [read(word) for word in sides[1]]


def _number(option: str) -> Callable[[str], int]:
    def read(word: str) -> int:
        if not (word.isascii() and word.isdecimal()) or int(word[:20]) > _MOST:
            raise FilterError(f"{option}: a number expected, {word[:40]!r} found")
        return int(word)

    return read


def _glob(word: str) -> str:
    if not word:
        raise FilterError("--path: a pattern such as /var/log/* expected, none found")
    return word


def _pattern(name: str, say: Callable[[str], None]) -> CommPattern:
    from wcap.filters import COMM_BYTES, CommPattern

    pattern = CommPattern.parse(name)
    if len(name.removesuffix("*").encode("utf-8", "surrogateescape")) > COMM_BYTES:
        say(f"-c {name}: the kernel keeps {COMM_BYTES} bytes of a name: comparing {pattern}")
    if " " in name:
        say(f"-c {name}: this is a process's name; a command to launch goes after --")
    return pattern


def described(target: Target) -> str:
    """Say in a few words whom a recording is of."""
    chosen = ["everything"] if target.everything else []
    chosen += [*_told(target, ""), *_told(target.left_out, "!")]
    if target.command:
        chosen.append(shlex.join(target.command))
    return " ".join(chosen) + (" and children" if target.follows else "")


def _told(conditions: Conditions, mark: str) -> Iterator[str]:
    for kind, option in _OPTIONS.items():
        values = [str(value) for value in getattr(conditions, kind)]
        if kind in _ONE_BY_ONE:
            yield from (f"{option} {mark}{value}" for value in values)
        elif values:
            yield f"{option} {mark}{','.join(values)}"


# How `described` names what is chosen.
_OPTIONS = {
    "comms": "-c",
    "pids": "-p",
    "tids": "-t",
    "users": "-u",
    "pid_namespaces": "--pidns",
    "cgroups": "--cgroup",
    "fds": "--fd",
    "kinds": "--target-kind",
    "paths": "-P",
}
_ONE_BY_ONE = ("comms", "cgroups", "paths")
