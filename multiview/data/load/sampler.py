"""Which samples make which batch: a function of seed, epoch and step alone, so that a run can resume anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from multiview.counter_rng import permutation
from multiview.errors import MultiviewError
from multiview.plurals import counted


@dataclass(frozen=True)
class Batches:
    """The batches of `count` samples: `batch` samples each over all ranks together, of which every rank takes its
    slice.

    The order is a function of (seed, epoch), whatever the world size. drop_last leaves out the samples that do not
    fill a batch (training); without it the last batch is smaller. shuffle=False keeps the order of the split
    (evaluation). Raises MultiviewError when `world` does not divide `batch`, or when there is no batch at all.
    """

    count: int
    batch: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    drop_last: bool = True
    shuffle: bool = True

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise MultiviewError(f"batch is {self.batch}; give 1 or more samples.")
        if self.batch % self.world:
            low = self.batch - self.batch % self.world
            near = " or ".join(str(size) for size in (low, low + self.world) if size)
            raise MultiviewError(f"a batch of {self.batch} cannot be shared by {self.world} processes; use {near}.")
        if len(self) == 0:
            raise MultiviewError(
                f"data has {counted(self.count, 'sample')} and the batch is {self.batch}: no step; use a smaller batch."
            )

    def __len__(self) -> int:
        """Steps in an epoch."""
        return self.count // self.batch if self.drop_last else -(-self.count // self.batch)

    def for_epoch(self, epoch: int, start_step: int = 0) -> Iterator[Tensor]:
        """This rank's sample indices, int64, one tensor a step, from `start_step` on."""
        order = (
            torch.from_numpy(permutation(self.seed, epoch, "order", self.count))
            if self.shuffle
            else torch.arange(self.count)
        )
        for step in range(start_step, len(self)):
            whole = order[step * self.batch : (step + 1) * self.batch]
            yield whole[len(whole) * self.rank // self.world : len(whole) * (self.rank + 1) // self.world]


def fit_batch(batch: int, count: int, world: int = 1) -> tuple[int, str | None]:
    """The largest batch up to `batch` that `count` samples fill and `world` processes share; a sentence if smaller."""
    if batch <= count:
        return batch, None
    fitting = count - count % world
    if count == 0:
        raise MultiviewError("data has no samples: nothing to train on.")
    if fitting == 0:
        raise MultiviewError(
            f"data has {counted(count, 'sample')}, fewer than the {world} processes; use fewer processes or more data."
        )
    return fitting, f"data has {counted(count, 'sample')}, batch is {batch}: using {fitting}"
