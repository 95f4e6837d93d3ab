"""Drawing negatives from a memory bank."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from multiview.distributed import rank, world
from multiview.ops import counter


def draw_negatives(
    index: Tensor,
    count: int,
    size: int,
    *,
    generator: torch.Generator | None,
    exclude: bool,
    key: int | None = None,
) -> Tensor:
    """Bank rows to score: each sample's own row, then `count` uniform draws with replacement.

    Without a key, every process draws the same table for the global batch and keeps its part. So N
    processes draw what one would.

    Args:
        index: (n,) bank rows of this process's samples.
        count: number of negatives.
        size: number of rows of the bank.
        generator: in the same state in every process.
        exclude: draw uniformly over the other rows, never a sample's own.
        key: 64 bits. Then nothing is drawn from the generator: slot k of a sample is a function of
            key, sample and k, computed on the device of `index` (`ops/counter.py`).

    Returns:
        (n, 1 + count) int32, or int64 for a bank of 2^31 rows or more.
    """
    rows = len(index)
    if key is not None:
        drawn = counter.below(counter.starts(key, index), _slots(count, index), size - int(exclude), size)
        own = index.to(drawn.dtype)[:, None]
        return torch.cat([own, drawn.add_(drawn >= own) if exclude else drawn], dim=1)
    table = torch.empty(rows * world(), 1 + count, dtype=_smallest(size))
    table[:, 1:].random_(size - int(exclude), generator=generator)
    drawn = table[rank() * rows : (rank() + 1) * rows].to(index.device, non_blocking=True)
    own = index.to(drawn.dtype)[:, None]  # the table's type, or the comparison would first copy the table
    drawn[:, :1] = own
    if exclude:
        drawn[:, 1:] += drawn[:, 1:] >= own
    return drawn


class GroupRows(NamedTuple):
    """The groups of the rows of a bank, prepared for draws.

    codes: (N,) int64, the group of each row. order: (N,) rows, sorted by group. starts, counts:
    (G,) where each group begins in `order`, and its number of rows.
    """

    codes: Tensor
    order: Tensor
    starts: Tensor
    counts: Tensor

    @classmethod
    def of(cls, codes: Tensor) -> GroupRows:
        """codes: (N,) int64, from 0 to the number of groups less 1."""
        counts = torch.bincount(codes)
        return cls(codes, torch.argsort(codes, stable=True), counts.cumsum(0) - counts, counts)

    def to(self, device: torch.device | str) -> GroupRows:
        """The same on a device."""
        return GroupRows(*(x.to(device) for x in self))

    def others(self, group: Tensor) -> Tensor:
        """How many rows are of other groups than `group` (n,)."""
        return len(self.codes) - self.counts[group]


def draw_other_groups(
    index: Tensor, count: int, groups: GroupRows, *, generator: torch.Generator | None, key: int | None = None
) -> Tensor:
    """Each sample's own row, then `count` uniform draws among the rows of other groups.

    With replacement. Every process draws the same table, as in `draw_negatives`. A draw is a whole
    number from 0 to 2^63 - 1, modulo the number of rows of other groups: its bias is below 2^-31
    for 2^32 rows.

    Args:
        index: (n,) bank rows of this process's samples. Each has a row of another group.
        count: number of negatives.
        groups: of the rows of the bank, on the device of `index`.
        generator: in the same state in every process.
        key: see `draw_negatives`.

    Returns:
        (n, 1 + count) int32, or int64 for a bank of 2^31 rows or more.
    """
    rows, own = len(index), groups.codes[index]
    if key is not None:
        drawn = counter.below(counter.starts(key, index), _slots(count, index), groups.others(own), len(groups.codes))
    else:
        table = torch.empty(rows * world(), count, dtype=torch.int64).random_(generator=generator)
        drawn = table[rank() * rows : (rank() + 1) * rows].to(index.device, non_blocking=True)
        drawn %= groups.others(own)[:, None]
    # The rows of the sample's own group are adjacent in the order: places behind them are moved on.
    drawn += groups.counts[own][:, None] * (drawn >= groups.starts[own][:, None])
    return torch.cat([index[:, None], groups.order[drawn]], dim=1).to(_smallest(len(groups.codes)))


def draw_shared(
    count: int,
    size: int,
    *,
    generator: torch.Generator | None,
    key: int | None = None,
    device: torch.device | str = "cpu",
) -> Tensor:
    """`count` uniform draws with replacement for the global batch; the same in every process.

    key: see `draw_negatives`; the numbers are then those of sample 0.
    """
    if key is not None:
        one = torch.zeros(1, dtype=torch.int64, device=device)
        return counter.below(counter.starts(key, one), _slots(count, one), size, size)[0]
    return torch.empty(count, dtype=_smallest(size)).random_(size, generator=generator).to(device, non_blocking=True)


def _slots(count: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device)


def _smallest(size: int) -> torch.dtype:
    return torch.int32 if size < 2**31 else torch.int64
