"""Distance to the camera as a view: metres, their inverse or logarithm, or a mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View

if TYPE_CHECKING:
    from torch import Tensor

UNMEASURED = -100.0
"""Logarithm of depth where nothing was measured: far below the logarithm of any distance."""


def view_of_depth(channels: Channels, crop: Crop, augment: Augmentation | None, **more: Any) -> View:
    """A view of the modality `depth`; more: further fields of `View`."""
    return View(modality="depth", channels=channels, crop=crop, augment=augment, **more)


@recorded
def depth(
    crop: Crop, augment: Augmentation | None = None, *, mean: float | None = None, std: float | None = None
) -> View:
    """The view `depth`: metres, one channel; 0 = not measured, also after normalisation.

    mean, std: metres; None takes the values of the store, over measured training pixels.
    """
    channels = Channels("depth", 1, "m", 0.0, 10.0)
    scale = {"mean": None if mean is None else (mean,), "std": None if std is None else (std,)}
    return view_of_depth(channels, crop, augment, missing=0.0, **scale)


@dataclass(frozen=True)
class Inverse:
    """1 / m, at most 1 / `near`; 0 where nothing was measured."""

    near: float

    def __call__(self, depth: Tensor) -> Tensor:
        """(n, 1, h, w) metres -> (n, 1, h, w) in [0, 1 / near]."""
        return depth.clamp(min=self.near).reciprocal().masked_fill(depth <= 0, 0.0)


@recorded
def inverse_depth(
    crop: Crop, augment: Augmentation | None = None, *, near: float = 0.1, mean: float = 0.5, std: float = 0.5
) -> View:
    """The view `inverse_depth`: 1 / m, as a stereo camera's disparity; 0 = not measured.

    near: smallest distance, metres; smaller ones are raised to it. mean, std: 1 / m.
    """
    channels, convert = Channels("inverse_depth", 1, "1 / m", 0.0, 1 / near), Inverse(near)
    return view_of_depth(
        channels, crop, augment, convert=convert, pointwise=True, mean=(mean,), std=(std,), missing=0.0
    )


@dataclass(frozen=True)
class Log:
    """ln of metres, from ln `near` to ln `far`; UNMEASURED where nothing was measured."""

    near: float
    far: float

    def __call__(self, depth: Tensor) -> Tensor:
        """(n, 1, h, w) metres -> (n, 1, h, w)."""
        return depth.clamp(self.near, self.far).log().masked_fill(depth <= 0, UNMEASURED)


@recorded
def log_depth(
    crop: Crop,
    augment: Augmentation | None = None,
    *,
    near: float = 0.1,
    far: float = 100.0,
    mean: float = 1.0,
    std: float = 1.0,
) -> View:
    """The view `log_depth`: ln(m); doubling a distance always adds the same. 0 = not measured.

    near, far: smallest and largest distance, metres; others are moved to these. mean, std: ln(m).
    """
    channels, convert = Channels("log_depth", 1, "ln m", math.log(near), math.log(far)), Log(near, far)
    return view_of_depth(
        channels, crop, augment, convert=convert, pointwise=True, mean=(mean,), std=(std,), missing=UNMEASURED
    )


def measured(depth: Tensor) -> Tensor:
    """1 where depth (n, 1, h, w) was measured, else 0."""
    return (depth > 0).to(depth.dtype)


@recorded
def depth_mask(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `depth_mask`: 1 where depth was measured, else 0; normalised to [-1, 1]."""
    channels = Channels("depth_mask", 1, "measured", 0.0, 1.0)
    return view_of_depth(channels, crop, augment, convert=measured, mean=(0.5,), std=(0.5,))
