"""`Score`: the accuracies of one feature set of one group of views in one value, made from rows.

The first named feature set is the subject, the others are its controls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from multiview.measure.rows import BALANCED, BESIDE, CONCAT, IN_WORDS, KNN, LINEAR, Measure, probe_rows, short_weights

if TYPE_CHECKING:
    from multiview.measure.features import Features
    from multiview.measure.rows import Group

TRAINED, RANDOM, RAW = "trained", IN_WORDS["random"], IN_WORDS["raw"]
"""Values of `Score.features`."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """Accuracies, from 0 to 1 on the test samples, of one feature set of one view.

    Args:
        view: a view, several side by side (`L + depth`), or `concat` for all.
        width: features per sample before the reduction to `dim`.
        balanced: mean recall of the classes, by the linear probe.
        c: the regularisation that the linear probe chose.
        train: labelled training samples; `val` and `test` likewise.
        classes: in the training samples.
        majority: accuracy of always answering the commonest class of the training samples.
    """

    features: str
    view: str
    width: int
    dim: int
    knn: float
    linear: float
    balanced: float
    c: float
    converged: bool
    train: int
    val: int
    test: int
    classes: int
    majority: float


def evaluate_features(
    sets: Mapping[str, Mapping[str, Features]],
    *,
    dim: int | None = None,
    groups: Sequence[Group] | None = None,
    neighbours: int = 20,
    temperature: float = 0.07,
) -> list[Score]:
    """The rows of `measure_features` as scores; its options and errors are the same."""
    from multiview.measure.features import measure_features

    rows = measure_features(sets, dim=dim, groups=groups, neighbours=neighbours, temperature=temperature)
    return scores_of(rows)


def scores_of(rows: Iterable[Measure]) -> list[Score]:
    """The scores of all groups and feature sets that have kNN and linear probe."""
    cells: dict[tuple[str, str], dict[str, Measure]] = {}
    for row in rows:
        cells.setdefault((row.weights, row.group), {})[row.measure] = row
    return [_score(cell) for cell in cells.values() if {KNN, LINEAR, BALANCED} <= cell.keys()]


def measures_of(rows: Iterable[Score | Measure]) -> list[Measure]:
    """Every score as its three rows; rows stay as they are."""
    rows = list(rows)
    singles = dict.fromkeys(row.view for row in rows if isinstance(row, Score) and _is_single(row.view))
    return [
        measure for row in rows for measure in ([row] if isinstance(row, Measure) else _measures(row, tuple(singles)))
    ]


def _is_single(view: str) -> bool:
    return view != CONCAT and BESIDE not in view


def _score(cell: Mapping[str, Measure]) -> Score:
    row = cell[LINEAR]
    return Score(
        features=row.weights_in_words,
        view=row.group,
        width=row.facts["extracted"],
        dim=row.width,
        knn=cell[KNN].value,
        linear=row.value,
        balanced=cell[BALANCED].value,
        c=row.facts["c"],
        converged=row.facts["converged"],
        train=row.samples["train"],
        val=row.samples["val"],
        test=row.samples["test"],
        classes=row.facts["classes"],
        majority=row.facts["majority"],
    )


def _measures(score: Score, singles: tuple[str, ...]) -> list[Measure]:
    """The rows of a score; singles: the views that `concat` stands for."""
    together = singles if len(singles) > 1 else (CONCAT,)
    common: dict[str, Any] = {
        "views": together if score.view == CONCAT else tuple(score.view.split(BESIDE)),
        "group": score.view,
        "weights": short_weights(score.features),
        "width": score.dim,
        "samples": {"train": score.train, "val": score.val, "test": score.test},
    }
    facts = {"extracted": score.width, "classes": score.classes, "majority": score.majority}
    probe = facts | {"c": score.c, "converged": score.converged}
    return probe_rows(score.knn, score.linear, score.balanced, facts, probe, **common)
