"""Orders of the held-out samples: the ones whose own is found first, last, or differently.

The gallery of the page shows a few queries of every order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from multiview.gallery.held_out import HeldOut
from multiview.gallery.neighbours import Found

Numbers = NDArray[np.int64]
NEAREST, HARDEST, DISAGREEING, SPREAD = "nearest", "hardest", "disagreeing", "spread"


def orders(
    held: HeldOut, found: Mapping[tuple[str, str], Found], searched: Mapping[tuple[str, str], Found]
) -> dict[str, Numbers]:
    """Name of an order -> samples, the most fitting first; orders that say nothing are left out.

    `nearest`: the own sample is found first in other views, or in another crop of a view without a
    partner, by the mean logarithm of its ranks; of equal ranks, the most similar first. Without
    any, the similarity of the nearest sample counts. `hardest`: the reverse. `disagreeing`: the
    nearest samples of one view are the least similar in the other views.

    searched: what `searches` gives.
    """
    effort = _effort(held, searched) if searched else _loneliness(found)
    known = np.flatnonzero(np.isfinite(effort))
    rising = known[np.argsort(effort[known], kind="stable")]
    made = {NEAREST: rising, HARDEST: rising[::-1]}
    agreement = _agreement(held, found)
    both = np.flatnonzero(np.isfinite(agreement))
    if len(both):
        made[DISAGREEING] = both[np.argsort(agreement[both], kind="stable")]
    made[SPREAD] = np.arange(len(held.rows))
    return made


def _loneliness(found: Mapping[tuple[str, str], Found]) -> NDArray[np.float64]:
    """How unlike its nearest sample every sample is, (n,); NaN where it has none."""
    return _mean([np.where(_has(each), -each.best, np.nan) for each in found.values()])


def _effort(held: HeldOut, searched: Mapping[tuple[str, str], Found]) -> NDArray[np.float64]:
    """How hard every sample is to find, (n,): low = easy, NaN = no search has it."""
    ranks = [np.where(each.rank > 0, np.log(np.maximum(each.rank, 1)), np.nan) for each in searched.values()]
    likeness = [np.where(each.rank > 0, _own(held, *pair), np.nan) for pair, each in searched.items()]
    return _mean(ranks) - 1e-3 * _mean(likeness)


def _own(held: HeldOut, a: str, b: str) -> NDArray[np.float64]:
    query, gallery = held.crops[a] if a == b else held.pairs[a, b]
    return np.einsum("nd,nd->n", query.astype(np.float64), gallery.astype(np.float64))


def _agreement(held: HeldOut, found: Mapping[tuple[str, str], Found]) -> NDArray[np.float64]:
    """The mean similarity, in one view, of a sample and its nearest ones in another view, (n,).

    Similarities are compared with those of random pairs in the same view, because views differ in
    their spread.
    """
    within = [(a, b, found[a, a].top) for a, own in found if a == own for b in held.z if b != a]
    values = [_seen_in(held.z[b], top, held.present[a] & held.present[b], held.present[b]) for a, b, top in within]
    return _mean(values) if values else np.full(len(held.rows), np.nan)


def _seen_in(
    z: NDArray[np.float32], top: Numbers, there: NDArray[np.bool_], has: NDArray[np.bool_]
) -> NDArray[np.float64]:
    usable = (top >= 0) & has[np.maximum(top, 0)] & there[:, None]
    likeness = np.einsum("nd,nkd->nk", z, z[np.maximum(top, 0)]).astype(np.float64)
    mean = _mean(list(np.where(usable, likeness, np.nan).T))
    spread = np.nanstd(mean) if np.isfinite(mean).any() else 1.0
    centre = np.nanmean(mean) if np.isfinite(mean).any() else 0.0
    return (mean - centre) / max(float(spread), 1e-9)


def _has(found: Found) -> NDArray[np.bool_]:
    return found.top[:, 0] >= 0


def _mean(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The mean over the known values of every sample; NaN where none is known."""
    each = np.stack(values)
    known = np.isfinite(each)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, each, 0).sum(axis=0) / np.maximum(count, 1), np.nan)
