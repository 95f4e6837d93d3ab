"""The pairwise sigmoid loss of SigLIP (arXiv:2303.15343, Sec. 3.2 and Algorithm 1)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from multiview import old_import_paths
from multiview.ops.ntxent import HELD_FLOATS, Groups, Terms

__getattr__ = old_import_paths.names_of("ops.pair_sigmoid")


def pair_sigmoid(
    z: Tensor, other: Tensor, bias: Tensor, columns: Tensor | None, offset: int, groups: Groups | None = None
) -> Terms:
    """-sum_j log sigmoid(s_ij (<z_i, other_j> + bias)) per row.

    s_ij is 1 for the own column offset + i, else -1. Chunks of rows are computed again in the
    backward pass, so that memory is linear in the batch.

    Args:
        z: (n, d) embeddings of this process, already divided by the temperature.
        other: (m, d) embeddings of the other view, of all processes.
        bias: a learned scalar.
        columns: (m,) which of them take part (None = all).
        offset: the place of this process's first row among all rows.
        groups: of the rows (n,) and of the columns (m,): pairs of samples of one group, except a
            sample's own pair, are left out (None = none).

    Returns:
        Terms (n,); `found` says whether the own column scores highest.
    """
    step = max(1, HELD_FLOATS // len(other))
    if step >= len(z):
        return _chunk(z, other, bias, columns, offset, groups)
    chunks = []
    for start in range(0, len(z), step):
        rows = slice(start, start + step)
        own = None if groups is None else (groups[0][rows], groups[1])
        chunks.append(checkpoint(_chunk, z[rows], other, bias, columns, offset + start, own, use_reentrant=False))
    return Terms(*map(torch.cat, zip(*chunks, strict=True)))


def _chunk(z: Tensor, other: Tensor, bias: Tensor, columns: Tensor | None, offset: int, groups: Groups | None) -> Terms:
    logits = z @ other.T + bias
    own = logits[:, offset : offset + len(z)].diagonal()
    itself = torch.zeros_like(logits, dtype=torch.bool)
    itself[:, offset : offset + len(z)].fill_diagonal_(True)
    hidden = itself if columns is None else itself | ~columns
    if groups is not None:
        hidden = hidden | (groups[0][:, None] == groups[1])
    others = F.softplus(logits).masked_fill(hidden, 0.0).sum(1)
    highest = logits.detach().masked_fill(hidden, -math.inf).amax(1)
    return Terms(F.softplus(-own) + others, (own.detach() >= highest).to(own.dtype))
