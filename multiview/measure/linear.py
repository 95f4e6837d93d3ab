"""The linear probe: logistic regression on frozen features, tuned for a fair comparison.

Two feature sets can be compared when the probe sees the same width (`common_dim`, `reduced`), when
its regularisation is chosen for each set on validation rows, and when the rows are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from math import log, sqrt
from typing import TYPE_CHECKING

import numpy as np

from multiview import old_import_paths
from multiview.errors import MultiviewError
from multiview.measure.knn import require_finite
from multiview.measure.recent_results import RecentResults
from multiview.measure.reduction import EXACT as EXACT
from multiview.measure.reduction import principal_axes as principal_axes
from multiview.measure.reduction import reduced as reduced
from multiview.measure.reduction import reduction
from multiview.plurals import counted

if TYPE_CHECKING:
    from multiview.measure.logistic import Fit

__getattr__ = old_import_paths.names_of("measure.linear")

Split = tuple[np.ndarray, np.ndarray]

GRID = tuple(float(f"1e{power}") for power in range(-4, 3))
SMALLEST_C, LARGEST_C = 1e-8, 1e6
VALIDATION, CROSS, FIFTH = "validation", "cross-validation", "a fifth of train"
"""On which rows C was chosen."""
ENOUGH = 100
"""Validation rows, and twice the classes, from which they choose C; otherwise train does.

Of 36 rows, some C that always gives the commonest class may score as well as any other.
"""
FOLDS = 5
LARGE = 5000
"""Training rows from which one fifth of them chooses C as well as five folds."""
OVERCONFIDENT = 1.2
"""Factor over the lowest held-out loss from which a larger C is not tried."""


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
        chosen_on: the rows on which C was chosen, in words.
        hits: which test rows are right, bool (n,).
    """

    accuracy: float
    balanced_accuracy: float
    c: float
    dim: int
    val_accuracy: float
    curve: tuple[Trial, ...]
    converged: bool
    chosen_on: str = VALIDATION
    hits: np.ndarray | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Tuned:
    """A fitted probe, the best trial, all trials, and on what rows C was chosen."""

    fit: Fit
    best: Trial
    curve: tuple[Trial, ...]
    chosen_on: str

    def tested(self, test: Split) -> ProbeResult:
        """The accuracies on the test rows."""
        hits = self.fit.predict(test[0]) == test[1]
        return ProbeResult(
            accuracy=float(hits.mean()),
            balanced_accuracy=float(np.mean([hits[test[1] == label].mean() for label in np.unique(test[1])])),
            c=self.best.c,
            dim=test[0].shape[1],
            val_accuracy=self.best.accuracy,
            curve=self.curve,
            converged=self.fit.converged,
            chosen_on=self.chosen_on,
            hits=hits,
        )


