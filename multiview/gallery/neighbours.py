"""The nearest samples of every held-out sample, by the cosine of the embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.gallery.held_out import HeldOut, Vectors

FOUND = 5
"""Nearest samples that are kept of every query."""
ROWS = 512
"""Queries that are compared at a time."""


@dataclass(frozen=True)
class Found:
    """What every sample finds.

    Args:
        top: the nearest samples (n, at most 5), -1 = none.
        rank: of its own sample (n,), 0 = unknown.
        best: the cosine of the nearest sample (n,), -inf = none.
    """

    top: NDArray[np.int64]
    rank: NDArray[np.int64]
    best: NDArray[np.float64]

    def of(self, sample: int) -> dict[str, Any]:
        """The nearest samples of one sample, and the rank of its own, as plain values."""
        return {"top": [int(x) for x in self.top[sample] if x >= 0], "rank": int(self.rank[sample])}


def neighbours(held: HeldOut) -> dict[tuple[str, str], Found]:
    """(query view, view of the gallery) -> the nearest samples that have the gallery's view.

    Within one view, the query itself is left out, and no rank is known. As in the measure of
    retrieval, equally similar samples count against the query's own.
    """
    return {(a, b): _found(held, (a, b), held.pairs[a, b], itself=a == b) for a, b in held.pairs}


def searches(held: HeldOut, found: Mapping[tuple[str, str], Found]) -> dict[tuple[str, str], Found]:
    """Where a sample is to find its own: pairs of views, and two crops of one view."""
    between = {pair: each for pair, each in found.items() if pair[0] != pair[1]}
    return between | {(a, a): _found(held, (a, a), both, itself=False) for a, both in held.crops.items()}


def _found(held: HeldOut, pair: tuple[str, str], both: tuple[Vectors, Vectors], itself: bool) -> Found:
    """itself: query and gallery are the same embeddings, so that a sample is not to find itself."""
    (query, gallery), (there, has) = both, (held.present[view] for view in pair)
    n = len(query)
    top, rank, best = np.full((n, min(FOUND, n)), -1), np.zeros(n, np.int64), np.full(n, -np.inf)
    for start in range(0, n, ROWS):
        here = np.arange(start, min(start + ROWS, n))
        similarity = np.where(has, query[here] @ gallery.T, -np.inf)
        own = similarity[np.arange(len(here)), here]
        if itself:
            similarity[np.arange(len(here)), here] = -np.inf
        else:
            rank[here] = np.where(np.isfinite(own), (similarity >= own[:, None]).sum(1), 0)
        order = np.argsort(-similarity, axis=1, kind="stable")[:, : top.shape[1]]
        ordered = np.take_along_axis(similarity, order, axis=1)
        top[here] = np.where(np.isfinite(ordered), order, -1)
        best[here] = ordered[:, 0]
    return Found(np.where(there[:, None], top, -1), np.where(there, rank, 0), np.where(there, best, -np.inf))


def failures(found: Found, most: int) -> list[int]:
    """At most `most` samples whose own is not the nearest, spread evenly over all of them."""
    missed = np.flatnonzero(found.rank > 1)
    if len(missed) > most:
        missed = missed[np.linspace(0, len(missed) - 1, most).astype(int)]
    return [int(x) for x in missed]
