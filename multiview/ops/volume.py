"""GRAM: the volume that the embeddings of one sample span (arXiv:2412.11959, Sec. 3 and 4)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from multiview.ops.chunks import in_chunks
from multiview.ops.ntxent import HELD_FLOATS, Groups, Terms

EPSILON = 1e-6
"""Added to every squared height, so that equal embeddings have a finite gradient."""


def gram(
    local: Sequence[Tensor],
    everyone: Sequence[Tensor],
    columns: Tensor | None,
    offset: int,
    temperature: float | Tensor,
    groups: Groups | None = None,
) -> Terms:
    """-log softmax of -volume / temperature of a sample's own views, in both directions.

    Memory is linear in the batch. The own volume is compared with those of the anchor and the data
    of other samples, then with those of the data and the anchors of other samples.

    Args:
        local: (n, d) per view, the rows of this process. The first view is the anchor, the others
            are the data.
        everyone: (m, d) per view, the rows of all processes. Local row i is row offset + i.
        columns: (m,) which samples are negatives (None = all).
        offset: the place of this process's first row among all rows.
        temperature: a number, or a learned scalar.
        groups: of the samples of this process (n,) and of all processes (m,): samples of one group
            are not each other's negatives (None = no groups).

    Returns:
        Terms (2 n,): the anchors, then the data.
    """
    (anchor, *data), (all_anchors, *all_data) = local, everyone
    places = torch.arange(offset, offset + len(anchor), device=anchor.device)[:, None]
    step = HELD_FLOATS // (len(all_anchors) * len(data))
    (axes, base), (all_axes, all_base) = spanned(data), spanned(all_data)
    own = None if groups is None else groups[0][:, None]

    def of_anchors(a: Tensor, places: Tensor, own: Tensor | None) -> Terms:
        kept = shown(columns, own, groups)
        return smallest_is_own(volumes(a, all_axes, all_base), places, kept, temperature)

    def of_data(axes: Tensor, base: Tensor, places: Tensor, own: Tensor | None) -> Terms:
        kept = shown(columns, own, groups)
        return smallest_is_own(volumes(all_anchors, axes, base).T, places, kept, temperature)

    both = in_chunks(of_anchors, step, anchor, places, own), in_chunks(of_data, step, axes, base, places, own)
    return Terms(*(torch.cat(column) for column in zip(*both, strict=True)))


def shown(columns: Tensor | None, own: Tensor | None, groups: Groups | None) -> Tensor | None:
    """Which columns are negatives: (m,), or (r, m) with the groups `own` (r, 1) of the rows."""
    if own is None or groups is None:
        return columns
    apart = own != groups[1]
    return apart if columns is None else apart & columns


def spanned(views: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Axes (n, k, d) of the space that the k views (n, d) of a row span, and their volume (n,).

    Gram-Schmidt: the volume is the product of the heights of each view over the views before it. A
    view that adds no height adds no axis.
    """
    axes: list[Tensor] = []
    volume = torch.ones_like(views[0][:, 0])
    for x in views:
        for axis in axes:
            x = x - (x * axis).sum(1, keepdim=True) * axis
        height = (x.square().sum(1) + EPSILON).sqrt()
        axes.append(x / height[:, None])
        volume = volume * height
    return torch.stack(axes, dim=1), volume


def volumes(anchors: Tensor, axes: Tensor, base: Tensor) -> Tensor:
    """The volume of each anchor (r, d) with each row's span, (r, m): base times height.

    axes: (m, k, d). base: (m,). It is sqrt(det(Gram matrix)) of all views, up to `EPSILON`.
    """
    shadow = (anchors @ axes.flatten(0, 1).T).view(len(anchors), *axes.shape[:2]).square().sum(2)
    height = (anchors.square().sum(1, keepdim=True) - shadow).clamp(min=0) + EPSILON
    return base * height.sqrt()


def smallest_is_own(volume: Tensor, places: Tensor, columns: Tensor | None, temperature: float | Tensor) -> Terms:
    """-log softmax of minus the volume (r, m) at each row's own column, `places` (r, 1).

    columns: (m,) or (r, m), which columns are negatives (None = all).
    """
    scores = -volume / temperature
    own = scores.gather(1, places)
    negatives = scores.scatter(1, places, -math.inf)
    if columns is not None:
        negatives = negatives.masked_fill(~columns, -math.inf)
    losses = torch.logsumexp(torch.cat([own, negatives], dim=1), dim=1) - own[:, 0]
    return Terms(losses, (own.detach() >= negatives.detach()).all(1).to(losses.dtype))


def candidate_scores(
    local: Sequence[Tensor], everyone: Sequence[Tensor], columns: Tensor, offset: int, temperature: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Scores (r, 1 + m) of a few anchors, and of their data: the own first, -inf where absent.

    columns: (m,) or (r, m), which columns are negatives.
    """
    (anchor, *data), (all_anchors, *all_data) = local, everyone
    places = torch.arange(offset, offset + len(anchor), device=anchor.device)[:, None]
    found = []
    for volume in (volumes(anchor, *spanned(all_data)), volumes(all_anchors, *spanned(data)).T):
        scores = -volume / temperature
        hidden = scores.masked_fill(~columns, -math.inf).scatter(1, places, -math.inf)
        found.append(torch.cat([scores.gather(1, places), hidden], dim=1))
    return found[0], found[1]
