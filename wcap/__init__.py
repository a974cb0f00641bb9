"""wcap records every byte that chosen processes write, and reads what was recorded.

    import wcap

    with wcap.open("run.wcap") as capture:
        for event in capture:
            print(event.time_ns, event.comm, event.fd, event.data)

        for batch in capture.batches():        # the same as numpy columns
            print(batch.count.sum(), batch.fd)

Reading needs neither root nor bcc nor Linux. Names are loaded when first used, so that starting
the command line does not wait for numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wcap.batch import EventBatch
    from wcap.envelope import FORMAT_VERSION
    from wcap.errors import (
        CorruptionError,
        FilterError,
        FormatError,
        LimitError,
        MissingDependencyError,
        NotACaptureError,
        NotPermittedError,
        ProbeError,
        RecordError,
        TruncatedError,
        UnknownFormatError,
        UnsupportedKernelError,
        UnsupportedVersionError,
        UsageError,
        WcapError,
    )
    from wcap.events import Event, EventFlag, Gap, Process
    from wcap.filters import CommPattern, Filter
    from wcap.format import Clock, End, Header
    from wcap.reader import Capture
    from wcap.reader import open_capture as open  # noqa: A004  # as gzip.open and wave.open do
    from wcap.writer import CaptureWriter, create

__version__ = "0.1.0"

_MODULES = {
    "batch": "EventBatch",
    "envelope": "FORMAT_VERSION",
    "errors": (
        "CorruptionError FilterError FormatError LimitError MissingDependencyError "
        "NotACaptureError NotPermittedError ProbeError RecordError TruncatedError "
        "UnknownFormatError UnsupportedKernelError UnsupportedVersionError "
        "UsageError WcapError"
    ),
    "events": "Event EventFlag Gap Process",
    "filters": "CommPattern Filter",
    "format": "Clock End Header",
    "reader": "Capture open",
    "writer": "CaptureWriter create",
}
_HOME = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = [
    "FORMAT_VERSION",
    "Capture",
    "CaptureWriter",
    "Clock",
    "CommPattern",
    "CorruptionError",
    "End",
    "Event",
    "EventBatch",
    "EventFlag",
    "Filter",
    "FilterError",
    "FormatError",
    "Gap",
    "Header",
    "LimitError",
    "MissingDependencyError",
    "NotACaptureError",
    "NotPermittedError",
    "ProbeError",
    "Process",
    "RecordError",
    "TruncatedError",
    "UnknownFormatError",
    "UnsupportedKernelError",
    "UnsupportedVersionError",
    "UsageError",
    "WcapError",
    "__version__",
    "create",
    "open",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"{__name__}.{_HOME[name]}")
    return getattr(module, "open_capture" if name == "open" else name)
