"""Cross-view retrieval: one view of a held-out sample finds another view of the same sample.

Needs no labels. The query is the embedding of one view, the gallery holds the embeddings of the
other view of all samples of a pool. The rank of a query is the place of its own sample among the
pool by cosine similarity. A view without a partner finds another crop of itself, if it has crops.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.counter_rng import bits
from multiview.measure.intervals import Interval, Margin, around, margin, wilson
from multiview.measure.knn import require_finite
from multiview.measure.rows import (
    CCA,
    EFFECTIVE_RANK,
    FUSED,
    MEDIAN_RANK,
    RANDOM,
    RECALL,
    RIDGE,
    TRAINED,
    Measure,
)

Ranks = NDArray[np.int64]

POOL = 2000
"""Most samples of a pool."""
CONTROLS = (RANDOM, RIDGE, CCA)
FIRST = (1, 5, 10)
"""A query counts as a hit of R@k when its sample is among the first k."""
SEED = 0
"""Chooses the pool, and the samples of the bootstrap."""
DRAWS = 1000
"""Draws of the bootstrap."""
ROWS = 512
"""Queries that are compared with the gallery at a time."""


@dataclass(frozen=True, kw_only=True)
class Partners:
    """An ordered pair of views, the embedding that both share, and the samples that have both.

    Args:
        query: the view that searches.
        gallery: the view that is found.
        facts: how the views are compared, as plain values.
        positions: of the pool in the split, (n,).
    """

    query: str
    gallery: str
    facts: Mapping[str, Any]
    positions: NDArray[np.int64]

    @property
    def name(self) -> str:
        """`image -> depth`; of two crops of one view `image -> image, another crop`."""
        return f"{self.query} -> {self.gallery}" + ", another crop" * (self.query == self.gallery)


def pool(usable: NDArray[np.int64], most: int = POOL, seed: int = SEED) -> NDArray[np.int64]:
    """At most `most` of the usable positions, chosen by a seed, ascending.

    Whether a position is chosen depends on the seed and on the usable positions, not on processes.
    """
    order = np.argsort(bits(seed, 0, "retrieval pool", usable)[:, 0], kind="stable")
    return np.sort(usable[order[:most]])


def ranks(query: NDArray[Any], gallery: NDArray[Any]) -> Ranks:
    """The rank, from 1, of row i of the gallery (n, d) for row i of the queries (n, d).

    By cosine, in float64. Every other row that is as similar counts as more similar, so that equal
    embeddings give the last rank. A zero vector has similarity 0 to every row. Raises
    MultiviewError when an embedding is NaN or infinite.
    """
    q, g = unit_rows(query), unit_rows(gallery)
    parts = [ranks_of(q[start : start + ROWS] @ g.T, start) for start in range(0, len(q), ROWS)]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def ranks_of(similarity: NDArray[np.float64], first: int = 0) -> Ranks:
    """The rank of column `first` + i of row i of similarities (m, n), ties counted against it.

    Similarities are rounded to 2^-30, because the last bits of a product depend on the position of
    its rows.
    """
    rounded = np.round(similarity * 2.0**30)
    own = rounded[np.arange(len(rounded)), np.arange(first, first + len(rounded))]
    return (rounded >= own[:, None]).sum(1)


def fused_ranks(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> Ranks:
    """The ranks by the sum of several cosine similarities, each with mean 0 and deviation 1.

    pairs: embeddings (n, d) of the queries and of the gallery, for each kind of similarity.
    """
    total = np.zeros((len(pairs[0][0]),) * 2)
    for query, gallery in pairs:
        similarity = unit_rows(query) @ unit_rows(gallery).T
        total += standardised(similarity)
    return ranks_of(total)


def standardised(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Similarities with mean 0 and deviation 1; equal ones are 0."""
    return (similarity - similarity.mean()) / max(similarity.std(), 1e-12)


def unit_rows(x: NDArray[Any]) -> NDArray[np.float64]:
    """The rows of x (n, d) with length 1, in float64; rows of zeros stay.

    Raises MultiviewError for NaN and infinity.
    """
    rows = np.asarray(x, np.float64)
    require_finite(int((~np.isfinite(rows)).any(1).sum()), len(rows), "held-out")
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)


def effective_rank(h: NDArray[Any]) -> float:
    """e^entropy of the normalised singular values of h (n, d): how many directions h uses.

    From 1 to min(n, d). RankMe (arXiv:2210.02885, Eq. 1), computed in float64.
    """
    values = np.linalg.svd(np.asarray(h, np.float64), compute_uv=False)
    share = values / max(values.sum(), 1e-12)
    share = share[share > 0]
    return float(np.exp(-(share * np.log(share)).sum())) if len(share) else 1.0


