"""Trained features beside their controls, measured alike: accuracies, the margins between them, and their JSON.

The first named feature set is the subject, the others are its controls; usually `TRAINED`, `RANDOM` and `RAW`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from math import sqrt

import numpy as np

from multiview.errors import MultiviewError
from multiview.measure.knn import weighted_knn
from multiview.measure.linear import Split, common_dim, prepared, probe_reduced
from multiview.measure.view_subsets import Group, name_of, usual

TRAINED, RANDOM, RAW = "trained", "random weights", "raw pixels"
SCHEMA = 1


@dataclass(frozen=True, kw_only=True)
class Features:
    """Frozen features of one view: per split (x, y), x float (n, d), y classes (n,), -1 without label or view.

    The rows of all views of a feature set are the same samples in the same order. val None: see `linear_probe`.
    """

    train: Split
    val: Split | None = None
    test: Split

    @property
    def width(self) -> int:
        """Numbers that a sample has before any reduction."""
        return int(self.train[0].shape[1])

    @property
    def labelled(self) -> int:
        """Train samples that have the view and a label."""
        return int((np.asarray(self.train[1]) >= 0).sum())


@dataclass(frozen=True, kw_only=True)
class Score:
    """What one feature set of one view reached; accuracies from 0 to 1 on the test rows.

    width: numbers per sample as extracted; dim: after the reduction that all cells of a table share. knn, linear,
    balanced (mean recall of the linear probe): see `weighted_knn` and `linear_probe`. c: the probe's regularisation.
    train, val, test: labelled rows. classes: in train. majority: accuracy of always answering the commonest class of
    train.
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


