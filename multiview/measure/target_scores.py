"""Scores of predicted targets, for many weightings of the samples at once (for the bootstrap).

`times` (draws, n) says how often each sample counts; every function returns one value per draw, NaN
where the drawn samples do not define it. Equal scores share one place, as in scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def once(n: int) -> Array:
    """Every sample counts once: (1, n)."""
    return np.ones((1, n))


def top1(truth: Array, scores: Array, times: Array) -> Array:
    """The share of samples whose largest score is that of their class.

    truth: (n,) columns of scores; a class without a column is -1 and counts as wrong.
    """
    return _ratio(times @ (scores.argmax(1) == truth), times.sum(1))


def balanced_accuracy(truth: Array, scores: Array, times: Array) -> Array:
    """The mean over the classes of the drawn samples of the share that is found (recall)."""
    hits = scores.argmax(1) == truth
    of_class = truth[:, None] == np.unique(truth)
    return _mean(_ratio(times @ (of_class & hits[:, None]), times @ of_class))


def auroc(truth: Array, scores: Array, times: Array) -> Array:
    """The mean area under the ROC curve of each column against the rest.

    Columns that no sample has, or all samples have, are left out.

    Args:
        truth: (n,) columns of scores, or (n, columns) of 0 and 1.
        scores: (n, columns).
        times: (draws, n).
    """
    return _mean(_per_column(truth, scores, times, _area))


def mean_average_precision(truth: Array, scores: Array, times: Array) -> Array:
    """mAP: the mean over columns of the average precision; truth as for `auroc`.

    Average precision is the sum of the precisions at each score, weighted by the gain in recall.
    """
    return _mean(_per_column(truth, scores, times, _precision))


def r2(truth: Array, guess: Array, times: Array) -> Array:
    """1 - squared error / variance of the drawn samples; below 0 for worse than their mean."""
    total = times.sum(1)
    mean = _ratio(times @ truth, total)
    spread = (times * (truth[None] - mean[:, None]) ** 2).sum(1)
    return 1 - _ratio(times @ (truth - guess) ** 2, spread)


def mae(truth: Array, guess: Array, times: Array) -> Array:
    """The mean absolute error, in the unit of the target."""
    return _ratio(times @ np.abs(truth - guess), times.sum(1))


def _per_column(truth: Array, scores: Array, times: Array, measure: Any) -> Array:
    """(draws, columns); NaN where a column is left out."""
    hot = truth if truth.ndim == 2 else truth[:, None] == np.arange(scores.shape[1])
    found = np.full((len(times), scores.shape[1]), np.nan)
    for column in np.flatnonzero(hot.any(0)):
        found[:, column] = measure(*_reached(hot[:, column], scores[:, column], times))
    return found


def _reached(hot: Array, scores: Array, times: Array) -> tuple[Array, Array]:
    """Drawn samples with and without the label above each distinct score: twice (draws, places)."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]  # -inf for a class without training samples
    ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(order) - 1)
    counts = times[:, order].astype(np.float64)
    yes = hot[order].astype(np.float64)
    return (counts * yes).cumsum(1)[:, ends], (counts * (1 - yes)).cumsum(1)[:, ends]


def _area(yes: Array, no: Array) -> Array:
    step = np.diff(no, prepend=0, axis=1)
    height = yes - np.diff(yes, prepend=0, axis=1) / 2
    return _ratio((step * height).sum(1), yes[:, -1] * no[:, -1])


def _precision(yes: Array, no: Array) -> Array:
    gain = np.diff(yes, prepend=0, axis=1)
    return _ratio((gain * np.where(gain > 0, yes / np.maximum(yes + no, 1e-300), 0)).sum(1), yes[:, -1])


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=np.asarray(below) > 0)


def _mean(values: Array) -> Array:
    """The mean over the columns that are not NaN."""
    known = np.isfinite(values)
    return _ratio(np.where(known, values, 0).sum(1), known.sum(1))
