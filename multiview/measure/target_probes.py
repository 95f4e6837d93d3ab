"""Probes of one target on frozen features: fitted on some rows, read on others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.measure.linear import ENOUGH, FOLDS, GRID, Probes, Split, fold_of
from multiview.measure.logistic import Rows, log_softmax
from multiview.measure.mlp import MlpProbe
from multiview.measure.targets import CLASSES, LABELS, NUMBER

LINEAR, MLP = "linear", "mlp"
PENALTIES = tuple(float(value) for value in np.logspace(-2, 6, 17))
"""Strengths of ridge regression, of which leave-one-out errors choose."""
SHORT_GRID = (1e-3, 1e-2, 1e-1, 1.0)
Says = Callable[[NDArray[np.float32]], NDArray[np.float64]]
FEW_C = 1.0
"""C of a probe with so few labels that nothing can choose it."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """Rows of one target: x float32 (n, d) and y of each split; no row lacks its target.

    outputs: classes or labels there are; 1 for a number.
    probes: probes that are known already; None = none.
    """

    kind: str
    outputs: int
    train: Split
    val: Split
    probes: Probes | None = None

    def with_train(self, rows: NDArray[np.int64]) -> Task:
        """The task with some training rows, and no validation rows."""
        x, y = self.train
        none = (x[:0], y[:0])
        return Task(kind=self.kind, outputs=self.outputs, train=(x[rows], y[rows]), val=none)


def predicted(task: Task, tests: Sequence[NDArray[np.float32]], probe: str = LINEAR, few: bool = False) -> Any:
    """What a `fitted` probe says of each of the tests, features (n, d)."""
    says = fitted(task, probe, few)
    return [says(test) for test in tests]


def fitted(task: Task, probe: str = LINEAR, few: bool = False) -> Says:
    """A function from features (n, d) to scores (n, outputs) of classes or labels, or numbers (n,).

    Args:
        task: what the probe is fitted on.
        probe: `linear` or `mlp`.
        few: too few labels to choose C.
    """
    if probe == MLP:
        return _by_mlp(task)
    if task.kind == NUMBER:
        return _by_ridge(task)
    narrow, axes = _spanned(task)
    says = _of_labels(narrow) if task.kind == LABELS else _of_classes(narrow, few)
    return says if axes is None else lambda x: says(x @ axes)


def _spanned(task: Task) -> tuple[Task, NDArray[np.float32] | None]:
    """The task on the axes that its few training rows span, and these; the fits are the same."""
    x, y = task.train
    if len(x) >= x.shape[1]:
        return task, None
    axes = np.linalg.qr(x.T)[0]
    return replace(task, train=(x @ axes, y), val=(task.val[0] @ axes, task.val[1])), axes


def _of_classes(task: Task, few: bool) -> Says:
    if few:
        fit = Rows(*task.train).fit(FEW_C)
    else:
        grid = GRID if len(task.val[1]) >= ENOUGH else SHORT_GRID
        fit = (task.probes or Probes()).tuned(task.train, task.val, grid).fit

    def says(x: NDArray[np.float32]) -> NDArray[np.float64]:
        scores = np.full((len(x), task.outputs), -np.inf)
        scores[:, fit.classes] = log_softmax(fit.scores(x))
        return scores

    return says


def _of_labels(task: Task) -> Says:
    """Separate yes-no labels with one C, which the mean held-out loss chooses."""
    x, y = task.train
    if len(task.val[1]) >= ENOUGH:
        folds = [((x, y), task.val)]
    else:
        part = fold_of(np.zeros(len(y), np.int64), min(FOLDS, len(y)))
        folds = [((x[part != f], y[part != f]), (x[part == f], y[part == f])) for f in range(part.max() + 1)]
    rows, losses = [Rows(*train) for train, _ in folds], {}
    starts: list[Any] = [None] * len(rows)
    for c in GRID:
        starts = [each.fit(c, start) for each, start in zip(rows, starts, strict=True)]
        parts = [_binary_loss(fit.scores(held[0]), held[1]) for fit, (_, held) in zip(starts, folds, strict=True)]
        losses[c] = float(np.mean(parts))
        if losses[c] > 1.2 * min(losses.values()):
            break
    fit = Rows(x, y).fit(min(losses, key=lambda c: losses[c]))
    return lambda x: fit.scores(x).astype(np.float64)


def _binary_loss(scores: NDArray[np.float32], truth: NDArray[Any]) -> float:
    signed = np.where(truth > 0, scores, -scores).astype(np.float64)
    return float(np.logaddexp(0, -signed).mean())


def _by_ridge(task: Task) -> Says:
    from sklearn.linear_model import RidgeCV

    x, y = task.train
    fit = RidgeCV(alphas=PENALTIES).fit(x.astype(np.float64), y)
    return lambda x: fit.predict(x.astype(np.float64))


def _by_mlp(task: Task) -> Says:
    x, y = task.train
    held = task.val
    if len(held[1]) < ENOUGH:
        part = fold_of(y if task.kind == CLASSES else np.zeros(len(y), np.int64), FOLDS) == 0
        (x, y), held = (x[~part], y[~part]), (x[part], y[part])
    mean, std = (y.mean(), y.std() or 1.0) if task.kind == NUMBER else (0, 1)
    if task.kind == NUMBER:
        y, held = ((y - mean) / std).astype(np.float32), (held[0], ((held[1] - mean) / std).astype(np.float32))
    probe = MlpProbe(x, y, task.outputs, held)
    if task.kind == NUMBER:
        return lambda x: probe.scores(x)[:, 0].astype(np.float64) * std + mean
    return lambda x: probe.scores(x).astype(np.float64)


def chosen_rows(task: Task, labels: str, draw: int) -> NDArray[np.int64] | None:
    """Training rows for `5 a class` or `10 %` of the labels; None where there are too few.

    The same for every kind of weights, so that they are compared on the same labels.
    """
    y, rng = task.train[1], np.random.default_rng([7, draw])
    order = rng.permutation(len(y))
    if labels.endswith("%"):
        count = round(len(y) * float(labels.split()[0]) / 100)
        rows = np.sort(order[:count])
        enough = count >= 10 and (task.kind != CLASSES or len(np.unique(y[rows])) > 1)
        return rows if enough else None
    each = int(labels.split()[0])
    if task.kind != CLASSES:
        return None
    classes, counts = np.unique(y, return_counts=True)
    if np.median(counts) < 2 * each:
        return None
    return np.sort(np.concatenate([order[y[order] == label][:each] for label in classes]))
