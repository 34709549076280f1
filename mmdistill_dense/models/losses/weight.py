"""The one place where a weight is checked."""

import math


def check_weight(name: str, weight: float) -> float:
    """Return ``weight`` if it is a finite number that is not negative.

    Raises:
        ValueError: If it is not; ``name`` opens the message.
    """
    number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
    if not (number and math.isfinite(weight) and weight >= 0):
        raise ValueError(
            f'{name}: a weight must be a finite number >= 0, got {weight!r}.'
        )
    return float(weight)
