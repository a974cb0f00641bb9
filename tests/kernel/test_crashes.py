"""Whatever ends a recorder or takes its disk away, what was written stays right, and is told."""

from __future__ import annotations

import pytest
from crash.killed import Moment, kill

pytestmark = pytest.mark.kernel


def test_recorders_killed_under_load_leave_all_that_is_old_enough_whole(tmp_path):
    moments = [
        Moment(2.83, "one file"),
        Moment(1.97, "by size"),
        Moment(2.41, "by time"),
        Moment(1.31, "in turn"),
        Moment(0.02, "in turn"),
    ]

    left = kill("bursts", moments, tmp_path)

    assert [what for one in left for what in one.wrong] == []
    assert sum(one.events for one in left) > 1009
