"""The linear probe: logistic regression on frozen features, tuned for a fair comparison.

Two feature sets can be compared when the probe sees the same width (`common_dim`, `reduced`), when
its regularisation is chosen for each set on validation rows, and when the rows are the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from multiview.errors import MultiviewError
from multiview.measure.knn import require_finite
from multiview.plurals import counted

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

Split = tuple[np.ndarray, np.ndarray]

GRID = tuple(float(f"1e{power}") for power in range(-4, 3))
SMALLEST_C, LARGEST_C = 1e-8, 1e6
TOLERANCE = 1e-4
ITERATIONS = 300
EXACT = 4096
"""Largest side of a matrix whose eigenvectors are computed exactly."""


@dataclass(frozen=True)
class Trial:
    """One value of C on the validation rows: accuracy (0 to 1), mean negative log-likelihood."""

    c: float
    accuracy: float
    loss: float
    converged: bool


@dataclass(frozen=True)
class ProbeResult:
    """The result of a linear probe; accuracies are from 0 to 1.

    Args:
        balanced_accuracy: mean recall of the classes in the test rows.
        dim: width that the probe saw.
        val_accuracy: of the chosen `c` on the validation rows.
        curve: every C that was tried, in rising order.
        converged: whether the tested probe converged before its iterations ran out.
    """

    accuracy: float
    balanced_accuracy: float
    c: float
    dim: int
    val_accuracy: float
    curve: tuple[Trial, ...]
    converged: bool


def linear_probe(
    train: Split, val: Split | None, test: Split, *, dim: int | None = None, grid: Sequence[float] = GRID
) -> ProbeResult:
    """Fits a linear classifier on `train`, tunes it on `val`, measures it on `test`.

    The classifier is L2-regularised multinomial logistic regression. C is the value with the
    highest validation accuracy; of equals, the one with the lowest validation loss. The search
    tries `grid`; while the best value is the first or last, it adds a decade there, until a decade
    gains no accuracy; then it tries the values half way to the neighbours of the best. The tested
    probe is fitted on train alone. Without validation rows, a fixed fifth of every class of train
    chooses C, and the probe is then fitted on all of train.

    Args:
        train: (x, y): features (n, d) and class numbers (n,); rows with label -1 are dropped.
        val: as `train`; None when there is no validation split.
        test: as `train`.
        dim: width that the features are reduced to, see `reduced` (None = their own width).
        grid: values of C.

    Raises:
        MultiviewError: Train has fewer than two classes, test has no label, or a feature is NaN or
            infinite.
    """
    return probe_reduced(*prepared(train, val, test, dim=dim), grid=grid)


def prepared(train: Split, val: Split | None, test: Split, *, dim: int | None = None) -> tuple[Split, Split, Split]:
    """The labelled rows of three splits, `reduced` to `dim`; a missing split `val` becomes empty.

    Raises MultiviewError as `linear_probe` does.
    """
    train, test = labelled(train, "train"), labelled(test, "test")
    val = labelled(val, "validation") if val else (train[0][:0], train[1][:0])
    _require_measurable(train[1], test[1])
    train_x, val_x, test_x = reduced(train[0], val[0], test[0], dim=dim)
    return (train_x, train[1]), (val_x, val[1]), (test_x, test[1])


def _require_measurable(train: np.ndarray, test: np.ndarray) -> None:
    """Raises MultiviewError unless the train labels are of two classes and a test label exists."""
    classes = len(np.unique(train))
    if classes < 2:
        raise MultiviewError(
            f"a linear probe needs two classes or more, but the {len(train)} labelled train rows are of "
            f"{counted(classes, 'class', 'classes')}; give train rows of two classes or more."
        )
    if not len(test):
        raise MultiviewError("no test row has a label, so nothing can be measured; give labels to the test split.")


def probe_reduced(train: Split, val: Split, test: Split, *, grid: Sequence[float] = GRID) -> ProbeResult:
    """The `linear_probe` of splits from `prepared`."""
    has_val = len(val[1]) > 0
    attempts = _search(*((train, val) if has_val else _held_out(train)), grid)
    best = _best(attempts)
    probe, converged = attempts[best.c].probe, best.converged
    if not has_val:
        probe, converged = _fit(probe, best.c, train)
    hits = probe.predict(test[0]) == test[1]
    return ProbeResult(
        accuracy=float(hits.mean()),
        balanced_accuracy=float(np.mean([hits[test[1] == label].mean() for label in np.unique(test[1])])),
        c=best.c,
        dim=train[0].shape[1],
        val_accuracy=best.accuracy,
        curve=tuple(attempts[c].trial for c in sorted(attempts)),
        converged=converged,
    )


def common_dim(dims: Iterable[int], n_train: int) -> int:
    """The width for all feature sets of a comparison: the smallest, at most `n_train` - 1."""
    return max(1, min(*dims, n_train - 1))


def labelled(split: Split, name: str) -> Split:
    """The rows whose label is not -1: x float32 (n, d), y int64 (n,).

    Raises MultiviewError when a feature is NaN or infinite; name: of the split, for the message.
    """
    y = np.asarray(split[1], dtype=np.int64)
    x = np.ascontiguousarray(np.asarray(split[0])[y >= 0], dtype=np.float32)
    assert x.ndim == 2, f"{name} features have shape {x.shape}, not (n, d)"
    require_finite(int((~np.isfinite(x)).any(1).sum()), len(x), name)
    return x, y[y >= 0]


def reduced(train: np.ndarray, *others: np.ndarray, dim: int | None = None) -> tuple[np.ndarray, ...]:
    """Standardises columns, rotates to the first `dim` principal axes, divides by one number.

    All are fitted on `train`. (n, d) becomes float32 (n, min(dim, len(train) - 1)), or (n, d) when
    `dim` is not below d. Whitening each axis instead cost 2 to 5 points of accuracy at width 256.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train)
    arrays = [scaler.transform(x) if len(x) else x for x in (train, *others)]
    if dim is not None and dim < train.shape[1]:
        axes = principal_axes(arrays[0], min(dim, max(1, len(train) - 1)))
        arrays = [x @ axes for x in arrays]
    scale = float(np.sqrt(np.square(arrays[0], dtype=np.float64).mean())) or 1.0
    return tuple(np.ascontiguousarray(x / scale, dtype=np.float32) for x in arrays)


