"""Losses are computed in float32 whatever the autocast (bfloat16 cosines over T = .07 are off by .03), and in float64 when given it."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()
