from __future__ import annotations

import os

import pytest

from wcap.recorder.priority import ahead_of_others

THREAD = (os.PRIO_PROCESS, 0)


@pytest.fixture
def kernel_side(monkeypatch):
    """The nice value of this thread, as it would be set; None where that is not permitted."""
    nice = [0]

    def set_priority(which, who, value):
        assert (which, who) == THREAD
        if nice[0] is None:
            raise PermissionError
        nice[0] = value

    monkeypatch.setattr(os, "setpriority", set_priority)
    monkeypatch.setattr(os, "getpriority", lambda which, who: 5)
    return nice


def test_the_recorder_is_ahead_until_it_has_recorded_and_then_is_where_it_was(kernel_side):
    def fail():
        with ahead_of_others():
            assert kernel_side == [-20]
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert kernel_side == [5]


def test_where_nobody_may_go_ahead_recording_goes_on(kernel_side):
    kernel_side[0] = None
    with ahead_of_others():
        pass

    assert kernel_side == [None]
