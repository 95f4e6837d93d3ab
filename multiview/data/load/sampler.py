"""Which samples form which batch: a function of seed, epoch and step, so that runs can resume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor

from multiview.counter_rng import permutation
from multiview.errors import MultiviewError
from multiview.plurals import counted


@dataclass(frozen=True)
class Batches:
    """The batches of `count` samples: `batch` samples in all ranks together, one slice per rank.

    The order depends on (seed, epoch), not on the world size. drop_last: leave out the samples that
    do not fill a batch (training); otherwise the last batch is smaller. shuffle=False: keep the
    order of the split (evaluation). Raises MultiviewError when `world` does not divide `batch`, and
    when there is no batch.
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
        """Steps per epoch."""
        return self.count // self.batch if self.drop_last else -(-self.count // self.batch)

    def for_epoch(self, epoch: int, start_step: int = 0) -> Iterator[Tensor]:
        """The sample indices of this rank, int64: one tensor per step, from `start_step` on."""
        order = self._order(epoch) if self.shuffle else torch.arange(self.count)
        for step in range(start_step, len(self)):
            whole = order[step * self.batch : (step + 1) * self.batch]
            yield whole[len(whole) * self.rank // self.world : len(whole) * (self.rank + 1) // self.world]

    def _order(self, epoch: int) -> Tensor:
        """All samples, shuffled."""
        return torch.from_numpy(permutation(self.seed, epoch, "order", self.count))


@dataclass(frozen=True, kw_only=True)
class WindowedBatches(Batches):
    """Batches whose samples come from few shards at a time, for stores larger than the local cache.

    The shards are shuffled, and then the samples of every `window` shards that follow one another.

    Args:
        sizes: samples of each shard, in the order of the index.
        window: how many shards are shuffled together.
    """

    sizes: tuple[int, ...]
    window: int

    def _order(self, epoch: int) -> Tensor:
        starts = [0, *accumulate(self.sizes)]
        shards = permutation(self.seed, epoch, "order of shards", len(self.sizes)).tolist()
        parts = []
        for first in range(0, len(shards), self.window):
            inside = torch.cat([torch.arange(starts[n], starts[n + 1]) for n in shards[first : first + self.window]])
            mixed = permutation(self.seed, epoch, f"order from shard {first}", len(inside))
            parts.append(inside[torch.from_numpy(mixed)])
        return torch.cat(parts)


def fit_batch(batch: int, count: int, world: int = 1) -> tuple[int, str | None]:
    """The largest possible batch up to `batch`, and a sentence when it is smaller than `batch`.

    `count` samples must fill the batch, and `world` processes must share it evenly.
    """
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
