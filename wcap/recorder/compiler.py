"""Finds bcc, tells in a line what it, clang or the verifier have against a program, and gives back
what memory the compiler took.

The only module that imports bcc.
"""

from __future__ import annotations

import contextlib
import ctypes
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
# The libraries of the compiler, of which nothing but compiling runs more than a few pages.
_COMPILER = ("/libLLVM", "/libclang")
# include/uapi/asm-generic/mman-common.h
_MADV_DONTNEED = 4


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


def give_back_memory() -> None:
    """Give the kernel back what compiling took: freed memory, and pages of the compiler's code.

    A page of code that is needed again is read from its file again.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc
        libc.malloc_trim(ctypes.c_size_t(0))
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, permissions, *_ = line.split(maxsplit=2)
        # Only code is sure to be as in its file: the loader writes into other pages.
        if permissions == "r-xp" and any(library in line for library in _COMPILER):
            first, end = (int(address, 16) for address in addresses.split("-"))
            size = ctypes.c_size_t(end - first)
            libc.madvise(ctypes.c_void_p(first), size, _MADV_DONTNEED)
