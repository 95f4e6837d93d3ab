"""The multilinear inner product of Symile (arXiv:2411.01053, Sec. 3) against samples that were mixed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from multiview.distributed import rank
from multiview.ops.ntxent import Terms


def mixed_orders(numbers: Tensor, present: Tensor) -> Tensor:
    """An order of the `present` (n,) rows for each view, by its column of the random `numbers` (n, views): (views, rows) int64.

    As each number belongs to a sample, the orders do not depend on how a batch is arranged or which absent rows it holds.
    """
    rows = present.nonzero()[:, 0]
    return rows[torch.argsort(numbers[rows], dim=0)].T


def multilinear_terms(
    local: Sequence[Tensor], everyone: Sequence[Tensor], orders: Tensor, anchor: int, temperature: float | Tensor
) -> Terms:
    """-log softmax of a row's own product among itself and the products of its anchor with mixed samples.

    local: (n, d) a view, this rank's rows; everyone: (m, d) a view, all ranks' rows. orders: (views, k) rows of `everyone`: column j of the
    mixed samples takes each other view from row orders[view, j]. The column that stands where the row itself stands in the anchor's order is
    replaced by the row's own product, as the diagonal in the paper's code. Returns terms (n,), and the rank of the own product.
    """
    mixed = product([z[order] for view, (z, order) in enumerate(zip(everyone, orders, strict=True)) if view != anchor])
    own = product(local).sum(1) / temperature
    scores = (local[anchor] / temperature) @ mixed.T
    rows = torch.arange(len(own), device=own.device) + rank() * len(own)
    scores = scores.masked_fill(orders[anchor] == rows[:, None], -math.inf)
    ranks = (scores.detach() > own.detach()[:, None]).sum(1) + 1
    return Terms(torch.logsumexp(torch.cat([own[:, None], scores], dim=1), dim=1) - own, ranks)


def product(views: Sequence[Tensor]) -> Tensor:
    """The product of all views, number by number."""
    found = views[0]
    for z in views[1:]:
        found = found * z
    return found
