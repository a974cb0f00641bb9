"""The exit statuses of every command."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class ExitStatus(IntEnum):
    """What a command's exit status tells a script."""

    OK = 0
    ERROR = 1
    USAGE = 2
    LOSS = 3
    INTERRUPTED = 130
