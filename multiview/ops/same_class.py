"""SupCon: all samples of a row's class are its positives (arXiv:2004.11362, Eq. 2, L_out)."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from multiview.ops.chunks import in_chunks
from multiview.ops.ntxent import HELD_FLOATS, Groups, Terms


def both_views(
    a: Tensor,
    b: Tensor,
    all_a: Tensor,
    all_b: Tensor,
    classes: tuple[Tensor, Tensor],
    columns: Tensor | None,
    offset: int,
    temperature: float | Tensor,
    groups: Groups | None = None,
) -> Terms:
    """`among` all other embeddings of both views, terms (2 n,): the rows of a, then those of b.

    Args:
        a, b: (n, d) embeddings of the two views, of this process.
        all_a, all_b: (m, d) embeddings of all processes.
        classes: labels (n,) of this process and (m,) of all processes.
        columns, offset, temperature, groups: as in `ntxent.nt_xent`.
    """
    rows = torch.arange(offset, offset + len(a), device=a.device)
    places = torch.cat([rows, rows + len(all_a)])
    hidden = None if columns is None else ~columns.repeat(2)
    local, everyone = torch.cat([a, b]) / temperature, torch.cat([all_a, all_b])
    labels = classes[0].repeat(2), classes[1].repeat(2)
    twice = None if groups is None else (groups[0].repeat(2), groups[1].repeat(2))
    return among(local, everyone, *labels, partners=places.roll(len(a)), itself=places, hidden=hidden, groups=twice)


def other_view(
    a: Tensor,
    b: Tensor,
    all_a: Tensor,
    all_b: Tensor,
    classes: tuple[Tensor, Tensor],
    columns: Tensor | None,
    offset: int,
    temperature: float | Tensor,
    groups: Groups | None = None,
) -> Terms:
    """`among` the embeddings of the other view; arguments and result are those of `both_views`."""
    places = torch.arange(offset, offset + len(a), device=a.device)
    hidden = None if columns is None else ~columns
    score = partial(among, partners=places, itself=None, hidden=hidden, groups=groups)
    both = [score(x / temperature, other, *classes) for x, other in ((a, all_b), (b, all_a))]
    return Terms(*(torch.cat(column) for column in zip(*both, strict=True)))


def among(
    z: Tensor,
    everyone: Tensor,
    labels: Tensor,
    all_labels: Tensor,
    *,
    partners: Tensor,
    itself: Tensor | None,
    hidden: Tensor | None,
    groups: Groups | None = None,
) -> Terms:
    """-1/|P| sum_{p in P} log softmax of the positives P of each row, (r,).

    Args:
        z: (r, d) rows, divided by the temperature.
        everyone: (m, d) columns.
        labels: (r,) classes of the rows; -1 for a row whose class is unknown.
        all_labels: (m,) classes of the columns.
        partners: (r,) the column of the same sample, a positive of every row.
        itself: (r,) the column of the row itself, which is left out (None = there is none).
        hidden: (m,) columns that are left out for every row, except as partner (None = none).
        groups: of the rows (r,) and of the columns (m,): columns of the row's group are left out
            for the row, except its positives (None = no groups).
    """
    alone = None if itself is None else itself[:, None]
    own, codes = (None, None) if groups is None else (groups[0][:, None], groups[1])
    score = partial(_terms, everyone=everyone, all_labels=all_labels, hidden=hidden, groups=codes)
    return Terms(*in_chunks(score, HELD_FLOATS // len(everyone), z, labels[:, None], partners[:, None], alone, own))


def _terms(
    z: Tensor,
    labels: Tensor,
    partners: Tensor,
    itself: Tensor | None,
    own: Tensor | None,
    *,
    everyone: Tensor,
    all_labels: Tensor,
    hidden: Tensor | None,
    groups: Tensor | None,
) -> Terms:
    scores = z @ everyone.T
    left_out = torch.zeros_like(scores, dtype=torch.bool) if hidden is None else hidden.expand(scores.shape)
    left_out = left_out.scatter(1, partners, False)
    if itself is not None:
        left_out = left_out.scatter(1, itself, True)
    positive = ((labels == all_labels) & (labels >= 0)).scatter(1, partners, True) & ~left_out
    if own is not None and groups is not None:
        left_out = left_out | ((own == groups) & ~positive)
    scores = scores.masked_fill(left_out, -math.inf)
    mean = scores.masked_fill(~positive, 0.0).sum(1) / positive.sum(1)
    found = scores.detach().masked_fill(~positive, -math.inf).amax(1) >= scores.detach().amax(1)
    return Terms(torch.logsumexp(scores, dim=1) - mean, found.to(z.dtype))
