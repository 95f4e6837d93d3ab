"""Late fusion of a search: similarities of the model and of a linear model, summed.

The linear model is ridge regression or CCA between the views of queries and gallery, as the
evaluation has them for its controls: fitted to training samples, chosen on folds of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.data.load.dataset import Samples
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError, printable
from multiview.measure.embeddings import collected
from multiview.measure.labelled_splits import spread_evenly
from multiview.measure.plain_models import FEWEST, FITS, Chosen, Components, Rows, choose, components, folds_of
from multiview.measure.plain_values import statistics, values
from multiview.measure.retrieval import unit_rows
from multiview.measure.unlabelled import FITTED, group_codes_of
from multiview.portable.model import PortableModel
from multiview.portable.opening import open_for
from multiview.view import View

PLAIN = {"values": values, "statistics": statistics}
CPU = torch.device("cpu")


class LateFusion:
    """Ridge regression or CCA between two views of a run's data, beside the cosine of the model.

    Args:
        model: the model of the run.
        spec: the data that it was trained on.
        query: the view of the queries.
        found: the view that is searched, another one.

    Raises MultiviewError for one view, for an embedding of several, and for fewer than 12 training
    samples that have both.
    """

    def __init__(self, model: PortableModel, spec: str, query: str, found: str) -> None:
        if query == found:
            raise MultiviewError(
                f"late fusion joins the model with ridge regression or CCA between two views, and queries and gallery "
                f"are both {query}; give another view with --in."
            )
        if fused := [view for view in (query, found) if view in model.fusions]:
            raise MultiviewError(
                f"late fusion relates two views, and {fused[0]} is an embedding of several; give views of the model: "
                f"{', '.join(model.parts)}."
            )
        opened = open_for(model, spec, views=[query, found])
        self.model, self.query, self.found = model, query, found
        train = _training_rows(opened.store, [opened.views[view] for view in (query, found)])
        if len(train) < FEWEST:
            raise MultiviewError(
                f"late fusion fits a linear model to training samples that have {query} and {found}; {spec} has "
                f"{len(train)} of them, and {FEWEST} are needed."
            )
        self._fit(opened.store, opened.views, train)
        self.row = {name: row for row, name in enumerate(opened.store.ids)}
        self.store, self.views = opened.store, opened.views
        self.of_gallery = self._embedded(opened.store, opened.views, found)

    def _fit(self, store: Store, views: Mapping[str, View], train: NDArray[np.int64]) -> None:
        known: dict[str, dict[str, Rows]] = {}
        self.made: dict[tuple[str, str], Components] = {}
        for view in (self.query, self.found):
            plain = _plain(store, view, views[view], train, tuple(PLAIN))
            for name, x in plain.items():
                self.made[name, view] = components(x, name == "statistics")
                known.setdefault(name, {})[view] = self.made[name, view](x)
        codes = group_codes_of(store, store.group_names)
        folds = folds_of(train if codes is None else codes[train])
        folds = folds if folds.any() else folds_of(train)
        pairs = {name: (of[self.query], of[self.found]) for name, of in known.items()}
        tried = {name: choose(fit, pairs, folds) for name, fit in FITS.items()}
        self.name = max(tried, key=lambda name: tried[name].score)
        self.chosen: Chosen = tried[self.name]

    def _embedded(self, store: Store, views: Mapping[str, View], view: str) -> Rows:
        """The linear embeddings of every row of a store; of rows without the view anything."""
        plain, relation = self.chosen.plain, self.chosen.relation
        x = self.made[plain, view](_plain(store, view, views[view], np.arange(len(store)), (plain,))[plain])
        return relation.of_queries(x) if view == self.query else relation.of_gallery(x)

    def of_ids(self, ids: Sequence[str]) -> Rows:
        """The linear embeddings (n, d) of queries that are samples of the data."""
        rows = self._rows(ids)
        x = _plain(self.store, self.query, self.views[self.query], rows, (self.chosen.plain,))[self.chosen.plain]
        return self.chosen.relation.of_queries(self.made[self.chosen.plain, self.query](x))

    def _rows(self, ids: Sequence[str]) -> NDArray[np.int64]:
        new = next((each for each in ids if each not in self.row), None)
        if new is not None:
            raise MultiviewError(
                f"late fusion reads {printable(self.store.name)}, which does not hold '{printable(new)}': the data "
                "have changed since the run began. Leave --late_fusion out, or train again."
            )
        return np.array([self.row[each] for each in ids])

    def of_files(self, spec: str) -> Mapping[str, Rows]:
        """Id -> the linear embedding (d,) of every sample of a file, a folder or a store."""
        opened = open_for(self.model, spec, views=[self.query])
        return dict(zip(opened.store.ids, self._embedded(opened.store, opened.views, self.query), strict=True))

    def similarities(self, cosines: NDArray[Any], query: Rows, ids: Sequence[str]) -> NDArray[np.float64]:
        """The sums (n,) of both similarities of a query, each with mean 0 and deviation 1 over n.

        Args:
            cosines: of the model, (n,).
            query: the linear embedding of the query (d,).
            ids: the n samples of the gallery.
        """
        gallery = self.of_gallery[self._rows(ids)]
        linear = unit_rows(gallery) @ unit_rows(query[None])[0]
        return sum((_standardised(each) for each in (np.asarray(cosines, np.float64), linear)), np.zeros(len(ids)))

    @property
    def words(self) -> str:
        """A sentence on what is summed."""
        called = {"ridge": "ridge regression", "cca": "CCA"}[self.name]
        return (
            f"late fusion: similarities of the model and of {called} on {self.chosen.plain} of {self.query} and "
            f"{self.found}, fitted to training samples; each has mean 0 and deviation 1 over the gallery, and their "
            "sums are shown."
        )


def _standardised(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return (x - x.mean()) / max(float(x.std()), 1e-12)


def _training_rows(store: Store, views: Sequence[View]) -> NDArray[np.int64]:
    """At most 2,000 rows of the train split that have all views, spread evenly."""
    rows = store.rows("train") if "train" in store.split_names else store.rows()
    return spread_evenly(rows[np.all([store.present(view.modality)[rows] for view in views], axis=0)], FITTED)


def _plain(store: Store, name: str, view: View, rows: NDArray[np.int64], kinds: tuple[str, ...]) -> dict[str, Rows]:
    """`values`, `statistics` -> what the view says without a network, (rows, width)."""
    samples = Samples(store, None, {name: view}, train=False)
    found, _ = collected(
        samples, {name: view}, lambda _, x: {kind: PLAIN[kind](view, x[name]) for kind in kinds}, CPU, rows
    )
    return {kind: np.asarray(x, np.float64) for kind, x in found.items()}
