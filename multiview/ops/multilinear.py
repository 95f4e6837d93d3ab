"""The multilinear inner product of Symile (arXiv:2411.01053, Sec. 3) against samples that were mixed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from multiview.distributed import own_rows
from multiview.ops.ntxent import Terms, among


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
    not seen: the row's own product takes its place, as the diagonal's in the paper's code. In memory linear in the batch. Returns terms (n,).
    """
    mixed = product([x[order] for view, (x, order) in enumerate(zip(everyone, orders, strict=True)) if view != anchor])
    own = product([x for view, x in enumerate(local) if view != anchor])
    columns = torch.arange(len(mixed) + len(own), device=mixed.device)
    itself = own_rows(_places(orders[anchor], len(everyone[anchor]))) if len(mixed) else None
    return among(
        local[anchor],
        torch.cat([mixed, own]),
        temperature,
        positives=columns[len(mixed) :],
        itself=itself,
        hidden=columns >= len(mixed),
    )


def _places(order: Tensor, count: int) -> Tensor:
    """Where each of `count` rows stands in an order of some of them; 0 for those that do not, whose loss does not count."""
    places = torch.zeros(count, dtype=torch.int64, device=order.device)
    places[order] = torch.arange(len(order), device=order.device)
    return places


def product(views: Sequence[Tensor]) -> Tensor:
    """The product of all views, number by number."""
    found = views[0]
    for z in views[1:]:
        found = found * z
    return found
