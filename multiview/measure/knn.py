"""Weighted k-nearest-neighbour accuracy: what frozen features know without anything being trained on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from multiview.errors import MultiviewError

if TYPE_CHECKING:
    import numpy as np
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
    """Accuracy, 0 to 1, of a vote among each test row's `neighbours` most similar train rows.

    Similarity s is the cosine; a neighbour gives its class exp(s / temperature); the class with the largest sum wins
    (InstDisc, arXiv:1805.01978 section 3.4; DINO's protocol). Equal sums go to the lowest class; of equally similar
    rows at the edge of the neighbourhood those of the lowest class get in, so that the order of the rows means
    nothing. A zero vector has similarity 0 with everything.

    train_x (n, d), test_x (m, d): numbers of any float type, computed in float64 on the device of `train_x`. train_y
    (n,), test_y (m,): class numbers; rows with label -1 are left out. Where there are fewer train rows than
    `neighbours`, all vote. exclude (m,): the train row that a test row may not use, -1 for none; `arange(n)` measures
    a set against itself. chunk: test rows at a time, which bounds the memory at chunk x n numbers and changes nothing
    else.

    Raises MultiviewError when no labelled row is left or a feature is NaN or infinite.
    """
    if neighbours < 1 or temperature <= 0:
        raise MultiviewError(
            f"kNN with {neighbours} neighbours at temperature {temperature}: "
            "give 1 neighbour or more and a temperature above 0."
        )
    train, labels, order = _by_class(_unit(train_x, "train"), _ints(train_y))
    test, truth = _unit(test_x, "test").to(train), _ints(test_y).to(labels)
    banned = torch.full_like(truth, -1) if exclude is None else _position(order, _ints(exclude).to(labels))
    known = truth >= 0
    test, truth, banned = test[known], truth[known], banned[known]
    if not len(labels) or not len(truth):
        raise MultiviewError("kNN needs labelled train and test rows; every label of one of the two is missing (-1).")
    rows = chunk or max(1, min(1024, 2**22 // len(labels)))
    hits = torch.zeros((), dtype=torch.int64, device=labels.device)
    for x, y, ban in zip(test.split(rows), truth.split(rows), banned.split(rows), strict=True):
        hits += (_vote(x, ban, train, labels, neighbours, temperature) == y).sum()
    return hits.item() / len(truth)


def require_finite(bad_rows: int, rows: int, split: str) -> None:
    """Raises MultiviewError when `bad_rows` of the `rows` features of a split are NaN or infinite."""
    if bad_rows:
        raise MultiviewError(
            f"{bad_rows} of {rows} {split} features are NaN or infinite, which cannot be evaluated: the encoder has "
            "diverged. Look at the loss in metrics.jsonl and train again with a lower learning rate."
        )


def _vote(x: Tensor, banned: Tensor, train: Tensor, labels: Tensor, neighbours: int, temperature: float) -> Tensor:
    """The winning class of each row of `x` (m, d); `train` (n, d) and `labels` (n,) are in class order."""
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
    """Integers (m, n) that sort like `similarity`, with ties won by the earlier column: no two are equal.

    Similarities are rounded to 2^-30 first, because the same pair may differ in its last bits with its place in a
    product.
    """
    columns = torch.arange(similarity.shape[1], device=similarity.device)
    return (similarity * 2**30).round().to(torch.int64) * 2**31 - columns


def _unit(x: Array, split: str) -> Tensor:
    rows = torch.as_tensor(x).detach().to(torch.float64)
    require_finite(int((~torch.isfinite(rows)).any(1).sum()), len(rows), split)
    return F.normalize(rows, dim=1)


def _ints(y: Array) -> Tensor:
    return torch.as_tensor(y).to(torch.int64)


def _by_class(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Labelled rows in class order, their labels, and which original row each is."""
    order = torch.argsort(y.to(x.device), stable=True)
    order = order[y.to(x.device)[order] >= 0]
    return x[order], y.to(x.device)[order], order


def _position(order: Tensor, rows: Tensor) -> Tensor:
    """Where each of the original `rows` stands in `order`; -1 for one that does not."""
    size = int(torch.cat([order, rows]).max()) + 1
    where = torch.full((size + 1,), -1, dtype=torch.int64, device=order.device)  # the last place answers to row -1
    where[order] = torch.arange(len(order), device=order.device)
    return where[rows]
