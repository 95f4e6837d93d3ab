"""Scores of a few rows, in one layout for every objective: the positive, then the negatives."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from multiview.ops.ntxent import Groups


def in_batch(
    z: Tensor,
    own: Tensor | None,
    other: Tensor,
    columns: Tensor,
    offset: int,
    temperature: float | Tensor,
    groups: Groups | None = None,
) -> Tensor:
    """Scores against the batch of all processes, -inf where there is no negative.

    (r, 1 + m), or (r, 1 + 2 m) with `own`.

    Args:
        z: (r, d) embeddings of this process.
        own: (m, d) embeddings of the same view (None = they are not negatives).
        other: (m, d) embeddings of the other view. The partner of row i is row offset + i.
        columns: (m,) which samples are negatives.
        offset: the place of this process's first row among all rows.
        temperature: divides the scores.
        groups: of the rows (r,) and of all processes (m,): samples of the row's group are no
            negatives of the row (None = no groups).
    """
    hidden = ~columns if groups is None else ~columns | (groups[0][:, None] == groups[1])
    partners = torch.arange(offset, offset + len(z), device=z.device)[:, None]
    scores = [z @ x.to(z.dtype).T for x in ((other,) if own is None else (other, own))]
    negatives = [s.masked_fill(hidden, -math.inf).scatter(1, partners, -math.inf) for s in scores]
    return torch.cat([scores[0].gather(1, partners), *negatives], dim=1) / temperature


def in_queue(
    q: Tensor, k: Tensor, keys: Tensor, samples: Tensor, own: Tensor | None, temperature: float | Tensor
) -> Tensor:
    """Scores against a queue, (r, 1 + n). The arguments are those of `queue_loss.info_nce`."""
    negatives = q @ keys.to(q.dtype).T
    if own is not None:
        negatives = negatives.masked_fill(samples == own[:, None], -math.inf)
    return torch.cat([(q * k).sum(1, keepdim=True), negatives], dim=1) / temperature
