"""InfoNCE against a queue of keys (MoCo, arXiv:1911.05722, Eq. 1)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from multiview.memory.queue import KeyQueue
from multiview.ops.ntxent import Terms
from multiview.ops.softmax import rank_of, softmax_of

HELD_FLOATS = 1 << 18
"""Scores held at a time, 1 MiB in float32."""


def queue_terms(q: Tensor, k: Tensor, queue: KeyQueue, ids: Tensor | None, temperature: float | Tensor) -> Terms:
    """-log softmax of <q, k> among <q, k> and the filled rows of the queue; differentiable once, in q and the temperature.

    q: (n, d) queries. k: (n, d) keys of the same samples, no gradient. ids: (n,) sample indices, to hide a sample's own older keys
    (None = show them). temperature: a number, or a scalar that learns. With an empty queue the loss is 0. Returns terms (n,).
    """
    return Terms(*_Terms.apply(q / temperature, k.detach(), queue.filled_keys(), queue.filled_ids(), ids))


class _Terms(torch.autograd.Function):
    """A chunk of keys at a time: its softmax, its log sum exp, and the keys it pulls towards, all weighed against those before it.

    So one pass over the queue gives the loss and the gradient, and neither the scores nor a copy of the queue is held.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, keys: Tensor, key_ids: Tensor, ids: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        positive = (q * k).sum(1)
        log_sum, pulled, rank = positive, k.to(q.dtype), torch.ones_like(positive)
        hits = None if ids is None else _among(key_ids, ids)
        step = max(1, HELD_FLOATS // len(q))
        for start in range(0, len(keys), step):
            part = slice(start, start + step)
            some = keys[part].to(q.dtype)
            scores = q @ some.T
            if ids is not None and hits is not None:
                _hide(scores, key_ids[part], ids, hits[part])
            rank += rank_of(positive, scores) - 1
            share, top, excess = softmax_of(scores)
            chunk = top + excess
            joint = torch.logaddexp(log_sum, chunk)
            pulled = pulled * (log_sum - joint).exp()[:, None] + (share @ some) * (chunk - joint).exp()[:, None]
            log_sum = joint
        ctx.save_for_backward(pulled - k)
        ctx.mark_non_differentiable(rank)
        return log_sum - positive, rank

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, terms: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return grad * terms[:, None], None, None, None, None


def _among(key_ids: Tensor, ids: Tensor) -> Tensor:
    """Which of `key_ids` (K,) are in `ids` (n,)."""
    ordered = ids.sort().values
    nearest = torch.searchsorted(ordered, key_ids).clamp_(max=len(ordered) - 1)
    return ordered[nearest] == key_ids


def _hide(scores: Tensor, key_ids: Tensor, ids: Tensor, hits: Tensor) -> None:
    """Takes each sample's own keys out of its scores (n, K); only the few columns `hits` are looked at.

    With the lowest number instead of -inf, a chunk that is hidden whole keeps a softmax, whose weight is then exactly 0.
    """
    columns, lowest = hits.nonzero()[:, 0], torch.finfo(scores.dtype).min
    scores[:, columns] = scores[:, columns].masked_fill_(key_ids[columns] == ids[:, None], lowest)
