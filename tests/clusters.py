"""Toy data for classifiers: each class is a cloud of points."""

from __future__ import annotations

import numpy as np


def clusters(rows, classes=4, dim=12, noise=1.0, seed=0, centres=0):
    """Gaussian classes around centres that `centres` seeds: x float32 (rows, dim), y (rows,)."""
    rng = np.random.default_rng(seed)
    middle = np.random.default_rng(centres).normal(size=(classes, dim))
    y = rng.integers(0, classes, rows)
    return (middle[y] + noise * rng.normal(size=(rows, dim))).astype(np.float32), y


def splits(noise=1.0, **kwargs):
    return [clusters(rows, noise=noise, seed=seed, **kwargs) for seed, rows in enumerate((200, 120, 120))]
