"""kNN and linear probe of trained features and their controls, for every group of views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from multiview.data.write.progress import progress_bar
from multiview.errors import MultiviewError
from multiview.measure.intervals import hits_fact
from multiview.measure.knn import weighted_knn
from multiview.measure.linear import Probes, Split, common_dim, prepared
from multiview.measure.rows import RAW, Group, Measure, group_name, probe_rows, short_weights
from multiview.measure.threads import in_threads
from multiview.measure.view_subsets import each_and_all

FeatureSets = Mapping[str, Mapping[str, "Features"]]
"""Name of the weights (`trained`, a control) -> view -> features."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """Frozen features of one view: for each split (x, y), x float (n, d), y classes (n,).

    A class of -1 means that the sample lacks the label or the view. All views of a feature set hold
    the same samples in the same order. val: None where there is no validation split.
    """

    train: Split
    val: Split | None = None
    test: Split

    @property
    def width(self) -> int:
        """Features per sample before any reduction."""
        return int(self.train[0].shape[1])

    @property
    def labelled(self) -> int:
        """Training samples that have the view and a label."""
        return int((np.asarray(self.train[1]) >= 0).sum())


def measure_features(
    sets: FeatureSets,
    *,
    dim: int | None = None,
    groups: Sequence[Group] | None = None,
    views: Sequence[str] | None = None,
    neighbours: int = 20,
    temperature: float = 0.07,
    probes: Probes | None = None,
) -> list[Measure]:
    """kNN and linear probe of several feature sets: of each view, and of views side by side.

    The features of every group are standardised and reduced to the same width on their training
    samples, and both measures see the same numbers. Raw values that are fewer than this width stay
    as they are. The reduction is fair to the controls: cosine kNN on unreduced raw pixels is some
    10 points worse, because of their mean.

    Args:
        sets: name of the weights -> view -> features. The name of raw values is `raw`.
        dim: the width (None = `common_dim` of all views that have been encoded). A group with fewer
            training samples than `dim` has a smaller width.
        groups: which views are measured side by side (None = each view, and all together). A group
            is measured on the samples that have all of its views, and in the sets that have them.
        views: all views, for the names of the groups (None = those of each set).
        probes: where the fitted probes are kept, for other measures of the same rows.

    Raises MultiviewError when the views of a set hold different samples, or a measure refuses them.
    """
    chosen = {name: each_and_all(list(of)) if groups is None else groups for name, of in sets.items()}
    width = _common_width(sets, chosen) if dim is None else dim
    cells = [
        (name, of, views or list(of), group)
        for name, of in sets.items()
        for group in chosen[name]
        if of.keys() >= set(group)
    ]
    knn, kept = {"neighbours": neighbours, "temperature": temperature}, probes or Probes()
    rows: list[Measure] = []
    with progress_bar("evaluating: kNN and linear probe of groups of views") as progress:
        for done, found in enumerate(in_threads(lambda cell: _of_cell(*cell, width, knn, kept), cells)):
            rows += found
            progress(done + 1, len(cells), 0)
    return rows


def _of_cell(
    name: str,
    of: Mapping[str, Features],
    views: Sequence[str],
    group: Group,
    width: int,
    knn: Mapping[str, Any],
    probes: Probes,
) -> list[Measure]:
    """The rows of one group of views of one feature set."""
    names = {"weights": short_weights(name), "views": group, "group": group_name(group, views)}
    return _measured(side_by_side(of, group), width, knn, probes, **names)


def side_by_side(views: Mapping[str, Features], group: Group) -> Features:
    """The features of a group of views: of its only view, or of several views concatenated."""
    return views[group[0]] if len(group) == 1 else concatenated({view: views[view] for view in group})


def concatenated(views: Mapping[str, Features]) -> Features:
    """The views side by side: x (n, sum of widths); y is -1 for a sample that lacks any view."""
    vals = [features.val for features in views.values() if features.val]
    if len(vals) not in (0, len(views)):
        raise MultiviewError(
            f"only some of the views {', '.join(views)} have a validation split; give one to all views or to none."
        )
    return Features(
        train=_concatenated_split(views, [features.train for features in views.values()]),
        val=_concatenated_split(views, vals) if vals else None,
        test=_concatenated_split(views, [features.test for features in views.values()]),
    )


def _common_width(sets: FeatureSets, groups: Mapping[str, Sequence[Group]]) -> int:
    encoded = {name: views for name, views in sets.items() if short_weights(name) != RAW} or sets
    measured = {name: {view for group in groups[name] for view in group} for name in encoded}
    single = [cell for name, views in encoded.items() for view, cell in views.items() if view in measured[name]]
    return common_dim([cell.width for cell in single], min(cell.labelled for cell in single))


def _concatenated_split(views: Mapping[str, Features], splits: Sequence[Split]) -> Split:
    y = _shared_labels(views, splits)
    return np.concatenate([np.asarray(x, dtype=np.float32) for x, _ in splits], axis=1), y


def _shared_labels(views: Mapping[str, Features], splits: Sequence[Split]) -> np.ndarray:
    """The label of each sample that all views have, -1 for the other samples; (n,)."""
    labels = [np.asarray(y) for _, y in splits]
    if len({len(y) for y in labels}) == 1:
        known = np.stack(labels)
        if ((known == known.max(0)) | (known < 0)).all():
            return np.where((known < 0).any(0), -1, known[0])
    raise MultiviewError(
        f"the views {', '.join(views)} do not hold the same samples in the same order, so they cannot be put side by "
        "side; give every view all rows, with label -1 where a sample lacks it."
    )


def _measured(features: Features, dim: int, knn: Mapping[str, Any], probes: Probes, **names: Any) -> list[Measure]:
    """The rows of one group; names: the fields of a row that say what was measured."""
    train, val, test = prepared(features.train, features.val, features.test, dim=dim, probes=probes)
    probe = probes.tuned(train, val).tested(test)
    classes, counts = np.unique(train[1], return_counts=True)
    majority = float((test[1] == classes[counts.argmax()]).mean())
    facts = {"extracted": features.width, "classes": len(classes), "majority": majority}
    fit = facts | {"c": probe.c, "converged": probe.converged} | hits_fact(probe.hits)
    samples = {"train": len(train[1]), "val": len(val[1]), "test": len(test[1])}
    scores = weighted_knn(*train, *test, **knn), probe.accuracy, probe.balanced_accuracy
    return probe_rows(*scores, {**facts, **knn}, fit, width=probe.dim, samples=samples, **names)
