"""Weighted k-nearest-neighbour accuracy: judges frozen features without training a classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from multiview.errors import MultiviewError
from multiview.ops.precision import double

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Array = np.ndarray | Tensor

EXCLUDED = -2.0  # below every cosine


def weighted_knn(
    train_x: Array,
    train_y: Array,
    test_x: Array,
    test_y: Array,
    *,
    neighbours: int = 20,
    temperature: float = 0.07,
    exclude: Array | None = None,
    chunk: int | None = None,
) -> float:
    """Accuracy, 0 to 1, of a vote among each test row's `neighbours` most similar training rows.

    A neighbour with cosine similarity s votes for its class with weight exp(s / temperature); the
    class with the largest sum wins (InstDisc, arXiv:1805.01978 section 3.4; DINO's protocol). Equal
    sums go to the lowest class, and of equally similar rows the lowest class comes first, so that
    the order of the rows does not matter. A zero vector has similarity 0 to every row.

    Args:
        train_x: (n, d), any float type; computed in float64 on its device. `test_x`: (m, d).
        train_y: (n,) class numbers, -1 = leave the row out. `test_y`: (m,).
        exclude: (m,), a training row that the test row must not use, -1 for none; `arange(n)`
            measures a set against itself.
        chunk: test rows at a time; limits the memory to chunk x n numbers.

    Raises MultiviewError when no labelled row is left, or a feature is NaN or infinite.
    """
    options: dict[str, Any] = {"neighbours": neighbours, "temperature": temperature}
    hits = knn_hits(train_x, train_y, test_x, test_y, **options, exclude=exclude, chunk=chunk)
    return int(hits.sum()) / len(hits)


def knn_hits(
    train_x: Array,
    train_y: Array,
    test_x: Array,
    test_y: Array,
    *,
    neighbours: int = 20,
    temperature: float = 0.07,
    exclude: Array | None = None,
    chunk: int | None = None,
) -> NDArray[np.bool_]:
    """Which of the labelled test rows are right, in their order; see `weighted_knn`."""
    _require_options(neighbours, temperature)
    train, labels, order = _in_class_order(_unit_rows(train_x, "train"), _int64(train_y))
    test, truth = _unit_rows(test_x, "test").to(train), _int64(test_y).to(labels)
    banned = torch.full_like(truth, -1) if exclude is None else _positions(order, _int64(exclude).to(labels))
    labelled = truth >= 0
    test, truth, banned = test[labelled], truth[labelled], banned[labelled]
    if not len(labels) or not len(truth):
        raise MultiviewError("kNN needs labelled train and test rows, but all train labels or all test labels are -1.")
    rows = chunk or max(1, min(1024, 2**22 // len(labels)))
    hits = [
        _vote(x, ban, train, labels, neighbours, temperature) == y
        for x, y, ban in zip(test.split(rows), truth.split(rows), banned.split(rows), strict=True)
    ]
    return torch.cat(hits).cpu().numpy()


def _require_options(neighbours: int, temperature: float) -> None:
    if neighbours < 1 or temperature <= 0:
        raise MultiviewError(
            f"kNN was given {neighbours} neighbours and temperature {temperature}; give 1 neighbour or more and a "
            "temperature above 0."
        )


def require_finite(bad_rows: int, rows: int, split: str) -> None:
    """Raises MultiviewError when `bad_rows` of the `rows` of a split are NaN or infinite."""
    if bad_rows:
        raise MultiviewError(
            f"{bad_rows} of {rows} {split} features are NaN or infinite, so the encoder has diverged and cannot be "
            "evaluated. Look at the loss in metrics.jsonl and train again with a lower learning rate."
        )


def _vote(x: Tensor, banned: Tensor, train: Tensor, labels: Tensor, neighbours: int, temperature: float) -> Tensor:
    """The winning class of each row of `x` (m, d); `train` and `labels` are in class order."""
    similarity = x @ train.T
    has_ban = banned >= 0
    similarity[has_ban, banned[has_ban]] = EXCLUDED
    nearest = _ranking(similarity).topk(min(neighbours, len(labels)), dim=1).indices
    near = similarity.gather(1, nearest)
    # Only ratios of weights matter, so the largest is made 1: exp(1 / T) overflows for small T.
    weight = ((near - near[:, :1]) / temperature).exp() * (near > EXCLUDED)
    votes = near.new_zeros(len(x), int(labels[-1]) + 1).scatter_add_(1, labels[nearest], weight)
    return votes.argmax(1)


def _ranking(similarity: Tensor) -> Tensor:
    """Integers (m, n) that sort like `similarity`; of equal values, the earlier column is larger.

    Similarities are rounded to 2^-30 first, because the last bits of a dot product depend on the
    position of its rows in the matrices.
    """
    columns = torch.arange(similarity.shape[1], device=similarity.device)
    return (similarity * 2**30).round().to(torch.int64) * 2**31 - columns


def _unit_rows(x: Array, split: str) -> Tensor:
    rows = double(torch.as_tensor(x).detach())
    require_finite(int((~torch.isfinite(rows)).any(1).sum()), len(rows), split)
    return F.normalize(rows, dim=1)


def _int64(y: Array) -> Tensor:
    return torch.as_tensor(y).to(torch.int64)


def _in_class_order(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Labelled rows in class order, their labels, and their original row numbers."""
    order = torch.argsort(y.to(x.device), stable=True)
    order = order[y.to(x.device)[order] >= 0]
    return x[order], y.to(x.device)[order], order


def _positions(order: Tensor, rows: Tensor) -> Tensor:
    """The position in `order` of each of the original `rows`; -1 for a row that is not there."""
    size = int(torch.cat([order, rows]).max()) + 1
    positions = torch.full((size + 1,), -1, dtype=torch.int64, device=order.device)  # row -1 finds the last entry
    positions[order] = torch.arange(len(order), device=order.device)
    return positions[rows]
