"""The linear probe: multinomial logistic regression on frozen features, tuned so that a comparison is fair.

Three things decide whether two feature sets can be compared: the width that the probe sees (`common_dim`, `reduced`),
its regularisation (chosen for each set on validation rows, over a grid that grows when the best value is its last),
and the rows (the same for all).
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
EXACT = 4096  # largest side of an eigenproblem that is solved exactly


@dataclass(frozen=True)
class Trial:
    """One value of C on the validation rows: accuracy (0 to 1) and mean negative log-likelihood (nats)."""

    c: float
    accuracy: float
    loss: float
    converged: bool


@dataclass(frozen=True)
class ProbeResult:
    """What a linear probe reached; accuracies from 0 to 1 on the test rows, `val_accuracy` on those that chose `c`.

    balanced_accuracy: mean recall of the classes in test. dim: width the probe saw. curve: every C tried, rising.
    converged: whether the fit behind `accuracy` ended before its iterations ran out.
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
    """Fits a linear classifier on `train`, regularised as `val` likes best, and measures it on `test`.

    Each split is (x, y): features (n, d) and class numbers (n,); rows with label -1 are dropped. Features are reduced
    to `dim` (see `reduced`; None keeps their width) and classified by L2-regularised multinomial logistic regression.
    C is the value with the highest validation accuracy (of equals, the one with the lowest validation loss): first of
    `grid`, which goes on in decades while its best value is its last at either end, until one gains no accuracy, then
    also half way to the neighbours of the best. The probe that is tested was fitted on train alone, never on val.
    Without validation rows, a fixed fifth of every class of train chooses C and the probe is then fitted on all of
    train.

    Raises MultiviewError for fewer than two classes in train, no labelled test row, or features that are NaN or
    infinite.
    """
    return probe_reduced(*prepared(train, val, test, dim=dim), grid=grid)


def prepared(train: Split, val: Split | None, test: Split, *, dim: int | None = None) -> tuple[Split, Split, Split]:
    """The labelled rows of three splits, `reduced` to `dim`; the validation split has no rows where there is none.

    Raises MultiviewError as `linear_probe` does.
    """
    train, test = labelled(train, "train"), labelled(test, "test")
    val = labelled(val, "validation") if val else (train[0][:0], train[1][:0])
    classes = len(np.unique(train[1]))
    if classes < 2:
        raise MultiviewError(
            f"a linear probe tells classes apart, but the {len(train[1])} labelled train rows are of "
            f"{counted(classes, 'class', 'classes')}; give train rows of two classes or more."
        )
    if not len(test[1]):
        raise MultiviewError("no test row has a label, so there is nothing to measure; give the test split labels.")
    train_x, val_x, test_x = reduced(train[0], val[0], test[0], dim=dim)
    return (train_x, train[1]), (val_x, val[1]), (test_x, test[1])


def probe_reduced(train: Split, val: Split, test: Split, *, grid: Sequence[float] = GRID) -> ProbeResult:
    """`linear_probe` of splits that are `prepared`."""
    has_val = len(val[1]) > 0
    tried = _search(*((train, val) if has_val else _held_out(train)), grid)
    best = _best(tried)
    probe, converged = tried[best.c].probe, best.converged
    if not has_val:
        probe, converged = _fit(probe, best.c, train)
    hits = probe.predict(test[0]) == test[1]
    return ProbeResult(
        accuracy=float(hits.mean()),
        balanced_accuracy=float(np.mean([hits[test[1] == label].mean() for label in np.unique(test[1])])),
        c=best.c,
        dim=train[0].shape[1],
        val_accuracy=best.accuracy,
        curve=tuple(tried[c].trial for c in sorted(tried)),
        converged=converged,
    )


def common_dim(dims: Iterable[int], n_train: int) -> int:
    """The width that all feature sets of a comparison are reduced to: the smallest of `dims`, at most `n_train` - 1."""
    return max(1, min(*dims, n_train - 1))


def labelled(split: Split, name: str) -> Split:
    """The rows of (x, y) whose label is not -1: x float32 (n, d), y int64 (n,). MultiviewError for NaN or infinity."""
    y = np.asarray(split[1], dtype=np.int64)
    x = np.ascontiguousarray(np.asarray(split[0])[y >= 0], dtype=np.float32)
    assert x.ndim == 2, f"{name} features have shape {x.shape}, not (n, d)"
    require_finite(int((~np.isfinite(x)).any(1).sum()), len(x), name)
    return x, y[y >= 0]


