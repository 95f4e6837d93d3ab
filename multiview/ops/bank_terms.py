"""The loss of embeddings against rows of a memory bank, with its gradient, in one pass.

A block of samples is scored. Its loss and d loss / d scores follow, and the same bank rows are
summed into the gradient at once. So nothing of size B x K x D ever exists, the scores are not kept,
and the bank may change before the backward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from multiview.ops.bank_scores import Scorer
from multiview.ops.chunks import parts
from multiview.ops.softmax import rank_of, softmax_of

Rule = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From scores (s, 1 + K), their log sum exp (s,) and softmax (s, 1 + K), which the rule may
overwrite: loss (s,) and d loss / d scores."""


class BankTerms(NamedTuple):
    """Per sample (n,), the loss; and, without gradient, three measures of its scores.

    log_sum: log sum exp. positive: the softmax value of the positive. rank: of the positive, from
    1.
    """

    loss: Tensor
    log_sum: Tensor
    positive: Tensor
    rank: Tensor


class _Terms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, scorer: Scorer, rule: Rule, shift: Tensor | None) -> tuple[Tensor, ...]:
        terms = BankTerms(*z.new_empty(4, len(z)))
        grad = torch.empty_like(z)
        for part in parts(len(z), scorer.step):
            scores, pull = scorer.block(z[part], part)
            share, top, rest = softmax_of(scores)
            terms.log_sum[part] = log_sum = top + rest
            terms.positive[part] = share[:, 0]
            terms.rank[part] = rank_of(scores[:, 0], scores[:, 1:])
            if shift is not None:
                scores, log_sum = scores - shift[part, None], log_sum - shift[part]
            terms.loss[part], weights = rule(scores, log_sum, share)
            if ctx.needs_input_grad[0]:
                grad[part] = pull(weights)
        ctx.mark_non_differentiable(*terms[1:])
        ctx.save_for_backward(grad)
        return tuple(terms)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * upstream[:, None], None, None, None


def bank_terms(z: Tensor, scorer: Scorer, rule: Rule, shift: Tensor | None = None) -> BankTerms:
    """Scores z (n, d), divided by the temperature, against a bank; differentiable once, in z.

    shift: (n,) is taken off each row's scores for the loss alone (None = nothing).
    """
    return BankTerms(*_Terms.apply(z, scorer, rule, shift))


@torch.no_grad()
def all_scores(z: Tensor, scorer: Scorer) -> Tensor:
    """The scores themselves, (n, 1 + K), for a few rows."""
    return torch.cat([scorer.block(z[part], part)[0] for part in parts(len(z), scorer.step)])


@torch.no_grad()
def log_sums(z: Tensor, scorer: Scorer) -> Tensor:
    """log sum exp of each row's scores, (n,), to find Z before the loss."""
    return torch.cat([torch.logsumexp(scorer.block(z[part], part)[0], dim=1) for part in parts(len(z), scorer.step)])
