"""Ridge regression and CCA between two views, chosen on folds of training samples; in float64.

Both make embeddings (n, d) of queries and of a gallery, which are compared by cosine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from multiview.measure.labelled_splits import spread_evenly
from multiview.measure.retrieval import ranks

Rows = NDArray[np.float64]

WIDTH = 128
"""Principal components of a view that are used."""
PENALTIES, USUAL = (1e-3, 1e-2, 1e-1, 1.0), 1e-1
"""Of both models, in units of the mean variance of a principal component."""
MANY = 900
"""Training samples of which two folds are made instead of three."""
TRIED = 256
"""Most samples of a fold that are searched for."""
FEWEST = 12
"""Training samples that are needed; below, there is no control."""


@dataclass(frozen=True)
class Components:
    """Centred rows x (n, d) on their principal components: `(x - mean) / scale @ axes`."""

    mean: Rows
    scale: Rows
    axes: Rows

    def __call__(self, x: NDArray[Any]) -> Rows:
        """The components (n, k) of rows (n, d)."""
        return (np.asarray(x, np.float64) - self.mean) / self.scale @ self.axes


def components(x: NDArray[Any], standardise: bool, width: int = WIDTH) -> Components:
    """The first components of x (n, d); constant columns and directions are left out.

    standardise: bring every column to variance 1 first, for columns in different units.
    """
    x = np.asarray(x, np.float64)
    mean, std = x.mean(0), x.std(0)
    scale = np.where(std > 1e-8 * max(1.0, std.max(initial=0)), std if standardise else 1.0, np.inf)
    centred = (x - mean) / scale
    variances, axes = np.linalg.eigh(centred.T @ centred / len(x))
    kept = np.argsort(variances)[::-1][: min(width, len(x) - 1)]
    kept = kept[variances[kept] > 1e-10 * max(variances.max(initial=0), 1e-300)]
    return Components(mean, scale, axes[:, kept])


@dataclass(frozen=True)
class Relation:
    """How rows of two views are compared: x @ to_x against y @ to_y, each without its mean."""

    mean_x: Rows
    mean_y: Rows
    to_x: Rows
    to_y: Rows

    def __call__(self, x: Rows, y: Rows) -> tuple[Rows, Rows]:
        """The embeddings of queries x (n, d) and of a gallery y (n, e)."""
        return self.of_queries(x), self.of_gallery(y)

    def of_queries(self, x: Rows) -> Rows:
        """The embeddings of queries x (n, d)."""
        return (x - self.mean_x) @ self.to_x

    def of_gallery(self, y: Rows) -> Rows:
        """The embeddings of a gallery y (n, e)."""
        return (y - self.mean_y) @ self.to_y


def ridge(x: Rows, y: Rows, penalty: float) -> Relation:
    """y (n, e) from x (n, d): (X'X / n + penalty v I)^-1 X'Y / n, v = the mean variance of x."""
    mean_x, mean_y = x.mean(0), y.mean(0)
    a, b = x - mean_x, y - mean_y
    weights = np.linalg.solve(_penalised(a, penalty), a.T @ b / len(x))
    return Relation(mean_x, mean_y, weights, np.eye(y.shape[1]))


def cca(x: Rows, y: Rows, penalty: float) -> Relation:
    """Canonical directions of x (n, d) and y (n, e), each times its correlation.

    Hotelling, Biometrika 28 (1936), with both covariances penalised as in `ridge` (Vinod, Journal
    of Econometrics 4, 1976); the correlations weight the directions (Gong et al., arXiv:1212.4522,
    Eq. 3).
    """
    mean_x, mean_y = x.mean(0), y.mean(0)
    a, b = x - mean_x, y - mean_y
    white_x, white_y = _inverse_root(_penalised(a, penalty)), _inverse_root(_penalised(b, penalty))
    u, correlations, v = np.linalg.svd(white_x @ (a.T @ b / len(x)) @ white_y, full_matrices=False)
    return Relation(mean_x, mean_y, white_x @ u * correlations, white_y @ v.T * correlations)


def _penalised(centred: Rows, penalty: float) -> Rows:
    covariance = centred.T @ centred / len(centred)
    width = max(len(covariance), 1)  # a view that never changes has no component
    return covariance + (penalty * np.trace(covariance) / width + 1e-12) * np.eye(len(covariance))


def _inverse_root(covariance: Rows) -> Rows:
    variances, axes = np.linalg.eigh(covariance)
    return axes / np.sqrt(variances) @ axes.T


Fit = Callable[[Rows, Rows, float], Relation]
FITS: Mapping[str, Fit] = {"ridge": ridge, "cca": cca}


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A model that was chosen on folds of the training samples, and fitted on all of them.

    Args:
        relation: between the components.
        plain: `values` or `statistics`.
        penalty: of `PENALTIES`.
        score: the mean reciprocal rank on the folds.
    """

    relation: Relation
    plain: str
    penalty: float
    score: float


def choose(fit: Fit, views: Mapping[str, tuple[Rows, Rows]], folds: NDArray[np.int64]) -> Chosen:
    """First the better of values and statistics, then the best penalty, by retrieval within folds.

    Args:
        fit: `ridge` or `cca`.
        views: `values`, `statistics` -> the components of both views of the training samples.
        folds: (n,) the fold of each training sample.
    """
    scores = {plain: _score(fit, pair, folds, USUAL) for plain, pair in views.items()}
    plain = max(scores, key=lambda each: scores[each])  # of equal ones the first
    pair = views[plain]
    tried = {penalty: scores[plain] if penalty == USUAL else _score(fit, pair, folds, penalty) for penalty in PENALTIES}
    penalty = max(tried, key=lambda each: tried[each])
    return Chosen(relation=fit(*pair, penalty), plain=plain, penalty=penalty, score=tried[penalty])


def _score(fit: Fit, pair: tuple[Rows, Rows], folds: NDArray[np.int64], penalty: float) -> float:
    """The mean over folds of the mean reciprocal rank of samples that were not fitted."""
    x, y = pair
    scores = []
    for fold in range(int(folds.max()) + 1):
        out, tried = folds != fold, spread_evenly(np.flatnonzero(folds == fold), TRIED)
        scores.append((1 / ranks(*fit(x[out], y[out], penalty)(x[tried], y[tried]))).mean())
    return float(np.mean(scores))


def folds_within(rows: NDArray[np.int64], groups: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """The folds of training rows (n,); whole groups share one, unless there is a single group."""
    folds = folds_of(rows if groups is None else groups)
    return folds if folds.any() else folds_of(rows)


def folds_of(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fold, from 0, of each sample (n,); samples of one group share it.

    Three folds of few samples, two of many. A fold is a run of neighbours in the order of the data,
    because neighbours are often alike: overlapping windows of one recording, frames of one scene.
    Random folds would choose what recognises the neighbour. Groups stand where their first sample
    stands. No fold is empty where there are as many groups as folds.
    """
    _, first, codes = np.unique(groups, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))
    return (place * (3 if len(groups) < MANY else 2) // len(first))[codes]
