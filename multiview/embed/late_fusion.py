"""Late fusion of a search: similarities of the model and of a linear model, summed.

The linear model is ridge regression or CCA between the views of queries and gallery, as the
evaluation has them for its controls: fitted to training samples, chosen on folds of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.data.load.dataset import Samples
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError, printable
from multiview.measure.embeddings import collected
from multiview.measure.labelled_splits import spread_evenly
from multiview.measure.plain_models import FEWEST, FITS, Chosen, Components, Rows, choose, components, folds_within
from multiview.measure.plain_values import PLAIN
from multiview.measure.retrieval import standardised, unit_rows
from multiview.measure.rows import IN_WORDS
from multiview.measure.unlabelled import FITTED, group_codes_of
from multiview.portable.model import PortableModel
from multiview.portable.opening import open_for
from multiview.view import View

CPU = torch.device("cpu")


class LateFusion:
    """Ridge regression or CCA between two views of a run's data, beside the cosine of the model.

    Args:
        model: the model of the run.
        spec: the data that it was trained on.
        query: the view of the queries.
        found: the view that is searched, another one.
        ids: the samples of the gallery.

    Raises MultiviewError for one view, for an embedding of several, for fewer than 12 training
    samples that have both, and for ids that the data do not hold.
    """

    def __init__(self, model: PortableModel, spec: str, query: str, found: str, ids: Sequence[str]) -> None:
        _require_two_views(model, query, found)
        opened = open_for(model, spec, views=[query, found])
        self.model, self.query, self.found = model, query, found
        self.store, self.views = opened.store, opened.views
        self.rows = _rows_of(opened.store, ids)
        train = _training_rows(opened.store, [opened.views[view] for view in (query, found)])
        if len(train) < FEWEST:
            raise MultiviewError(
                f"late fusion fits a linear model to training samples that have {query} and {found}; {spec} has "
                f"{len(train)} of them, and {FEWEST} are needed."
            )
        self.name, self.chosen, self.components = self._fitted(train)
        self.gallery = unit_rows(
            self.chosen.relation.of_gallery(self._embedded(self.store, self.views, found, self.rows))
        )

    def _fitted(self, train: NDArray[np.int64]) -> tuple[str, Chosen, dict[str, Components]]:
        """The name of the model that finds more on folds, the model, and view -> its components."""
        plain = {view: _plain(self.store, view, self.views[view], train) for view in (self.query, self.found)}
        made = {
            (kind, view): components(x, kind == "statistics") for view, of in plain.items() for kind, x in of.items()
        }
        of_query, of_found = ({kind: made[kind, view](x) for kind, x in plain[view].items()} for view in plain)
        folds = folds_within(train, _groups_at(self.store, train))
        pairs = {kind: (of_query[kind], of_found[kind]) for kind in PLAIN}
        tried = {name: choose(fit, pairs, folds) for name, fit in FITS.items()}
        name = max(tried, key=lambda each: tried[each].score)
        return name, tried[name], {view: made[tried[name].plain, view] for view in plain}

    def _embedded(self, store: Store, views: Mapping[str, View], view: str, rows: NDArray[np.int64]) -> Rows:
        """The components of rows of a store; of rows without the view anything."""
        kind = self.chosen.plain
        return self.components[view](_plain(store, view, views[view], rows, (kind,))[kind])

    def of_row(self, row: int) -> Rows:
        """The linear embedding (d,) of a query that is a row of the gallery."""
        return self._of_queries(self.store, self.views, self.rows[[row]])[0]

    def of_files(self, spec: str) -> Mapping[str, Rows]:
        """Id -> the linear embedding (d,) of every sample of a file, a folder or a store."""
        opened = open_for(self.model, spec, views=[self.query])
        found = self._of_queries(opened.store, opened.views, np.arange(len(opened.store)))
        return dict(zip(opened.store.ids, found, strict=True))

    def _of_queries(self, store: Store, views: Mapping[str, View], rows: NDArray[np.int64]) -> Rows:
        return self.chosen.relation.of_queries(self._embedded(store, views, self.query, rows))

    def similarities(self, cosines: NDArray[np.float64], query: Rows, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The sums (n,) of both similarities of a query, each with mean 0 and deviation 1 over n.

        Args:
            cosines: of the model, (n,).
            query: the linear embedding of the query (d,).
            rows: of the gallery, (n,).
        """
        return standardised(cosines) + standardised(unit_rows(self.gallery[rows]) @ unit_rows(query[None])[0])

    @property
    def words(self) -> str:
        """A sentence on what is summed."""
        return (
            f"late fusion: similarities of the model and of {IN_WORDS[self.name]} on {self.chosen.plain} of "
            f"{self.query} and {self.found}, fitted to training samples; each has mean 0 and deviation 1 over the "
            "gallery, and their sums are shown."
        )


def _require_two_views(model: PortableModel, query: str, found: str) -> None:
    if query == found:
        raise MultiviewError(
            f"late fusion joins the model with ridge regression or CCA between two views, and queries and gallery are "
            f"both {query}; give another view with --in."
        )
    if fused := [view for view in (query, found) if view in model.fusions]:
        raise MultiviewError(
            f"late fusion relates two views, and {fused[0]} is an embedding of several; give views of the model: "
            f"{', '.join(model.parts)}."
        )


def _rows_of(store: Store, ids: Sequence[str]) -> NDArray[np.int64]:
    rows = {name: row for row, name in enumerate(store.ids)}
    if (new := next((each for each in ids if each not in rows), None)) is not None:
        raise MultiviewError(
            f"late fusion reads {printable(store.name)}, which does not hold '{printable(new)}': the data have changed "
            "since the run began. Leave --late_fusion out, or train again."
        )
    return np.array([rows[each] for each in ids])


def _training_rows(store: Store, views: Sequence[View]) -> NDArray[np.int64]:
    """At most 2,000 rows of the train split that have all views, spread evenly."""
    rows = store.rows("train") if "train" in store.split_names else store.rows()
    return spread_evenly(rows[np.all([store.present(view.modality)[rows] for view in views], axis=0)], FITTED)


def _groups_at(store: Store, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    codes = group_codes_of(store, store.group_names)
    return None if codes is None else codes[rows]


def _plain(
    store: Store, name: str, view: View, rows: NDArray[np.int64], kinds: Sequence[str] = tuple(PLAIN)
) -> dict[str, Rows]:
    """`values`, `statistics` -> what the view says without a network, (rows, width)."""
    samples = Samples(store, None, {name: view}, train=False)
    found, _ = collected(
        samples, {name: view}, lambda _, x: {kind: PLAIN[kind](view, x[name]) for kind in kinds}, CPU, rows
    )
    return {kind: np.asarray(x, np.float64) for kind, x in found.items()}
