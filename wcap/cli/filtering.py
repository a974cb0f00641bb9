"""The filter options that reading commands share, declared once.

A command decorated with `filtered` shows them in its help, and gets them as one argument. In every
option that takes a list, a ``!`` excludes what follows it in the same value.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_type_hints

import typer

from wcap.cli.options import naming
from wcap.errors import FilterError
from wcap.units import parse_list, parse_marked

if TYPE_CHECKING:
    from wcap.filters import Filter
    from wcap.readable import Readable

_Pattern = TypeVar("_Pattern")
_PANEL = "Filters"
# Longer than any process, thread or descriptor number, and shorter than Python refuses to read.
_DIGITS = 20


def _option(*names: str, metavar: str | None = None, help: str) -> Any:  # noqa: A002
    return typer.Option(*names, metavar=metavar, help=help, rich_help_panel=_PANEL)


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """The filter options as they were given, one field an option."""

    pid: Annotated[
        list[str] | None,
        _option(
            "--pid", "-p", metavar="PID,…", help="Only these processes. In any list, '!' excludes."
        ),
    ] = None
    tid: Annotated[
        list[str] | None, _option("--tid", metavar="TID,…", help="Only these threads.")
    ] = None
    comm: Annotated[
        list[str] | None,
        _option(
            "--comm", "-c", metavar="NAME", help="Only threads or processes of this name, or NAME*."
        ),
    ] = None
    fd: Annotated[
        list[str] | None, _option("--fd", metavar="FD,…", help="Only these file descriptors.")
    ] = None
    target: Annotated[
        list[str] | None,
        _option(
            "--target",
            metavar="GLOB",
            help="Only files and sockets of which the path, the address or the whole name matches.",
        ),
    ] = None
    target_kind: Annotated[
        list[str] | None,
        _option(
            "--target-kind", metavar="KIND,…", help="Only targets of these kinds: file, tcp, …"
        ),
    ] = None
    syscall: Annotated[
        list[str] | None,
        _option(
            "--syscall",
            "-e",
            metavar="NAME,…",
            help="Only these system calls; file and net are classes of them.",
        ),
    ] = None
    host: Annotated[
        list[str] | None,
        _option("--host", metavar="NAME,…", help="Only events of these machines."),
    ] = None
    since: Annotated[
        str | None,
        _option(metavar="TIME", help="Only from this time on: ISO 8601, epoch, or +SECONDS."),
    ] = None
    until: Annotated[
        str | None, _option(metavar="TIME", help="Only before this time, given the same way.")
    ] = None
    grep: Annotated[
        str | None,
        _option("--grep", "-g", metavar="REGEX", help="Only payloads in which this is found."),
    ] = None
    errors: Annotated[bool, _option("--errors", help="Only writes that failed.")] = False

    def resolve(self, capture: Readable) -> Filter:
        """Turn the options into a `Filter`; relative times count from the capture's start.

        Raises:
            FilterError: one of them does not parse.
        """
        from wcap.filters import Filter, compile_grep
        from wcap.units import parse_time

        choices = self._choices()
        started = capture.header.started_ns
        moments: list[int | None] = []
        for option, word in (("--since", self.since), ("--until", self.until)):
            with naming(option):
                moments.append(None if word is None else parse_time(word, started))
        since_ns, until_ns = moments
        return Filter(
            **{kind: named for kind, (named, _) in choices.items() if named},
            without=tuple(Filter(**{kind: left}) for kind, (_, left) in choices.items() if left),
            since_ns=since_ns,
            until_ns=until_ns,
            grep=None if self.grep is None else compile_grep(self.grep),
            errors=self.errors,
        )

    def asked(self) -> dict[str, Any]:
        """Return the options that were given, as a new capture says them of itself.

        What was excluded is not named there.
        """
        given = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: [_without_excluded(word) for word in value] if isinstance(value, list) else value
            for name, value in given.items()
            if value
        }

    def _choices(self) -> dict[str, tuple[Any, Any]]:
        """Return for each list of `Filter` what was named, and what was excluded.

        Raises:
            FilterError: an option does not parse.
        """
        from wcap.filters import CommPattern, parse_glob, parse_kinds
        from wcap.syscalls import parse_syscalls

        return {
            "pids": _numbers("--pid", self.pid),
            "tids": _numbers("--tid", self.tid),
            "fds": _numbers("--fd", self.fd),
            "comms": _patterns(CommPattern.parse, self.comm),
            "targets": _patterns(parse_glob, self.target),
            "kinds": parse_kinds(self.target_kind or ()),
            "syscalls": parse_syscalls(self.syscall or ()),
            "hosts": _named(self.host or ()),
        }


def filtered(*, without: tuple[str, ...] = ()) -> Callable[[Callable[..., None]], Any]:
    """Give a command the filter options; they reach it as its argument ``filters``.

    Args:
        without: options that make no sense for this command.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(FilterOptions, include_extras=True)
        options = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=hints[field.name],
            )
            for field in fields(FilterOptions)
            if field.name not in without
        ]
        signature = inspect.signature(command, eval_str=True)
        own = [item for item in signature.parameters.values() if item.name != "filters"]

        @functools.wraps(command)
        def with_filters(*files: Any, **given: Any) -> None:
            asked = {item.name: given.pop(item.name) for item in options if item.name in given}
            command(*files, **given, filters=FilterOptions(**asked))

        parameters = [*own, *options]
        with_filters.__signature__ = signature.replace(  # type: ignore[attr-defined]  # as inspect says
            parameters=parameters
        )
        with_filters.__annotations__ = {item.name: item.annotation for item in parameters}
        return with_filters

    return decorate


def _without_excluded(word: str) -> str:
    named, mark, _ = word.partition("!")
    return f"{named}{mark}{'…' * bool(mark)}"


def _numbers(option: str, given: list[str] | None) -> tuple[frozenset[int], frozenset[int]]:
    named, excluded = parse_list(given or ())
    return _checked(option, named), _checked(option, excluded)


def _named(given: list[str] | tuple[()]) -> tuple[frozenset[str], frozenset[str]]:
    named, excluded = parse_list(given)
    return frozenset(named), frozenset(excluded)


def _patterns(
    parse: Callable[[str], _Pattern], given: list[str] | None
) -> tuple[tuple[_Pattern, ...], tuple[_Pattern, ...]]:
    named, excluded = parse_marked(given or ())
    return tuple(map(parse, named)), tuple(map(parse, excluded))


def _checked(option: str, words: list[str]) -> frozenset[int]:
    for word in words:
        if not word.removeprefix("-").isdecimal() or len(word) > _DIGITS:
            raise FilterError(f"{option}: a number expected, {word[:40]!r} found")
    return frozenset(map(int, words))
