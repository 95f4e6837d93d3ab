"""The objectives of three views and more as the papers write them; see `by_hand`."""

from __future__ import annotations

import math

import torch
from by_hand import apart, dot, nt_xent
from torch import Tensor


def volume(vectors: list[Tensor]) -> Tensor:
    """sqrt(det(Gram)) as a product of heights, the first vector's last; each square + 1e-6."""
    anchor, *others = vectors
    axes, found = [], torch.ones((), dtype=anchor.dtype)
    for vector in others:
        rest = vector
        for axis in axes:
            rest = rest - dot(rest, axis) * axis
        height = torch.sqrt(dot(rest, rest) + 1e-6)
        axes.append(rest / height)
        found = found * height
    shadow = sum(dot(anchor, axis) ** 2 for axis in axes)
    return found * torch.sqrt(dot(anchor, anchor) - shadow + 1e-6)


def gram(views: list[Tensor], t: Tensor | float, groups: list[int] | None = None) -> Tensor:
    """arXiv:2412.11959 Eq. 6 and 7: data to anchor and anchor to data; the first view is anchor."""
    n, total = len(views[0]), torch.zeros((), dtype=views[0].dtype)
    for i in range(n):
        own = torch.exp(-volume([z[i] for z in views]) / t)
        shown = [j for j in range(n) if j == i or apart(i, j, groups)]
        anchors = [torch.exp(-volume([views[0][j], *(z[i] for z in views[1:])]) / t) for j in shown]
        data = [torch.exp(-volume([views[0][i], *(z[j] for z in views[1:])]) / t) for j in shown]
        total = total - torch.log(own / sum(anchors)) - torch.log(own / sum(data))
    return total / (2 * n)


def symile(
    views: list[Tensor], orders: list[list[int]], temperature: Tensor | float, groups: list[int] | None = None
) -> Tensor:
    """arXiv:2411.01053 Eq. 4 with n - 1 negatives: column j mixes the j-th samples of the orders.

    In the column of a sample in its anchor's order stands the sample itself instead. groups: a
    column whose parts are all of the sample's group is no negative.
    """
    n, total = len(views[0]), torch.zeros((), dtype=views[0].dtype)
    for anchor in range(len(views)):
        for i in range(n):
            own = torch.exp(multilinear([z[i] for z in views]) / temperature)
            others = own
            for j in range(n):
                parts = [order[j] for m, order in enumerate(orders) if m != anchor]
                if orders[anchor][j] != i and any(apart(i, part, groups) for part in parts):
                    mixed = [z[i if m == anchor else orders[m][j]] for m, z in enumerate(views)]
                    others = others + torch.exp(multilinear(mixed) / temperature)
            total = total - torch.log(own / others)
    return total / (n * len(views))


def comm(
    alone: list[list[tuple[int, Tensor]]],
    fused: list[list[tuple[int, Tensor]]],
    t: Tensor | float,
    weight: float = 1.0,
    groups: dict[int, int] | None = None,
) -> Tensor:
    """arXiv:2410.07838 Eq. 7, divided by the number of terms.

    alone: Z_i' of every view, then Z_i'' of every view; fused: Z', Z''. Each is a list of samples
    and their embeddings. A term takes the samples that both its sides have.
    """

    def between(one: list[tuple[int, Tensor]], two: list[tuple[int, Tensor]]) -> Tensor:
        a, b = dict(one), dict(two)
        both = [sample for sample in a if sample in b]
        if not both:
            return torch.zeros((), dtype=torch.float64)
        codes = None if groups is None else [groups[sample] for sample in both]
        return nt_xent(torch.stack([a[s] for s in both]), torch.stack([b[s] for s in both]), t, codes)

    views = len(alone) // 2
    total = between(fused[0], fused[1])
    for view in range(views):
        total = total + weight / 2 * between(alone[view], fused[1])
        total = total + weight / 2 * between(alone[views + view], fused[0])
    return total / (1 + weight * views)


def multilinear(vectors: list[Tensor]) -> Tensor:
    total = torch.zeros((), dtype=vectors[0].dtype)
    for numbers in zip(*vectors, strict=True):
        total = total + math.prod(numbers[1:], start=numbers[0])
    return total
