"""Lightness and chroma: the two views of the original CMC, from one conversion of sRGB to CIE L*a*b*."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.light import WHITE, XYZ_FROM_RGB, Matrix, as_given, linear, mixed, power_

LAB_KNEE = 0.008856
LAB_MEETS = 0.00889000456350487
"""Where the cube root of t equals 7.787 t + 16 / 116, beside the knee that CIE rounds."""

RELATIVE_XYZ = cast(
    Matrix, tuple(tuple(x / white for x in row) for row, white in zip(XYZ_FROM_RGB, WHITE, strict=True))
)
"""Linear sRGB to XYZ as shares of the white."""

BLOCK = 2**17
"""Pixels that a CPU converts at a time, so that what one step leaves is in the cache when the next one reads it."""


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIE 1976 L*a*b* of sRGB images (n, 3, h, w): floats in [0, 1], or bytes, which is faster -> (n, 3, h, w).

    White point D65, 2 degree observer. L* is in [0, 100]; over the sRGB cube a* is in [-86.2, 98.2] and b* in
    [-107.9, 94.5]. Equals `skimage.color.rgb2lab`. Differentiable with finite gradients everywhere, black and the two
    knees included. Half precision is computed in float32. Source: IEC 61966-2-1 (sRGB), CIE 015 (L*a*b*).
    """
    pixels = rgb.shape[-1] * rgb.shape[-2]
    if rgb.device.type != "cpu" or len(rgb) * pixels <= BLOCK:
        lab = _lab(rgb)
    else:
        lab = torch.cat([_lab(some) for some in rgb.split(max(1, BLOCK // pixels))])
    return as_given(lab, rgb)


def _lab(rgb: Tensor) -> Tensor:
    fx, fy, fz = _cube_root(mixed(linear(rgb), RELATIVE_XYZ)).unbind(-3)
    return torch.stack(((fy * 116).sub_(16), (fx - fy).mul_(500), (fy - fz).mul_(200)), dim=-3)


def _cube_root(t: Tensor) -> Tensor:
    """CIE's compression: a cube root above the knee, 7.787 t + 16 / 116 below; built as `light.linear` is."""
    y = F.threshold(t, LAB_KNEE, LAB_MEETS)
    below = t - y
    return torch.add(power_(y, 1 / 3), below, alpha=7.787)


def lightness(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `L`: CIE lightness, one channel, [0, 100] normalised to [-1, 1]."""
    return View(
        modality="image",
        channels=Channels("L", 1, "CIE L*", 0.0, 100.0),
        crop=crop,
        convert=rgb_to_lab,
        reads_bytes=True,
        take=(0,),
        mean=(50.0,),
        std=(50.0,),
        augment=augment,
    )


def chroma(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `ab`: CIE a* (green to red) and b* (blue to yellow), two channels.

    Normalised as in the original CMC, by the middle and half range of each over the sRGB cube: [-1, 1]. `Channels`
    gives the range of 8 bit Lab, [-128, 127], for plots.
    """
    return View(
        modality="image",
        channels=Channels("ab", 2, "CIE a*b*", -128.0, 127.0),
        crop=crop,
        convert=rgb_to_lab,
        reads_bytes=True,
        take=(1, 2),
        mean=(6.025, -6.690),
        std=(92.208, 101.168),
        augment=augment,
    )


def lab(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `lab`: CIE L*, a* and b*, three channels, each normalised to [-1, 1] as in `L` and `ab`."""
    return View(
        modality="image",
        channels=Channels("lab", 3, "CIE L*a*b*", -128.0, 127.0),
        crop=crop,
        convert=rgb_to_lab,
        reads_bytes=True,
        mean=(50.0, 6.025, -6.690),
        std=(50.0, 92.208, 101.168),
        augment=augment,
    )


class Lab:
    """The views of one Lab conversion: `Lab.lightness(crop)`, `Lab.chroma(crop)`, and `Lab.whole(crop)` of both."""

    lightness = staticmethod(lightness)
    chroma = staticmethod(chroma)
    whole = staticmethod(lab)
