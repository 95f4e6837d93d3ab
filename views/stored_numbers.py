"""Stored numbers as real numbers: one rule for bytes, for sound and for floats in every view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multiview.errors import MultiviewError

if TYPE_CHECKING:
    from torch import Tensor

FULL_SCALE = {"uint8": 255, "int16": 32768}
"""Type of stored numbers -> the number that becomes 1: bytes for pixels, 16 bit for sound."""


def real(x: Tensor, stored: str = "uint8") -> Tensor:
    """`x` in single or double precision; whole numbers of the type `stored` become shares of 1.

    Half precision is too coarse to compute in. Raises MultiviewError for other whole numbers, whose
    range is unknown.
    """
    import torch

    if x.dtype in (torch.float32, torch.float64):
        return x
    if x.is_floating_point():
        return x.float()
    if x.dtype != getattr(torch, stored):
        raise MultiviewError(
            f"this view is computed from floats, or from whole numbers of the type {stored}, not from {x.dtype}; make "
            "the numbers float and divide by the largest, as in `x.float() / 65535` for 16 bit pixels."
        )
    return x.float() / FULL_SCALE[stored]


def as_given(x: Tensor, source: Tensor) -> Tensor:
    """`x` in the precision of `source`, or unchanged when `source` holds whole numbers."""
    return x.to(source.dtype) if source.is_floating_point() else x
