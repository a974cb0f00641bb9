"""Columns of numbers as the maps of SPEC.md section 5.2, each encoding by its own name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

Numbers = Sequence[int]
Encoding = Callable[[Numbers, Mapping[str, Numbers]], dict[str, Any]]

MODULUS = 1 << 64


def planes(steps: Numbers, width: int) -> bytes:
    """Return the byte planes of unsigned steps: all lowest bytes, then all second ones, and so on."""
    return b"".join(bytes(step >> 8 * place & 255 for step in steps) for place in range(width))


def above(numbers: Numbers, base: int | None = None, width: int | None = None) -> dict[str, Any]:
    """Store numbers as steps above a base; by default the lowest, in the least width that holds."""
    if base is None:
        base = min(numbers, default=0)
    steps = [(number - base) % MODULUS for number in numbers]
    if width is None:
        highest = max(steps, default=0)
        width = next(bytes_ for bytes_ in (0, 1, 2, 4, 8) if highest < 1 << 8 * bytes_)
    stored: dict[str, Any] = {"base": base, "width": width}
    return {**stored, "data": planes(steps, width)} if width and steps else stored


def plain(base: int | None = None, width: int | None = None) -> Encoding:
    """Return the encoding without differences."""
    return lambda numbers, _: above(numbers, base, width)


def delta(width: int | None = None) -> Encoding:
    """Return the encoding by differences between neighbours."""

    def encode(numbers: Numbers, _: Mapping[str, Numbers]) -> dict[str, Any]:
        steps = [after - before for before, after in pairwise(numbers)]
        return {"delta": numbers[0], **above(steps, width=width)}

    return encode


def delta_by(cpus_in_list: Callable[[list[int]], Numbers] = sorted) -> Encoding:
    """Return the encoding by differences within each CPU; the list names CPUs in any order."""

    def encode(numbers: Numbers, others: Mapping[str, Numbers]) -> dict[str, Any]:
        first: dict[int, int] = {}
        steps: list[int] = []
        for cpu in sorted(set(others["cpu"])):
            own = [n for n, of in zip(numbers, others["cpu"], strict=True) if of == cpu]
            first[cpu] = own[0]
            steps += [after - before for before, after in pairwise(own)]
        listed = [[cpu, first[cpu]] for cpu in cpus_in_list(list(first))]
        return {"delta-by": listed, **above(steps)}

    return encode


def minus(width: int | None = None) -> Encoding:
    """Return the encoding by differences from ``count``."""

    def encode(numbers: Numbers, others: Mapping[str, Numbers]) -> dict[str, Any]:
        steps = [own - count for own, count in zip(numbers, others["count"], strict=True)]
        return {"minus": "count", **above(steps, width=width)}

    return encode