def reduced(train: np.ndarray, *others: np.ndarray, dim: int | None = None) -> tuple[np.ndarray, ...]:
    """Standardises columns, rotates to the first `dim` principal axes, divides by one number; all fitted on `train`.

    Every array is (n, d) and comes back float32 (n, min(dim, len(train) - 1)), or (n, d) when `dim` is None or not
    below d. The one number makes the mean variance 1, so that a value of C means the same at every width, and leaves
    the axes their proportions: dividing each by its own spread (whitening) cost random and pixel features of two real
    data sets 2 to 5 points of the probe at 256 dimensions. Deterministic: the axes are eigenvectors, each with its
    largest entry made positive.
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
    """The `dim` directions of largest variance of centred `x` (n, d), as orthonormal columns (d, dim), largest first.

    From the smaller of x'x and xx', which is exact and, for raw pixels, much quicker than an SVD; where both sides
    exceed `EXACT`, a randomised SVD with a fixed seed. A direction without variance is a column of zeros.
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
        # Rounding in the float32 product is about 1e-7 of the largest eigenvalue: below its root no direction is left.
        axes = np.where(norms > 1e-3 * norms.max(), axes / np.where(norms > 0, norms, 1), 0)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(0)[None], axis=0)
    return (axes * np.where(largest < 0, -1, 1)).astype(np.float32)


def _top_eigenvectors(symmetric: np.ndarray, count: int) -> np.ndarray:
    """Columns (n, count) of the largest eigenvalues of a symmetric (n, n), largest first, in float64."""
    from scipy.linalg import eigh

    n = len(symmetric)
    return eigh(symmetric.astype(np.float64), subset_by_index=[n - count, n - 1])[1][:, ::-1]


@dataclass(frozen=True)
class _Attempt:
    trial: Trial
    probe: LogisticRegression


def _search(train: Split, val: Split, grid: Sequence[float]) -> dict[float, _Attempt]:
    """Every C that was tried: the grid, beyond its ends while the best is one, and beside the best."""
    from sklearn.linear_model import LogisticRegression

    tried: dict[float, _Attempt] = {}
    # At large C lbfgs needs thousands of steps, Newton's method five, each a few products with the Hessian.
    fresh = LogisticRegression(solver="newton-cg", tol=TOLERANCE, max_iter=ITERATIONS, warm_start=True)

    def attempt(c: float) -> Trial:
        # Starting where the nearest C ended saves most of the steps; rising C is the cheap direction.
        start = tried[min(tried, key=lambda known: abs(log(known / c)))].probe if tried else fresh
        probe, converged = _fit(start, c, train)
        tried[c] = _Attempt(_trial(probe, val, c, converged), probe)
        return tried[c].trial

    for c in sorted(grid):
        attempt(c)
    for end, factor in ((max, 10.0), (min, 0.1)):
        while _best(tried).c == (edge := end(tried)) and SMALLEST_C < edge < LARGEST_C:
            if attempt(_rounded(edge * factor)).accuracy <= tried[edge].trial.accuracy:
                break
    best, known = _best(tried).c, sorted(tried)
    at = known.index(best)
    for neighbour in (*known[max(0, at - 1) : at], *known[at + 1 : at + 2]):
        attempt(_rounded(sqrt(best * neighbour)))
    return tried


def _rounded(c: float) -> float:
    return float(f"{c:.3g}")


def _best(tried: dict[float, _Attempt]) -> Trial:
    return max((attempt.trial for attempt in tried.values()), key=lambda trial: (trial.accuracy, -trial.loss))


def _fit(probe: LogisticRegression, c: float, rows: Split) -> tuple[LogisticRegression, bool]:
    """A copy of `probe` fitted on `rows` with `c`, starting where `probe` ended, and whether it converged."""
    from sklearn.exceptions import ConvergenceWarning

    probe = copy(probe).set_params(C=c)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")  # a failed line search only means that float32 allows no better step
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
    """Train without a fixed fifth of every class, and that fifth; of classes under five a half, of one all in both."""
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
