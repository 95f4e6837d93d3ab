"""Colours and procedural textures of the scenes."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from multiview.data.scenes import TEXTURES, Colour, Paint
from multiview.data.solids import Floats

RGB_FROM_XYZ = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.969266, 1.8760108, 0.041556], [0.0556434, -0.2040259, 1.0572252]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
"""D65."""


@lru_cache(maxsize=256)
def linear_rgb(colour: Colour) -> Floats:
    """Linear sRGB (3,) in [0, 1]; a colour outside sRGB loses chroma, not hue or lightness, until it fits."""
    for share in np.linspace(1, 0, 21):
        lightness, a, b = colour.lab()
        fy = (lightness + 16) / 116
        f = np.array([fy + share * a / 500, fy, fy - share * b / 200])
        xyz = WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
        rgb = RGB_FROM_XYZ @ xyz
        if rgb.min() >= -1e-3 and rgb.max() <= 1 + 1e-3:
            break
    return np.clip(rgb, 0, 1).astype(np.float32)


def srgb(linear: Floats) -> NDArray[np.uint8]:
    """Linear light to 8 bit sRGB (IEC 61966-2-1)."""
    x = np.clip(linear, 0, 1)
    coded = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.power(x, np.float32(1 / 2.4)) - 0.055)
    return (coded * 255 + 0.5).astype(np.uint8)


def painted(paint: Paint, points: Floats) -> Floats:
    """Linear RGB (n, 3) of a paint at points (n, 3) of its own coordinates."""
    first, second = linear_rgb(paint.first), linear_rgb(paint.second)
    if TEXTURES[int(paint.texture)] == "plain":
        return np.broadcast_to(first, points.shape)
    share = _share(paint, points)[:, None]
    return first + share * (second - first)


def _share(paint: Paint, points: Floats) -> Floats:
    """How much of the second colour, 0 to 1."""
    turns = np.float32(2 * math.pi * paint.cycles)
    along = points @ _direction(paint.angle)
    match TEXTURES[int(paint.texture)]:
        case "stripes":
            return _crisp(np.sin(turns * along + np.float32(paint.phase)))
        case "checks":
            return _crisp(np.prod(np.sin(turns / 2 * points + np.float32(paint.phase)), axis=1) * 4)
        case "rings":
            return _crisp(np.sin(turns * np.sqrt((points**2).sum(1)) + np.float32(paint.phase)))
        case "marble":
            wave = np.sin(turns * 0.5 * points[:, [1, 2, 0]] + np.float32(paint.phase)).sum(1)
            return 0.5 + 0.5 * np.sin(turns * along + 1.5 * wave)
        case _:
            return _crisp(np.sin(turns * points + np.float32(paint.phase)).sum(1) - 1.2)


def _crisp(wave: Floats) -> Floats:
    return np.clip(0.5 + 6 * wave, 0, 1)


def _direction(angle: float) -> Floats:
    return np.array([math.cos(angle) * 0.8, 0.6, math.sin(angle) * 0.8], np.float32)
