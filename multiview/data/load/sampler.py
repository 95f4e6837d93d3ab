"""Which samples form which batch: a function of seed, epoch and step, so that runs can resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from multiview.counter_rng import permutation
from multiview.data.load.window_order import WindowOrder, uses_windows
from multiview.errors import MultiviewError
from multiview.plurals import counted

PLACE, PEAK = 8, 30
"""Bytes a sample of the table of an order, and while it is drawn, measured at 1e7 samples."""


@dataclass(frozen=True)
class Batches:
    """The batches of `count` samples: `batch` samples in all ranks together, one slice per rank.

    The order depends on (seed, epoch), not on the world size. drop_last: leave out the samples that
    do not fill a batch (training); otherwise the last batch is smaller. filled: then it begins
    earlier and is as large as the others. shuffle=False: keep the order of the split (evaluation).
    windows: an order that needs no memory for each sample (None = any order of all samples, from a
    table). Raises MultiviewError when `world` does not divide `batch`, and when there is no batch.
    """

    count: int
    batch: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    drop_last: bool = True
    shuffle: bool = True
    windows: WindowOrder | None = None
    filled: bool = False

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

    @property
    def order(self) -> str:
        """The name of the order: `exact`, or that of the windows."""
        return "exact" if self.windows is None else self.windows.name

    def for_epoch(self, epoch: int, start_step: int = 0) -> Iterator[Tensor]:
        """The sample indices of this rank, int64: one tensor per step, from `start_step` on."""
        between = self._order(epoch)
        for step in range(start_step, len(self)):
            first, last = step * self.batch, min((step + 1) * self.batch, self.count)
            first = last - self.batch if self.filled else first
            begin, end = (first + (last - first) * rank // self.world for rank in (self.rank, self.rank + 1))
            yield between(begin, end)

    def _order(self, epoch: int) -> Callable[[int, int], Tensor]:
        """The samples from one place of an epoch to another."""
        if not self.shuffle:
            return torch.arange
        if self.windows is not None:
            windows = self.windows.for_epoch(self.seed, epoch)
            return lambda begin, end: torch.from_numpy(windows[np.arange(begin, end)])
        table = torch.from_numpy(permutation(self.seed, epoch, "order", self.count))
        return lambda begin, end: table[begin:end]


def order_held(order: str, samples: int) -> tuple[int, str]:
    """Bytes that the order of an epoch takes in a process, and how they come about.

    order: exact, window or auto.
    """
    if uses_windows(order, samples):
        return 0, "computed place by place, without a table of all samples"
    return PLACE * samples, f"{PLACE} bytes a sample; {PEAK} while an epoch's order is drawn"


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
