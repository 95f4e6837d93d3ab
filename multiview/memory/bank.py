"""The memory bank of CMC: one running embedding per training sample."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from multiview.errors import MultiviewError
from multiview.ops.precision import full_precision


class MemoryBank(nn.Module):
    """`size` rows of `dim` numbers, found by sample index.

    Rows start uniform in (-1/sqrt(dim/3), 1/sqrt(dim/3)), not normalised, as in the original code.
    They are drawn from `generator`. dtype: of the stored rows: float32, bfloat16 or
    float16. Updates are computed in the precision of z.
    """

    rows: Tensor
    is_split: ClassVar[bool] = False
    """Whether every process keeps a part of the rows only."""

    def __init__(
        self, size: int, dim: int, momentum: float, generator: torch.Generator, dtype: torch.dtype = torch.float32
    ) -> None:
        super().__init__()
        bound = 1 / math.sqrt(dim / 3)
        self.momentum = momentum
        rows = torch.rand(size, dim, generator=generator).mul_(2 * bound).sub_(bound)
        self.register_buffer("rows", rows.to(dtype))

    def __len__(self) -> int:
        return len(self.rows)

    def require(self, index: Tensor) -> None:
        """Raises MultiviewError for an index (n,) outside the bank.

        A negative index would silently mean another sample's row. On a GPU the device itself ends
        the process for such an index: to ask would wait for it.
        """
        if not (index.is_cpu or index.device.type == "mps"):
            torch._assert_async(((index >= 0) & (index < len(self))).all())
        elif len(index) and not 0 <= int(index.min()) <= int(index.max()) < len(self):
            raise MultiviewError(
                f"sample index {int(index.min())}..{int(index.max())} is outside the memory bank of {len(self)} rows; "
                "the bank must be as long as the training split. Start the run again on this data."
            )

    def forget_length(self) -> None:
        """Does nothing: a bank always has as many rows as there are samples."""

    def note(self, name: str, samples: int) -> str:  # noqa: ARG002
        """A sentence on what may not be meant with so many training samples; empty = nothing."""
        return ""

    def take(
        self, z: Tensor, index: Tensor, present: Tensor, groups: Tensor | None = None, *, whole: bool = False
    ) -> None:
        """Writes z (n, dim) of samples `index` (n,) where they are present.

        groups: (n,) codes of the samples' groups, which a queue keeps. whole: the CPU knows that
        all are present, unless the step is left out.
        """
        del groups, whole
        if present.is_cpu or self.is_split:
            self.update(z[present], index[present])
        else:
            self.update_present(z, index, present)

    @torch.no_grad()
    def begin(self, z: Tensor, index: Tensor, present: Tensor) -> None:
        """row <- normalise(z), z (n, dim) of samples `index` (n,) where they are present."""
        self.update(z[present], index[present], momentum=0.0)

    @torch.no_grad()
    def update(self, z: Tensor, index: Tensor, momentum: float | None = None) -> None:
        """row <- normalise(momentum * row + (1 - momentum) * z), z (n, dim) of `index` (n,).

        momentum: None = that of the bank.

        When an index occurs twice, the last row counts: the last row of the last process, as on one
        device. Raises MultiviewError for an index outside the bank.
        """
        self.require(index)
        self.write(self.rows, z, index, momentum)

    def write(self, rows: Tensor, z: Tensor, index: Tensor, momentum: float | None = None) -> None:
        """Mixes z (n, dim) into `rows` (N, dim) at the places `index` (n,), in place."""
        last = _last_occurrence(index)
        kept = self.momentum if momentum is None else momentum
        index, z = index[last], full_precision(z[last])
        mixed = kept * rows[index].to(z.dtype) + (1 - kept) * z
        rows[index] = F.normalize(mixed, dim=1).to(rows.dtype)

    @torch.no_grad()
    def update_present(self, z: Tensor, index: Tensor, present: Tensor) -> None:
        """`update` with the rows where `present` (n,); the host does not wait for the device."""
        self.require(index)
        last = _last_present(index, present)
        index, z, present = index[last], full_precision(z[last]), present[last]
        before = self.rows[index]
        mixed = self.momentum * before.to(z.dtype) + (1 - self.momentum) * z
        after = F.normalize(mixed, dim=1).to(before.dtype)
        self.rows[index] = torch.where(present[:, None], after, before)  # equal indices get equal values


def _last_present(index: Tensor, present: Tensor) -> Tensor:
    """For each row (n,), the last present row of the same index; else another row of the index."""
    order = torch.argsort(2 * index + present, stable=True)
    ordered, places = index[order], torch.arange(len(index), device=index.device)
    ends = torch.where(torch.cat([ordered[1:] != ordered[:-1], present.new_ones(1)]), places, len(index))
    nearest = ends.flip(0).cummin(0).values.flip(0)
    return torch.empty_like(order).index_copy_(0, order, order[nearest])


def _last_occurrence(index: Tensor) -> Tensor:
    """Positions of the last occurrence of every distinct value."""
    order = torch.argsort(index, stable=True)
    ordered = index[order]
    ends = torch.ones_like(ordered, dtype=torch.bool)
    ends[:-1] = ordered[1:] != ordered[:-1]
    return order[ends]
