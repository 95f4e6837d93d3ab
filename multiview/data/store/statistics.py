"""Mean, standard deviation and range per channel, gathered by sample and joined by shard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview.data.modality import Modality

CHANNELS_LAST = ("bands", "normal", "points", "series", "table", "video")
UNMEASURED = ("depth", "normal")
"""Kinds of modality in which zeros mean: not measured."""


@dataclass(frozen=True)
class Statistics:
    """Mean, standard deviation, lowest and highest value of each channel, in the stored unit.

    count: number of values per channel.
    """

    count: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def channels(modality: Modality) -> int:
    """How many channels a modality has: 3 for images, else the length of a channel axis, else 1."""
    if modality.kind == "image":
        return 3
    last = modality.kind in CHANNELS_LAST or (modality.kind == "audio" and len(modality.shape) > 1)
    return modality.shape[-1] if last and modality.shape else 1


def moments_of(modality: Modality, sample: np.ndarray) -> Moments:
    """The moments of a decoded sample, without unmeasured depth, missing normals and text."""
    if modality.kind == "text":
        return Moments.none(1)
    values = sample.reshape(-1, channels(modality))
    if values.dtype == np.uint8:
        return Moments.of_bytes(values)
    if modality.kind in UNMEASURED:
        values = values[(values != 0).any(axis=1)]
    return Moments.of(values.astype("float64"))


@dataclass(frozen=True)
class Moments:
    """Running moments of n values per channel; two join exactly (Chan, Golub & LeVeque 1979).

    table: float64 (5, channels): count, mean, sum of squared deviations, lowest, highest.
    """

    table: np.ndarray

    @classmethod
    def none(cls, width: int) -> Moments:
        """The moments of no value, for `width` channels."""
        zero = np.zeros(width)
        return cls(np.stack([zero, zero, zero, zero + np.inf, zero - np.inf]))

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """The moments of float64 values (n, channels)."""
        if not len(values):
            return cls.none(values.shape[1])
        count = np.full(values.shape[1], float(len(values)))
        squares = values.var(axis=0) * len(values)
        return cls(np.stack([count, values.mean(axis=0), squares, values.min(axis=0), values.max(axis=0)]))

    @classmethod
    def of_bytes(cls, values: np.ndarray) -> Moments:
        """The moments of uint8 values (n, channels) from a histogram, exact to one rounding."""
        often = np.stack([np.bincount(values[:, place], minlength=256) for place in range(values.shape[1])], axis=1)
        if not len(values):
            return cls.none(values.shape[1])
        value = np.arange(256)[:, None]
        total, squares = (often * value).sum(axis=0), (often * value**2).sum(axis=0)
        spread = squares - total * (total / len(values))
        low, high = (often > 0).argmax(axis=0), 255 - (often[::-1] > 0).argmax(axis=0)
        return cls(np.stack([np.full(len(low), float(len(values))), total / len(values), spread, low, high]))

    def joined(self, other: Moments) -> Moments:
        """The moments of both sets together."""
        a, b = self.table, other.table
        count = a[0] + b[0]
        safe = np.maximum(count, 1)
        gap = b[1] - a[1]
        mean = a[1] + gap * b[0] / safe
        squares = a[2] + b[2] + gap**2 * a[0] * b[0] / safe
        return Moments(np.stack([count, mean, squares, np.minimum(a[3], b[3]), np.maximum(a[4], b[4])]))

    def is_close(self, other: Moments, tolerance: float) -> bool:
        """Whether both are equal, up to this share of the range of the values."""
        a, b = self.table, other.table
        if a.shape != b.shape or not np.array_equal(a[0], b[0]):
            return False
        a, b = a[:, a[0] > 0], b[:, b[0] > 0]
        scale = tolerance * np.maximum(np.abs(a[3:]).max(axis=0), 1e-30)
        spread = np.sqrt(np.maximum([a[2], b[2]], 0) / a[0])
        parts = np.stack([a[1] - b[1], *(a[3:] - b[3:]), spread[0] - spread[1]])
        return bool((np.abs(parts) <= scale).all())

    def statistics(self) -> Statistics | None:
        """The statistics for the manifest; None when a channel has no value."""
        count, mean, squares, low, high = self.table
        if not count.all():
            return None
        std = (squares / count) ** 0.5
        return Statistics(int(count[0]), *(tuple(map(float, row)) for row in (mean, std, low, high)))
