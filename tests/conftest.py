"""The rule for tests that record or run what a machine may lack: they say why they are skipped, and
with CI=true none may be. Those of one file that record run one after the other, for they choose by
the same names whom they record; those of other files may run beside them.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
from pathlib import Path

import pytest

from wcap.errors import WcapError

ROOT = Path(__file__).parents[1]


def pytest_configure() -> None:
    """Let what tests start be interrupted, even where a shell started them in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what records into groups, a file each, of which one of several workers runs each."""
    for item in items:
        if item.get_closest_marker("kernel"):
            item.add_marker(pytest.mark.xdist_group(f"{item.path.parent.name}-{item.path.stem}"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """See that pytest-xdist keeps a group together: it puts the group's name behind a test's."""
    if getattr(session.config.option, "loadgroup", False):
        marked = [item for item in session.items if item.get_closest_marker("xdist_group")]
        if any("@" not in item.nodeid.rpartition("]")[2] for item in marked):
            raise pytest.UsageError("this pytest-xdist does not know the groups of this pytest")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test that cannot be run here; with CI=true, fail it."""
    obstacle = _obstacle(item)
    if obstacle is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{obstacle}; with CI=true no such test is skipped", pytrace=False)
    pytest.skip(obstacle)


def _obstacle(item: pytest.Item) -> str | None:
    needed = [command for marker in item.iter_markers("needs") for command in marker.args]
    missing = sorted(one for one in set(needed) if not _is_there(one))
    if missing:
        return f"{', '.join(missing)} not installed: scripts/install-programs"
    return None if item.get_closest_marker("kernel") is None else recording_obstacle()


def _is_there(needed: str) -> bool:
    """Return whether a command is installed, or a path in this checkout is there."""
    return (ROOT / needed).exists() if "/" in needed else shutil.which(needed) is not None


@functools.cache
def recording_obstacle() -> str | None:
    """Say what keeps this process from recording, or return None when nothing does."""
    try:
        from wcap.recorder import compiler, kernel

        kernel.check_permission()
        kernel.has_ring_buffer()
        kernel.mount_tracefs()
        compiler.import_bcc()
    except (ImportError, OSError, WcapError) as error:
        return str(error)
    return None
