"""Colours and procedural textures of the scenes."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from multiview.data.scenes.scene import TEXTURES, Colour, Paint
from multiview.data.scenes.solids import Floats

RGB_FROM_XYZ = np.array(
    [[3.2404542, -1.5371385, -0.4985314], [-0.969266, 1.8760108, 0.041556], [0.0556434, -0.2040259, 1.0572252]]
)
WHITE = np.array([0.95047, 1.0, 1.08883])
"""The white point D65."""


@lru_cache(maxsize=256)
def linear_rgb(colour: Colour) -> Floats:
    """Linear sRGB (3,) in [0, 1]. A colour outside sRGB loses chroma, not hue or lightness."""
    for share in np.linspace(1, 0, 21):
        lightness, a, b = colour.lab()
        fy = (lightness + 16) / 116
        f = np.array([fy + share * a / 500, fy, fy - share * b / 200])
        xyz = WHITE * np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29))
        rgb = RGB_FROM_XYZ @ xyz
        if rgb.min() >= -1e-3 and rgb.max() <= 1 + 1e-3:
            break
    clipped = np.clip(rgb, 0, 1).astype(np.float32)
    clipped.setflags(write=False)  # all callers share the cached array
    return clipped


def srgb(linear: Floats) -> NDArray[np.uint8]:
    """Linear light (3, n) to 8 bit sRGB (n, 3) (IEC 61966-2-1)."""
    x = np.clip(linear, 0, 1)
    coded = np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.exp2(np.log2(x + np.float32(1e-9)) / 2.4) - 0.055)
    return np.ascontiguousarray((coded * 255 + 0.5).astype(np.uint8).T)


def painted(paint: Paint, points: Floats) -> Floats:
    """Linear RGB of a paint at points (3, n) of the solid: (3, n), or (3, 1) for a plain paint."""
    first, second = linear_rgb(paint.first)[:, None], linear_rgb(paint.second)[:, None]
    if TEXTURES[int(paint.texture)] == "plain":
        return first
    return first + _second_share(paint, points) * (second - first)


def _second_share(paint: Paint, points: Floats) -> Floats:
    """The share of the second colour, 0 to 1."""
    turns, phase = np.float32(2 * math.pi * paint.cycles), np.float32(paint.phase)
    along = _direction(paint.angle) @ points
    match TEXTURES[int(paint.texture)]:
        case "stripes":
            return _sharpen(np.sin(turns * along + phase))
        case "checks":
            x, y, z = np.sin(turns / 2 * points + phase)
            return _sharpen(4 * x * y * z)
        case "rings":
            return _sharpen(np.sin(turns * np.sqrt((points**2).sum(0)) + phase))
        case "marble":
            wave = np.sin(turns * 0.5 * points + phase).sum(0)
            return 0.5 + 0.5 * np.sin(turns * along + 1.5 * wave)
        case _:
            return _sharpen(np.sin(turns * points + phase).sum(0) - 1.2)


def _sharpen(wave: Floats) -> Floats:
    return np.clip(0.5 + 6 * wave, 0, 1)


def _direction(angle: float) -> Floats:
    return np.array([math.cos(angle) * 0.8, 0.6, math.sin(angle) * 0.8], np.float32)
