"""NT-Xent, the normalised temperature-scaled cross entropy of SimCLR (arXiv:2002.05709, Eq. 1)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

HELD_FLOATS = 1 << 22
"""Scores held at a time, 16 MiB in float32. Where all of them fit they are kept for the backward pass, else computed again in it."""


class Terms(NamedTuple):
    """Per row: the loss; and, without gradient, the rank of the positive, 1 + the number of negatives that score higher."""

    terms: Tensor
    rank: Tensor

    @property
    def found(self) -> Tensor:
        """1.0 per row whose positive scored highest."""
        return (self.rank == 1).to(self.terms.dtype)


def ntxent_terms(
    z: Tensor, own: Tensor | None, other: Tensor, columns: Tensor, offset: int, temperature: float | Tensor
) -> Terms:
    """-log softmax of the positive among all columns, one direction, in memory linear in the batch; differentiable once.

    z: (n, d) local embeddings of one view. other: (m, d) all ranks' embeddings of the other view; row i's positive is column offset + i.
    own: (m, d) all ranks' embeddings of z's own view, without itself as a negative, or None for cross-view negatives only.
    columns: (m,) which samples take part as negatives. temperature: a number, or a scalar that learns. Returns terms (n,).
    """
    columns = torch.where(columns, 0.0, -math.inf).to(z.dtype)
    if own is None:
        return Terms(*_Terms.apply(z / temperature, other, columns, offset, None))
    return Terms(
        *_Terms.apply(z / temperature, torch.cat([other, own]), columns.repeat(2), offset, offset + len(other))
    )


class _Scored(NamedTuple):
    """e^(score - top) for a chunk of rows (s, m), its sum (s,), and what is reported."""

    share: Tensor
    total: Tensor
    terms: Tensor
    rank: Tensor


class _Terms(torch.autograd.Function):
    """columns: (m,) 0 or -inf. at: column of the first row's positive. itself: column of the first row itself, or None."""

    @staticmethod
    def forward(
        ctx: Any, z: Tensor, everyone: Tensor, columns: Tensor, at: int, itself: int | None
    ) -> tuple[Tensor, ...]:
        step = max(1, HELD_FLOATS // len(everyone))
        found = Terms(*z.new_empty(2, len(z)))
        for start in range(0, len(z), step):
            scored = _scored(z[start : start + step], everyone, columns, at + start, _plus(itself, start))
            found.terms[start : start + step], found.rank[start : start + step] = scored.terms, scored.rank
        ctx.step, ctx.at, ctx.itself = step, at, itself
        ctx.kept = scored if len(z) <= step else None
        ctx.save_for_backward(z, everyone, columns)
        ctx.mark_non_differentiable(found.rank)
        return tuple(found)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, terms: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        z, everyone, columns = ctx.saved_tensors
        grad_z, grad_everyone = torch.empty_like(z), torch.zeros_like(everyone)
        for start in range(0, len(z), ctx.step):
            part = slice(start, start + ctx.step)
            at = ctx.at + start
            scored = ctx.kept or _scored(z[part], everyone, columns, at, _plus(ctx.itself, start))
            weights = scored.share * (terms[part] / scored.total)[:, None]
            _diagonal(weights, at).sub_(terms[part])
            torch.mm(weights, everyone, out=grad_z[part])
            grad_everyone.addmm_(weights.T, z[part])
        return grad_z, grad_everyone, None, None, None


def _scored(z: Tensor, everyone: Tensor, columns: Tensor, at: int, itself: int | None) -> _Scored:
    scores = torch.addmm(columns, z, everyone.T)
    positive = (z * everyone[at : at + len(z)]).sum(1)
    _diagonal(scores, at).copy_(positive)  # its column may be hidden, and then it is not
    if itself is not None:
        _diagonal(scores, itself).fill_(-math.inf)
    rank = (scores > positive[:, None]).sum(1) + 1
    top = scores.amax(1)
    share = scores.sub_(top[:, None]).exp_()
    total = share.sum(1)
    return _Scored(share, total, top + total.log() - positive, rank)


def _diagonal(scores: Tensor, start: int) -> Tensor:
    """The entries [i, start + i], as a view."""
    return scores[:, start : start + len(scores)].diagonal()


def _plus(column: int | None, rows: int) -> int | None:
    return None if column is None else column + rows
