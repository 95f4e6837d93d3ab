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
    at = torch.arange(offset, offset + len(a), device=a.device)
    places = torch.cat([at, at + len(all_a)])
    return among(
        torch.cat([a, b]) / temperature,
        torch.cat([all_a, all_b]),
        positives=places.roll(len(a)),
        itself=places,
        hidden=_hidden(columns.repeat(2)),
    )


def cross_terms(z: Tensor, other: Tensor, columns: Tensor, offset: int, temperature: float | Tensor) -> Terms:
    """-log softmax of each row's partner among the embeddings of the other view (CLIP, arXiv:2103.00020, Fig. 3), one direction.

    z: (n, d) local embeddings. other: (m, d) all ranks' embeddings of the other view. The rest as above. Returns terms (n,).
    """
    places = torch.arange(offset, offset + len(z), device=z.device)
    return among(z / temperature, other, positives=places, itself=None, hidden=_hidden(columns))


def among(z: Tensor, everyone: Tensor, *, positives: Tensor, itself: Tensor | None, hidden: Tensor | None) -> Terms:
    """-log softmax of one column of each row.

    z: (r, d), divided by the temperature. everyone: (m, d). positives: (r,) its column. itself: (r,) a column that it does not see.
    hidden: (m,) columns that are seen by none but those whose positive they are.
    """
    return Terms(*_Terms.apply(z, everyone, positives, itself, hidden))


def _hidden(columns: Tensor) -> Tensor | None:
    return None if columns.all() else ~columns


class _Terms(torch.autograd.Function):
    """Rows in chunks. The softmax of a single chunk is kept for the backward pass; those of many are made again in it."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, everyone: Tensor, positives: Tensor, itself: Tensor | None, hidden: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        ctx.step = max(1, HELD_FLOATS // len(everyone))
        ctx.save_for_backward(z, everyone, positives, itself, hidden)
        found = Terms(*z.new_empty(2, len(z)))
        for part in parts(len(z), ctx.step):
            scores, positive = _scores(z, everyone, positives, itself, hidden, part)
            share, top, excess = softmax_of(scores)
            found.terms[part] = top - positive[:, 0] + excess
            found.found[part] = (positive[:, 0] >= top).to(z.dtype)
        ctx.share = share if ctx.step >= len(z) else None
        ctx.mark_non_differentiable(found.found)
        return found.terms, found.found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, terms: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        z, everyone, positives, itself, hidden = ctx.saved_tensors
        grad_z, grad_everyone = torch.empty_like(z), torch.zeros_like(everyone)
        for part in parts(len(z), ctx.step):
            share = ctx.share
            if share is None:
                share = torch.softmax(_scores(z, everyone, positives, itself, hidden, part)[0], dim=1)
            weights = share * terms[part, None]
            weights.scatter_add_(1, positives[part, None], -terms[part, None])
            torch.mm(weights, everyone, out=grad_z[part])
            grad_everyone.addmm_(weights.T, z[part])
        return grad_z, grad_everyone, None, None, None


def _scores(
    z: Tensor, everyone: Tensor, positives: Tensor, itself: Tensor | None, hidden: Tensor | None, part: slice
) -> tuple[Tensor, Tensor]:
    """Scores of a chunk of rows (s, m), -inf where a row does not see a column, and those of its positives (s, 1)."""
    scores, places = z[part] @ everyone.T, positives[part, None]
    positive = scores.gather(1, places)
    if hidden is not None:
        scores.masked_fill_(hidden, -math.inf).scatter_(1, places, positive)
    if itself is not None:
        scores.scatter_(1, itself[part, None], -math.inf)
    return scores, positive