class Bootstrap:
    """95 % intervals over queries that are drawn again, with repetition, the same for equal n.

    groups: (n,) codes; whole groups are drawn then, because samples of one group are alike, and an
    interval over samples would be too narrow (Field and Welsh, JRSS B 69, 2007).
    """

    def __init__(self, n: int, draws: int = DRAWS, seed: int = SEED, groups: NDArray[np.int64] | None = None) -> None:
        codes = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
        count = int(codes.max(initial=-1)) + 1
        numbers = bits(seed, 0, f"bootstrap of {count}", np.arange(draws), count) % np.uint64(max(count, 1))
        flat = numbers.astype(np.int64) + np.arange(draws)[:, None] * count
        times = np.bincount(flat.ravel(), minlength=draws * count).reshape(draws, count)[:, codes]
        self.times = times.astype(np.float32)
        self.size = np.maximum(self.times.sum(1), 1)
        self.n, self.groups, self.draws = n, None if count == n else count, draws

    @property
    def method(self) -> str:
        """What an interval is called in a row."""
        return f"bootstrap of {'groups' if self.groups else 'queries'} ({self.draws} draws), 95 %"

    @property
    def facts(self) -> dict[str, Any]:
        """The fact `groups` of a row: how many are drawn; nothing when samples are drawn."""
        return {"groups": self.groups} if self.groups else {}

    def of_mean(self, values: NDArray[Any]) -> tuple[float, float]:
        """The interval of the mean of values (n,)."""
        return _middle(self.times @ values.astype(np.float32) / self.size)

    def of_ratio(self, above: NDArray[Any], below: NDArray[Any]) -> tuple[float, float]:
        """The interval of the ratio of two sums, each over n values."""
        sums = self.times @ np.stack([above, below], 1).astype(np.float32)
        return _middle(sums[:, 0] / np.maximum(sums[:, 1], 1e-12))

    def of_median(self, values: NDArray[Any]) -> tuple[float, float]:
        """The interval of the median of values (n,): the mean of both middle ones of an even n."""
        order = np.argsort(values, kind="stable")
        reached = np.cumsum(self.times[:, order], axis=1)
        lower, upper = ((reached >= part[:, None]).argmax(1) for part in ((self.size + 1) // 2, self.size // 2 + 1))
        return _middle((values[order][lower] + values[order][upper]) / 2)


def _middle(values: NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What one ordered pair of views found.

    Args:
        pair: the views.
        found: weights -> the ranks of the queries, (n,).
        widths: weights -> the width of the embeddings.
        facts: weights -> further facts of their rows.
        draws: the bootstrap over the queries.
    """

    pair: Partners
    found: Mapping[str, Ranks]
    widths: Mapping[str, int]
    facts: Mapping[str, Mapping[str, Any]]
    draws: Bootstrap


def rows_of(searched: Searched, split: str) -> list[Measure]:
    """R@1, R@5, R@10 and the median rank of one ordered pair, for all weights.

    The R@1 of the trained weights carries its margins over the controls, from the same draws of
    queries, and its R@10 that over random weights; the R@1 of the fused similarities the margin
    over the trained weights alone.
    """
    pair, found = searched.pair, searched.found
    rows = []
    for weights, each in found.items():
        against = {TRAINED: CONTROLS, FUSED: (TRAINED,)}.get(weights, ())
        margins = {
            1: {f"over_{other}": _margin(each, found[other], 1, searched.draws) for other in against if other in found}
        }
        if weights == TRAINED and RANDOM in found:
            margins[FIRST[-1]] = {f"over_{RANDOM}": _margin(each, found[RANDOM], FIRST[-1], searched.draws)}
        facts = {**pair.facts, **searched.facts.get(weights, {}), "seed": SEED, **searched.draws.facts}
        common: dict[str, Any] = {"views": (pair.query, pair.gallery), "group": pair.name, "weights": weights}
        common |= {"width": searched.widths[weights], "split": split, "samples": {split: len(each)}}
        rows += _rows(each, searched.draws, facts, margins, common)
    return rows


def _margin(found: Ranks, control: Ranks, k: int, draws: Bootstrap) -> dict[str, float]:
    over = over_control(found <= k, control <= k, draws)
    return {"points": over.points, "low": over.low, "high": over.high}


def _rows(
    found: Ranks,
    draws: Bootstrap,
    facts: Mapping[str, Any],
    margins: Mapping[int, Mapping[str, Mapping[str, float]]],
    common: Mapping[str, Any],
) -> list[Measure]:
    n = len(found)
    rows = []
    for k in FIRST:
        hits = found <= k
        known = {**facts, "pool": n, "chance": min(1.0, k / n), **margins.get(k, {})}
        interval = _of_share(hits, draws)
        rows.append(Measure(measure=RECALL[k], value=float(hits.mean()), interval=interval, facts=known, **common))
    known = {**facts, "pool": n, "chance": (n + 1) / 2}
    limits: dict[str, Any] = {"unit": "rank", "range": (1.0, float(n)), "higher_is_better": False}
    interval = Interval(*draws.of_median(found), draws.method)
    median = Measure(
        measure=MEDIAN_RANK, value=float(np.median(found)), interval=interval, facts=known, **limits, **common
    )
    return [*rows, median]


def _of_share(hits: NDArray[np.bool_], draws: Bootstrap) -> Interval:
    """By the bootstrap; by Wilson where all queries agree, which a bootstrap takes for certain."""
    if hits.all() or not hits.any():
        return wilson(float(hits.mean()), draws.groups or len(hits))
    return Interval(*draws.of_mean(hits), draws.method)


def over_control(hits: NDArray[np.bool_], control: NDArray[np.bool_], draws: Bootstrap) -> Margin:
    """How far the share of hits (n,) lies above that of the control on the same queries."""
    gain = hits.astype(np.int8) - control.astype(np.int8)
    if (gain == gain[0]).all():
        count = draws.groups or len(hits)
        return margin(float(hits.mean()), float(control.mean()), count, count)
    return around(float(gain.mean()), *draws.of_mean(gain))


def spread_row(view: str, h: NDArray[Any], weights: str, split: str, alone: bool) -> Measure:
    """The effective rank of the features h (n, d). alone: the view has no other view to find."""
    return Measure(
        measure=EFFECTIVE_RANK,
        views=(view,),
        group=view,
        weights=weights,
        value=effective_rank(h),
        unit="dimensions",
        range=(1.0, float(min(h.shape))),
        width=h.shape[1],
        split=split,
        samples={split: len(h)},
        facts={"embedding": "features h", "pool": len(h), "seed": SEED, "alone": alone},
    )
