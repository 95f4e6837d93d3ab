"""Decoupled, hard and debiased negatives: what the options refuse, and their limits.

Their arithmetic is compared with the papers for every case of `objective_cases.py`.
"""

from __future__ import annotations

import pytest
import torch
from edges import DIM, agreeing, assert_same, edge_of, unit

from multiview.errors import MultiviewError
from multiview.memory.queue import KeyQueue
from multiview.objectives import CMC, MoCo, Objective, Side, SimCLR
from multiview.ops import ntxent, queue_loss
from multiview.ops.weighting import Weighting, weighted


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SimCLR(hardness=-1), "SimCLR: hardness is -1; give a finite number, 0 or more"),
        (lambda: MoCo(hardness=float("inf")), "MoCo: hardness is inf; give a finite number"),
        (lambda: SimCLR(tau_plus=1.0), "SimCLR: tau_plus is 1.0; give a number that is at least 0 and less than 1"),
        (lambda: CMC(decoupled=True), "the variant is nce; give variant=softmax"),
        (lambda: CMC(hardness=0.5, seed_defaults=True), "the variant is nce; give variant=softmax"),
    ],
)
def test_an_option_that_cannot_work_is_refused(make, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make()


@pytest.mark.parametrize(
    ("plain", "kind"), [(SimCLR(dim=DIM), "SimCLR"), (MoCo(queue=12, dim=DIM), "MoCo")], ids=["SimCLR", "MoCo"]
)
def test_a_weight_of_almost_nothing_is_the_plain_softmax(plain: Objective, kind: str) -> None:
    almost = SimCLR(dim=DIM, tau_plus=1e-15) if kind == "SimCLR" else MoCo(queue=12, dim=DIM, tau_plus=1e-15)
    losses = [objective.loss(agreeing(objective, torch.arange(7), 0.5)).loss for objective in (plain, almost)]
    assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-9)


def test_hard_negatives_weigh_more() -> None:
    positive, negatives = torch.zeros(1), torch.tensor([[1.0, 2.0, -1.0]])
    losses = [weighted(positive, negatives, 0.5, Weighting(hardness=beta)).item() for beta in (0.0, 0.5, 5.0)]
    assert losses == sorted(losses)
    assert losses[0] < losses[2] < torch.tensor(3 * 2.0).exp().add(1).log().item()


@pytest.mark.parametrize("weighting", [Weighting(decoupled=True), Weighting(hardness=2.0, tau_plus=0.1)])
def test_without_a_negative_there_is_no_loss(weighting: Weighting) -> None:
    scores = torch.tensor([[3.0, -torch.inf, -torch.inf]], requires_grad=True)
    for found in (scores, scores[:, :1]):
        loss = weighted(found[:, 0], found[:, 1:], 0.5, weighting)
        assert loss.item() == 0
        assert (torch.autograd.grad(loss.sum(), scores)[0] == 0).all()


def test_a_debiased_sum_that_would_be_negative_is_the_lowest_possible() -> None:
    positive, negatives = torch.tensor([2.0], requires_grad=True), torch.tensor([[-2.0, -2.0]])
    loss = weighted(positive, negatives, 0.5, Weighting(decoupled=True, tau_plus=0.5))
    assert loss.item() == pytest.approx(-2 + torch.tensor(2.0).log().item() - 2, abs=1e-6)
    assert torch.autograd.grad(loss, positive)[0].item() == -1


@pytest.mark.parametrize(
    "objective", [SimCLR(dim=DIM, hardness=0.5), SimCLR(dim=DIM, negatives="cross", decoupled=True)]
)
def test_chunks_give_the_same(objective: SimCLR, monkeypatch: pytest.MonkeyPatch) -> None:
    edge = agreeing(objective, torch.arange(7), 0.5, torch.arange(7) != 2)
    whole = objective.loss(edge)
    monkeypatch.setattr(ntxent, "HELD_FLOATS", 40)
    assert_same(objective.loss(edge), whole.loss, [side.z for side in edge.sides])


def test_chunks_of_queries_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    queue, objective = KeyQueue(9, DIM).double(), MoCo(queue=9, dim=DIM, hardness=0.5)
    queue.update(unit(9, 3).detach(), torch.arange(9) % 4)
    sides = tuple(Side(z=unit(7, seed), key=unit(7, seed + 5).detach(), memory=queue) for seed in (1, 2))
    edge = edge_of(objective, sides, torch.arange(7))
    whole = objective.loss(edge)
    monkeypatch.setattr(queue_loss, "WEIGHTED_FLOATS", 20)
    assert_same(objective.loss(edge), whole.loss, [side.z for side in sides])
