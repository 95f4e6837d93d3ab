"""L2-regularised logistic regression by Newton's method, made for many fits on the same rows.

The loss is that of scikit-learn's `LogisticRegression`: the mean negative log-likelihood plus
|W|^2 / (2 C n); the intercept is not penalised. Newton's equations are solved by conjugate
gradients. Their preconditioner is the Hessian with one weighting of the rows for all classes, which
makes some 5 to 20 products do where hundreds were needed. Classes stand in rows and samples in
columns: with few classes these products take a fifth of the time of the usual layout on a CPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TOLERANCE = 1e-4
"""Largest entry of the gradient of the mean loss of a converged fit."""
ITERATIONS = 100
"""Most Newton steps of a fit."""
PRODUCTS = 60
"""Most products with the Hessian in one Newton step."""
MANY = 12
"""Products of a Newton step from which the preconditioner is made anew."""
GAP = 1e-5
"""A fit has converged when its loss is estimated to be so close to the smallest, relative to it."""
HALVINGS = 12
"""Most halvings of a Newton step that does not lower the loss."""
ON_GPU = 2**30
"""Rows x features x classes from which a GPU is worth the copy."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A fitted classifier. weights: (d + 1, classes), the intercept last."""

    weights: Tensor
    classes: NDArray[np.int64]
    converged: bool

    def scores(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits (n, classes) of rows (n, d)."""
        found: NDArray[np.float32] = (_with_ones(x, self.weights) @ self.weights).cpu().numpy()
        return found

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.int64]:
        """The class of each row."""
        return self.classes[self.scores(x).argmax(1)]


def log_softmax(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """The log-probabilities (n, classes) of logits."""
    found: NDArray[np.float64] = torch.from_numpy(scores).double().log_softmax(1).numpy()
    return found


class Rows:
    """Rows and their classes, ready for many fits.

    Args:
        x: (n, d) float32.
        y: (n,) class numbers of one sample each; or (n, m) of 0 and 1, m separate yes-no labels.
    """

    def __init__(self, x: NDArray[np.float32], y: NDArray[np.int64]) -> None:
        self.several = y.ndim == 2
        self.classes = np.arange(y.shape[1]) if self.several else np.unique(y)
        big = torch.cuda.is_available() and len(x) * x.shape[1] * len(self.classes) >= ON_GPU
        start = torch.empty(0, device="cuda" if big else "cpu")
        self.x = _with_ones(x, start)
        self.metric: tuple[Tensor, Tensor] | None = None
        hot = y.T if self.several else self.classes[:, None] == y
        self.truth = torch.as_tensor(np.ascontiguousarray(hot, np.float32)).to(start)

    @cached_property
    def turned(self) -> Tensor:
        """x transposed, in its own memory."""
        return self.x.T.contiguous()

    def fit(self, c: float, start: Fit | None = None) -> Fit:
        """The fit for one C, beginning at the weights of another fit on the same classes."""
        problem = _Problem(self, 1 / (c * len(self.x)))
        if start is not None:
            weights = start.weights.T.contiguous()
        else:
            weights = torch.zeros(len(self.truth), self.x.shape[1], device=self.x.device)
        weights, converged = _newton(problem, weights)
        return Fit(weights.T, self.classes, converged)


def _newton(problem: _Problem, weights: Tensor) -> tuple[Tensor, bool]:
    """The best weights (classes, d + 1) from a start, and whether they converged."""
    loss, chances = problem.loss(weights)
    for _ in range(ITERATIONS):
        gradient = problem.gradient(weights, chances)
        if (largest := float(gradient.abs().max())) <= TOLERANCE:
            return weights, True
        step = problem.step(gradient, chances, 0.1)
        slope = float((gradient * step).sum())
        moved = _moved(problem, weights, step, loss, slope)
        if moved is None:  # float32 allows no better step
            return weights, largest <= 100 * TOLERANCE
        weights, loss, chances = moved
        if -slope <= GAP * max(loss, 1e-3):  # the step promised half of this
            return weights, True
    return weights, False


class _Problem:
    """The loss of some rows for one strength of the penalty, and its derivatives."""

    def __init__(self, rows: Rows, penalty: float) -> None:
        self.rows, self.n = rows, len(rows.x)
        self.penalty = torch.full((1, rows.x.shape[1]), penalty, device=rows.x.device)
        self.penalty[:, -1] = 0

    def loss(self, weights: Tensor) -> tuple[float, Tensor]:
        """The loss, and the probabilities (classes, n)."""
        scores, truth = weights @ self.rows.turned, self.rows.truth
        if self.rows.several:
            terms = torch.nn.functional.softplus(scores).sum(dtype=torch.float64)
            chances = scores.sigmoid()
        else:
            terms = scores.logsumexp(0).sum(dtype=torch.float64)
            chances = scores.softmax(0)
        fit = terms - (scores * truth).sum(dtype=torch.float64)
        return float(fit / self.n + 0.5 * (self.penalty * weights.square()).sum(dtype=torch.float64)), chances

    def gradient(self, weights: Tensor, chances: Tensor) -> Tensor:
        return torch.addmm(self.penalty * weights, chances - self.rows.truth, self.rows.x, alpha=1 / self.n)

    def product(self, direction: Tensor, chances: Tensor, spread: Tensor) -> Tensor:
        """The Hessian times a direction. spread: chances (1 - chances) of separate labels."""
        along = direction @ self.rows.turned
        shared = 0 if self.rows.several else (chances * along).sum(0, keepdim=True)
        moved = spread * along if self.rows.several else chances * (along - shared)
        return torch.addmm(self.penalty * direction, moved, self.rows.x, alpha=1 / self.n)

    def step(self, gradient: Tensor, chances: Tensor, accuracy: float) -> Tensor:
        """The Newton step, until the residual is `accuracy` of the gradient."""
        spread = chances * (1 - chances)
        inverse = self.nearly_solved(spread)
        step, products = conjugate_gradients(
            lambda direction: self.product(direction, chances, spread), -gradient, inverse, accuracy
        )
        if products > MANY:
            self.rows.metric = None
        return step

    def nearly_solved(self, spread: Tensor) -> Callable[[Tensor], Tensor]:
        """An approximate inverse of the Hessian: all classes share one weighting of the rows.

        The block of class k is taken for share_k x' diag(sum over classes of p (1 - p)) x / n plus
        the penalty, whose inverse one eigendecomposition gives for every class. The intercepts are
        taken as apart from it. The decomposition is kept while few products are needed.
        """
        rows, share = self.rows, spread.sum(1, keepdim=True) / self.n
        total = share.sum().clamp(min=1e-30)
        if rows.metric is None:
            weight = spread.sum(0)[:, None] / (self.n * total)
            values, axes = torch.linalg.eigh(rows.turned[:-1] @ (rows.x[:, :-1] * weight))
            rows.metric = values.clamp(min=0), axes
        values, axes = rows.metric
        size, alone = share * values + self.penalty[:, :1], share.clamp(min=1e-12)
        return lambda target: torch.cat([target[:, :-1] @ axes / size @ axes.T, target[:, -1:] / alone], dim=1)


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], target: Tensor, nearly: Callable[[Tensor], Tensor], accuracy: float
) -> tuple[Tensor, int]:
    """Solves `product(x) = target` until the residual is `accuracy` of it; and the products taken.

    nearly: an approximate inverse of `product`, the preconditioner.
    """
    found = torch.zeros_like(target)
    residual = target.clone()
    direction = nearly(residual)
    square = float((residual * direction).sum())
    enough = accuracy * accuracy * square
    for products in range(1, PRODUCTS + 1):  # noqa: B007
        image = product(direction)
        curvature = float((direction * image).sum())
        if curvature <= 1e-20 * square or square == 0:
            break
        found.add_(direction, alpha=square / curvature)
        residual.sub_(image, alpha=square / curvature)
        scaled = nearly(residual)
        last, square = square, float((residual * scaled).sum())
        if square <= enough:
            break
        direction = scaled.add_(direction, alpha=square / last)
    return found, products


def _moved(
    problem: _Problem, weights: Tensor, step: Tensor, loss: float, slope: float
) -> tuple[Tensor, float, Tensor] | None:
    """Weights, loss and probabilities after a part of the step that lowers the loss, or None."""
    size = 1.0
    for _ in range(HALVINGS):
        reached = weights + size * step
        lower, chances = problem.loss(reached)
        if lower <= loss + 1e-4 * size * slope:
            return reached, lower, chances
        size /= 2
    return None


def _with_ones(x: NDArray[np.float32], like: Tensor) -> Tensor:
    """The rows (n, d + 1) with a last column of ones, where `like` is."""
    rows = torch.as_tensor(np.ascontiguousarray(x, np.float32))
    return torch.cat([rows, torch.ones(len(rows), 1)], dim=1).to(like)
