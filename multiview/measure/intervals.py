"""95 % intervals of accuracies and of the difference of two accuracies."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Z = 1.96
"""Standard deviations on either side that hold 95 % of a normal distribution."""
MOST_HITS = 20_000
"""Test samples up to which a row keeps which of them are right."""


@dataclass(frozen=True)
class Interval:
    """The range that holds the true value with 95 % confidence. method: how it was computed."""

    low: float
    high: float
    method: str


@dataclass(frozen=True)
class Margin:
    """How far one value lies above another: `points` (-1 to 1), with a 95 % interval around it.

    Tables and verdicts print `points` and `half`, and decide by the same numbers.
    """

    points: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width of the interval."""
        return (self.high - self.low) / 2

    @property
    def clear(self) -> bool:
        """Whether the whole interval is above zero: better, beyond noise."""
        return self.low > 0

    @property
    def noise(self) -> bool:
        """Whether the interval contains zero."""
        return self.low <= 0 <= self.high

    @property
    def in_words(self) -> str:
        """`+18.2 ± 5.4`, in points, with as many decimals as show on which side of zero it lies."""
        for decimals in (1, 2, 3):
            unit = 10 ** (decimals + 2)
            points, half = round(self.points * unit), round(self.half * unit)
            if (points > half, -half <= points <= half) == (self.clear, self.noise):
                break
        return f"{100 * self.points:+.{decimals}f} ± {100 * self.half:.{decimals}f}"


def around(points: float, low: float, high: float) -> Margin:
    """The smallest interval from `points` - x to `points` + x that contains `low` to `high`."""
    half = max(points - low, high - points)
    return Margin(points, points - half, points + half)


def wilson(accuracy: float, count: int) -> Interval:
    """The interval of an accuracy (0 to 1) on `count` samples (Wilson, JASA 22, 1927)."""
    middle = (accuracy * count + Z**2 / 2) / (count + Z**2)
    half = Z / (count + Z**2) * sqrt(accuracy * (1 - accuracy) * count + Z**2 / 4)
    return Interval(max(0.0, middle - half), min(1.0, middle + half), "Wilson, 95 %")


def hits_fact(hits: NDArray[np.bool_] | None) -> dict[str, str]:
    """The fact `hits` of a row: which test samples are right, as hexadecimal digits of 4 samples.

    Of more than 20,000 samples nothing is kept; their intervals are narrow without it.
    """
    if hits is None or len(hits) > MOST_HITS:
        return {}
    bits = "".join("1" if hit else "0" for hit in hits.tolist())
    return {"hits": f"{int(bits or '0', 2):0{-(-len(bits) // 4)}x}"}


def paired_margin(subject: str, control: str, count: int) -> Margin:
    """The difference of two accuracies on the same samples, with its 95 % interval.

    Agresti and Min (Statistics in Medicine 24, 2005): half a sample is added to each cell of the
    table of right and wrong. subject, control: the fact `hits`. count: the samples.
    """
    mine, other = int(subject, 16), int(control, 16)
    more, less = (mine & ~other).bit_count(), (other & ~mine).bit_count()
    middle = (more - less) / (count + 2)
    half = Z * sqrt(more + less + 1 - (more - less) ** 2 / (count + 2)) / (count + 2)
    return around((more - less) / count, middle - half, middle + half)


def margin(subject: float, control: float, n_subject: int, n_control: int) -> Margin:
    """The difference of two accuracies (0 to 1), each on n samples, with its 95 % interval.

    Agresti and Caffo (The American Statistician 54, 2000): with q = (hits + 1) / (n + 2) of either,
    the interval is q1 - q2 +- 1.96 sqrt(q1 (1 - q1) / (n1 + 2) + q2 (1 - q2) / (n2 + 2)).
    Its centre lies a little nearer to zero than the difference. The end that is farther from zero
    is moved out, so that the difference is in the middle. The interval takes the two accuracies for
    independent. Two probes on the same test samples mostly fail together, so that it is too wide
    rather than too narrow; `paired_margin` is for them.
    """
    q1 = (subject * n_subject + 1) / (n_subject + 2)
    q2 = (control * n_control + 1) / (n_control + 2)
    half = Z * sqrt(q1 * (1 - q1) / (n_subject + 2) + q2 * (1 - q2) / (n_control + 2))
    return around(subject - control, q1 - q2 - half, q1 - q2 + half)
