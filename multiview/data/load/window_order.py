"""The epoch's order of large data: shards in random order, and samples within a few shards.

The order of an epoch is computed place by place. It takes memory for the shards, not for the
samples, and reads few shards at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from multiview.counter_rng import KeyedPermutation
from multiview.data.store.grouped import places_of

EXACT_BELOW = 2_000_000
"""From so many training samples on, the order is that of windows, unless an option decides."""
WINDOW = 64
"""Shards of a window. Two samples of a batch are of one shard with probability 1 / WINDOW."""
EVEN = 8192
"""Samples of a shard for data that has no shards."""


def uses_windows(order: str, samples: int) -> bool:
    """Whether the order of so many samples is that of windows. order: exact, window or auto."""
    return order == "window" or (order == "auto" and samples >= EXACT_BELOW)


@dataclass(frozen=True, eq=False)
class WindowOrder:
    """The order of a split whose shards hold `counts` (shards,) samples of it, one after another.

    An epoch takes the shards in a random order, `window` at a time, and the samples of a window in
    a random order. Each sample occurs once. The order depends on (seed, epoch) alone.
    """

    counts: NDArray[np.int64]
    window: int = WINDOW

    @property
    def name(self) -> str:
        """`window` and a digest: orders of the same name are the same."""
        return f"window {self.window} {sha256(self.counts.astype('<i8').tobytes()).hexdigest()[:16]}"

    @classmethod
    def even(cls, count: int) -> WindowOrder:
        """The order of `count` samples without shards: blocks of `EVEN` samples are shuffled."""
        whole, rest = divmod(count, EVEN)
        return cls(np.array([EVEN] * whole + [rest] * bool(rest), np.int64))

    def shards(self, seed: int, epoch: int) -> NDArray[np.int64]:
        """The shards in the order of an epoch; windows are parts of `window` shards."""
        return KeyedPermutation(len(self.counts), seed, epoch, "order of shards")(np.arange(len(self.counts)))

    def for_epoch(self, seed: int, epoch: int) -> EpochOrder:
        """The order of an epoch."""
        shards = self.shards(seed, epoch)
        return EpochOrder(self.window, seed, epoch, shards, _ends(self.counts), _ends(self.counts[shards]))


@dataclass(frozen=True, eq=False)
class EpochOrder:
    """`order[places]`: the samples at these places of an epoch, int64, by their place in the split.

    shards: in the order of the epoch. ends: where each shard ends in the split, 0 first. passed:
    how many samples precede the n-th shard of the epoch, 0 first.
    """

    window: int
    seed: int
    epoch: int
    shards: NDArray[np.int64]
    ends: NDArray[np.int64]
    passed: NDArray[np.int64]

    def __getitem__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        turns = np.searchsorted(self.passed, places, side="right") - 1  # which shard, without the shuffle
        windows = turns // self.window
        shuffled = np.empty_like(places)
        for window, inside in places_of(windows):
            shuffled[inside] = self._in_window(window, places[inside])
        turns = np.searchsorted(self.passed, shuffled, side="right") - 1
        return self.ends[self.shards[turns]] + shuffled - self.passed[turns]

    def _in_window(self, window: int, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Places of one window, shuffled among the places of the window."""
        first = window * self.window
        start = self.passed[first]
        count = int(self.passed[min(first + self.window, len(self.shards))] - start)
        order = KeyedPermutation(count, self.seed, self.epoch, f"order of window {window}")
        return start + order(places - start)


def _ends(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)])
