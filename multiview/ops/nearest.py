"""Nearest neighbours in a queue (NNCLR, arXiv:2104.14548, Eq. 2)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from multiview.ops.chunks import parts

HELD_FLOATS = 1 << 22
"""Similarities held at a time, 16 MiB in float32."""


@torch.no_grad()
def nearest(z: Tensor, keys: Tensor, samples: Tensor, own: Tensor | None) -> Tensor:
    """The key most similar to each row of z (n, d), without gradient; z itself where there is none.

    Args:
        z: (n, d) embeddings.
        keys: (K, d) keys of the queue.
        samples: (K,) the sample of each key.
        own: (n,) the sample of each row, whose keys are left out (None = leave none out).
    """
    if not len(keys):
        return z.detach()
    keys = keys.to(z.dtype)
    return torch.cat([_nearest(z[p], keys, samples, own if own is None else own[p]) for p in _parts(z, keys)])


def _parts(z: Tensor, keys: Tensor) -> list[slice]:
    return parts(len(z), max(1, HELD_FLOATS // len(keys)))


def _nearest(z: Tensor, keys: Tensor, samples: Tensor, own: Tensor | None) -> Tensor:
    similar = z @ keys.T
    if own is not None:
        similar.masked_fill_(samples == own[:, None], -math.inf)
    value, place = similar.max(1)
    return torch.where((value > -math.inf)[:, None], keys[place], z)
