"""Losses are computed in float32, also under autocast; float64 embeddings stay float64.

A cosine in bfloat16, divided by T = .07, is wrong by up to .03.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def normalised(x: Tensor) -> Tensor:
    """Rows of length 1; rows of zeros stay."""
    return F.normalize(x, dim=1)


def double(x: Tensor) -> Tensor:
    """`x` in float64, on its device, or on the CPU when the device has no float64 (such as MPS)."""
    return (x if has_float64(x.device) else x.cpu()).to(torch.float64)


@lru_cache(maxsize=8)
def has_float64(device: torch.device) -> bool:
    """Whether a device can hold and add numbers in float64."""
    try:
        return bool(torch.ones(2, device=device, dtype=torch.float32).double().sum() == 2)
    except (TypeError, RuntimeError):
        return False
