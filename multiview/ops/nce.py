"""Noise-contrastive estimation as CMC uses it, in log space: no exponential is formed, so no temperature overflows.

Sources: Gutmann and Hyvarinen 2010; Wu et al., arXiv:1805.01978, Eq. 4-8; Tian et al., arXiv:1906.05849, Sec. 3.4.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview.distributed import gather

EMA = 0.99


def nce_terms(scores: Tensor, log_z: Tensor, size: int) -> Tensor:
    """-log h(s_0) - sum_k log(1 - h(s_k)) per row, h(s) = (e^s / Z) / (e^s / Z + K / N), hence logit h = s - log Z - log(K / N).

    scores: (n, 1 + K), the positive first, already divided by the temperature. log_z: scalar. size: N, rows of the bank. Returns (n,).
    """
    logit = scores - log_z - math.log((scores.shape[1] - 1) / size)
    return F.softplus(-logit[:, 0]) + F.softplus(logit[:, 1:]).sum(1)


def softmax_terms(scores: Tensor) -> Tensor:
    """-log softmax of the positive per row. scores: (n, 1 + K), the positive first. Returns (n,)."""
    return torch.logsumexp(scores, dim=1) - scores[:, 0]


def running_log_z(old: Tensor, scores: Tensor, present: Tensor, size: int, mode: str | float) -> tuple[Tensor, Tensor]:
    """log of the normalising constant: (what to remember, what to use now).

    Z of a batch is the mean of e^s over all its scores (present rows of all ranks) times N. Unset (NaN) it is set by the first batch and
    used at once; `first-batch` keeps it, `ema` then remembers .99 Z + .01 Z_batch for the next step; a number is fixed.
    """
    if not isinstance(mode, str):
        return old, old
    batch = _batch_log_z(scores, present, size)
    unset = torch.isnan(old)
    used = torch.where(unset, batch, old)
    if mode == "first-batch":
        return used, used
    moved = torch.logaddexp(used + math.log(EMA), batch + math.log(1 - EMA))
    new = torch.where(unset, batch, moved)
    return torch.where(torch.isnan(new), used, new), used


def _batch_log_z(scores: Tensor, present: Tensor, size: int) -> Tensor:
    """log(mean e^s x N); NaN where no row is present anywhere."""
    absent = torch.full_like(scores[:, 0], -math.inf)
    per_row = gather(torch.where(present, torch.logsumexp(scores, dim=1), absent))
    rows = gather(present).sum()
    log_mean = torch.logsumexp(per_row, dim=0) - torch.log((rows * scores.shape[1]).to(scores.dtype))
    return torch.where(rows > 0, log_mean + math.log(size), torch.full_like(log_mean, math.nan)).to(scores.dtype)
