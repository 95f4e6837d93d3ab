"""Roots in plain arithmetic, for colour conversions under `torch.compile`, where `pow` costs most.

A root starts from a rational fit over the range that colour needs. Halley's iteration refines it:
y - 2 y (y^n - x) / ((n + 1) y^n + (n - 1) x).
"""

from __future__ import annotations

from torch import Tensor


def cube_root(x: Tensor) -> Tensor:
    """Cube root of float32 in [.008856 (CIE's knee), 1], exact to one unit in the last place."""
    y = (4.83279 * x + 0.186386) / (4.3764 * x + 1)  # within 7 %
    for _ in range(2):
        cube = y * y * y
        y = y - y * (cube - x) / (2 * cube + x)
    return y


def fifth_root(x: Tensor) -> Tensor:
    """Fifth root of float32 in [.0905 (sRGB's knee), 1], exact to one unit in the last place."""
    y = ((0.773694 * x + 4.891732) * x + 0.456895) / (5.114342 * x + 1)  # within .13 %
    square = y * y
    power = square * square * y
    return y - y * (power - x) / (3 * power + 2 * x)
