"""Mean, spread and range of a modality's channels, gathered sample by sample and joined shard by shard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multiview.data.modality import Modality

CHANNELS_LAST = ("image", "normal", "table")


@dataclass(frozen=True)
class Statistics:
    """Per-channel mean, standard deviation, lowest and highest value, in the stored unit, over `count` values a
    channel.
    """

    count: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def channels(modality: Modality) -> int:
    """How many channels a modality has: its last axis for images, normals, tables and multichannel audio, else one."""
    last = modality.kind in CHANNELS_LAST or (modality.kind == "audio" and len(modality.shape) > 1)
    return modality.shape[-1] if last and modality.shape else 1


def measured(modality: Modality, sample: np.ndarray) -> np.ndarray:
    """The values of a sample that count, float64 (n, channels): no unmeasured depth, no missing normals."""
    values = sample.reshape(-1, channels(modality)).astype("float64")
    return values[(values != 0).any(axis=1)] if modality.kind in ("depth", "normal") else values


@dataclass(frozen=True)
class Moments:
    """Running moments of n values a channel; two of them join exactly (Chan, Golub & LeVeque 1979).

    table: float64 (5, channels): count, mean, sum of squared deviations, lowest, highest.
    """

    table: np.ndarray

    @classmethod
    def none(cls, width: int) -> Moments:
        """The moments of nothing, for `width` channels."""
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

    def joined(self, other: Moments) -> Moments:
        """The moments of both sets together."""
        a, b = self.table, other.table
        count = a[0] + b[0]
        safe = np.maximum(count, 1)
        gap = b[1] - a[1]
        mean = a[1] + gap * b[0] / safe
        squares = a[2] + b[2] + gap**2 * a[0] * b[0] / safe
        return Moments(np.stack([count, mean, squares, np.minimum(a[3], b[3]), np.maximum(a[4], b[4])]))

    def statistics(self) -> Statistics | None:
        """What the manifest keeps of them; None when nothing was measured."""
        count, mean, squares, low, high = self.table
        if not count.all():
            return None
        std = (squares / count) ** 0.5
        return Statistics(int(count[0]), *(tuple(map(float, row)) for row in (mean, std, low, high)))
