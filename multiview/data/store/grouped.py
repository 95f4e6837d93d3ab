"""Places of equal numbers, such as the rows of each shard, by one sort for any number of shards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def places_of(numbers: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Every number that occurs in `numbers` (n,), rising, and its places there, rising."""
    order = np.argsort(numbers, kind="stable")
    ordered = numbers[order]
    ends = [*np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, len(numbers)]
    start = 0
    for end in ends if len(numbers) else ():
        yield int(ordered[start]), order[start:end]
        start = end
