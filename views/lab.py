"""Lightness and chroma, the two views of the original CMC, from one conversion to CIE L*a*b*."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.fast_roots import cube_root
from multiview.views.light import WHITE, XYZ_FROM_RGB, Matrix, linear, mixed, power_, transformed
from multiview.views.stored_numbers import as_given

LAB_KNEE = 0.008856
LAB_MEETS = 0.00889000456350487
"""The t near CIE's rounded knee at which the cube root of t equals 7.787 t + 16 / 116."""

RELATIVE_XYZ = cast(
    Matrix, tuple(tuple(x / white for x in row) for row, white in zip(XYZ_FROM_RGB, WHITE, strict=True))
)
"""Linear sRGB to XYZ as shares of the white point."""

BLOCK = 2**17
"""Pixels that a CPU converts at a time; their intermediate results fit into the cache."""


def rgb_to_lab(rgb: Tensor) -> Tensor:
    """CIE 1976 L*a*b* (n, 3, h, w) of sRGB images (n, 3, h, w), floats in [0, 1] or bytes.

    Bytes are faster. White point D65, 2 degree observer. L* is in [0, 100]. Over the sRGB cube, a*
    is in [-86.2, 98.2] and b* in [-107.9, 94.5]. Equals `skimage.color.rgb2lab`. Gradients are
    finite everywhere, also at black and at the two knees. Half precision is computed in float32.
    Source: IEC 61966-2-1 (sRGB), CIE 015 (L*a*b*).
    """
    if (rgb.requires_grad and torch.is_grad_enabled()) or transformed() or not rgb.numel():
        lab = _lab(rgb)
    else:
        compiling = torch.compiler.is_compiling() and rgb.dtype != torch.float64
        lab = _lab_in_one_pass(rgb) if compiling else _lab_in_blocks(rgb)
    return as_given(lab, rgb)


def _lab(rgb: Tensor) -> Tensor:
    t = mixed(linear(rgb), RELATIVE_XYZ)
    # As in `light.linear`: a cube root above the knee, 7.787 t + 16 / 116 below.
    y = F.threshold(t, LAB_KNEE, LAB_MEETS)
    below = t - y
    fx, fy, fz = torch.add(power_(y, 1 / 3), below, alpha=7.787).unbind(-3)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)


def _lab_in_one_pass(rgb: Tensor) -> Tensor:
    """`_lab` of single precision, for `torch.compile`."""
    t = mixed(linear(rgb), RELATIVE_XYZ)
    root = cube_root(t.clamp_min(LAB_KNEE))
    fx, fy, fz = torch.where(t > LAB_KNEE, root, 7.787 * t + 16 / 116).unbind(-3)
    return torch.stack((116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)), dim=-3)


def _lab_in_blocks(rgb: Tensor) -> Tensor:
    """`_lab` without a gradient, in place and in the cache: two thirds of the time."""
    images = rgb.reshape(-1, *rgb.shape[-3:])
    lab = torch.empty(
        images.shape, dtype=torch.float64 if rgb.dtype == torch.float64 else torch.float32, device=rgb.device
    )
    pixels = max(1, rgb.shape[-1] * rgb.shape[-2])
    count = max(1, BLOCK // pixels) if rgb.device.type == "cpu" else max(1, len(images))
    for part, out in zip(images.split(count), lab.split(count), strict=True):
        _write_lab(part, out)
    return lab.view(rgb.shape)


def _write_lab(rgb: Tensor, lab: Tensor) -> None:
    """The steps of `_lab` in place."""
    t = mixed(linear(rgb), RELATIVE_XYZ, out=torch.empty_like(lab))
    y = F.threshold(t, LAB_KNEE, LAB_MEETS)
    below = t.sub_(y)
    fx, fy, fz = power_(y, 1 / 3).add_(below, alpha=7.787).unbind(-3)
    lightness, a, b = lab.unbind(-3)
    torch.add(fy.new_full((), -16.0), fy, alpha=116, out=lightness)
    torch.sub(fx, fy, out=a).mul_(500)
    torch.sub(fy, fz, out=b).mul_(200)


def _view_of_lab(channels: Channels, crop: Crop, augment: Augmentation | None, **scale: Any) -> View:
    """Channels of CIE Lab as a view. scale: take, mean and std."""
    return View(
        modality="image",
        channels=channels,
        crop=crop,
        convert=rgb_to_lab,
        reads_bytes=True,
        pointwise=True,
        augment=augment,
        **scale,
    )


@recorded
def lightness(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `L`: CIE lightness, one channel, [0, 100] normalised to [-1, 1]."""
    return _view_of_lab(Channels("L", 1, "CIE L*", 0.0, 100.0), crop, augment, take=(0,), mean=(50.0,), std=(50.0,))


@recorded
def chroma(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `ab`: CIE a* (green to red) and b* (blue to yellow), two channels.

    Normalised to [-1, 1] as in the original CMC, by the middle and half the range of each channel
    over the sRGB cube. `Channels` gives the range of 8 bit Lab, [-128, 127], for plots.
    """
    channels = Channels("ab", 2, "CIE a*b*", -128.0, 127.0)
    return _view_of_lab(channels, crop, augment, take=(1, 2), mean=(6.025, -6.690), std=(92.208, 101.168))


@recorded
def lab(crop: Crop, augment: Augmentation | None = None) -> View:
    """The view `lab`: CIE L*, a* and b*, each normalised to [-1, 1] as in `L` and `ab`."""
    channels = Channels("lab", 3, "CIE L*a*b*", -128.0, 127.0)
    return _view_of_lab(channels, crop, augment, mean=(50.0, 6.025, -6.690), std=(50.0, 92.208, 101.168))


class Lab:
    """The views of Lab: `Lab.lightness(crop)`, `Lab.chroma(crop)`, `Lab.whole(crop)`."""

    lightness = staticmethod(lightness)
    chroma = staticmethod(chroma)
    whole = staticmethod(lab)
