"""Softmax losses with weighted negatives: decoupled, hard, debiased."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from multiview.ops.bank_terms import Rule

TOUCHING = -1e-12
"""Above this logarithm of a ratio of two sums, their difference counts as 0."""


class Weighting(NamedTuple):
    """How the negatives of a sample are summed.

    Args:
        decoupled: leave the positive out of the denominator (DCL, arXiv:2110.06848, Eq. 6).
        hardness: beta. A negative with the score s weighs e^(beta s), divided by the mean of these
            weights (arXiv:2010.04592, Eq. 4).
        tau_plus: share of the negatives that are of the sample's own class. Their expected part is
            subtracted (arXiv:2007.00224, Eq. 8).
    """

    decoupled: bool = False
    hardness: float = 0.0
    tau_plus: float = 0.0


def weighted(positive: Tensor, negatives: Tensor, temperature: float | Tensor, weighting: Weighting) -> Tensor:
    """-log(e^s / (e^s + N)), or -log(e^s / N) when decoupled, (n,).

    N is the weighted sum of e^(negative). The loss of a row without a negative is 0. Weights take
    gradient, as in the authors' code.

    Args:
        positive: (n,) scores s, divided by the temperature.
        negatives: (n, k) scores, -inf where there is no negative.
        temperature: by which the scores were divided. e^(-1 / temperature) bounds a debiased sum.
        weighting: how N is formed.
    """
    if not negatives.shape[1]:
        return positive * 0
    alone = negatives.amax(1) == -math.inf
    total = _log_total(positive, negatives.masked_fill(alone[:, None], 0.0), temperature, weighting)
    denominator = total if weighting.decoupled else torch.logaddexp(positive, total)
    return (denominator - positive).masked_fill(alone, 0.0)


def _log_total(positive: Tensor, negatives: Tensor, temperature: float | Tensor, weighting: Weighting) -> Tensor:
    """log N of each row, (n,)."""
    total, beta = torch.logsumexp(negatives, dim=1), weighting.hardness
    log_count = (negatives > -math.inf).sum(1).to(total.dtype).log()
    if beta > 0:
        weights = torch.logsumexp(beta * negatives, dim=1) - log_count
        total = torch.logsumexp((1 + beta) * negatives, dim=1) - weights
    if weighting.tau_plus > 0:
        total = _debiased(total, positive + log_count, log_count - 1 / temperature, weighting.tau_plus)
    return total


def _debiased(total: Tensor, own: Tensor, lowest: Tensor, tau_plus: float) -> Tensor:
    """log((e^total - tau_plus e^own) / (1 - tau_plus)), and at least `lowest`, (n,)."""
    ratio = own + math.log(tau_plus) - total
    apart = ratio < TOUCHING
    rest = torch.log(-torch.expm1(torch.where(apart, ratio, -1.0)))
    return torch.maximum(torch.where(apart, total + rest - math.log1p(-tau_plus), -math.inf), lowest)


def rule(temperature: float, weighting: Weighting) -> Rule:
    """`weighted` as a rule for scores of which the first column is the positive."""

    def of_scores(scores: Tensor, log_sum: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG001
        with torch.enable_grad():
            read = scores.detach().requires_grad_()
            losses = weighted(read[:, 0], read[:, 1:], temperature, weighting)
            (weights,) = torch.autograd.grad(losses.sum(), read)
        return losses.detach(), weights

    return of_scores
