"""The command line: one file a command, which parses options, calls the library and prints.

`main` is the one place that turns an outcome into an exit status. Commands import the library
inside their functions, so that ``wcap --help`` does not wait for numpy.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from wcap import __version__
from wcap.cli.export import export
from wcap.cli.info import info
from wcap.cli.record import record
from wcap.cli.replay import replay
from wcap.cli.show import show
from wcap.cli.stats import stats
from wcap.cli.status import ExitStatus
from wcap.errors import FilterError, UnknownFormatError, WcapError

app = typer.Typer(
    name="wcap",
    help="Record every byte that chosen processes write, with proof that nothing is missing.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in (record, show, stats, info, export, replay):
    app.command()(_command)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"wcap {__version__}")
        raise typer.Exit


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    try:
        app(args=None if argv is None else list(argv), prog_name="wcap")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else ExitStatus.ERROR
    except BrokenPipeError:
        # The reader of our output has seen enough. What Python still wants to flush has no taker.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.OK
    except (FilterError, UnknownFormatError) as error:
        print(f"wcap: {error}", file=sys.stderr)
        return ExitStatus.USAGE
    except WcapError as error:
        print(f"wcap: {error}", file=sys.stderr)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"wcap: {where}{error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        return ExitStatus.INTERRUPTED
    return ExitStatus.ERROR
