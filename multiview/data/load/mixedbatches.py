"""Which samples of several stores form which batch: each store has a fixed part of every batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from multiview.counter_rng import permutation
from multiview.data.load.mixedstore import MixedStore, training_rows
from multiview.data.load.mixing import shares
from multiview.data.load.sampler import Batches
from multiview.data.load.window_order import WindowOrder
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError
from multiview.plurals import counted


@dataclass(frozen=True, kw_only=True)
class MixedBatches(Batches):
    """The batches of several stores, whose samples follow one another: store by store in the index.

    Every batch has `counts` samples of the stores, in an order that mixes them. Each store is
    passed over without repetition, at its own pace; a new pass has a new order. A function of
    (seed, epoch, step), as `Batches` is.

    Args:
        sizes: training samples of each store.
        counts: samples of each store in a batch.
    """

    sizes: tuple[int, ...]
    counts: tuple[int, ...]

    def for_epoch(self, epoch: int, start_step: int = 0) -> Iterator[Tensor]:
        """See `Batches.for_epoch`."""
        starts = [sum(self.sizes[:n]) for n in range(len(self.sizes))]
        orders: dict[int, tuple[int, Tensor]] = {}
        for step in range(epoch * len(self) + start_step, (epoch + 1) * len(self)):
            pieces = [self._piece(n, step, orders) + start for n, start in enumerate(starts)]
            mixed = torch.from_numpy(permutation(self.seed, step, "mix", self.batch))
            whole = torch.cat(pieces)[mixed]
            yield whole[self.batch * self.rank // self.world : self.batch * (self.rank + 1) // self.world]

    def _piece(self, store: int, step: int, orders: dict[int, tuple[int, Tensor]]) -> Tensor:
        """The samples of a store in a step; `orders` keeps the order of its present pass."""
        number, place = divmod(step, self.sizes[store] // self.counts[store])
        if store not in orders or orders[store][0] != number:
            order = permutation(self.seed, number, f"order of store {store}", self.sizes[store])
            orders[store] = number, torch.from_numpy(order)
        return orders[store][1][place * self.counts[store] : (place + 1) * self.counts[store]]


def batches_of(
    store: Store, batch: int, seed: int, rank: int, world: int, windows: WindowOrder | None = None
) -> Batches:
    """The batches of the training samples: mixed ones when the data was given with --mix.

    windows: their order (None = all samples are shuffled). A mix ignores it, for it shuffles all
    samples of each store; `refuse_windows_of_mix` tells users who asked for windows.
    Raises MultiviewError when a store has fewer samples than its part of a batch.
    """
    plain = Batches(store.count("train"), batch, seed, rank, world, windows=windows)
    if not isinstance(store, MixedStore) or store.mix.ratio is None:
        return plain
    mix, sizes = store.mix, tuple(map(training_rows, store.mix.stores))
    counts = shares(batch, store.mix.ratio, mix.names)
    for each, size, count in zip(mix.stores, sizes, counts, strict=True):
        if size < count:
            raise MultiviewError(
                f"{each.name} has {counted(size, 'training sample')}, and a batch of {batch} with this --mix takes "
                f"{count} of them; use a smaller batch, or another --mix."
            )
    return MixedBatches(plain.count, batch, seed, rank, world, sizes=sizes, counts=counts)


def refuse_windows_of_mix(store: Store) -> None:
    """Raises MultiviewError when the data was given with --mix, which has no order of windows."""
    if store.ratio is not None:
        raise MultiviewError(
            "--mix shuffles all samples of each store, so --train.order window cannot be used with it: leave "
            "--train.order out, or leave --mix out."
        )


def mix_text(store: Store, batches: Batches) -> str | None:
    """`per step 96 of a, 32 of b; ...` of a mix, None for one store."""
    if not isinstance(store, MixedStore):
        return None
    mix, steps = store.mix, len(batches)
    sizes = tuple(map(training_rows, mix.stores))
    if not isinstance(batches, MixedBatches):
        parts = ", ".join(f"{size:,} of {name}" for size, name in zip(sizes, mix.names, strict=True))
        return f"{parts}, all alike in one order; --mix gives each a fixed part of every batch"
    parts = ", ".join(f"{count} of {name}" for count, name in zip(batches.counts, mix.names, strict=True))
    passes = [steps * count / size for count, size in zip(batches.counts, sizes, strict=True)]
    often = ", ".join(f"{name} {each:.3g} times" for name, each in zip(mix.names, passes, strict=True))
    return f"per step {parts}; an epoch passes over {often}"
