"""The controls without a network for every pair of a plan: ridge regression and CCA."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from multiview.measure.plain_models import FEWEST, FITS, Chosen, Rows, choose, components, folds_within
from multiview.measure.plain_values import PLAIN
from multiview.measure.rows import CCA

if TYPE_CHECKING:
    from multiview.measure.partners import Plan
    from multiview.measure.unlabelled import Part


class Controls:
    """Fits the controls on training samples, and gives the embeddings of held-out samples.

    Args:
        plan: the pairs.
        pool: the held-out samples, on the crops of queries and of the gallery.
        fitted: the training samples, likewise.
    """

    def __init__(self, plan: Plan, pool: tuple[Part, Part], fitted: tuple[Part, Part]) -> None:
        self.plan, self.pool, self.fitted = plan, pool, fitted
        self.components = cache(self._components)
        self.usual: dict[tuple[str, frozenset[str]], tuple[str, float, float]] = {}

    def of_pair(
        self, i: int, at: NDArray[np.int64]
    ) -> tuple[dict[str, tuple[Rows, Rows]], dict[str, Mapping[str, Any]]]:
        """`ridge`, `cca` -> embeddings of the rows `at` of the pool, and -> facts of their rows.

        Both are empty with fewer than 12 training samples that have both views.
        """
        pair = self.plan.pairs[i]
        ours, theirs = (part.places(part.positions, pair.query, pair.gallery) for part in self.fitted)
        train = np.intersect1d(ours, theirs)
        if len(train) < FEWEST:
            return {}, {}
        folds = folds_within(train, self.fitted[0].groups_at(train))
        x = {plain: self.components(plain, 0, pair.query) for plain in PLAIN}
        y = {plain: self.components(plain, 1, pair.gallery) for plain in PLAIN}
        known = {plain: (x[plain][0][train], y[plain][0][train]) for plain in PLAIN}
        found: dict[str, tuple[Rows, Rows]] = {}
        facts: dict[str, Mapping[str, Any]] = {}
        for name in FITS:
            chosen = self._chosen(name, frozenset((pair.query, pair.gallery)), known, folds)
            found[name] = chosen.relation(x[chosen.plain][1][at], y[chosen.plain][1][at])
            facts[name] = {
                "plain": chosen.plain,
                "penalty": chosen.penalty,
                "score": chosen.score,
                "fitted": len(train),
            }
        return found, facts

    def _chosen(
        self, name: str, views: frozenset[str], known: Mapping[str, tuple[Rows, Rows]], folds: NDArray[np.int64]
    ) -> Chosen:
        """The chosen model; CCA is the same in both directions, and is chosen for one of them."""
        if name != CCA or (name, views) not in self.usual:
            chosen = choose(FITS[name], known, folds)
            self.usual[name, views] = chosen.plain, chosen.penalty, chosen.score
            return chosen
        plain, penalty, score = self.usual[name, views]
        relation = FITS[name](*known[plain], penalty)
        return Chosen(relation=relation, plain=plain, penalty=penalty, score=score)

    def _components(self, plain: str, side: int, view: str) -> tuple[Rows, Rows]:
        """The components of training samples and of the pool, made from the training samples."""
        first = self.fitted[0]
        made = components(first.arrays[plain, view][first.places(first.positions, view)], plain == "statistics")
        return made(self.fitted[side].arrays[plain, view]), made(self.pool[side].arrays[plain, view])