@dataclass(frozen=True)
class Margin:
    """How far one accuracy lies above another: `points` (-1 to 1) and its 95 % interval; see `margin`."""

    points: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the whole interval is above zero: better, beyond noise."""
        return self.low > 0

    @property
    def noise(self) -> bool:
        """Whether the interval holds zero."""
        return self.low <= 0 <= self.high


def evaluate_features(
    sets: Mapping[str, Mapping[str, Features]],
    *,
    dim: int | None = None,
    groups: Sequence[Group] | None = None,
    neighbours: int = 20,
    temperature: float = 0.07,
) -> list[Score]:
    """kNN and linear probe of several feature sets (name -> view -> `Features`): of each view and of all side by side.

    Every cell is standardised and reduced to the same `dim` (default: `common_dim` of all views that have been encoded)
    on its train rows, and both measures see the same numbers; raw values that are fewer stay as they are. That is fair
    to the controls: cosine kNN on raw pixels as they come is some 10 points worse, because of their mean. groups: the
    views that are measured side by side (default `usual`), each on the samples that have all of its views; one with
    fewer train samples than `dim` has a width of its own.

    Raises MultiviewError where the views of a set differ in their rows, and whatever the two measures raise.
    """
    chosen = {name: usual(list(views)) if groups is None else groups for name, views in sets.items()}
    cells = {
        name: {name_of(group, list(views)): side_by_side(views, group) for group in chosen[name]}
        for name, views in sets.items()
    }
    if dim is None:
        measured = {name: {view for group in groups for view in group} for name, groups in chosen.items()}
        encoded = {name: views for name, views in sets.items() if name != RAW} or sets
        single = [cell for name, views in encoded.items() for view, cell in views.items() if view in measured[name]]
        dim = common_dim([cell.width for cell in single], min(cell.labelled for cell in single))
    return [
        _score(name, view, cell, dim, neighbours, temperature)
        for name, named in cells.items()
        for view, cell in named.items()
    ]


def side_by_side(views: Mapping[str, Features], group: Group) -> Features:
    """The features of a group of the views, put side by side where it has several."""
    return views[group[0]] if len(group) == 1 else concatenated({view: views[view] for view in group})


def concatenated(views: Mapping[str, Features]) -> Features:
    """The views side by side: x (n, sum of widths); a row that any view lacks has label -1."""
    vals = [cell.val for cell in views.values() if cell.val]
    if len(vals) not in (0, len(views)):
        raise MultiviewError(
            f"only some of the views {', '.join(views)} have a validation split; give it to all or none."
        )
    return Features(
        train=_side_by_side(views, [cell.train for cell in views.values()]),
        val=_side_by_side(views, vals) if vals else None,
        test=_side_by_side(views, [cell.test for cell in views.values()]),
    )


def margin(subject: float, control: float, n_subject: int, n_control: int) -> Margin:
    """The difference of two accuracies (0 to 1), each measured on n samples, with its 95 % interval.

    Agresti and Caffo (The American Statistician 54, 2000): with q = (hits + 1) / (n + 2) of either, the interval is
    q1 - q2 +- 1.96 sqrt(q1 (1 - q1) / (n1 + 2) + q2 (1 - q2) / (n2 + 2)). It takes the two for independent. On the same
    test rows two probes mostly fail together, so it is rather too wide than too narrow.
    """
    q1 = (subject * n_subject + 1) / (n_subject + 2)
    q2 = (control * n_control + 1) / (n_control + 2)
    half = 1.96 * sqrt(q1 * (1 - q1) / (n_subject + 2) + q2 * (1 - q2) / (n_control + 2))
    return Margin(subject - control, q1 - q2 - half, q1 - q2 + half)


def to_json(rows: Iterable[Score]) -> str:
    """The scores as JSON text, for `from_json` and other programs."""
    return json.dumps({"schema": SCHEMA, "scores": [asdict(row) for row in rows]}, indent=1) + "\n"


def from_json(text: str) -> list[Score]:
    """The scores that `to_json` wrote. Raises MultiviewError for anything else."""
    try:
        content = json.loads(text)
        schema = content["schema"]
        if schema == SCHEMA:
            return [Score(**row) for row in content["scores"]]
    except (ValueError, TypeError, KeyError) as cause:
        raise MultiviewError(
            f"these are not evaluation scores ({type(cause).__name__}: {cause}); expected 'schema' and "
            f"a list 'scores' of {', '.join(field.name for field in fields(Score))}. "
            "Write them anew with: multiview evaluate RUN"
        ) from cause
    raise MultiviewError(
        f"these evaluation scores have schema {schema}, this version reads {SCHEMA}. "
        "Write them anew with: multiview evaluate RUN"
    )


def _shared_labels(views: Mapping[str, Features], splits: Sequence[Split]) -> np.ndarray:
    """The label of each row that all views have, -1 elsewhere; (n,)."""
    labels = [np.asarray(y) for _, y in splits]
    if len({len(y) for y in labels}) == 1:
        known = np.stack(labels)
        if ((known == known.max(0)) | (known < 0)).all():
            return np.where((known < 0).any(0), -1, known[0])
    raise MultiviewError(
        f"the views {', '.join(views)} do not hold the same samples in the same order, so they cannot be put side by "
        "side; give every view all rows, with label -1 where a sample lacks it."
    )


def _side_by_side(views: Mapping[str, Features], splits: Sequence[Split]) -> Split:
    y = _shared_labels(views, splits)
    return np.concatenate([np.asarray(x, dtype=np.float32) for x, _ in splits], axis=1), y


def _score(name: str, view: str, cell: Features, dim: int, neighbours: int, temperature: float) -> Score:
    train, val, test = prepared(cell.train, cell.val, cell.test, dim=dim)
    probe = probe_reduced(train, val, test)
    known, counts = np.unique(train[1], return_counts=True)
    return Score(
        features=name,
        view=view,
        width=cell.width,
        dim=probe.dim,
        knn=weighted_knn(*train, *test, neighbours=neighbours, temperature=temperature),
        linear=probe.accuracy,
        balanced=probe.balanced_accuracy,
        c=probe.c,
        converged=probe.converged,
        train=len(train[1]),
        val=len(val[1]),
        test=len(test[1]),
        classes=len(known),
        majority=float((test[1] == known[counts.argmax()]).mean()),
    )
