"""Drawing negatives from a memory bank."""

from __future__ import annotations

import torch
from torch import Tensor

from multiview.distributed import rank, world


def draw_negatives(index: Tensor, count: int, size: int, *, generator: torch.Generator | None, exclude: bool) -> Tensor:
    """Bank rows to score: column 0 is each sample's own row, then `count` rows drawn uniformly with replacement.

    index: (n,) rows of the local samples; size: rows of the bank. With `exclude` a sample's own row is never drawn (the draw is uniform
    over the others). All ranks draw the same table for the global batch and keep their part, so N processes draw what one would.
    Returns (n, 1 + count) int32, or int64 for a bank that needs it.
    """
    rows = len(index)
    table = torch.empty(rows * world(), 1 + count, dtype=_smallest(size))
    table[:, 1:].random_(size - int(exclude), generator=generator)
    drawn = table[rank() * rows : (rank() + 1) * rows].to(index.device)
    own = index.to(drawn.dtype)[:, None]  # of one type with the table, or comparing would first copy it
    drawn[:, :1] = own
    if exclude:
        drawn[:, 1:] += drawn[:, 1:] >= own
    return drawn


def draw_shared(count: int, size: int, *, generator: torch.Generator | None) -> Tensor:
    """`count` rows drawn uniformly with replacement for the whole global batch, the same on all ranks: (count,) int32 or int64."""
    return torch.empty(count, dtype=_smallest(size)).random_(size, generator=generator)


def _smallest(size: int) -> torch.dtype:
    return torch.int32 if size < 2**31 else torch.int64
