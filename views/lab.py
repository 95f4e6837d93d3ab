"""Lightness and chroma: the two views of the original CMC, from one conversion of sRGB to CIE L*a*b*."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview.view import Augmentation, Channels, Crop, View

# Linear sRGB to CIE XYZ, and the D65 white of the 2 degree observer: the digits of skimage.color.colorconv.
XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
WHITE = (0.95047, 1.0, 1.08883)
GAMMA_KNEE = 0.04045
LAB_KNEE = 0.008856


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIE 1976 L*a*b* of sRGB images: (n, 3, h, w) in [0, 1] -> (n, 3, h, w), white point D65, 2 degree observer.

    L* is in [0, 100]; over the sRGB cube a* is in [-86.2, 98.2] and b* in [-107.9, 94.5]. Equals
    `skimage.color.rgb2lab`. Differentiable with finite gradients everywhere, black and the two knees included. Half
    precision is computed in float32. Source: IEC 61966-2-1 (sRGB), CIE 015 (L*a*b*).
    """
    x = rgb if rgb.dtype in (torch.float32, torch.float64) else rgb.float()
    r, g, b = _linear(x).unbind(-3)
    planes = [
        (r * (row[0] / white)).add_(g, alpha=row[1] / white).add_(b, alpha=row[2] / white)
        for row, white in zip(XYZ_FROM_RGB, WHITE, strict=True)
    ]
    fx, fy, fz = _cube_root(torch.stack(planes, dim=-3)).unbind(-3)
    lab = torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)
    return lab.to(rgb.dtype) if rgb.is_floating_point() else lab


# Both curves are a power above a knee and a straight line below it. `threshold(x, knee, value)` keeps x above the knee
# and puts `value` elsewhere, without a gradient: faster than `where`, and no branch ever meets an infinite slope.


def _linear(x: Tensor) -> Tensor:
    """Light intensity of gamma-coded sRGB."""
    # Below the knee the base is 1e-6 / 1.055, whose power 2.4 (3e-15) is nothing.
    above = (F.threshold(x, GAMMA_KNEE, 1e-6 - 0.055) + 0.055) / 1.055
    return torch.add(_power(above, 2.4), x - F.threshold(x, GAMMA_KNEE, 0.0), alpha=1 / 12.92)


def _cube_root(t: Tensor) -> Tensor:
    """CIE's compression: a cube root above the knee, 7.787 t + 16 / 116 below."""
    above = F.threshold(t, LAB_KNEE, (16 / 116) ** 3)
    return torch.add(_power(above, 1 / 3), t - F.threshold(t, LAB_KNEE, 0.0), alpha=7.787)


def _power(base: Tensor, exponent: float) -> Tensor:
    """Of a positive base, at half the time of `pow` on a CPU."""
    return torch.exp2(exponent * base.log2())


def lightness(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `L`: CIE lightness, one channel, [0, 100] normalised to [-1, 1]."""
    return View(
        modality="image",
        channels=Channels("L", 1, "CIE L*", 0.0, 100.0),
        crop=crop,
        convert=rgb_to_lab,
        take=(0, 1),
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
        take=(1, 3),
        mean=(6.025, -6.690),
        std=(92.208, 101.168),
        augment=augment,
    )


class Lab:
    """The two views of one Lab conversion, by name: `Lab.lightness(crop)` and `Lab.chroma(crop)`."""

    lightness = staticmethod(lightness)
    chroma = staticmethod(chroma)
