"""InfoNCE against a queue of keys (MoCo, arXiv:1911.05722, Eq. 1)."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from multiview.memory.queue import KeyQueue
from multiview.ops.ntxent import Terms

HELD_FLOATS = 3 << 17
"""Scores held at a time, 1.5 MiB in float32: more would not stay in the cache, fewer cost more calls."""


def queue_terms(q: Tensor, k: Tensor, queue: KeyQueue, ids: Tensor | None, temperature: float | Tensor) -> Terms:
    """-log softmax of <q, k> among <q, k> and the filled rows of the queue; differentiable once, in q and the temperature.

    q: (n, d) queries. k: (n, d) keys of the same samples, no gradient. ids: (n,) sample indices, to hide a sample's own older keys
    (None = show them). temperature: a number, or a scalar that learns. With an empty queue the loss is 0. Returns terms (n,).
    """
    return Terms(*_Terms.apply(q / temperature, k.detach(), queue.filled_keys(), queue.filled_ids(), ids))


class _Terms(torch.autograd.Function):
    """A chunk of keys at a time: 2^(score - highest so far), their sum, and the keys that they pull towards.

    So one pass over the queue gives the loss and the gradient, and neither the scores nor a copy of the queue is held.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, keys: Tensor, key_ids: Tensor, ids: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        scaled = q * math.log2(math.e)  # powers of 2 cost a quarter of those of e
        positive = (scaled * k).sum(1)
        highest, total, pulled = positive, torch.ones_like(positive), k.to(q.dtype, copy=True)
        step = max(1, HELD_FLOATS // len(q))
        own = None if ids is None else _places(key_ids, ids, step)
        # Held for all chunks: fresh pages for each of them would cost as much as what is computed in them.
        held = q.new_empty(min(step, len(keys)), len(q))
        for number, start in enumerate(range(0, len(keys), step)):
            some = keys[start : start + step].to(q.dtype)
            scores = torch.mm(some, scaled.T, out=held[: len(some)])  # up to twice as fast as scaled @ some.T
            if ids is not None and own is not None and len(own[number]):
                _hide(scores, own[number] - start, key_ids[own[number], None] == ids)
            before, highest = highest, torch.maximum(highest, scores.amax(0))
            weights, fade = scores.sub_(highest).exp2_(), (before - highest).exp2()
            total.mul_(fade).add_(weights.sum(0))
            pulled.mul_(fade[:, None]).addmm_(weights.T, some)
        found = (positive >= highest).to(q.dtype)
        ctx.save_for_backward(pulled.div_(total[:, None]).sub_(k))
        ctx.mark_non_differentiable(found)
        return (highest - positive + total.log2()) * math.log(2), found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, terms: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return grad * terms[:, None], None, None, None, None


def _places(key_ids: Tensor, ids: Tensor, step: int) -> list[Tensor]:
    """Which of the keys (K,) are of samples `ids` (n,), for each `step` of them."""
    ordered = ids.sort().values
    nearest = torch.searchsorted(ordered, key_ids).clamp_(max=len(ordered) - 1)
    places = (ordered[nearest] == key_ids).nonzero()[:, 0]
    counts = torch.bincount(places // step, minlength=-(-len(key_ids) // step))
    return list(places.split(counts.tolist()))


def _hide(scores: Tensor, rows: Tensor, own: Tensor) -> None:
    """Takes each sample's own keys out of its column of scores (K, n); own: whose the keys of `rows` (c,) are, (c, n).

    With the lowest number instead of -inf, nothing is ever -inf - -inf.
    """
    scores[rows] = scores[rows].masked_fill_(own, torch.finfo(scores.dtype).min)
