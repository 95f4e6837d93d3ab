"""NT-Xent, the normalised temperature-scaled cross entropy of SimCLR (arXiv:2002.05709, Eq. 1), in memory linear in the batch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from multiview.ops.chunks import parts
from multiview.ops.softmax import softmax_of

HELD_FLOATS = 1 << 22
"""Scores held at a time, 16 MiB in float32. Where all of them fit they are kept for the backward pass, else computed again in it."""


class Terms(NamedTuple):
    """Per row: the loss; and, without gradient, 1.0 where no negative scores higher than the positive, else 0.0."""

    terms: Tensor
    found: Tensor


def ntxent_terms(
    a: Tensor, b: Tensor, all_a: Tensor, all_b: Tensor, columns: Tensor, offset: int, temperature: float | Tensor
) -> Terms:
    """-log softmax of each row's partner among all other embeddings of both views; differentiable once.

    a, b: (n, d) local embeddings of the two views. all_a, all_b: (m, d) those of all ranks, local row i at offset + i. columns: (m,)
    which samples take part as negatives. temperature: a number, or a scalar that learns. Returns terms (2 n,), rows of a, then of b.
    """
    here, hidden = torch.cat([a, b]), None if columns.all() else ~columns.repeat(2)
    if all_a is a and all_b is b:
        places = torch.arange(len(here), device=a.device)
        return among(here * temperature**-0.5, None, positives=places.roll(len(a)), itself=places, hidden=hidden)
    at = torch.arange(offset, offset + len(a), device=a.device)
    places = torch.cat([at, at + len(all_a)])
    everyone = torch.cat([all_a, all_b])
    return among(here / temperature, everyone, positives=places.roll(len(a)), itself=places, hidden=hidden)


def cross_terms(z: Tensor, other: Tensor, columns: Tensor, offset: int, temperature: float | Tensor) -> Terms:
    """-log softmax of each row's partner among the embeddings of the other view (CLIP, arXiv:2103.00020, Fig. 3), one direction.

    z: (n, d) local embeddings. other: (m, d) all ranks' embeddings of the other view. The rest as above. Returns terms (n,).
    """
    places = torch.arange(offset, offset + len(z), device=z.device)
    return among(z / temperature, other, positives=places, itself=None, hidden=None if columns.all() else ~columns)


def among(
    z: Tensor, everyone: Tensor | None, *, positives: Tensor, itself: Tensor | None, hidden: Tensor | None
) -> Terms:
    """-log softmax of one column of each row.

    z: (r, d), divided by the temperature. everyone: (m, d), None for z itself (then divided by the root of the temperature). positives:
    (r,) its column. itself: (r,) a column that it does not see. hidden: (m,) columns that are seen by none but those whose positive they
    are.
    """
    return Terms(*_Terms.apply(z, everyone, positives, itself, hidden))


class _Terms(torch.autograd.Function):
    """Rows in chunks. The softmax of a single chunk is kept for the backward pass; those of many are made again in it."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, everyone: Tensor | None, positives: Tensor, itself: Tensor | None, hidden: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ctx.step = max(1, HELD_FLOATS // len(z if everyone is None else everyone))
        ctx.save_for_backward(z, everyone, positives, itself, hidden)
        found = []
        for part in parts(len(z), ctx.step):
            scores, positive = _scores(z, everyone, positives, itself, hidden, part)
            share, top, excess = softmax_of(scores)
            found.append((top - positive + excess, (positive >= top).to(z.dtype)))
        ctx.share = share if len(found) == 1 else None
        terms, best = found[0] if len(found) == 1 else map(torch.cat, zip(*found, strict=True))
        ctx.mark_non_differentiable(best)
        return terms, best

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, terms: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        z, everyone, positives, itself, hidden = ctx.saved_tensors
        if ctx.share is not None and everyone is None:
            weights = _weights(ctx.share, terms, positives)
            return (weights + weights.T) @ z, None, None, None, None
        others = z if everyone is None else everyone
        grad_z, grad_others = torch.empty_like(z), torch.zeros_like(others)
        for part in parts(len(z), ctx.step):
            share = ctx.share
            if share is None:
                share = torch.softmax(_scores(z, everyone, positives, itself, hidden, part)[0], dim=1)
            weights = _weights(share, terms[part], positives[part])
            torch.mm(weights, others, out=grad_z[part])
            grad_others.addmm_(weights.T, z[part])
        if everyone is None:
            return grad_z.add_(grad_others), None, None, None, None
        return grad_z, grad_others, None, None, None


def _weights(share: Tensor, terms: Tensor, positives: Tensor) -> Tensor:
    """d loss / d scores: the softmax less 1 at the positive, times what comes from above."""
    above = terms[:, None]
    return (share * above).scatter_add_(1, positives[:, None], -above)


def _scores(
    z: Tensor, everyone: Tensor | None, positives: Tensor, itself: Tensor | None, hidden: Tensor | None, part: slice
) -> tuple[Tensor, Tensor]:
    """Scores of a chunk of rows (s, m), -inf where a row does not see a column, and those of its positives (s,)."""
    scores, places = z[part] @ (z if everyone is None else everyone).T, positives[part, None]
    positive = scores.gather(1, places)
    if hidden is not None:
        scores.masked_fill_(hidden, -math.inf).scatter_(1, places, positive)
    if itself is not None:
        scores.scatter_(1, itself[part, None], -math.inf)
    return scores, positive[:, 0]
