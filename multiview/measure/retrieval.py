"""Cross-view retrieval: one view of a held-out sample finds another view of the same sample.

Needs no labels. The query is the embedding of one view, the gallery holds the embeddings of the
other view of all samples of a pool. The rank of a query is the place of its own sample among the
pool by cosine similarity. A view without a partner has its effective rank measured instead.
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
from multiview.measure.rows import EFFECTIVE_RANK, MEDIAN_RANK, RANDOM, RECALL, TRAINED, Measure

Ranks = NDArray[np.int64]

POOL = 2000
"""Most samples of a pool."""
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


def pool(usable: NDArray[np.int64], most: int = POOL, seed: int = SEED) -> NDArray[np.int64]:
    """At most `most` of the usable positions, chosen by a seed, ascending.

    Whether a position is chosen depends on the seed and on the usable positions, not on processes.
    """
    order = np.argsort(bits(seed, 0, "retrieval pool", usable)[:, 0], kind="stable")
    return np.sort(usable[order[:most]])


def ranks(query: NDArray[Any], gallery: NDArray[Any]) -> Ranks:
    """The rank, from 1, of row i of the gallery (n, d) for row i of the queries (n, d).

    By cosine, in float64. Every other row that is as similar counts as more similar, so that equal
    embeddings give the last rank. Similarities are rounded to 2^-30, because the last bits of a
    product depend on the position of its rows. A zero vector has similarity 0 to every row. Raises
    MultiviewError when an embedding is NaN or infinite.
    """
    q, g = _unit(query), _unit(gallery)
    found = np.empty(len(q), np.int64)
    for start in range(0, len(q), ROWS):
        similarity = np.round(q[start : start + ROWS] @ g.T * 2.0**30)
        own = similarity[np.arange(len(similarity)), np.arange(start, start + len(similarity))]
        found[start : start + ROWS] = (similarity >= own[:, None]).sum(1)
    return found


def _unit(x: NDArray[Any]) -> NDArray[np.float64]:
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
    """95 % intervals over queries that are drawn again, with repetition, the same for equal n."""

    def __init__(self, n: int, draws: int = DRAWS, seed: int = SEED) -> None:
        numbers = bits(seed, 0, f"bootstrap of {n}", np.arange(draws), n) % np.uint64(n)
        self.index = numbers.astype(np.int32)
        flat = self.index + np.arange(draws)[:, None] * n
        self.times = np.bincount(flat.ravel(), minlength=draws * n).reshape(draws, n).astype(np.float32)
        self.n = n

    def of_mean(self, values: NDArray[Any]) -> tuple[float, float]:
        """The interval of the mean of values (n,)."""
        low, high = np.percentile(self.times @ values.astype(np.float32) / self.n, (2.5, 97.5))
        return float(low), float(high)

    def of_median(self, values: NDArray[Any]) -> tuple[float, float]:
        """The interval of the median of values (n,)."""
        low, high = np.percentile(np.median(values[self.index], axis=1), (2.5, 97.5))
        return float(low), float(high)


def measured(
    pairs: Sequence[Partners], embeddings: Mapping[str, Mapping[int, tuple[NDArray[Any], NDArray[Any]]]], split: str
) -> list[Measure]:
    """R@1, R@5, R@10 and the median rank of every ordered pair, for all weights.

    The R@1 of the trained weights carries its margin over the random weights, from the same draws
    of queries.

    Args:
        pairs: what was searched for.
        embeddings: weights -> number of the pair -> embeddings (n, d) of queries and of gallery.
        split: the split of the pool.
    """
    found = {weights: {i: ranks(*pair) for i, pair in of_pairs.items()} for weights, of_pairs in embeddings.items()}
    bootstraps = {n: Bootstrap(n) for n in {len(each) for of_pairs in found.values() for each in of_pairs.values()}}
    rows = []
    for weights, of_pairs in found.items():
        for i, pair in enumerate(pairs):
            control = found[RANDOM][i] if weights == TRAINED and RANDOM in found else None
            width = embeddings[weights][i][0].shape[1]
            rows += _rows(pair, of_pairs[i], control, bootstraps[len(of_pairs[i])], weights, width, split)
    return rows


def _rows(
    pair: Partners, found: Ranks, control: Ranks | None, draws: Bootstrap, weights: str, width: int, split: str
) -> list[Measure]:
    n = len(found)
    common: dict[str, Any] = {
        "views": (pair.query, pair.gallery),
        "group": f"{pair.query} -> {pair.gallery}",
        "weights": weights,
        "width": width,
        "split": split,
        "samples": {split: n},
    }
    rows = []
    for k in FIRST:
        hits = found <= k
        facts = {**pair.facts, "pool": n, "seed": SEED, "chance": min(1.0, k / n)}
        if k == 1 and control is not None:
            over = over_control(hits, control <= k, draws)
            facts["over_random"] = {"points": over.points, "low": over.low, "high": over.high}
        value = float(hits.mean())
        rows.append(Measure(measure=RECALL[k], value=value, interval=_of_share(hits, draws), facts=facts, **common))
    facts = {**pair.facts, "pool": n, "seed": SEED, "chance": (n + 1) / 2}
    limits: dict[str, Any] = {"unit": "rank", "range": (1.0, float(n)), "higher_is_better": False}
    interval = Interval(*draws.of_median(found), f"bootstrap of queries ({DRAWS} draws), 95 %")
    median = Measure(
        measure=MEDIAN_RANK, value=float(np.median(found)), interval=interval, facts=facts, **limits, **common
    )
    return [*rows, median]


def _of_share(hits: NDArray[np.bool_], draws: Bootstrap) -> Interval:
    """By the bootstrap; by Wilson where all queries agree, which a bootstrap takes for certain."""
    if hits.all() or not hits.any():
        return wilson(float(hits.mean()), len(hits))
    return Interval(*draws.of_mean(hits), f"bootstrap of queries ({DRAWS} draws), 95 %")


def over_control(hits: NDArray[np.bool_], control: NDArray[np.bool_], draws: Bootstrap) -> Margin:
    """How far the share of hits (n,) lies above that of the control on the same queries."""
    gain = hits.astype(np.int8) - control.astype(np.int8)
    if (gain == gain[0]).all():
        return margin(float(hits.mean()), float(control.mean()), len(hits), len(control))
    return around(float(gain.mean()), *draws.of_mean(gain))


def spread_row(view: str, h: NDArray[Any], weights: str, split: str) -> Measure:
    """The effective rank of the features h (n, d) of a view that has no partner."""
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
        facts={"embedding": "features h", "pool": len(h), "seed": SEED},
    )
