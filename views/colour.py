"""A picture in colour or in grey as a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.stored_numbers import as_given, real

if TYPE_CHECKING:
    from torch import Tensor

LUMINANCE = (0.2125, 0.7154, 0.0721)
"""Weights of red, green and blue (ITU-R BT.709, the digits of `skimage.color.rgb2gray`)."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Mean and standard deviation of ImageNet's pictures in [0, 1]."""


def rgb_to_grey(rgb: Tensor) -> Tensor:
    """Luminance (n, 1, h, w) of gamma-coded RGB (n, 3, h, w), floats in [0, 1] or bytes.

    Equals `skimage.color.rgb2gray`.
    """
    r, g, b = real(rgb).unbind(-3)
    return as_given((r * LUMINANCE[0] + g * LUMINANCE[1] + b * LUMINANCE[2]).unsqueeze(-3), rgb)


@recorded
def rgb(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `rgb`: three channels in [0, 1], normalised by the statistics of ImageNet."""
    return View(
        modality="image",
        channels=Channels("rgb", 3, "sRGB", 0.0, 1.0),
        crop=crop,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        augment=augment,
    )


@recorded
def grey(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `grey`: luminance, one channel, [0, 1] normalised to [-1, 1]."""
    return View(
        modality="image",
        channels=Channels("grey", 1, "luminance", 0.0, 1.0),
        crop=crop,
        convert=rgb_to_grey,
        pointwise=True,
        mean=(0.5,),
        std=(0.5,),
        augment=augment,
    )
