"""The loss against a bank that is split over processes, with its gradient.

The functions have the names of those in `bank_terms`. No row of the bank travels. Each process
sends, for every sample of the others, what its strata contribute: first log sum exp and the score
of the positive, then the loss and the weighted sum of the rows.

Sums over strata form one binary tree. The strata of a process are a whole branch, because the
number of processes is a power of two. So the order of the sums does not depend on their number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from multiview.distributed import exchange, gather, own_rows
from multiview.ops.bank_scores import Pull
from multiview.ops.bank_terms import BankTerms
from multiview.ops.softmax import rank_of
from multiview.ops.split_scores import Positives, SplitScorer

Rule = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class SplitRule(NamedTuple):
    """A loss that is a sum over scores.

    negatives: from scores (m, k) and the log sum exp of all scores (m,) to what they add to the
    loss (m,), and d loss / d scores. positive: the same for the score of the positive, (n,).
    """

    negatives: Rule
    positive: Rule


def tree_of(values: Iterable[Tensor], join: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Joins neighbours, then pairs of neighbours, and so on. Their number is a power of two."""
    waiting: list[tuple[int, Tensor]] = []
    for value in values:
        level, joined = 0, value
        while waiting and waiting[-1][0] == level:
            level, joined = level + 1, join(waiting.pop()[1], joined)
        waiting.append((level, joined))
    ((_, root),) = waiting
    return root


class _Terms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, scorer: SplitScorer, rule: SplitRule) -> tuple[Tensor, ...]:
        everyone = gather(z)
        held = scorer.scored(everyone)
        own = scorer.positives(everyone.dtype)
        totals = _totals(everyone, scorer, held, own)
        sums = tree_of(_contributions(everyone, scorer, held, totals, rule, own), torch.add)
        mine = tree_of(exchange(sums), torch.add)
        log_sum, positive = own_rows(totals).unbind(1)
        loss = mine[:, 0] + rule.positive(positive, log_sum)[0]
        terms = BankTerms(loss, log_sum.clone(), (positive - log_sum).exp(), mine[:, 1] + 1)
        ctx.mark_non_differentiable(*terms[1:])
        ctx.save_for_backward(mine[:, 2:])
        return tuple(terms)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor, None, None]:
        (grad,) = ctx.saved_tensors
        return grad * upstream[:, None], None, None


def bank_terms(z: Tensor, scorer: SplitScorer, rule: SplitRule, shift: None = None) -> BankTerms:  # noqa: ARG001
    """Scores z (n, d), divided by the temperature, against the bank; differentiable once, in z.

    Every process must call it at the same time. shift: always None, as there are no groups.
    """
    return BankTerms(*_Terms.apply(z, scorer, rule))


@torch.no_grad()
def log_sums(z: Tensor, scorer: SplitScorer) -> Tensor:
    """log sum exp of each row's scores, (n,), to find Z before the loss."""
    everyone = gather(z)
    return own_rows(_totals(everyone, scorer, scorer.scored(everyone), scorer.positives(z.dtype)))[:, 0]


@torch.no_grad()
def all_scores(z: Tensor, scorer: SplitScorer) -> Tensor:
    """The scores themselves, (n, 1 + K), for a few rows. Here the scores travel."""
    everyone = gather(z)
    own = scorer.positives(z.dtype)
    negatives = torch.cat([block(everyone)[0] for block in scorer.blocks], dim=1)
    found = exchange(torch.cat([_positive(everyone, own)[:, None], negatives], dim=1))
    return torch.cat([found[..., :1].sum(0), *found[..., 1:]], dim=1)


def _positive(z: Tensor, own: Positives) -> Tensor:
    """The score of each sample's own row, (m,); 0 where another process owns it."""
    return torch.where(own.here, (z * own.rows).sum(1), 0)


def _again(scorer: SplitScorer, z: Tensor, held: list[tuple[Tensor, Pull]] | None) -> Iterator[tuple[Tensor, Pull]]:
    """The scores of every own stratum, which are made again when they were not held."""
    return iter(held) if held is not None else (block(z) for block in scorer.blocks)


def _totals(z: Tensor, scorer: SplitScorer, held: list[tuple[Tensor, Pull]] | None, own: Positives) -> Tensor:
    """log sum exp of all scores and the score of the positive, (m, 2), of all samples."""
    negative = tree_of((torch.logsumexp(scores, 1) for scores, _ in _again(scorer, z, held)), torch.logaddexp)
    sent = exchange(torch.stack([negative, _positive(z, own)], dim=1))
    negatives, positives = sent.movedim(2, 0).contiguous()  # other strides may take another kernel, with other bits
    positive = tree_of(positives, torch.add)
    log_sum = torch.logaddexp(positive, tree_of(negatives, torch.logaddexp))
    return gather(torch.stack([log_sum, positive], dim=1))


def _contributions(
    z: Tensor,
    scorer: SplitScorer,
    held: list[tuple[Tensor, Pull]] | None,
    totals: Tensor,
    rule: SplitRule,
    own: Positives,
) -> Iterator[Tensor]:
    """What each own stratum adds, (m, 2 + d): loss, scores above the positive, d loss / d z."""
    log_sum, positive = totals.unbind(1)
    weight = rule.positive(positive, log_sum)[1]
    for (scores, pull), home in zip(_again(scorer, z, held), own.homes, strict=True):
        above = rank_of(positive, scores) - 1
        loss, weights = rule.negatives(scores, log_sum)
        pulled = pull(weights) + torch.where(home, weight, 0)[:, None] * own.rows
        yield torch.cat([loss[:, None], above[:, None].to(z.dtype), pulled], dim=1)
