"""What the options came to, for the header of a capture (SPEC.md section 4.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wcap.fields import without_absent
from wcap.recorder.choice import BY_RECORDER, Conditions
from wcap.recorder.target import Target


def resolved(
    target: Target, *, comms_of: str, command_pid: int | None, excluded: Sequence[int]
) -> Mapping[str, Any]:
    """Return whom the recording is of.

    Args:
        target: the options.
        comms_of: whose names are compared.
        command_pid: of the command that was launched.
        excluded: processes that are never recorded.
    """
    kinds = {*target.given(), *target.left_out.given()}
    return without_absent(
        {
            **_values(target),
            "comms_of": comms_of,
            "command_pid": command_pid,
            "follow": target.follows,
            "everything": target.everything,
            "excluded_pids": list(excluded),
            "left_out": _values(target.left_out) or None,
            "decided_in_kernel": sorted(kinds.difference(BY_RECORDER)) or None,
            "decided_by_recorder": sorted(kinds.intersection(BY_RECORDER)) or None,
        }
    )


def _values(conditions: Conditions) -> dict[str, list[Any]]:
    """Return the values of the kinds that have any."""
    values: dict[str, list[Any]] = {
        kind: list(getattr(conditions, kind)) for kind in conditions.given()
    }
    if "comms" in values:
        values["comms"] = [str(pattern) for pattern in conditions.comms]
    if "cgroups" in values:
        values["cgroups"] = [str(cgroup) for cgroup in conditions.cgroups]
    return values
