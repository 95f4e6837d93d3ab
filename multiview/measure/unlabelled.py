"""Everything that is measured without labels, from few passes over the data.

Held-out samples are embedded on the crop `query`, and on the crop `gallery` when the views have
places; training samples teach the controls and the regressions of the kept facts.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from multiview.batch import Batch
from multiview.data.load.absent import require_modalities
from multiview.data.load.dataset import Samples
from multiview.distributed import on_first
from multiview.errors import MultiviewError
from multiview.measure.cuts import GALLERY, QUERY, cut_views
from multiview.measure.embeddings import collected, pooled
from multiview.measure.kept import facts_of
from multiview.measure.labelled_splits import spread_evenly
from multiview.measure.partners import Plan
from multiview.measure.plain_values import PLAIN
from multiview.measure.rows import Measure
from multiview.measure.threads import on_one_core
from multiview.measure.unlabelled_rows import all_rows
from multiview.model import MultiviewModel
from multiview.train.groups import values_of

if TYPE_CHECKING:
    from multiview.data.store.reading import Store
    from multiview.trained import Trained

FITTED = 2000
"""Most training samples that ridge regression and CCA are fitted on."""
KEPT_ON = 1000
"""Most training samples that the regressions of the kept facts are fitted on."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one pass over samples of a split gave.

    Args:
        positions: of the samples in the split, ascending, (n,).
        arrays: ("h", weights, view), ("values", view), ("statistics", view), ("fact", name, view)
            -> (n, width).
        present: view -> whether a sample has it, (n,).
        groups: the group of each sample, (n,); None without groups.
    """

    positions: NDArray[np.int64]
    arrays: Mapping[Hashable, NDArray[np.float32]]
    present: Mapping[str, NDArray[np.bool_]]
    groups: NDArray[np.int64] | None

    def places(self, positions: NDArray[np.int64], *views: str) -> NDArray[np.int64]:
        """Where the samples at `positions` stand in the arrays, without those that lack a view."""
        at = np.searchsorted(self.positions, positions)
        return at[np.all([self.present[view][at] for view in views], axis=0)]

    def groups_at(self, at: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """The groups of the rows `at`."""
        return None if self.groups is None else self.groups[at]


def unlabelled(
    trained: Trained, plan: Plan, models: Mapping[str, MultiviewModel], device: torch.device, *, plain: bool = True
) -> list[Measure]:
    """The rows of retrieval, of the geometry of the embeddings, and of what the features keep.

    Args:
        trained: the run.
        plan: what is searched for, and where.
        models: `trained` and `random` -> the model.
        device: where views and features are computed.
        plain: whether ridge regression and CCA are fitted as controls.

    Every process must call it; all get the same rows.
    """
    passes = Passes(trained, models, device)
    query = passes.over(plan.split, plan.positions, cut=QUERY if plan.cut else "", plain=True, kept=True)
    gallery = passes.over(plan.split, plan.positions, cut=GALLERY, plain=True) if plan.cut else query
    pairs, alone = _train_positions(trained, plan, FITTED), _train_positions(trained, plan, KEPT_ON)
    fitted_query = fitted_gallery = kept = None
    if plain and plan.split != "train" and len(pairs) and plan.pairs:
        fitted_query = passes.over("train", pairs, cut=QUERY if plan.cut else "", plain=True, models=False)
        fitted_gallery = fitted_query
        if plan.cut:
            fitted_gallery = passes.over("train", pairs, cut=GALLERY, plain=True, models=False)
    if plan.split != "train" and len(alone):
        kept = passes.over("train", alone, cut=QUERY if plan.cut else "", kept=True)
    fitted = (fitted_query, fitted_gallery) if fitted_query and fitted_gallery else None
    return on_first(lambda: on_one_core(lambda: all_rows(plan, models, (query, gallery), fitted, kept)))


def _train_positions(trained: Trained, plan: Plan, most: int) -> NDArray[np.int64]:
    """At most so many training samples that have a view of the plan, spread evenly."""
    store = trained.store
    if "train" not in store.manifest.splits:
        return np.empty(0, np.int64)
    rows = store.rows("train")
    views = dict.fromkeys([*(v for pair in plan.pairs for v in (pair.query, pair.gallery)), *plan.alone])
    there = [store.present(trained.setup.views[view].modality)[rows] for view in views]
    return spread_evenly(np.flatnonzero(np.any(there, axis=0)), most)


class Passes:
    """Passes over samples of a run: one pass computes all that is wanted of a batch."""

    def __init__(
        self,
        trained: Trained,
        models: Mapping[str, MultiviewModel],
        device: torch.device,
        label: str | None = "evaluating without labels",
    ) -> None:
        self.trained, self.models, self.device, self.label = trained, models, device, label
        self.stored = require_modalities(trained.setup.views.values(), trained.store)
        self.codes = group_codes(trained)

    def over(
        self,
        split: str,
        positions: NDArray[np.int64],
        cut: str,
        *,
        plain: bool = False,
        kept: bool = False,
        models: bool = True,
    ) -> Part:
        """One pass.

        Args:
            split: of the samples.
            positions: the samples.
            cut: the crop, `query` or `gallery`; empty = the central crop.
            plain: compute values and statistics of the views.
            kept: compute the facts of the stored samples.
            models: compute the features of all models.
        """
        store, views = self.trained.store, self.trained.setup.views
        views = cut_views(views, cut) if cut else views
        samples = Samples(store, split, views, train=bool(cut))

        def compute(batch: Batch, x: Mapping[str, Tensor]) -> dict[Hashable, Tensor]:
            found: dict[Hashable, Tensor] = {}
            for weights, model in self.models.items() if models else ():
                found |= {("h", weights, view): h for view, h in pooled(model.features(x)).items()}
            for view in views if plain else ():
                found |= {(kind, view): said(views[view], x[view]) for kind, said in PLAIN.items()}
            for view in views if kept else ():
                stored = batch.crops[views[view].crop.name][views[view].modality]
                facts = facts_of(self.stored[views[view].modality], stored)
                found |= {("fact", name, view): fact for name, fact in facts.items()}
            return found

        label = self.label and f"{self.label}, {split}"
        arrays, present = collected(samples, views, compute, self.device, positions, label)
        groups = None if self.codes is None else self.codes[store.rows(split)[positions]]
        return Part(positions=positions, arrays=arrays, present=present, groups=groups)


def group_codes(trained: Trained) -> NDArray[np.int64] | None:
    """The group of every row of the data, a number; None without groups.

    By the column that the run was given, else the first that the store keeps. A row without a value
    is a group of its own.
    """
    return group_codes_of(trained.store, [name for name in (trained.group, *trained.store.group_names) if name])


def group_codes_of(store: Store, columns: Sequence[str]) -> NDArray[np.int64] | None:
    """`group_codes` by the first of these columns that the store has."""
    for column in columns:
        try:
            names: Sequence[str | None] = values_of(store, column)
        except MultiviewError:  # other data, without this column
            continue
        numbers: dict[Any, int] = {}
        return np.array(
            [numbers.setdefault(row if name is None else name, len(numbers)) for row, name in enumerate(names)]
        )
    return None
