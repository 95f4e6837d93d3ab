"""95 % intervals of accuracies and of the difference of two accuracies."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

Z = 1.96
"""Standard deviations on either side that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Interval:
    """The range that holds the true value with 95 % confidence. method: how it was computed."""

    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Margin:
    """How far one accuracy lies above another: `points` (-1 to 1), with a 95 % interval."""

    points: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the whole interval is above zero: better, beyond noise."""
        return self.low > 0

    @property
    def noise(self) -> bool:
        """Whether the interval contains zero."""
        return self.low <= 0 <= self.high


def wilson(accuracy: float, count: int) -> Interval:
    """The interval of an accuracy (0 to 1) on `count` samples (Wilson, JASA 22, 1927)."""
    middle = (accuracy * count + Z**2 / 2) / (count + Z**2)
    half = Z / (count + Z**2) * sqrt(accuracy * (1 - accuracy) * count + Z**2 / 4)
    return Interval(max(0.0, middle - half), min(1.0, middle + half), "Wilson, 95 %")


def margin(subject: float, control: float, n_subject: int, n_control: int) -> Margin:
    """The difference of two accuracies (0 to 1), each on n samples, with its 95 % interval.

    Agresti and Caffo (The American Statistician 54, 2000): with q = (hits + 1) / (n + 2) of either,
    the interval is q1 - q2 +- 1.96 sqrt(q1 (1 - q1) / (n1 + 2) + q2 (1 - q2) / (n2 + 2)). It takes
    the two accuracies for independent. Two probes on the same test samples mostly fail together, so
    that the interval is too wide rather than too narrow.
    """
    q1 = (subject * n_subject + 1) / (n_subject + 2)
    q2 = (control * n_control + 1) / (n_control + 2)
    half = Z * sqrt(q1 * (1 - q1) / (n_subject + 2) + q2 * (1 - q2) / (n_control + 2))
    return Margin(subject - control, q1 - q2 - half, q1 - q2 + half)
