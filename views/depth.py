"""Distance to the camera as a view: metres, their inverse or logarithm, and where there are any."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View

if TYPE_CHECKING:
    from torch import Tensor

UNMEASURED = -100.0
"""What a logarithm of depth is where nothing was measured: far below that of any distance."""


@recorded
def depth(
    crop: Crop, augment: Augmentation | None = None, *, mean: float | None = None, std: float | None = None
) -> View:
    """The view `depth`: metres, one channel; 0 = not measured, which is 0 after normalisation too.

    mean, std: metres; None takes those of the measured pixels of the training split, from the store.
    """
    return View(
        modality="depth",
        channels=Channels("depth", 1, "m", 0.0, 10.0),
        crop=crop,
        mean=None if mean is None else (mean,),
        std=None if std is None else (std,),
        missing=0.0,
        augment=augment,
    )


@dataclass(frozen=True)
class Inverse:
    """1 / m of depth (n, 1, h, w), at most 1 / `near`; 0 where nothing was measured."""

    near: float

    def __call__(self, depth: Tensor) -> Tensor:
        """(n, 1, h, w) metres -> (n, 1, h, w) in [0, 1 / near]."""
        return depth.clamp(min=self.near).reciprocal().masked_fill(depth <= 0, 0.0)


@recorded
def inverse_depth(
    crop: Crop, augment: Augmentation | None = None, *, near: float = 0.1, mean: float = 0.5, std: float = 0.5
) -> View:
    """The view `inverse_depth`: 1 / m, as a stereo camera's disparity; 0 = not measured, which stays 0.

    near: metres; what is nearer counts as that. mean, std: of the normalisation, 1 / m.
    """
    return View(
        modality="depth",
        channels=Channels("inverse_depth", 1, "1 / m", 0.0, 1 / near),
        crop=crop,
        convert=Inverse(near),
        pointwise=True,
        mean=(mean,),
        std=(std,),
        missing=0.0,
        augment=augment,
    )


@dataclass(frozen=True)
class Log:
    """ln of metres, kept between those of `near` and `far`; UNMEASURED where nothing was measured."""

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
    """The view `log_depth`: ln(m), in which twice as far is the same step anywhere; not measured = 0 after normalisation.

    near, far: metres; what is nearer or farther counts as these. mean, std: of the normalisation, ln(m).
    """
    return View(
        modality="depth",
        channels=Channels("log_depth", 1, "ln m", math.log(near), math.log(far)),
        crop=crop,
        convert=Log(near, far),
        pointwise=True,
        mean=(mean,),
        std=(std,),
        missing=UNMEASURED,
        augment=augment,
    )


def measured(depth: Tensor) -> Tensor:
    """1 where depth (n, 1, h, w) was measured, else 0."""
    return (depth > 0).to(depth.dtype)


@recorded
def depth_mask(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `depth_mask`: 1 where depth was measured, else 0; normalised to [-1, 1]."""
    return View(
        modality="depth",
        channels=Channels("depth_mask", 1, "measured", 0.0, 1.0),
        crop=crop,
        convert=measured,
        mean=(0.5,),
        std=(0.5,),
        augment=augment,
    )
