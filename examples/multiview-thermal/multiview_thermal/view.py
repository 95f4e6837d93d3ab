"""What a thermal camera sees, as a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiview.view import Augmentation, Channels, Crop, View

if TYPE_CHECKING:
    from torch import Tensor

ZERO = 273.15
LOW, HIGH = -40.0, 160.0
"""What uncooled cameras measure in their usual range, degrees Celsius."""


def celsius(kelvin: Tensor) -> Tensor:
    """(n, 1, h, w) kelvin -> degrees Celsius, within the camera's range."""
    return (kelvin - ZERO).clamp(LOW, HIGH)


def heat(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `heat`: degrees Celsius, one channel, around a room's 20 degrees."""
    return View(
        modality="thermal",
        channels=Channels("heat", 1, "degrees C", LOW, HIGH),
        crop=crop,
        convert=celsius,
        mean=(20.0,),
        std=(10.0,),
        augment=augment,
    )
