"""Colour spaces besides Lab. Each gives three views: all channels, luminance, and chroma.

All spaces equal those of `skimage.color` and use its digits. Five are a matrix on gamma-coded RGB;
XYZ is a matrix on linear light. Each channel is normalised to [-1, 1] over the sRGB cube.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from multiview.record import recorded
from multiview.view import Augmentation, Channels, Crop, View
from multiview.views.lab import LAB_KNEE
from multiview.views.light import WHITE, XYZ_FROM_RGB, Matrix, Row, linear, mixed
from multiview.views.stored_numbers import as_given, real

Ranges = tuple[tuple[float, float], ...]

HED_FROM_RGB: Matrix = (
    (1.8779827368521356, -0.06590806222356334, -0.6019073634392891),
    (-1.0076786862855642, 1.1347303724996625, -0.4804141884970579),
    (-0.5561158181996246, -0.13552179862837116, 1.5735880719641926),
)
"""Inverse of the absorption of haematoxylin, eosin and DAB (Ruifrok & Johnston 2001)."""


def _chromaticity() -> Matrix:
    """The matrix from linear RGB to S = X + 15 Y + 3 Z, S (u' - u'_white) and S (v' - v'_white).

    One matrix, because single precision would lose the small differences.
    """
    white = WHITE[0] + 15 * WHITE[1] + 3 * WHITE[2]
    columns = list(zip(*XYZ_FROM_RGB, strict=True))
    sums = [x + 15 * y + 3 * z for x, y, z in columns]
    u = [4 * x - 4 * WHITE[0] / white * total for (x, _, _), total in zip(columns, sums, strict=True)]
    v = [9 * y - 9 * WHITE[1] / white * total for (_, y, _), total in zip(columns, sums, strict=True)]
    return cast(Matrix, tuple(map(tuple, (sums, u, v))))


CHROMATICITY = _chromaticity()

DARKEST = 1e-6
"""Smallest intensity of which HED takes the logarithm."""

NOTHING = 1e-30
"""Smaller differences count as grey and smaller values as black, so that gradients stay finite."""


@dataclass(frozen=True)
class Mixing:
    """A linear colour space: `matrix` times gamma-coded RGB in [0, 1], plus `offset`."""

    matrix: Matrix
    offset: Row = (0.0, 0.0, 0.0)

    def __call__(self, rgb: Tensor) -> Tensor:
        """(n, 3, h, w), floats in [0, 1] or bytes -> (n, 3, h, w)."""
        return as_given(mixed(real(rgb), self.matrix, self.offset), rgb)

    @property
    def ranges(self) -> Ranges:
        """Lowest and highest value of each channel over the sRGB cube."""
        return tuple(
            (plus + sum(min(x, 0.0) for x in row), plus + sum(max(x, 0.0) for x in row))
            for row, plus in zip(self.matrix, self.offset, strict=True)
        )


def rgb_to_xyz(rgb: Tensor) -> Tensor:
    """CIE XYZ (n, 3, h, w) of sRGB, floats in [0, 1] or bytes. Equals `skimage.color.rgb2xyz`."""
    return as_given(mixed(linear(rgb), XYZ_FROM_RGB), rgb)


def rgb_to_luv(rgb: Tensor) -> Tensor:
    """CIE 1976 L*u*v* (n, 3, h, w) of sRGB (n, 3, h, w), floats in [0, 1] or bytes.

    White point D65, 2 degree observer. u* and v* of black are 0. Equals `skimage.color.rgb2luv`.
    """
    light = linear(rgb)
    y = mixed(light, XYZ_FROM_RGB)[..., 1, :, :]
    bright = 116 * y.clamp(min=LAB_KNEE).pow(1 / 3) - 16
    lightness = torch.where(y > LAB_KNEE, bright, 903.3 * y)
    sums, u, v = mixed(light, CHROMATICITY).unbind(-3)
    scale = 13 * lightness / (sums + sys.float_info.epsilon)
    return as_given(torch.stack((lightness, u * scale, v * scale), dim=-3), rgb)


def rgb_to_hsv(rgb: Tensor) -> Tensor:
    """Hue (turns, from 0 to 1), saturation and value (n, 3, h, w) of sRGB (n, 3, h, w).

    sRGB: floats in [0, 1] or bytes. The hue of greys and the saturation of black are 0, with
    gradient 0. Equals `skimage.color.rgb2hsv`.
    """
    x = real(rgb)
    (r, g, b), value = x.unbind(-3), x.amax(-3)
    chroma = value - x.amin(-3)
    spread = chroma.masked_fill(chroma < NOTHING, 1.0)  # 1 for greys keeps the gradient finite
    red, green, blue = (g - b) / spread, (b - r) / spread + 2, (r - g) / spread + 4
    sector = torch.where(value == b, blue, torch.where(value == g, green, red))
    hue = torch.where(chroma < NOTHING, 0.0, (sector / 6).remainder(1.0))
    saturation = chroma / value.masked_fill(value < NOTHING, 1.0)
    return as_given(torch.stack((hue, saturation, value), dim=-3), rgb)


def rgb_to_hed(rgb: Tensor) -> Tensor:
    """Haematoxylin, eosin and DAB (n, 3, h, w) of tissue in sRGB (n, 3, h, w); 0 = none.

    sRGB: floats in [0, 1] or bytes. Unmixed optical density; intensity 1e-6 has density 1. Equals
    `skimage.color.rgb2hed`. Source: Ruifrok & Johnston, "Quantification of histochemical staining
    by color deconvolution", 2001.
    """
    density = real(rgb).clamp(min=DARKEST).log() / math.log(DARKEST)
    return as_given(mixed(density, HED_FROM_RGB).clamp(min=0), rgb)


@dataclass(frozen=True, kw_only=True)
class Space:
    """A colour space and its split: `luminance` and `chroma` are (suffix of the name, channels).

    ranges: lowest and highest value of each channel over the sRGB cube. mean, std: of each channel;
    None = the middle and half the width of the range.
    """

    name: str
    title: str
    unit: str
    convert: Callable[[Tensor], Tensor]
    ranges: Ranges
    luminance: tuple[str, tuple[int, ...]]
    chroma: tuple[str, tuple[int, ...]]
    mean: Row | None = None
    std: Row | None = None
    reads_bytes: bool = False

    def views(self) -> tuple[Callable[..., View], ...]:
        """The functions (crop, augment=None) -> View: all channels, luminance, chroma."""
        (light, first), (colour, rest) = self.luminance, self.chroma
        return (
            self._view(self.name, "all three channels", (0, 1, 2)),
            self._view(f"{self.name}_{light}", "its luminance", first),
            self._view(f"{self.name}_{colour}", "its chroma", rest),
        )

    def _view(self, name: str, part: str, take: tuple[int, ...]) -> Callable[..., View]:
        ranges = [self.ranges[channel] for channel in take]
        low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
        channels = Channels(name, len(take), self.unit, low, high)
        middles = self.mean or tuple((low + high) / 2 for low, high in self.ranges)
        spreads = self.std or tuple((high - low) / 2 for low, high in self.ranges)

        def view(crop: Crop, augment: Augmentation | None = None) -> View:
            return View(
                modality="image",
                channels=channels,
                crop=crop,
                convert=self.convert,
                reads_bytes=self.reads_bytes,
                pointwise=True,
                take=take,
                mean=tuple(middles[channel] for channel in take),
                std=tuple(spreads[channel] for channel in take),
                augment=augment,
            )

        view.__name__ = view.__qualname__ = name
        view.__doc__ = f"The view `{name}`: {self.title}, {part}; {self.unit}, {low:.4g} to {high:.4g}."
        return recorded(view)


def _linear_space(
    name: str, title: str, unit: str, convert: Mixing, mean: Row | None = None, std: Row | None = None
) -> Space:
    return Space(
        name=name,
        title=title,
        unit=unit,
        convert=convert,
        ranges=convert.ranges,
        luminance=("y", (0,)),
        chroma=(name[1:], (1, 2)),
        mean=mean,
        std=std,
    )


YCBCR = Mixing(
    ((65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214)), offset=(16.0, 128.0, 128.0)
)
YDBDR = Mixing(((0.299, 0.587, 0.114), (-0.45, -0.883, 1.333), (-1.333, 1.116, 0.217)))
YPBPR = Mixing(((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)))
YIQ = Mixing(((0.299, 0.587, 0.114), (0.59590059, -0.27455667, -0.32134392), (0.21153661, -0.52273617, 0.31119955)))
YUV = Mixing(((0.299, 0.587, 0.114), (-0.14714119, -0.28886916, 0.43601035), (0.61497538, -0.51496512, -0.10001026)))

ycbcr, ycbcr_y, ycbcr_cbcr = _linear_space("ycbcr", "digital video (BT.601)", "8 bit video level", YCBCR).views()
"""
The view `ycbcr`: digital video (BT.601): Y, Cb, Cr in 8 bit levels, each normalised to [-1, 1].
The view `ycbcr_y`: luma of digital video (BT.601), one channel.
The view `ycbcr_cbcr`: the blue and red differences of digital video (BT.601), two channels.
"""
# PyContrast's normalisation, as in the original CMC results on Y and DbDr.
ydbdr, ydbdr_y, ydbdr_dbdr = _linear_space(
    "ydbdr", "SECAM's colour space", "share of white", YDBDR, (0.457, -0.082, -0.052), (0.500, 1.331, 1.333)
).views()
"""
The view `ydbdr`: SECAM's colour space: Y, Db and Dr, each normalised to [-1, 1].
The view `ydbdr_y`: luma of SECAM's colour space, one channel.
The view `ydbdr_dbdr`: the blue and red differences of SECAM's colour space, two channels.
"""
ypbpr, ypbpr_y, ypbpr_pbpr = _linear_space("ypbpr", "analogue component video", "share of white", YPBPR).views()
"""
The view `ypbpr`: analogue component video: Y, Pb and Pr, each normalised to [-1, 1].
The view `ypbpr_y`: luma of analogue component video, one channel.
The view `ypbpr_pbpr`: the blue and red differences of analogue component video, two channels.
"""
yiq, yiq_y, yiq_iq = _linear_space("yiq", "NTSC's colour space", "share of white", YIQ).views()
"""
The view `yiq`: NTSC's colour space: Y, I and Q, each normalised to [-1, 1].
The view `yiq_y`: luma of NTSC's colour space, one channel.
The view `yiq_iq`: orange to blue and purple to green of NTSC's colour space, two channels.
"""
yuv, yuv_y, yuv_uv = _linear_space("yuv", "PAL's colour space", "share of white", YUV).views()
"""
The view `yuv`: PAL's colour space: Y, U and V, each normalised to [-1, 1].
The view `yuv_y`: luma of PAL's colour space, one channel.
The view `yuv_uv`: the blue and red differences of PAL's colour space, two channels.
"""
xyz, xyz_y, xyz_xz = Space(
    name="xyz",
    title="CIE tristimulus values",
    unit="share of white's Y",
    convert=rgb_to_xyz,
    ranges=Mixing(XYZ_FROM_RGB).ranges,
    luminance=("y", (1,)),
    chroma=("xz", (0, 2)),
    reads_bytes=True,
).views()
"""
The view `xyz`: CIE tristimulus values: X, Y and Z, each normalised to [-1, 1].
The view `xyz_y`: luminance Y, linear in light, one channel.
The view `xyz_xz`: X and Z, linear in light, two channels.
"""
luv, luv_l, luv_uv = Space(
    name="luv",
    title="CIE L*u*v*",
    unit="CIE L*u*v*",
    convert=rgb_to_luv,
    ranges=((0.0, 100.0), (-83.1, 175.1), (-134.2, 107.5)),
    luminance=("l", (0,)),
    chroma=("uv", (1, 2)),
    reads_bytes=True,
).views()
"""
The view `luv`: CIE L*, u* and v*, each normalised to [-1, 1].
The view `luv_l`: CIE lightness as in `L`, one channel, [0, 100].
The view `luv_uv`: CIE u* (green to red) and v* (blue to yellow), two channels.
"""
hsv, hsv_v, hsv_hs = Space(
    name="hsv",
    title="hue, saturation and value",
    unit="share",
    convert=rgb_to_hsv,
    ranges=((0.0, 1.0),) * 3,
    luminance=("v", (2,)),
    chroma=("hs", (0, 1)),
).views()
"""
The view `hsv`: hue (in turns), saturation and value, each normalised to [-1, 1].
The view `hsv_v`: the value of HSV, the largest of red, green and blue, one channel.
The view `hsv_hs`: hue (in turns) and saturation, two channels.
"""
hed, hed_h, hed_ed = Space(
    name="hed",
    title="stains of tissue",
    unit="density / ln 1e6",
    convert=rgb_to_hed,
    ranges=tuple((0.0, high) for _, high in Mixing(HED_FROM_RGB).ranges),
    luminance=("h", (0,)),
    chroma=("ed", (1, 2)),
).views()
"""
The view `hed`: the stains of tissue haematoxylin, eosin and DAB, each normalised to [-1, 1].
The view `hed_h`: haematoxylin of stained tissue, one channel.
The view `hed_ed`: eosin and DAB of stained tissue, two channels.
"""
