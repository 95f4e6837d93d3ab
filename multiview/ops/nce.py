"""The loss of a row of scores, in log space, so that no temperature overflows.

Sources: Gutmann and Hyvarinen 2010; Wu et al., arXiv:1805.01978, Eq. 4-8; Tian et al.,
arXiv:1906.05849, Sec. 3.4.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from multiview import old_import_paths
from multiview.distributed import gather
from multiview.ops.bank_terms import Rule
from multiview.ops.split_terms import SplitRule

__getattr__ = old_import_paths.names_of("ops.nce")

SATURATED = 50.0
"""Above this value log(1 + e^x) equals x, in float64 too: e^-50 is 2e-22."""


def nce(log_z: Tensor, negatives: int, size: int) -> Rule:
    """-log h(s_0) - sum_k log(1 - h(s_k)) with h(s) = (e^s / Z) / (e^s / Z + K / N).

    Hence logit h = s - log Z - log(K / N). log_z: scalar. negatives: K. size: N, rows of the bank.
    """
    shift = log_z + math.log(negatives / size)

    def rule(scores: Tensor, log_sum: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
        logit = scores - shift
        logit[:, 0].neg_()
        terms = F.softplus(logit, threshold=SATURATED).sum(1)
        weights = torch.sigmoid(logit)
        weights[:, 0].neg_()
        return terms, weights

    return rule


def softmax(scores: Tensor, log_sum: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """-log(e^{s_0} / sum_k e^{s_k}), which needs no Z."""
    share[:, 0] -= 1
    return log_sum - scores[:, 0], share


def split_nce(log_z: Tensor, negatives: int, size: int) -> SplitRule:
    """`nce` for a bank that is split over processes."""
    shift = log_z + math.log(negatives / size)

    def of_negatives(scores: Tensor, log_sum: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
        logit = scores - shift
        return F.softplus(logit, threshold=SATURATED).sum(1), torch.sigmoid(logit)

    def of_positive(score: Tensor, log_sum: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
        logit = shift - score
        return F.softplus(logit, threshold=SATURATED), -torch.sigmoid(logit)

    return SplitRule(of_negatives, of_positive)


split_softmax = SplitRule(
    negatives=lambda scores, log_sum: (torch.zeros_like(log_sum), (scores - log_sum[:, None]).exp_()),
    positive=lambda score, log_sum: (log_sum - score, (score - log_sum).exp() - 1),
)
"""`softmax` for a bank that is split over processes."""


def log_more_noise(sizes: Tensor, size: int, like: Tensor) -> Tensor:
    """log(N / M_i): the shift of sample i for `nce` when only M_i of the N rows are its noise.

    The noise of the sample is then uniform over M_i rows: each has the probability 1 / M_i, and
    K / M_i takes the place of K / N in h. sizes: (n,) M_i. size: N.
    Returns (n,) in the dtype of `like`.
    """
    return (size / sizes.to(like.dtype)).log()


def batch_log_z(log_sum: Tensor, present: Tensor, scores: int | Tensor, size: int) -> Tensor:
    """log Z of one batch: mean of e^s over all scores of all processes' present rows, times N.

    log_sum: (n,) log sum exp of each row's scores. scores: their number per row, one for all
    rows or (n,). size: N. NaN when no row is present in any process.
    """
    per_row = gather(torch.where(present, log_sum, torch.full_like(log_sum, -math.inf)))
    rows = gather(present).sum()
    count = rows * scores if isinstance(scores, int) else gather(torch.where(present, scores, 0)).sum()
    log_mean = torch.logsumexp(per_row, dim=0) - torch.log(count.to(log_sum.dtype))
    return torch.where(rows > 0, log_mean + math.log(size), torch.full_like(log_mean, math.nan))


def updated_log_z(old: Tensor, batch: Tensor, keep: float) -> Tensor:
    """log(keep Z + (1 - keep) Z_batch), keep in [0, 1); `old` when the batch had no row."""
    log_keep = math.log(keep) if keep > 0 else -math.inf
    new = torch.logaddexp(old + log_keep, batch + math.log1p(-keep))
    return torch.where(torch.isnan(batch), old, new)
