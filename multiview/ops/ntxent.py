"""NT-Xent, the normalised temperature-scaled cross entropy of SimCLR (arXiv:2002.05709, Eq. 1)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Terms(NamedTuple):
    """Loss per row, and 1.0 per row whose positive scored highest."""

    terms: Tensor
    found: Tensor


def ntxent_terms(
    z: Tensor, own: Tensor | None, other: Tensor, columns: Tensor, offset: int, temperature: float
) -> Terms:
    """-log softmax of the positive among all columns, one direction.

    z: (n, d) local embeddings of one view. other: (m, d) all ranks' embeddings of the other view; row i's positive is column offset + i.
    own: (m, d) all ranks' embeddings of z's own view, without itself as a negative, or None for cross-view negatives only.
    columns: (m,) which samples take part as negatives. Returns terms (n,).
    """
    positives = torch.arange(len(z), device=z.device) + offset
    itself = torch.zeros(len(z), len(other), dtype=torch.bool, device=z.device)
    itself[torch.arange(len(z), device=z.device), positives] = True
    hidden = ~columns[None, :]
    scores = (z @ other.T / temperature).masked_fill(hidden & ~itself, -math.inf)
    if own is not None:
        scores = torch.cat([scores, (z @ own.T / temperature).masked_fill(hidden | itself, -math.inf)], dim=1)
    positive = scores.gather(1, positives[:, None])[:, 0]
    found = (positive >= scores.detach().amax(1)).float()
    return Terms(torch.logsumexp(scores, dim=1) - positive, found)
