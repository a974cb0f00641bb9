"""The command line: one file a command, which parses options, calls the library and prints.

`main` is the one place that turns an outcome into an exit status. Of the commands only the one
that is meant is loaded, and it imports the library inside its function: `wcap info` needs no numpy.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from wcap import __version__
from wcap.cli.status import ExitStatus
from wcap.cli.threads import spare_threads
from wcap.errors import UsageError, WcapError
from wcap.escape import escape_text

# Each is a function of this name in a module of this name, in the order of the help.
_COMMANDS = (
    "record", "show", "stats", "info", "export", "replay", "verify", "recover", "cut", "merge",
    "split",
)  # fmt: skip
# What reads captures, and whose arguments but for options are captures' names.
_READING = {"show", "stats", "info", "verify"}
# Objects made, less those freed, after which Python looks for cycles among the new ones.
_OBJECTS_AT_ONCE = 50_000


def _command(name: str) -> Any:
    return getattr(import_module(f"wcap.cli.{name}"), name)


def make_app(names: Sequence[str] = _COMMANDS) -> typer.Typer:
    """Return the command line with some of its commands: to make all takes longer than `info`."""
    app = typer.Typer(
        name="wcap",
        help="Record every byte that chosen processes write, with proof that nothing is missing.",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in names:
        # What follows record's first argument belongs to the command that it launches.
        settings = {"allow_interspersed_args": False} if name == "record" else None
        app.command(context_settings=settings)(_command(name))
    return app


def _run(words: list[str]) -> Any:
    """Run a command and return its exit status, or None.

    A command that is given captures and no option is called at once: there is nothing to parse,
    and what typer loads to convert options takes longer than `info` itself.
    """
    name, *files = words or [""]
    if name in _READING and not any(word.startswith("-") and word != "-" for word in files):
        try:
            return _command(name)(files or None)
        except typer.Exit as end:
            return end.exit_code
    app = make_app([name] if name in _COMMANDS else _COMMANDS)
    given = words
    if name == "record":
        from wcap.cli.record import with_print_style

        given = with_print_style(words)
    return app(args=given, prog_name="wcap", standalone_mode=False, obj=words)


# Of all that typer finds wrong in a command line; it has no name for it.
_WrongUsage: Any = typer.BadParameter.__base__


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"wcap {__version__}")
        raise typer.Exit


def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


def _open_missing_streams() -> None:
    """Put /dev/null where standard input, output or error is closed.

    Otherwise the next file opened would get its number, and take what is printed.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, os.fdopen(number, mode))


def _tell(error: Any) -> None:
    """Say in a line what typer found wrong."""
    what = " ".join(error.format_message().split()).rstrip(".").replace("Value error, ", "")
    command = "wcap" if error.ctx is None else error.ctx.command_path
    print(f"wcap: {escape_text(what)}; see {command} --help", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    if argv is None:
        # What was loaded stays: to look for cycles in it, at exit once more, is a tenth of a start.
        gc.freeze()
        gc.set_threshold(_OBJECTS_AT_ONCE)
    _open_missing_streams()
    words = sys.argv[1:] if argv is None else [*argv]
    if words[:1] != ["record"]:
        spare_threads()
    try:
        status = _run(words)
        return status if isinstance(status, int) else ExitStatus.OK
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # of which typer makes a 1
            return ExitStatus.OK
        raise
    except _WrongUsage as error:
        if words:
            _tell(error)
        else:
            error.show()
        return ExitStatus.USAGE
    except BrokenPipeError:
        # The reader of our output has seen enough. What Python still wants to flush has no taker.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.OK
    except UsageError as error:
        print(f"wcap: {error}", file=sys.stderr)
        return ExitStatus.USAGE
    except WcapError as error:
        print(f"wcap: {error}", file=sys.stderr)
    except (ImportError, OSError) as error:
        if not isinstance(error, OSError) and os.strerror(errno.EMFILE) not in str(error):
            raise
        if isinstance(error, ImportError) or error.errno in (errno.EMFILE, errno.ENFILE):
            # Whichever file it was that could not be opened, it is not to blame.
            print(
                "wcap: the limit of open files is reached: raise it (ulimit -n), or give fewer "
                "captures at once and merge what comes of it",
                file=sys.stderr,
            )
            return ExitStatus.ERROR
        where = f"{error.filename}: " if error.filename else ""
        print(f"wcap: {where}{error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    return ExitStatus.ERROR
