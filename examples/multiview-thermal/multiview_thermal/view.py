"""The view `heat`: the temperatures that a thermal camera measures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiview.view import Augmentation, Channels, Crop, View

if TYPE_CHECKING:
    from torch import Tensor

ZERO = 273.15
LOW, HIGH = -40.0, 160.0
"""The usual measuring range of uncooled cameras, in degrees Celsius."""


def celsius(kelvin: Tensor) -> Tensor:
    """Converts (n, 1, h, w) from kelvin to degrees Celsius, clipped to the range of the camera."""
    return (kelvin - ZERO).clamp(LOW, HIGH)


def heat(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `heat`: one channel in degrees Celsius, centred at 20 degrees."""
    return View(
        modality="thermal",
        channels=Channels("heat", 1, "degrees C", LOW, HIGH),
        crop=crop,
        convert=celsius,
        mean=(20.0,),
        std=(10.0,),
        augment=augment,
    )