def linear_probe(
    train: Split, val: Split | None, test: Split, *, dim: int | None = None, grid: Sequence[float] = GRID
) -> ProbeResult:
    """Fits a linear classifier on `train`, tunes it on `val`, measures it on `test`.

    The classifier is L2-regularised multinomial logistic regression. C is the value with the
    highest validation accuracy; of equals, the one with the lowest validation loss. The search
    tries `grid`; while the best value is the first or last, it adds a decade there, until a decade
    gains no accuracy; then it tries the values half way to the neighbours of the best. The tested
    probe is fitted on train alone. With few validation rows, or none, five folds of train choose C,
    or a fixed fifth of a large train; the probe is then fitted on all of train. No larger C is
    tried once both accuracy and loss are clearly past their best.

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


def prepared(
    train: Split, val: Split | None, test: Split, *, dim: int | None = None, probes: Probes | None = None
) -> tuple[Split, Split, Split]:
    """The labelled rows of three splits, `reduced` to `dim`; a missing split `val` becomes empty.

    Raises MultiviewError as `linear_probe` does.
    """
    train, test = labelled(train, "train"), labelled(test, "test")
    val = labelled(val, "validation") if val else (train[0][:0], train[1][:0])
    _require_measurable(train[1], test[1])
    train_x, val_x, test_x = (probes or Probes()).reduced(train[0], val[0], test[0], dim=dim)
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
    return tuned(train, val, grid=grid).tested(test)


def tuned(train: Split, val: Split, *, grid: Sequence[float] = GRID) -> Tuned:
    """The probe of rows from `prepared`, with the C that `choosing_folds` chose."""
    from multiview.measure.logistic import Rows

    folds, chosen_on = choosing_folds(train, val)
    search = _Search(folds)
    best = search.run(grid)
    fit = search.attempts[best.c].fits[0]
    if chosen_on != VALIDATION:
        known = len(fit.classes) == len(np.unique(train[1]))
        fit = Rows(*train).fit(best.c, fit if known else None)
    curve = tuple(search.attempts[c].trial for c in sorted(search.attempts))
    return Tuned(fit, best, curve, chosen_on)


class Probes:
    """Reductions and tuned probes by the rows that they were fitted on: none is fitted twice.

    limit: bytes of their numbers that are kept; the least recently used ones go first.
    """

    def __init__(self, limit: int = 2**28) -> None:
        self.recent = RecentResults(limit)

    def tuned(self, train: Split, val: Split, grid: Sequence[float] = GRID) -> Tuned:
        """The known probe of these rows, with whatever grid; else `tuned`."""
        size = 8 * train[0].shape[1] * len(np.unique(train[1]))
        found: Tuned = self.recent.once(_digest(*train, *val), size, lambda: tuned(train, val, grid=grid))
        return found

    def reduced(self, train: np.ndarray, *others: np.ndarray, dim: int | None = None) -> tuple[np.ndarray, ...]:
        """As `reduced`."""
        columns = train.shape[1]
        size = 8 * columns * (4 + min(columns, dim or columns))
        reduce = self.recent.once((_digest(train), dim), size, lambda: reduction(train, dim))
        return tuple(reduce(x) for x in (train, *others))


def _digest(*arrays: np.ndarray) -> bytes:
    digest = blake2b()
    for part in arrays:
        digest.update(f"{part.dtype} {part.shape}".encode() + part.tobytes())
    return digest.digest()


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


@dataclass(frozen=True)
class _Attempt:
    trial: Trial
    fits: tuple[Fit, ...]


class _Search:
    """Tries values of C: each is fitted on some rows and measured on others, in each fold."""

    def __init__(self, folds: Sequence[tuple[Split, Split]]) -> None:
        from multiview.measure.logistic import Rows

        self.rows = [Rows(*train) for train, _ in folds]
        self.held = [held for _, held in folds]
        self.attempts: dict[float, _Attempt] = {}

    def run(self, grid: Sequence[float]) -> Trial:
        """The best of the grid, of further decades at its ends, and of values near the best."""
        for c in sorted(grid):
            if self.hopeless(c):
                break
            self.attempt(c)
        for end, factor in ((max, 10.0), (min, 0.1)):
            while self.best.c == (edge := end(self.attempts)) and SMALLEST_C < edge < LARGEST_C:
                if self.attempt(_rounded(edge * factor)).accuracy <= self.attempts[edge].trial.accuracy:
                    break
        best, values = self.best.c, sorted(self.attempts)
        at = values.index(best)
        for neighbour in (*values[max(0, at - 1) : at], *values[at + 1 : at + 2]):
            self.attempt(_rounded(sqrt(best * neighbour)))
        return self.best

    @property
    def best(self) -> Trial:
        trials = (attempt.trial for attempt in self.attempts.values())
        return max(trials, key=lambda trial: (trial.accuracy, -trial.loss))

    def hopeless(self, c: float) -> bool:
        """Whether the largest C so far is past the best by accuracy and, clearly, by loss.

        A larger C is then more certain of its mistakes still; it takes longest to fit.
        """
        if len(self.attempts) < 2:
            return False
        last, best = self.attempts[max(self.attempts)].trial, self.best
        lowest = min(attempt.trial.loss for attempt in self.attempts.values())
        return c > last.c > best.c and last.accuracy < best.accuracy and last.loss > OVERCONFIDENT * lowest

    def attempt(self, c: float) -> Trial:
        # Starting from the solution of the nearest C saves most steps; rising C is cheaper.
        near = min(self.attempts, key=lambda other: abs(log(other / c)), default=None)
        starts: Sequence[Fit | None] = self.attempts[near].fits if near is not None else [None] * len(self.rows)
        fits = tuple(rows.fit(c, start) for rows, start in zip(self.rows, starts, strict=True))
        self.attempts[c] = _Attempt(_trial(fits, self.held, c), fits)
        return self.attempts[c].trial


def _rounded(c: float) -> float:
    return float(f"{c:.3g}")


def _trial(fits: Sequence[Fit], held: Sequence[Split], c: float) -> Trial:
    """Accuracy and loss over all held-out rows."""
    from multiview.measure.logistic import log_softmax

    hits, losses = [], []
    for fit, (x, y) in zip(fits, held, strict=True):
        chances = log_softmax(fit.scores(x))
        column = np.searchsorted(fit.classes, y).clip(max=len(fit.classes) - 1)
        known = fit.classes[column] == y
        losses.append(-np.where(known, chances[np.arange(len(y)), column], -np.inf).clip(min=log(1e-12)))
        hits.append(fit.classes[chances.argmax(1)] == y)
    accuracy, loss = float(np.concatenate(hits).mean()), float(np.concatenate(losses).mean())
    return Trial(c, accuracy, loss, all(fit.converged for fit in fits))


def choosing_folds(train: Split, val: Split) -> tuple[list[tuple[Split, Split]], str]:
    """The rows on which C is chosen, as (fitted, measured) of each fold, and how in words.

    The validation rows, where there are `ENOUGH` of them. Otherwise five folds of train, or a fifth
    of a large train.
    """
    if len(val[1]) >= max(ENOUGH, 2 * len(np.unique(train[1]))):
        return [(train, val)], VALIDATION
    if len(train[1]) > LARGE:
        return [_held_out(train)], FIFTH
    parts = fold_of(train[1], FOLDS)
    folds = [_parted(train, parts == part) for part in range(FOLDS)]
    usable = [fold for fold in folds if len(fold[1][1]) and len(np.unique(fold[0][1])) > 1]
    return (usable, CROSS) if len(usable) > 1 else ([_held_out(train)], FIFTH)


def fold_of(y: np.ndarray, parts: int) -> np.ndarray:
    """The fold of each row, 0 to parts - 1: fixed, and even within each class."""
    shuffled = np.random.default_rng(0).permutation(len(y))
    rank = np.empty(len(y), dtype=np.int64)
    for label in np.unique(y):
        members = shuffled[y[shuffled] == label]
        rank[members] = np.arange(len(members))
    return rank % parts


def _parted(rows: Split, held: np.ndarray) -> tuple[Split, Split]:
    x, y = rows
    return (x[~held], y[~held]), (x[held], y[held])


def _held_out(train: Split) -> tuple[Split, Split]:
    """Train without a fixed fifth of each class, and that fifth; small classes: a half, or all."""
    for parts in (5, 2):
        held = fold_of(train[1], parts) == parts - 1
        if held.any():
            return _parted(train, held)
    return train, train
