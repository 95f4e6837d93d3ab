"""NT-Xent of SimCLR (arXiv:2002.05709, Eq. 1), in memory linear in the batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple

import torch
from torch import Tensor

from multiview import old_import_paths
from multiview.ops.chunks import in_chunks
from multiview.ops.softmax import softmax_of
from multiview.ops.weighting import Weighting, weighted

__getattr__ = old_import_paths.names_of("ops.ntxent")

HELD_FLOATS = 1 << 22
"""Scores held at a time, 16 MiB in float32. More are computed again in the backward pass."""


class Terms(NamedTuple):
    """Per row: the loss, and whether no negative scores higher (1.0 or 0.0, no gradient)."""

    loss: Tensor
    found: Tensor


Groups = tuple[Tensor, Tensor]
"""Codes of the groups of the rows (r,) and of the columns (m,), int64.

The columns of a row's own group are left out for the row, except its positive.
"""


def nt_xent(
    a: Tensor,
    b: Tensor,
    all_a: Tensor,
    all_b: Tensor,
    columns: Tensor | None,
    offset: int,
    temperature: float | Tensor,
    weighting: Weighting | None = None,
    groups: Groups | None = None,
) -> Terms:
    """-log softmax of each row's partner among all other embeddings of both views.

    Differentiable once.

    Args:
        a, b: (n, d) embeddings of the two views, of this process.
        all_a, all_b: (m, d) embeddings of all processes. Local row i is row offset + i.
        columns: (m,) which samples are negatives (None = all).
        offset: the place of this process's first row among all rows.
        temperature: a number, or a learned scalar.
        weighting: of the negatives (None = all weigh 1, and the positive is in the denominator).
        groups: of the samples of this process (n,) and of all processes (m,): samples of one group
            are not each other's negatives (None = no groups).

    Returns:
        Terms (2 n,): the rows of a, then those of b.
    """
    local, hidden = torch.cat([a, b]), None if columns is None else ~columns.repeat(2)
    twice = None if groups is None else (groups[0].repeat(2), groups[1].repeat(2))
    if weighting is None and all_a is a and all_b is b and len(local) ** 2 <= HELD_FLOATS:
        return _whole(local, temperature, hidden, twice)
    rows = torch.arange(offset, offset + len(a), device=a.device)
    places, everyone = torch.cat([rows, rows + len(all_a)]), torch.cat([all_a, all_b])
    score = partial(among, itself=places, hidden=hidden, weighting=weighting, groups=twice)
    return score(local, everyone, temperature, positives=places.roll(len(a)))


def _whole(local: Tensor, temperature: float | Tensor, hidden: Tensor | None, groups: Groups | None) -> Terms:
    """`nt_xent` of rows (2 n, d) that are all there are. hidden: (2 n,). groups: both (2 n,)."""
    if groups is not None:
        same = groups[0][:, None] == groups[1]
        hidden = same if hidden is None else hidden | same
    if isinstance(temperature, Tensor):
        return Terms(*_Whole.apply(local * temperature**-0.5, 1.0, hidden))
    return Terms(*_Whole.apply(local, 1 / temperature, hidden))


def info_nce_one_way(
    z: Tensor,
    other: Tensor,
    columns: Tensor | None,
    offset: int,
    temperature: float | Tensor,
    weighting: Weighting | None = None,
    groups: Groups | None = None,
) -> Terms:
    """-log softmax of each row's partner among the other view (CLIP, arXiv:2103.00020, Fig. 3).

    z: (n, d) embeddings of this process. other: (m, d) embeddings of the other view, of all
    processes. The other arguments are those of `nt_xent`. Returns terms (n,).
    """
    places, hidden = torch.arange(offset, offset + len(z), device=z.device), None if columns is None else ~columns
    return among(
        z, other, temperature, positives=places, itself=None, hidden=hidden, weighting=weighting, groups=groups
    )


def info_nce(
    a: Tensor,
    b: Tensor,
    all_a: Tensor,
    all_b: Tensor,
    columns: Tensor | None,
    offset: int,
    temperature: float | Tensor,
    weighting: Weighting | None = None,
    groups: Groups | None = None,
) -> Terms:
    """`info_nce_one_way` of a, then of b. Arguments and result are those of `nt_xent`."""
    rest = columns, offset, temperature, weighting, groups
    both = info_nce_one_way(a, all_b, *rest), info_nce_one_way(b, all_a, *rest)
    return Terms(*(torch.cat(column) for column in zip(*both, strict=True)))


def among(
    z: Tensor,
    everyone: Tensor,
    temperature: float | Tensor,
    *,
    positives: Tensor,
    itself: Tensor | None,
    hidden: Tensor | None,
    weighting: Weighting | None = None,
    groups: Groups | None = None,
) -> Terms:
    """-log softmax of one score of each row; the scores are z everyone' / temperature, (r, m).

    Args:
        z: (r, d) rows.
        everyone: (m, d) columns.
        temperature: a number, or a learned scalar.
        positives: (r,) the column of each row's positive.
        itself: (r,) a column that is left out for the row, such as the row itself (None = none).
        hidden: (m,) columns that are left out for every row, except as positive (None = none).
        weighting: of the negatives (None = a plain softmax).
        groups: of the rows (r,) and of the columns (m,): columns of the row's group are left out
            for the row, except as positive (None = none). A row without another column has loss 0.
    """
    alone = None if itself is None else itself[:, None]
    own, codes = (None, None) if groups is None else (groups[0][:, None], groups[1])
    if weighting is not None:
        score = partial(_weighted, everyone=everyone, temperature=temperature, hidden=hidden)
        score = partial(score, groups=codes, weighting=weighting)
        return Terms(*in_chunks(score, HELD_FLOATS // len(everyone), z, positives[:, None], alone, own))
    return Terms(*_Terms.apply(z / temperature, everyone, positives[:, None], alone, hidden, own, codes))


def _weighted(
    z: Tensor,
    positives: Tensor,
    itself: Tensor | None,
    own: Tensor | None,
    *,
    everyone: Tensor,
    temperature: float | Tensor,
    hidden: Tensor | None,
    groups: Tensor | None,
    weighting: Weighting,
) -> Terms:
    """The terms of some rows (s,) with weighted negatives. positives, itself, own: (s, 1)."""
    scores = z @ everyone.T / temperature
    positive = scores.gather(1, positives)[:, 0]
    negatives = scores if hidden is None else scores.masked_fill(hidden, -math.inf)
    if own is not None and groups is not None:
        negatives = negatives.masked_fill(own == groups, -math.inf)
    for left_out in (positives, itself):
        negatives = negatives if left_out is None else negatives.scatter(1, left_out, -math.inf)
    found = positive.detach() >= negatives.detach().amax(1)
    return Terms(weighted(positive, negatives, temperature, weighting), found.to(z.dtype))


class _Whole(torch.autograd.Function):
    """All rows among all rows; the first half are the partners of the second half.

    The scores are symmetric, so one matrix product gives the gradient.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, scale: float, hidden: Tensor | None) -> tuple[Tensor, Tensor]:
        scores = scaled_mm(z, z.T, scale)
        partners = _partners(scores)
        positive = torch.cat(partners)
        if hidden is not None:
            scores.masked_fill_(hidden, -math.inf)
            for place, value in zip(partners, positive.chunk(2), strict=True):
                place.copy_(value)
        terms, found, share = _terms(scores.fill_diagonal_(-math.inf), positive)
        ctx.save_for_backward(z, share)
        ctx.scale = scale
        ctx.mark_non_differentiable(found)
        return terms, found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, terms: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        z, share = ctx.saved_tensors
        weights = share * terms[:, None]  # d loss / d scores: the softmax less 1 at the positive
        for place, value in zip(_partners(weights), terms.chunk(2), strict=True):
            place.sub_(value)
        # `weights + weights.T` is four times slower from 1,024 rows on: it reads across rows.
        return scaled_mm(weights.T.contiguous().add_(weights), z, ctx.scale), None, None


