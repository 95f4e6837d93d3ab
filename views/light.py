"""From a picture's numbers to light: sRGB's gamma, and the matrices of colour spaces."""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview.views.fast_roots import fifth_root
from multiview.views.stored_numbers import as_given as as_given
from multiview.views.stored_numbers import real

GAMMA_KNEE = 0.04045
GAMMA_MEETS = 0.040448236277107565
"""The x near the rounded knee at which ((x + 0.055) / 1.055) ^ 2.4 equals x / 12.92."""

Row = tuple[float, float, float]
Matrix = tuple[Row, Row, Row]

XYZ_FROM_RGB: Matrix = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
"""Linear sRGB to CIE XYZ, in the digits of skimage.color.colorconv."""

WHITE: Row = (0.95047, 1.0, 1.08883)
"""XYZ of the white point D65, 2 degree observer, in skimage's digits."""


def transformed() -> bool:
    """Whether `torch.func` is at work (vmap, grad, ...), which does not allow `out=` and `view`."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def linear(rgb: Tensor) -> Tensor:
    """Light intensity in [0, 1] of gamma-coded sRGB, floats in [0, 1] or bytes.

    Bytes are looked up in a table, which takes half the time. Source: IEC 61966-2-1.
    """
    if torch.compiler.is_compiling() and rgb.dtype != torch.float64:
        return _linear_in_one_pass(real(rgb))
    if rgb.dtype != torch.uint8:
        return _linear(real(rgb))
    if transformed():
        return _levels(rgb.device)[rgb.int()]
    stored = rgb.contiguous().flatten()
    if rgb.is_cpu and len(stored) % 2 == 0 and stored.storage_offset() % 2 == 0:  # two bytes at a time
        pairs = stored.view(torch.int16).int().bitwise_and_(0xFFFF)
        return _pairs_of_levels().index_select(0, pairs).view(torch.float32).view(rgb.shape)
    return _levels(rgb.device).index_select(0, stored.int()).view(rgb.shape)


@lru_cache(maxsize=8)
def _levels(device: torch.device) -> Tensor:
    """Light intensity of the 256 bytes, float32."""
    return _linear(torch.arange(256, dtype=torch.float64, device="cpu") / 255).float().to(device)


@lru_cache(maxsize=1)
def _pairs_of_levels() -> Tensor:
    """Light of each pair of bytes, read as int16: two float32, stored as one float64."""
    both = torch.arange(1 << 16, dtype=torch.int32, device="cpu").to(torch.int16).view(torch.uint8)
    return _levels(both.device)[both.long()].view(torch.float64)


def _linear(x: Tensor) -> Tensor:
    # A power above the knee, a straight line below. Below the knee, `y` is the point where both are
    # equal and the line adds the rest: no infinite slope, and one pass fewer than with `where`.
    y = F.threshold(x, GAMMA_KNEE, GAMMA_MEETS)
    below = x - y
    return torch.add(power_(y.add_(0.055).div_(1.055), 2.4), below, alpha=1 / 12.92)


def _linear_in_one_pass(x: Tensor) -> Tensor:
    """`_linear` for `torch.compile`: x^2.4 is x^2 times the square of the fifth root."""
    base = (x.clamp_min(GAMMA_KNEE) + 0.055) / 1.055
    root = fifth_root(base)
    return torch.where(x > GAMMA_KNEE, base * base * root * root, x / 12.92)


def power_(base: Tensor, exponent: float) -> Tensor:
    """A positive base to a power, in place, in half the time of `pow` on a CPU."""
    return base.log2_().mul_(exponent).exp2_()


def mixed(planes: Tensor, matrix: Matrix, offset: Row = (0.0, 0.0, 0.0), out: Tensor | None = None) -> Tensor:
    """`matrix` times the three planes of (n, 3, h, w), plus one offset per plane.

    No `matmul`, because TF32 would round it. out: takes the result, without a gradient.
    """
    r, g, b = planes.unbind(-3)
    into = (None, None, None) if out is None else out.unbind(-3)
    rows = []
    for row, plus, place in zip(matrix, offset, into, strict=True):
        plane = torch.mul(r, row[0], out=place).add_(g, alpha=row[1]).add_(b, alpha=row[2])
        rows.append(plane.add_(plus) if plus else plane)
    return torch.stack(rows, dim=-3) if out is None else out
