"""Scores of embeddings against chosen rows of a memory bank, without a B x K x D copy held for the backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

GATHERED_FLOATS = 1 << 22
"""Bank entries gathered at a time, 16 MiB in float32."""

DENSE_RATIO = 16
"""Up to this many bank rows per drawn row, one product with the whole bank is cheaper than gathering (2 CPU cores, D = 128)."""


class _Scores(torch.autograd.Function):
    """out[b, k] = <z[b], rows[drawn[b, k]]>; the bank takes no gradient."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, rows: Tensor, drawn: Tensor) -> Tensor:
        ctx.rows, ctx.dense = rows, len(rows) <= DENSE_RATIO * drawn.shape[1]
        ctx.save_for_backward(drawn)
        if ctx.dense:
            return (z @ rows.to(z.dtype).T).gather(1, drawn)
        step = _chunk(drawn, rows)
        parts = [
            torch.einsum("bkd,bd->bk", rows[d].to(z.dtype), q)
            for d, q in zip(drawn.split(step), z.split(step), strict=True)
        ]
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (drawn,) = ctx.saved_tensors
        rows = ctx.rows
        if ctx.dense:
            spread = grad.new_zeros(len(drawn), len(rows)).scatter_add_(1, drawn, grad)
            return spread @ rows.to(grad.dtype), None, None
        step = _chunk(drawn, rows)
        parts = [
            torch.einsum("bkd,bk->bd", rows[d].to(grad.dtype), g)
            for d, g in zip(drawn.split(step), grad.split(step), strict=True)
        ]
        return torch.cat(parts), None, None


def _chunk(drawn: Tensor, rows: Tensor) -> int:
    return max(1, GATHERED_FLOATS // (drawn.shape[1] * rows.shape[1]))


def scores_at(z: Tensor, rows: Tensor, drawn: Tensor) -> Tensor:
    """Inner products of each embedding with its drawn bank rows, differentiable in z.

    z: (n, d). rows: (N, d), not changed before the backward pass. drawn: (n, k) int64. Returns (n, k).
    """
    return _Scores.apply(z, rows, drawn)
