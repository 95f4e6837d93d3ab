"""From the arrays of the passes to rows: retrieval and its controls, geometry, kept facts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.measure.geometry import pair_rows, view_rows
from multiview.measure.kept import kept_rows
from multiview.measure.knn import require_finite
from multiview.measure.plain_controls import Controls
from multiview.measure.retrieval import Bootstrap, Searched, fused_ranks, ranks, rows_of
from multiview.measure.rows import FUSED, TRAINED, Measure
from multiview.model import MultiviewModel
from multiview.objectives.needs import Head

if TYPE_CHECKING:
    from multiview.measure.partners import Plan
    from multiview.measure.unlabelled import Part

Both = tuple["Part", "Part"]
"""A pass on the crops of queries and one on those of the gallery; the same if nothing is cut."""


def all_rows(
    plan: Plan, models: Mapping[str, MultiviewModel], pool: Both, fitted: Both | None, kept: Part | None
) -> list[Measure]:
    """All rows without labels.

    Args:
        plan: what is searched for.
        models: weights -> the model whose projectors are used.
        pool: the held-out samples.
        fitted: the training samples of the controls; None = no controls without a network.
        kept: the training samples of the regressions of kept facts; None = no such rows.
    """
    embed = Embeddings(plan, models, pool)
    controls = Controls(plan, pool, fitted) if fitted else None
    rows = [row for i in range(len(plan.pairs)) for row in rows_of(_searched(plan, i, embed, controls), plan.split)]
    rows += _geometry(plan, list(models), embed)
    return [*rows, *(_kept(plan, list(models), pool[0], kept) if kept else [])]


class Embeddings:
    """The embeddings of the pairs of a plan, from the features of the passes."""

    def __init__(self, plan: Plan, models: Mapping[str, MultiviewModel], pool: Both) -> None:
        self.plan, self.models, self.pool = plan, models, pool
        self.z = cache(self._z)

    @torch.no_grad()
    def _z(self, weights: str, side: int, view: str, head: Head) -> NDArray[np.float32]:
        model = self.models[weights].eval()
        h = torch.from_numpy(self.pool[side].arrays["h", weights, view]).to(next(model.parameters()).device)
        return model.projector(view, head)(h).float().cpu().numpy()

    def at(self, i: int) -> NDArray[np.int64]:
        """The rows of the samples of pair i that could be read."""
        pair = self.plan.pairs[i]
        first, second = (part.places(pair.positions, pair.query, pair.gallery) for part in self.pool)
        return np.intersect1d(first, second)

    def of_pair(self, weights: str, i: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Embeddings (n, d) of the queries and of the gallery of pair i."""
        pair, heads, at = self.plan.pairs[i], self.plan.heads[i], self.at(i)
        return self.z(weights, 0, pair.query, heads[0])[at], self.z(weights, 1, pair.gallery, heads[1])[at]


def _searched(plan: Plan, i: int, embed: Embeddings, controls: Controls | None) -> Searched:
    at = embed.at(i)
    pairs: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    pairs |= {weights: embed.of_pair(weights, i) for weights in embed.models}
    facts: dict[str, Mapping[str, Any]] = {}
    found = {weights: ranks(*pair) for weights, pair in pairs.items()}
    if controls:
        plain, facts = controls.of_pair(i, at)
        found |= {weights: ranks(*pair) for weights, pair in plain.items()}
        pairs |= plain
        if plain and TRAINED in pairs:
            best = max(plain, key=lambda weights: facts[weights]["score"])
            found[FUSED] = fused_ranks([pairs[TRAINED], plain[best]])
            pairs, facts = pairs | {FUSED: pairs[TRAINED]}, facts | {FUSED: {"with": best}}
    widths = {weights: pair[0].shape[1] for weights, pair in pairs.items()}
    draws = _bootstrap(len(at), embed.pool[0].groups_at(at))
    return Searched(pair=plan.pairs[i], found=found, widths=widths, facts=facts, draws=draws)


_KNOWN: dict[Any, Bootstrap] = {}


def _bootstrap(n: int, groups: NDArray[np.int64] | None) -> Bootstrap:
    """The bootstrap of n samples; the newest one is kept, because pairs mostly share it."""
    key = (n, None if groups is None else groups.tobytes())
    if key not in _KNOWN:
        _KNOWN.clear()
        _KNOWN[key] = Bootstrap(n, groups=groups)
    return _KNOWN[key]


def _views(plan: Plan) -> list[str]:
    """The views that are searched for or measured alone."""
    return list(dict.fromkeys([*(v for pair in plan.pairs for v in (pair.query, pair.gallery)), *plan.alone]))


def _geometry(plan: Plan, weights: list[str], embed: Embeddings) -> list[Measure]:
    """Rows of every view, then of every two views."""
    views = _views(plan)
    rows = [row for view in views for each in weights for row in _of_view(plan, view, each, embed)]
    numbers = {(pair.query, pair.gallery): i for i, pair in enumerate(plan.pairs)}
    for i in (numbers[two] for two in combinations(views, 2) if two in numbers):
        pair, heads, at, first = plan.pairs[i], plan.heads[i], embed.at(i), embed.pool[0].arrays
        for each in weights:  # both of the same crop: CKA compares features of the same pixels
            h = first["h", each, pair.query][at], first["h", each, pair.gallery][at]
            z = embed.z(each, 0, pair.query, heads[0])[at], embed.z(each, 0, pair.gallery, heads[1])[at]
            rows += pair_rows((pair.query, pair.gallery), h, z, each, plan.split)
    return rows


def _of_view(plan: Plan, view: str, weights: str, embed: Embeddings) -> list[Measure]:
    own = [i for i, pair in enumerate(plan.pairs) if pair.query == view]
    pool = embed.pool[0]
    at = pool.places(pool.positions, view)
    z = embed.z(weights, 0, view, plan.heads[own[0]][0])[at] if own else None
    h = pool.arrays["h", weights, view][at]
    require_finite(int((~np.isfinite(h)).any(1).sum()), len(h), "held-out")
    partners = [embed.of_pair(weights, i) for i in own]
    return view_rows(view, h, z, partners, weights=weights, split=plan.split, alone=view in plan.alone)


def _kept(plan: Plan, weights: list[str], pool: Part, train: Part) -> list[Measure]:
    rows: list[Measure] = []
    for view in _views(plan):  # without a second view of the same input
        fitted, tested = train.places(train.positions, view), pool.places(pool.positions, view)
        if len(fitted) < 2 or len(tested) < 2:
            continue
        h = {each: (train.arrays["h", each, view][fitted], pool.arrays["h", each, view][tested]) for each in weights}
        names = [key[1] for key in pool.arrays if isinstance(key, tuple) and key[0] == "fact" and key[2] == view]
        facts = {n: (train.arrays["fact", n, view][fitted], pool.arrays["fact", n, view][tested]) for n in names}
        rows += kept_rows(view, h, facts, _bootstrap(len(tested), pool.groups_at(tested)), plan.split)
    return rows