def scaled_mm(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """`a @ b * scale` in one pass."""
    return torch.addmm(b.new_empty(()), a, b, beta=0, alpha=scale)


def _partners(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Views of (2 n, 2 n) scores: those of the first half with their partners, and the second's."""
    half = len(scores) // 2
    return scores.diagonal(half), scores.diagonal(-half)


class _Terms(torch.autograd.Function):
    """Takes rows in chunks. The backward pass computes the softmax of several chunks again.

    z: divided by the temperature. positives, itself, own: (r, 1). own, groups: codes of the groups
    of the rows and of the columns.
    """

    @staticmethod
    def forward(
        ctx: Any,
        z: Tensor,
        everyone: Tensor,
        positives: Tensor,
        itself: Tensor | None,
        hidden: Tensor | None,
        own: Tensor | None,
        groups: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        ctx.step = max(1, HELD_FLOATS // len(everyone))
        ctx.save_for_backward(z, everyone, positives, itself, hidden, own, groups)
        found = []
        for rows in _chunks(ctx.step, z, positives, itself, own):
            terms, best, share = _terms(*_scores(*rows, everyone, hidden, groups))
            found.append((terms, best))
        ctx.share = share if len(found) == 1 else None
        terms, best = map(torch.cat, zip(*found, strict=True))
        ctx.mark_non_differentiable(best)
        return terms, best

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, terms: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        z, everyone, positives, itself, hidden, own, groups = ctx.saved_tensors
        grad_z, grad_everyone = torch.empty_like(z), torch.zeros_like(everyone)
        chunks = _chunks(ctx.step, z, positives, itself, own)
        for rows, above, grad in zip(chunks, terms[:, None].split(ctx.step), grad_z.split(ctx.step), strict=True):
            share = ctx.share
            if share is None:
                share = torch.softmax(_scores(*rows, everyone, hidden, groups)[0], dim=1)
            weights = (share * above).scatter_add_(1, rows[1], -above)
            torch.mm(weights, everyone, out=grad)
            grad_everyone.addmm_(weights.T, rows[0])
        return grad_z, grad_everyone, None, None, None, None, None


def _chunks(
    step: int, z: Tensor, positives: Tensor, itself: Tensor | None, own: Tensor | None
) -> Iterator[tuple[Tensor, Tensor, Tensor | None, Tensor | None]]:
    alone, groups = (repeat(None) if x is None else x.split(step) for x in (itself, own))
    return zip(z.split(step), positives.split(step), alone, groups, strict=False)


def _scores(
    z: Tensor,
    positives: Tensor,
    itself: Tensor | None,
    own: Tensor | None,
    everyone: Tensor,
    hidden: Tensor | None,
    groups: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Scores of some rows (s, m), -inf where left out, and the scores of their positives (s,)."""
    scores = z @ everyone.T
    positive = scores.gather(1, positives)
    if hidden is not None:
        scores.masked_fill_(hidden, -math.inf)
    if own is not None and groups is not None:
        scores.masked_fill_(own == groups, -math.inf)
    if hidden is not None or own is not None:
        scores.scatter_(1, positives, positive)
    if itself is not None:
        scores.scatter_(1, itself, -math.inf)
    return scores, positive[:, 0]


def _terms(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The loss of rows of scores, whether the positive is highest, and the softmax."""
    share, top, excess = softmax_of(scores)
    return top - positive + excess, torch.ge(positive, top, out=torch.empty_like(top)), share
