"""The rule for tests that record: they say why they are skipped, and with CI=true none may be."""

from __future__ import annotations

import functools
import os

import pytest

from wcap.errors import WcapError


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked ``kernel`` where nothing can be recorded; with CI=true, fail it."""
    if item.get_closest_marker("kernel") is None:
        return
    obstacle = recording_obstacle()
    if obstacle is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"{obstacle}; with CI=true no test that records is skipped", pytrace=False)
    pytest.skip(obstacle)


@functools.cache
def recording_obstacle() -> str | None:
    """Say what keeps this process from recording, or return None when nothing does."""
    try:
        from wcap.recorder import kernel, probe

        kernel.check_permission()
        kernel.has_ring_buffer()
        kernel.mount_tracefs()
        probe.import_bcc()
    except (ImportError, OSError, WcapError) as error:
        return str(error)
    return None