def principal_axes(x: np.ndarray, dim: int) -> np.ndarray:
    """The `dim` directions of largest variance of centred `x` (n, d), as columns (d, dim).

    Computed exactly from the smaller of x'x and xx', which for raw pixels is much faster than an
    SVD; by a randomised SVD with a fixed seed when both sides exceed `EXACT`. The largest variance
    comes first. A direction without variance is a column of zeros.
    """
    n, d = x.shape
    if min(n, d) > EXACT:
        from sklearn.decomposition import PCA

        axes = PCA(dim, svd_solver="randomized", random_state=0).fit(x).components_.T
    elif d <= n:
        axes = _top_eigenvectors(x.T @ x, dim)
    else:
        axes = x.T @ _top_eigenvectors(x @ x.T, dim)
        norms = np.linalg.norm(axes, axis=0)
        # Rounding in the float32 product is about 1e-7 of the largest eigenvalue. A direction with
        # a norm below the root of this is rounding error.
        axes = np.where(norms > 1e-3 * norms.max(), axes / np.where(norms > 0, norms, 1), 0)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(0)[None], axis=0)
    return (axes * np.where(largest < 0, -1, 1)).astype(np.float32)


def _top_eigenvectors(symmetric: np.ndarray, count: int) -> np.ndarray:
    """Eigenvectors of the largest eigenvalues of a symmetric (n, n): (n, count), largest first."""
    from scipy.linalg import eigh

    n = len(symmetric)
    return eigh(symmetric.astype(np.float64), subset_by_index=[n - count, n - 1])[1][:, ::-1]


@dataclass(frozen=True)
class _Attempt:
    trial: Trial
    probe: LogisticRegression


def _search(train: Split, val: Split, grid: Sequence[float]) -> dict[float, _Attempt]:
    """Every C that was tried: the grid, further decades at its ends, and values near the best."""
    from sklearn.linear_model import LogisticRegression

    attempts: dict[float, _Attempt] = {}
    # At large C lbfgs needs thousands of steps. Newton's method needs five, each of a few products
    # with the Hessian.
    fresh = LogisticRegression(solver="newton-cg", tol=TOLERANCE, max_iter=ITERATIONS, warm_start=True)

    def attempt(c: float) -> Trial:
        # Starting from the solution of the nearest C saves most steps; rising C is cheaper.
        start = attempts[min(attempts, key=lambda other: abs(log(other / c)))].probe if attempts else fresh
        probe, converged = _fit(start, c, train)
        attempts[c] = _Attempt(_trial(probe, val, c, converged), probe)
        return attempts[c].trial

    for c in sorted(grid):
        attempt(c)
    for end, factor in ((max, 10.0), (min, 0.1)):
        while _best(attempts).c == (edge := end(attempts)) and SMALLEST_C < edge < LARGEST_C:
            if attempt(_rounded(edge * factor)).accuracy <= attempts[edge].trial.accuracy:
                break
    best, values = _best(attempts).c, sorted(attempts)
    at = values.index(best)
    for neighbour in (*values[max(0, at - 1) : at], *values[at + 1 : at + 2]):
        attempt(_rounded(sqrt(best * neighbour)))
    return attempts


def _rounded(c: float) -> float:
    return float(f"{c:.3g}")


def _best(attempts: dict[float, _Attempt]) -> Trial:
    return max((attempt.trial for attempt in attempts.values()), key=lambda trial: (trial.accuracy, -trial.loss))


def _fit(probe: LogisticRegression, c: float, rows: Split) -> tuple[LogisticRegression, bool]:
    """A copy of `probe`, fitted further on `rows` with `c`, and whether the fit converged."""
    from sklearn.exceptions import ConvergenceWarning

    probe = copy(probe).set_params(C=c)
    with warnings.catch_warnings(record=True) as caught:
        # A failed line search only means that float32 allows no better step.
        warnings.simplefilter("always")
        probe.fit(*rows)
    return probe, not any(issubclass(warning.category, ConvergenceWarning) for warning in caught)


def _trial(probe: LogisticRegression, val: Split, c: float, converged: bool) -> Trial:
    x, y = val
    chances = probe.predict_proba(x)
    column = np.searchsorted(probe.classes_, y).clip(max=len(probe.classes_) - 1)
    of_truth = np.where(probe.classes_[column] == y, chances[np.arange(len(y)), column], 0)
    accuracy = (probe.classes_[chances.argmax(1)] == y).mean()
    return Trial(c, float(accuracy), float(-np.log(of_truth.clip(min=1e-12)).mean()), converged)


def _held_out(train: Split) -> tuple[Split, Split]:
    """Train without a fixed fifth of each class, and that fifth; small classes: a half, or all."""
    x, y = train
    shuffled = np.random.default_rng(0).permutation(len(y))
    rank = np.empty(len(y), dtype=np.int64)
    for label in np.unique(y):
        members = shuffled[y[shuffled] == label]
        rank[members] = np.arange(len(members))
    for parts in (5, 2):
        held = rank % parts == parts - 1
        if held.any():
            return (x[~held], y[~held]), (x[held], y[held])
    return train, train
