"""Drawing negatives from a memory bank."""

from __future__ import annotations

import torch
from torch import Tensor

from multiview.distributed import rank, world


def draw_negatives(index: Tensor, count: int, size: int, *, generator: torch.Generator | None, exclude: bool) -> Tensor:
    """Bank rows to score: each sample's own row, then `count` uniform draws with replacement.

    Every process draws the same table for the global batch and keeps its part. So N processes draw
    what one would.

    Args:
        index: (n,) bank rows of this process's samples.
        count: number of negatives.
        size: number of rows of the bank.
        generator: in the same state in every process.
        exclude: draw uniformly over the other rows, never a sample's own.

    Returns:
        (n, 1 + count) int32, or int64 for a bank of 2^31 rows or more.
    """
    rows = len(index)
    table = torch.empty(rows * world(), 1 + count, dtype=_smallest(size))
    table[:, 1:].random_(size - int(exclude), generator=generator)
    drawn = table[rank() * rows : (rank() + 1) * rows].to(index.device)
    own = index.to(drawn.dtype)[:, None]  # the table's type, or the comparison would first copy the table
    drawn[:, :1] = own
    if exclude:
        drawn[:, 1:] += drawn[:, 1:] >= own
    return drawn


def draw_shared(count: int, size: int, *, generator: torch.Generator | None) -> Tensor:
    """`count` uniform draws with replacement for the global batch; the same in every process."""
    return torch.empty(count, dtype=_smallest(size)).random_(size, generator=generator)


def _smallest(size: int) -> torch.dtype:
    return torch.int32 if size < 2**31 else torch.int64
