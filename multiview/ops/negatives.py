"""Drawing negatives from a memory bank."""

from __future__ import annotations

import torch
from torch import Tensor

from multiview.distributed import rank, world


def draw_negatives(index: Tensor, count: int, size: int, *, generator: torch.Generator | None, exclude: bool) -> Tensor:
    """Bank rows to score: column 0 is each sample's own row, then `count` rows drawn uniformly with replacement.

    index: (n,) rows of the local samples; size: rows of the bank. With `exclude` a sample's own row is never drawn (the draw is uniform
    over the others). All ranks draw the same table for the global batch and keep their part, so N processes draw what one would.
    Returns (n, 1 + count) int64.
    """
    rows = len(index)
    table = torch.randint(size - int(exclude), (rows * world(), count), generator=generator)
    drawn = table[rank() * rows : (rank() + 1) * rows].to(index.device)
    if exclude:
        drawn = drawn + (drawn >= index[:, None])
    return torch.cat([index[:, None], drawn], dim=1)
