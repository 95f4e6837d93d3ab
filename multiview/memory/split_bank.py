"""A memory bank whose rows are shared out over the processes: each keeps and updates its own."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from multiview.counter_rng import draw_seed
from multiview.distributed import gather, rank, world
from multiview.memory.bank import MemoryBank
from multiview.ops.split_scores import OwnStrata
from multiview.ops.strata import STRATA, length, require_shared


class SplitBank(MemoryBank):
    """The rows of this process, of a bank of `size` rows of `dim` numbers.

    rows: (strata, ceil(size / 64), dim). Sample i is row i // 64 of stratum i % 64, and the process
    r of W has the strata from 64 r / W on. The first rows are drawn for each stratum, so that they
    do not depend on W.

    Args:
        size: number of training samples, 128 or more.
        dim: width of a row.
        momentum: see `MemoryBank`.
        seed: of the first rows.
        name: of the bank, so that two banks differ.
        dtype: of the stored rows.

    Raises:
        MultiviewError: the number of processes does not divide 64, or there are too few samples.
    """

    is_split = True

    def __init__(
        self, size: int, dim: int, momentum: float, seed: int, name: str, dtype: torch.dtype = torch.float32
    ) -> None:
        nn.Module.__init__(self)
        require_shared(size, world())
        self.momentum, self.size = momentum, size
        count = STRATA // world()
        self.first = rank() * count
        rows = torch.empty(count, length(0, size), dim, dtype=dtype)
        for stratum, part in enumerate(rows, self.first):
            part.copy_(_first_rows(part.shape, draw_seed(seed, stratum, f"bank {name}")))
        self.register_buffer("rows", rows)

    def __len__(self) -> int:
        return self.size

    @property
    def own(self) -> OwnStrata:
        """The rows of this process, to score against."""
        return OwnStrata(self.rows, self.first, self.size)

    def of(self, stratum: int) -> Tensor:
        """The rows (n, dim) of one own stratum, by its number from 0 to 63."""
        return self.rows[stratum - self.first, : length(stratum, self.size)]

    @torch.no_grad()
    def update(self, z: Tensor, index: Tensor, momentum: float | None = None) -> None:
        """Updates the rows that this process owns, as `MemoryBank.update` does.

        z (n, dim) and index (n,) are those of all processes.
        """
        self.require(index)
        places, here = self.own.places(index)
        self.write(self.rows.flatten(0, 1), z[here], places[here], momentum)

    def whole(self) -> Tensor:
        """All rows (size, dim) in the order of the samples, on every process; for small banks."""
        rows = gather(self.rows)
        return rows.transpose(0, 1).flatten(0, 1)[: self.size]


def _first_rows(shape: torch.Size, seed: int) -> Tensor:
    """Uniform in (-1/sqrt(dim/3), 1/sqrt(dim/3)), as in `MemoryBank`."""
    bound = 1 / math.sqrt(shape[1] / 3)
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).mul_(2 * bound).sub_(bound)
