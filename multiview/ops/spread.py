"""The spread of embeddings, which shows collapse."""

from __future__ import annotations

import torch
from torch import Tensor

from multiview.distributed import total
from multiview.ops.precision import full_precision


def spread(z: Tensor, present: Tensor) -> Tensor:
    """Mean over dimensions of the standard deviation of z (n, d) over all present rows.

    Unit vectors spread evenly over the sphere give 1 / sqrt(d); a collapsed view gives 0 (SimSiam,
    arXiv:2011.10566, Sec. 4.1).
    """
    kept = torch.where(present[:, None], z.detach(), torch.zeros_like(z)).to(full_precision(z))
    rows = total(present.sum().to(kept)).clamp(min=1)
    mean = total(kept.sum(0)) / rows
    centred = torch.where(present[:, None], kept - mean, torch.zeros_like(kept))
    return (total(centred.square().sum(0)) / rows).sqrt().mean().to(z.dtype)


def mean_spread(views: tuple[Tensor, Tensor], present: Tensor) -> Tensor:
    """The mean spread of two views' embeddings (n, d)."""
    return (spread(views[0], present) + spread(views[1], present)) / 2
