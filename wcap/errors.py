"""The exceptions that wcap raises, and nothing else.

    WcapError
    ├── FormatError                  the bytes are not a capture that this version can read
    │   ├── NotACaptureError         the file does not start with the wcap magic
    │   ├── UnsupportedVersionError  its major version, or a part it marks as essential, is newer
    │   ├── CorruptionError          a checksum or a structural rule fails
    │   ├── TruncatedError           the file ends inside a frame, or before its footer
    │   └── LimitError               a declared size exceeds a limit of SPEC.md section 9
    ├── UsageError                   what was asked for contradicts itself, or cannot be
    │   ├── FilterError              a filter does not parse, or names something unknown
    │   └── UnknownFormatError       no exporter, style or form of time has that name
    ├── MissingDependencyError       something that wcap does not install itself is absent
    └── RecordError                  a recording could not be started or finished
        ├── NotPermittedError        it needs root, or CAP_BPF and CAP_PERFMON
        ├── UnsupportedKernelError   the running kernel lacks a feature, or forbids it
        └── ProbeError               the BPF program did not compile, verify or attach

Messages are one line: lowercase, no full stop, what was expected, what was found, the way out.
``OSError`` is never wrapped: it already says what and, with `naming_file`, where.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self


class WcapError(Exception):
    """Base of every exception that wcap raises on purpose."""


class FormatError(WcapError):
    """The bytes are not a capture that this version can read.

    Attributes:
        reason: what is wrong, without the place.
        offset: byte offset in the file at which the faulty part starts, if it is known.
    """

    def __init__(self, reason: str, offset: int | None = None) -> None:
        super().__init__(reason if offset is None else f"{reason} (at byte {offset})")
        self.reason = reason
        self.offset = offset

    def at(self, offset: int) -> Self:
        """Return the same fault with its place, if it did not know it yet."""
        return self if self.offset is not None else type(self)(self.reason, offset)


@contextmanager
def placed(offset: int | None) -> Iterator[None]:
    """Give the faults found inside their place in the file, where they do not know it."""
    try:
        yield
    except FormatError as error:
        if offset is None or error.offset is not None:
            raise
        raise error.at(offset) from error


@contextmanager
def naming_file(name: str) -> Iterator[None]:
    """Give errors of the system raised inside the name by which the user knows the file."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, name) from error


class NotACaptureError(FormatError):
    """The file does not start with the wcap magic (SPEC.md section 3.2)."""


class UnsupportedVersionError(FormatError):
    """The major version, or a part marked as essential, is newer than this reader."""


class CorruptionError(FormatError):
    """A checksum or a structural rule fails."""


class TruncatedError(FormatError):
    """The file ends inside a frame, or before its footer."""


class LimitError(FormatError):
    """A declared size exceeds a limit of SPEC.md section 9."""


class UsageError(WcapError):
    """What was asked for contradicts itself, or cannot be."""


class FilterError(UsageError):
    """A filter does not parse, or names something unknown."""


class UnknownFormatError(UsageError):
    """No exporter, style or form of time has that name; the message lists the ones there are."""


class MissingDependencyError(WcapError):
    """Something that wcap does not install itself is absent; the message says how to get it."""


class RecordError(WcapError):
    """A recording could not be started or finished."""


class NotPermittedError(RecordError):
    """Recording needs root, or CAP_BPF and CAP_PERFMON."""


class UnsupportedKernelError(RecordError):
    """The running kernel lacks a feature that recording needs, or forbids its use."""


class ProbeError(RecordError):
    """The BPF program did not compile, verify or attach.

    Attributes:
        log: what the compiler or the verifier said, in full.
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log
