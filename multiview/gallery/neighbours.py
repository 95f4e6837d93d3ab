"""The nearest samples of every held-out sample, by the cosine of the embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.gallery.held_out import HeldOut

FOUND = 5
"""Nearest samples that are kept of every query."""
ROWS = 512
"""Queries that are compared at a time."""


@dataclass(frozen=True)
class Found:
    """top: the nearest samples of every sample (n, at most 5). rank: of its own, 0 = unknown."""

    top: NDArray[np.int64]
    rank: NDArray[np.int64]

    def of(self, sample: int) -> dict[str, Any]:
        """The nearest samples of one sample, and the rank of its own, as plain values."""
        return {"top": [int(x) for x in self.top[sample] if x >= 0], "rank": int(self.rank[sample])}


def neighbours(held: HeldOut) -> dict[tuple[str, str], Found]:
    """(query view, view of the gallery) -> the nearest samples that have the gallery's view.

    Within one view, the query itself is left out, and no rank is known. As in the measure of
    retrieval, equally similar samples count against the query's own.
    """
    return {(a, b): _found(held, a, b) for a, b in held.pairs}


def _found(held: HeldOut, a: str, b: str) -> Found:
    query, gallery = held.pairs[a, b]
    n = len(query)
    top, rank = np.full((n, min(FOUND, n)), -1), np.zeros(n, np.int64)
    for start in range(0, n, ROWS):
        here = np.arange(start, min(start + ROWS, n))
        similarity = np.where(held.present[b], query[here] @ gallery.T, -np.inf)
        own = similarity[np.arange(len(here)), here]
        if a == b:
            similarity[np.arange(len(here)), here] = -np.inf
        else:
            rank[here] = np.where(np.isfinite(own), (similarity >= own[:, None]).sum(1), 0)
        order = np.argsort(-similarity, axis=1, kind="stable")[:, : top.shape[1]]
        usable = np.isfinite(np.take_along_axis(similarity, order, axis=1))
        top[here] = np.where(usable, order, -1)
    return Found(np.where(held.present[a][:, None], top, -1), np.where(held.present[a], rank, 0))


def failures(found: Found, most: int) -> list[int]:
    """At most `most` samples whose own is not the nearest, spread evenly over all of them."""
    missed = np.flatnonzero(found.rank > 1)
    if len(missed) > most:
        missed = missed[np.linspace(0, len(missed) - 1, most).astype(int)]
    return [int(x) for x in missed]
