"""Means over seeds, and differences paired by seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean, stdev


@dataclass(frozen=True)
class Estimate:
    """A mean of several values.

    Attributes:
        count: Number of values.
        mean: Mean of the values.
        deviation: Standard deviation (n - 1); None for one value.
    """

    count: int
    mean: float
    deviation: float | None

    @property
    def error(self) -> float | None:
        """Standard error of the mean; None for one value."""
        if self.deviation is None:
            return None
        return self.deviation / sqrt(self.count)


def estimate(values: Sequence[float]) -> Estimate | None:
    """Mean and standard deviation; None without a value."""
    if not values:
        return None
    deviation = stdev(values) if len(values) > 1 else None
    return Estimate(len(values), mean(values), deviation)


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float]
) -> Estimate | None:
    """Mean difference to a baseline, paired by seed.

    Args:
        values: Values by seed.
        baseline: Values of the baseline by seed.

    Returns:
        Estimate over the baseline's seeds; None if ``values`` lacks one, so
        that no row is compared on a subset of seeds.
    """
    if not baseline or not baseline.keys() <= values.keys():
        return None
    return estimate([values[seed] - baseline[seed] for seed in baseline])
