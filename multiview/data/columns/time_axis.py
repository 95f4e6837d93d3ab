"""Tells series from points: only neighbours in time resemble each other."""

from __future__ import annotations

import numpy as np

SHORTEST = 8
"""Steps that an axis needs before it is looked at."""
SMOOTH = 0.3
"""Mean correlation of neighbours from which on an axis is time."""
CHANCE = 4.0
"""Standard deviations of the correlation of random numbers that a smooth axis must exceed."""
LOOKED_AT = 16
"""How many samples, evenly spread, are looked at."""


def time_axis(samples: np.ndarray) -> int | None:
    """Which axis of matrices (n, a, b) is time: 0 for a, 1 for b, None when neither is smooth.

    An axis is smooth when values one step apart correlate, on average over samples and channels.
    """
    found = {axis: neighbour_correlation(np.moveaxis(samples, 1 + axis, -1)) for axis in (0, 1)}
    best = max(found, key=lambda axis: found[axis])
    return best if found[best] >= max(SMOOTH, CHANCE / samples.size**0.5) else None


def neighbour_correlation(rows: np.ndarray) -> float:
    """The mean autocorrelation at one step of rows (..., times); 0 for fewer than 8 steps."""
    if rows.shape[-1] < SHORTEST or not rows.size:
        return 0.0
    x = np.nan_to_num(rows.reshape(-1, rows.shape[-1]).astype(np.float64))
    x -= x.mean(1, keepdims=True)
    power = (x * x).sum(1)
    changing = power > 0
    if not changing.any():
        return 0.0
    return float(((x[:, 1:] * x[:, :-1]).sum(1)[changing] / power[changing]).mean())
