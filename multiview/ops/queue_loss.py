"""InfoNCE against a queue of keys (MoCo, arXiv:1911.05722, Eq. 1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from multiview.memory.queue import KeyQueue
from multiview.ops.ntxent import Terms


def queue_terms(q: Tensor, k: Tensor, queue: KeyQueue, ids: Tensor | None, temperature: float) -> Terms:
    """-log softmax of <q, k> among <q, k> and the filled rows of the queue.

    q: (n, d) queries with gradient. k: (n, d) keys of the same samples. ids: (n,) sample indices, to hide a sample's own older keys
    (None = show them). With an empty queue there is nothing to contrast and the loss is 0. Returns terms (n,).
    """
    positive = (q * k).sum(1, keepdim=True) / temperature
    negatives = q @ queue.filled_keys().to(q.dtype).T / temperature
    if ids is not None:
        negatives = negatives.masked_fill(queue.filled_ids()[None, :] == ids[:, None], -math.inf)
    logits = torch.cat([positive, negatives], dim=1)
    found = (positive[:, 0] >= logits.detach().amax(1)).float()
    return Terms(torch.logsumexp(logits, dim=1) - positive[:, 0], found)
