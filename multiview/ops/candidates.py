"""Scores of a few rows against everything they are contrasted with, laid out alike for every objective: the positive first."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from multiview.memory.queue import KeyQueue


def in_batch(
    z: Tensor, own: Tensor | None, other: Tensor, columns: Tensor, first: int, temperature: float | Tensor
) -> Tensor:
    """z (r, d) against the embeddings of all ranks of the other view (m, d), and of its own unless None.

    Row i's partner is column first + i. columns: (m,) which samples are negatives. Returns (r, 1 + m) or (r, 1 + 2 m), -inf where there is
    no negative.
    """
    at = torch.arange(first, first + len(z), device=z.device)[:, None]
    seen = [z @ x.to(z.dtype).T for x in ((other,) if own is None else (other, own))]
    negatives = [s.masked_fill(~columns, -math.inf).scatter(1, at, -math.inf) for s in seen]
    return torch.cat([seen[0].gather(1, at), *negatives], dim=1) / temperature


def in_queue(q: Tensor, k: Tensor, queue: KeyQueue, ids: Tensor | None, temperature: float | Tensor) -> Tensor:
    """q (r, d) against its keys k (r, d) and the filled rows of the queue; ids (r,) hide a sample's own older keys. Returns (r, 1 + fill)."""
    negatives = q @ queue.filled_keys().to(q.dtype).T
    if ids is not None:
        negatives = negatives.masked_fill(queue.filled_ids() == ids[:, None], -math.inf)
    return torch.cat([(q * k).sum(1, keepdim=True), negatives], dim=1) / temperature
