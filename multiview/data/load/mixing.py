"""Which samples of several stores form which batch: each store has a fixed part of every batch."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from multiview.counter_rng import permutation
from multiview.data.load.sampler import Batches
from multiview.errors import MultiviewError

PLUS = "+"


def stores_of(spec: str) -> list[str]:
    """`['a', 'b']` for `a+b`; one name when there is no plus, or a file or folder of that name."""
    parts = [part.strip() for part in spec.split(PLUS)]
    if len(parts) < 2 or Path(spec).exists():
        return [spec]
    if not all(parts):
        raise MultiviewError(f"data is '{spec}', and one of the names around the plus is empty; write a+b.")
    return parts


def ratio_of(mix: str | None, spec: str, count: int) -> tuple[int, ...] | None:
    """`(3, 1)` for `3:1`; None without `mix`. Raises MultiviewError when it does not fit the data.

    count: how many stores `spec` names.
    """
    if mix is None:
        return None
    if count < 2:
        raise MultiviewError(f"mix is {mix}, but data names one store, {spec}; name several: --data a+b --mix 3:1.")
    numbers = mix.split(":")
    if not all(re.fullmatch(r"\s*\d{1,9}\s*", each) and int(each) for each in numbers):
        raise MultiviewError(f"mix is '{mix}'; give a whole number above 0 for each store, such as 3:1.")
    if len(numbers) != count:
        raise MultiviewError(f"mix is {mix}, of {len(numbers)} numbers, but data names {count} stores, {spec}.")
    return tuple(map(int, numbers))


def shares(batch: int, ratio: Sequence[int], names: Sequence[str]) -> tuple[int, ...]:
    """Samples of each store in a batch, by largest remainder. Raises MultiviewError for none."""
    exact = [batch * part / sum(ratio) for part in ratio]
    counts = [int(each) for each in exact]
    by_remainder = sorted(range(len(ratio)), key=lambda n: (counts[n] - exact[n], n))
    for n in by_remainder[: batch - sum(counts)]:
        counts[n] += 1
    if 0 in counts:
        raise MultiviewError(
            f"a batch of {batch} with mix {':'.join(map(str, ratio))} has no sample of {names[counts.index(0)]}; use "
            f"a batch of {-(-sum(ratio) // min(ratio))} or more, or another --mix."
        )
    return tuple(counts)


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
