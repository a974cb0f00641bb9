"""Finds bcc, and tells in a line what it, clang or the verifier have against a program.

The only module that imports bcc.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

from wcap.errors import MissingDependencyError, ProbeError

# Where distributions put bcc's module, which a virtual environment does not see.
_DISTRIBUTION = (
    "/usr/lib/python3/dist-packages",
    "/usr/lib/python3*/site-packages",
    "/usr/lib64/python3*/site-packages",
)


def import_bcc() -> ModuleType:
    """Find bcc: here, or where the distribution has it.

    Raises:
        MissingDependencyError: it is not installed, or only PyPI's package of that name is.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        impostor = False
        with contextlib.suppress(ImportError, OSError):  # OSError: without libbcc
            module = importlib.import_module("bcc")
            if hasattr(module, "BPF"):
                return module
            impostor = True
        for pattern in _DISTRIBUTION:
            for found in sorted(Path("/").glob(f"{pattern[1:]}/bcc/__init__.py")):
                return _import_from(found)
    hint = "apt install python3-bpfcc (Debian, Ubuntu) or dnf install python3-bcc (Fedora)"
    if impostor:
        raise MissingDependencyError(
            f"the bcc here is PyPI's, an unrelated package: pip uninstall bcc, then {hint}"
        )
    raise MissingDependencyError(f"bcc is not installed: {hint}; reading captures does not need it")


def _import_from(file: Path) -> ModuleType:
    for name in [name for name in sys.modules if name == "bcc" or name.startswith("bcc.")]:
        del sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        "bcc", file, submodule_search_locations=[str(file.parent)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["bcc"] = module
    try:
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        del sys.modules["bcc"]
        raise MissingDependencyError(f"bcc in {file.parent} cannot be loaded: {error}") from error
    return module


@contextlib.contextmanager
def messages_kept() -> Iterator[Callable[[], str]]:
    """Keep what clang and the verifier print to stderr; yield a function that returns it."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as kept:

        def messages() -> str:
            kept.seek(0)
            return kept.read().decode("utf-8", "replace")

        os.dup2(kept.fileno(), 2)
        try:
            yield messages
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def explained(error: Exception, log: str) -> ProbeError:
    """Sum up what clang or the verifier said in one line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    telling = [line for line in lines if "error:" in line or "permitted" in line] or lines[-1:]
    said = f": {telling[0]}" if telling else ""
    return ProbeError(f"the BPF program was refused: {error}{said}", log)
