"""Losses are computed in float32, also under autocast; float64 embeddings stay float64.

A cosine in bfloat16, divided by T = .07, is wrong by up to .03.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """Half precision as float32; float32 and float64 as they are."""
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


def normalised(x: Tensor) -> Tensor:
    """Rows of length 1; rows of zeros stay."""
    return F.normalize(x, dim=1)
