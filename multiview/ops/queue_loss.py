"""InfoNCE against a queue of keys (MoCo, arXiv:1911.05722, Eq. 1)."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from multiview import old_import_paths
from multiview.ops.candidates import in_queue
from multiview.ops.chunks import in_chunks
from multiview.ops.ntxent import Terms
from multiview.ops.weighting import Weighting, weighted

__getattr__ = old_import_paths.names_of("ops.queue_loss")

HELD_FLOATS = 3 << 17
"""Scores held at a time, 1.5 MiB in float32: they stay in the cache, with few calls."""

WEIGHTED_FLOATS = 1 << 22
"""Scores held at a time where negatives are weighted; the backward pass computes them again."""


def info_nce(
    q: Tensor,
    k: Tensor,
    keys: Tensor,
    samples: Tensor,
    own: Tensor | None,
    temperature: float | Tensor,
    weighting: Weighting | None = None,
) -> Terms:
    """-log softmax of <q, k> among <q, k> and the keys of a queue, (n,); 0 with an empty queue.

    Differentiable once, in q and the temperature.

    Args:
        q: (n, d) queries.
        k: (n, d) keys of the same samples, without gradient.
        keys: (K, d) keys of the queue.
        samples: (K,) the sample of each key of the queue.
        own: (n,) the sample of each query, whose older keys are hidden from it (None = hide none).
        weighting: of the negatives (None = a plain softmax).
    """
    if weighting is not None:
        score = partial(_weighted, keys=keys, samples=samples, temperature=temperature, weighting=weighting)
        return Terms(*in_chunks(score, WEIGHTED_FLOATS // max(1, len(keys)), q, k.detach(), own))
    return Terms(*_Terms.apply(q / temperature, k.detach(), keys, samples, own))


def _weighted(
    q: Tensor,
    k: Tensor,
    own: Tensor | None,
    *,
    keys: Tensor,
    samples: Tensor,
    temperature: float | Tensor,
    weighting: Weighting,
) -> Terms:
    """The terms of some queries (s,) with weighted negatives."""
    scores = in_queue(q, k, keys, samples, own, temperature)
    found = scores[:, 0].detach() >= scores.detach().amax(1)
    return Terms(weighted(scores[:, 0], scores[:, 1:], temperature, weighting), found.to(q.dtype))


class _Terms(torch.autograd.Function):
    """Takes keys in chunks: 2^(score - highest so far), their sum, and the weighted sum of keys.

    One pass over the queue gives loss and gradient. Neither all scores nor a copy of the queue are
    held.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, keys: Tensor, samples: Tensor, own: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        scaled = q * math.log2(math.e)  # powers of 2 cost a quarter of those of e
        positive = (scaled * k).sum(1)
        highest, total, pulled = positive, torch.ones_like(positive), k.to(q.dtype, copy=True)
        step = max(1, HELD_FLOATS // len(q))
        hidden = None if own is None or not q.is_cpu else _places(samples, own, step)
        # One buffer for all chunks: allocating one for each would cost as much as computing.
        buffer = q.new_empty(min(step, len(keys)), len(q))
        for number, start in enumerate(range(0, len(keys), step)):
            chunk = keys[start : start + step].to(q.dtype)
            scores = torch.mm(chunk, scaled.T, out=buffer[: len(chunk)])  # up to twice as fast as scaled @ chunk.T
            if own is not None and hidden is not None and len(hidden[number]):
                _hide(scores, hidden[number] - start, samples[hidden[number], None] == own)
            elif own is not None and hidden is None:  # to find the few keys would wait for the device
                scores.masked_fill_(samples[start : start + len(chunk), None] == own, torch.finfo(scores.dtype).min)
            before, highest = highest, torch.maximum(highest, scores.amax(0))
            weights, fade = scores.sub_(highest).exp2_(), (before - highest).exp2()
            total.mul_(fade).add_(weights.sum(0))
            pulled.mul_(fade[:, None]).addmm_(weights.T, chunk)
        found = (positive >= highest).to(q.dtype)
        ctx.save_for_backward(pulled.div_(total[:, None]).sub_(k))
        ctx.mark_non_differentiable(found)
        return (highest - positive + total.log2()) * math.log(2), found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, terms: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = ctx.saved_tensors
        return grad * terms[:, None], None, None, None, None


def _places(samples: Tensor, own: Tensor, step: int) -> list[Tensor]:
    """The places of keys whose sample (K,) is among `own` (n,), for each chunk of `step` keys."""
    ordered = own.sort().values
    nearest = torch.searchsorted(ordered, samples).clamp_(max=len(ordered) - 1)
    places = (ordered[nearest] == samples).nonzero()[:, 0]
    counts = torch.bincount(places // step, minlength=-(-len(samples) // step))
    return list(places.split(counts.tolist()))


def _hide(scores: Tensor, rows: Tensor, own: Tensor) -> None:
    """Hides each sample's own keys in its column of scores (K, n).

    own: (c, n) whether a key of `rows` (c,) is of the sample.
    The lowest number stands for -inf, so that -inf - -inf never occurs.
    """
    scores[rows] = scores[rows].masked_fill_(own, torch.finfo(scores.dtype).min)
