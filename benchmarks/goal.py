"""One thing that wcap is to reach."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Goal:
    """Something to reach: what, the limit, and what was found.

    ``found`` and ``reached`` are None when what it takes to judge was not measured.
    """

    what: str
    limit: str
    found: str | None = None
    reached: bool | None = None


def at_most(what: str, found: float | None, limit: float, form: str) -> Goal:
    """Judge a number that is not to exceed a limit; ``form`` shows either of them."""
    wanted = f"at most {form.format(limit)}"
    if found is None:
        return Goal(what, wanted)
    return Goal(what, wanted, form.format(found), found <= limit)


def at_least(what: str, found: float | None, limit: float, form: str) -> Goal:
    """Judge a number that is to reach a limit; ``form`` shows either of them."""
    wanted = f"at least {form.format(limit)}"
    if found is None:
        return Goal(what, wanted)
    return Goal(what, wanted, form.format(found), found >= limit)
