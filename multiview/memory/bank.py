"""The memory bank of CMC: one running embedding per training sample."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multiview.errors import MultiviewError


class MemoryBank(nn.Module):
    """`size` rows of `dim` numbers, found by sample index.

    Rows start uniform in (-1/sqrt(dim/3), 1/sqrt(dim/3)), not normalised, as in the original code, drawn from `generator`.
    """

    rows: Tensor

    def __init__(self, size: int, dim: int, momentum: float, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(dim / 3)
        self.momentum = momentum
        self.register_buffer("rows", torch.rand(size, dim, generator=generator) * 2 * bound - bound)

    def __len__(self) -> int:
        return len(self.rows)

    @torch.no_grad()
    def update(self, z: Tensor, index: Tensor) -> None:
        """row <- normalise(momentum * row + (1 - momentum) * z) for each sample of `index` (n,), z (n, dim).

        Where an index stands twice, the last of them counts. Raises MultiviewError for an index beyond the bank: a negative one would
        silently write another sample's row.
        """
        if len(index) == 0:
            return
        if int(index.min()) < 0 or int(index.max()) >= len(self):
            raise MultiviewError(
                f"sample index {int(index.min())}..{int(index.max())} is outside the memory bank of {len(self)} rows; "
                "the bank must be as long as the training split. Start the run again on this data."
            )
        mixed = self.momentum * self.rows[index] + (1 - self.momentum) * z.to(self.rows)
        last = _last_occurrence(index)
        self.rows[index[last]] = F.normalize(mixed[last], dim=1)


def _last_occurrence(index: Tensor) -> Tensor:
    """Positions of the last occurrence of every distinct value."""
    order = torch.argsort(index, stable=True)
    ordered = index[order]
    ends = torch.ones_like(ordered, dtype=torch.bool)
    ends[:-1] = ordered[1:] != ordered[:-1]
    return order[ends]
