"""Numbers measured several times: their middle and their spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some measurements, the lowest and the highest."""

    median: float
    lowest: float
    highest: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Sum up measurements; there must be one at least."""
        return cls(statistics.median(values), min(values), max(values))


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the ratios round by round.

    What disturbs a whole round, a busy machine say, disturbs both sides of its ratio.
    """
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def growth(samples: Sequence[float]) -> float:
    """Return the mean of the last quarter of samples in relation to that of the second.

    The first quarter is left out: buffers fill there for the first time. The mean, because memory
    that goes up and down with each batch has no typical value that a median would find.
    """
    quarter = len(samples) // 4
    if quarter == 0:
        raise ValueError(f"4 samples at least expected, {len(samples)} found")
    second, last = samples[quarter : 2 * quarter], samples[-quarter:]
    return statistics.mean(last) / statistics.mean(second)
