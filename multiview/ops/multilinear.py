"""Symile: the multilinear inner product against mixed samples (arXiv:2411.01053, Sec. 3)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from multiview import old_import_paths
from multiview.distributed import own_rows
from multiview.ops.ntxent import Groups, Terms, among

__getattr__ = old_import_paths.names_of("ops.multilinear")


def mixed_orders(numbers: Tensor, present: Tensor) -> Tensor:
    """A random order of the `present` (n,) rows for each view, (views, rows) int64.

    The rows are sorted by `numbers` (n, views). Each number belongs to a sample. So the orders
    do not depend on the order of the batch or on its absent rows.
    """
    rows = present.nonzero()[:, 0]
    return rows[torch.argsort(numbers[rows], dim=0)].T


def symile(
    local: Sequence[Tensor],
    everyone: Sequence[Tensor],
    orders: Tensor,
    temperature: float | Tensor,
    groups: Groups | None = None,
) -> Terms:
    """The mean over all views as anchor of `anchored`, whose arguments these are; terms (n,)."""
    anchors = [anchored(local, everyone, orders, anchor, temperature, groups) for anchor in range(len(local))]
    return Terms(*(torch.stack(column).mean(0) for column in zip(*anchors, strict=True)))


def anchored(
    local: Sequence[Tensor],
    everyone: Sequence[Tensor],
    orders: Tensor,
    anchor: int,
    temperature: float | Tensor,
    groups: Groups | None = None,
) -> Terms:
    """-log softmax of a row's own product among the products of its anchor with mixed samples.

    Memory is linear in the batch.

    Args:
        local: (n, d) per view, the rows of this process.
        everyone: (m, d) per view, the rows of all processes.
        orders: (views, k) rows of `everyone`. Mixed sample j takes each other view from row
            orders[view, j]. The mixed sample at the row's own place in the anchor's order is left
            out. The row's own product takes that place, as on the diagonal in the paper's code.
        anchor: the view that is not mixed.
        temperature: a number, or a learned scalar.
        groups: of the samples of this process (n,) and of all processes (m,). A mixed sample is
            left out for a row when all of its parts come from the row's group (None = no groups).
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
        groups=None if groups is None else _mixed_groups(groups, orders, anchor),
    )


def _mixed_groups(groups: Groups, orders: Tensor, anchor: int) -> Groups:
    """The groups of the rows (n,) and of the mixed samples and own products (k + n,).

    A mixed sample whose parts come from several groups has none: -1.
    """
    own, everyone = groups
    parts = torch.stack([everyone[order] for view, order in enumerate(orders) if view != anchor])
    mixed = torch.where((parts == parts[0]).all(0), parts[0], -1)
    return own, torch.cat([mixed, own])


def _places(order: Tensor, count: int) -> Tensor:
    """Places of `count` rows in an order of some of them; 0 for rows that are not in it."""
    places = torch.zeros(count, dtype=torch.int64, device=order.device)
    places[order] = torch.arange(len(order), device=order.device)
    return places


def product(views: Sequence[Tensor]) -> Tensor:
    """The elementwise product of all views."""
    return math.prod(views[1:], start=views[0])
