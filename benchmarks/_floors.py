"""The least that the work of an objective costs on this machine: its products and its reads.

A floor does what cannot be left out, in the fastest way that PyTorch has, and nothing else. It is
measured in the same run. What stands between a floor and ours: for CMC the draws, the softmax or
binary loss, and rows that are read out of order; for NT-Xent and MoCo the passes of the softmax
over the scores.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Floor = Callable[[], object]


def gathers(batch: int, negatives: int, rows: int, dim: int) -> Floor:
    """CMC: B (K + 1) rows are read twice and multiplied twice, in each of two directions.

    Reads are at the speed of one pass over a bank in order, products at the speed of a matrix
    product of as many multiplications.
    """
    bank, z, near = torch.rand(rows, dim), torch.rand(batch, dim), torch.rand(1 + negatives, dim)
    weights = torch.rand(batch, 1 + negatives)
    whole, rest = divmod(batch * (1 + negatives), rows)

    def floor() -> None:
        for product in (lambda: z @ near.T, lambda: weights @ near) * 2:
            for _ in range(whole):
                bank.sum()
            bank[:rest].sum()
            product()

    return floor


def products(rows: int, columns: int, dim: int) -> Floor:
    """NT-Xent and MoCo: the scores by one product, and the gradient by another."""
    z, other, weights = torch.rand(rows, dim), torch.rand(columns, dim), torch.rand(rows, columns)
    scores, gradient = torch.empty(rows, columns), torch.empty(rows, dim)

    def floor() -> None:
        torch.mm(z, other.T, out=scores)
        torch.mm(weights, other, out=gradient)

    return floor


def lerp(*modules: nn.Module) -> Floor:
    """The key encoder: one lerp of as many numbers, in one piece."""
    count = sum(p.numel() for module in modules for p in module.parameters())
    own, query = torch.rand(count), torch.rand(count)
    return lambda: own.lerp_(query, 0.001)
