"""numpy without the threads that it starts for linear algebra, of which wcap does none.

They would take a tenth of a second of CPU time to find nothing to do.
"""

from __future__ import annotations

import importlib
import os

_COUNT = "OPENBLAS_NUM_THREADS"


def spare_threads() -> None:
    """Have numpy start none once it is loaded."""
    os.environ.setdefault(_COUNT, "1")


def load_numpy() -> None:
    """Load numpy so, and leave the environment as it was for a command that is launched later."""
    given = os.environ.get(_COUNT)
    spare_threads()
    importlib.import_module("numpy")
    if given is None:
        del os.environ[_COUNT]
