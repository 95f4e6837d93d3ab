"""Groups of samples that are never each other's negatives, in every objective and memory."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from edges import SAMPLES, agreeing, assert_same, inputs_of
from groups_by_hand import GROUPED as BY_HAND
from objective_cases import CASES
from torch import Tensor

from multiview.memory.queue import KeyQueue
from multiview.objectives import CMC, EdgeInput, Objective
from multiview.ops import ntxent, pair_sigmoid, same_class, volume
from multiview.ops.negatives import GroupRows, draw_other_groups

CODES = torch.tensor([0, 1, 0, 2, 1, 0, 3, 4, 4, 5, 1, 0, 6, 2, 2, 7, 1, 0, 8, 8, 9, 3, 0])
"""Groups of 1 to 6 samples; those of one group are not adjacent."""
GROUPED = {name: (CASES[name].objective, by_hand) for name, by_hand in BY_HAND.items()}


def test_every_objective_that_excludes_groups_has_a_reference() -> None:
    """The others have no negatives (None), or a run with groups refuses them (False)."""
    referenced = {type(objective) for objective, _ in GROUPED.values()}
    for name, case in CASES.items():
        assert (case.objective.excludes_groups is True) == (type(case.objective) in referenced), name


@pytest.mark.parametrize("rows", [1, 2, 9])
@pytest.mark.parametrize(("objective", "by_hand"), GROUPED.values(), ids=GROUPED)
def test_it_equals_the_loss_by_hand(objective: Objective, by_hand: Callable[[EdgeInput], Tensor], rows: int) -> None:
    edge = agreeing(objective, torch.arange(rows), 0.5, codes=CODES)
    expected = by_hand(edge)
    assert_same(objective.loss(edge), expected, inputs_of(edge))


@pytest.mark.parametrize(
    "objective", [each for each, _ in GROUPED.values() if each.pairwise or each.also_pairs], ids=lambda each: each.name
)
def test_scores_have_no_negative_of_the_same_group(objective: Objective) -> None:
    """In one group of all samples there is none; CMC, which draws from other groups, has some."""
    if isinstance(objective, CMC) and objective.draw == "sample" and not objective.shared:
        codes = (torch.arange(SAMPLES) == 22).long()
        scores = objective.scores(agreeing(objective, torch.arange(6), 0.5, codes=codes), 4)
        assert all((score[:, 1:] == score[:, 1:2]).all() for score in scores), "always the one row of the other group"
        return
    scores = objective.scores(agreeing(objective, torch.arange(6), 0.5, codes=torch.zeros(SAMPLES).long()), 4)
    for score in scores:
        assert score[:, 0].isfinite().all()
        assert (score[:, 1:] == -math.inf).all()


@pytest.mark.parametrize("name", [name for name, (objective, _) in GROUPED.items() if "CMC" not in name])
def test_a_batch_of_one_group_teaches_no_contrast(name: str) -> None:
    """Without a negative the loss is that of the positives alone, and finite."""
    objective, by_hand = GROUPED[name]
    edge = agreeing(objective, torch.arange(5), 0.5, codes=torch.zeros(SAMPLES).long())
    loss = objective.loss(edge).loss
    assert_same(objective.loss(edge), by_hand(edge), inputs_of(edge))
    if name != "SigLIP" and "SupCon" not in name:  # SupCon's positives share one softmax
        assert abs(loss.item()) < 1e-14


def test_groups_of_one_sample_change_nothing_within_a_batch() -> None:
    """Not so Symile: a mixed sample whose parts are all of the row itself is then left out."""
    for name in ("SimCLR", "SimCLR-cross", "SigLIP", "MoCo"):
        objective = CASES[name].objective
        alone, plain = (
            agreeing(objective, torch.arange(7), 0.5, codes=codes) for codes in (torch.arange(SAMPLES), None)
        )
        if name == "MoCo":  # the queue's keys have the groups of the first samples
            for side in alone.sides:
                side.memory.groups += 100
        assert objective.loss(alone).loss.item() == pytest.approx(objective.loss(plain).loss.item(), rel=1e-12)


def test_absent_rows_and_groups_are_both_left_out() -> None:
    present = torch.arange(8) % 3 != 1
    for name in ("SimCLR", "SimCLR-cross", "SigLIP", "GRAM", "SupCon", "SupCon-cross", "NNCLR"):
        objective, by_hand = GROUPED[name]
        edge = agreeing(objective, torch.arange(8), 0.5, present, codes=CODES)
        kept = agreeing(objective, torch.arange(8)[present], 0.5, codes=CODES)
        assert objective.loss(edge).loss.item() == pytest.approx(by_hand(kept).item(), rel=1e-12)


@pytest.mark.parametrize("held", [1, 37, 200])
def test_chunks_give_the_same_loss(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SimCLR", "SimCLR-cross", "SigLIP", "Symile", "GRAM", "SupCon", "SupCon-cross", "NNCLR"):
        objective, by_hand = GROUPED[name]
        edge = agreeing(objective, torch.arange(9), 0.5, codes=CODES)
        for ops in (ntxent, pair_sigmoid, same_class, volume):
            monkeypatch.setattr(ops, "HELD_FLOATS", held)
        assert_same(objective.loss(edge), by_hand(edge), inputs_of(edge))


def test_draws_are_uniform_over_the_rows_of_other_groups() -> None:
    groups = GroupRows.of(CODES)
    drawn = draw_other_groups(torch.arange(SAMPLES), 20_000, groups, generator=torch.Generator().manual_seed(1))
    assert drawn.dtype == torch.int32
    for sample in range(SAMPLES):
        others = CODES[sample] != CODES
        share = torch.bincount(drawn[sample, 1:], minlength=SAMPLES) / 20_000
        assert (share[~others] == 0).all()
        assert torch.allclose(share[others], 1 / others.sum(), atol=0.01)


def test_the_first_z_of_a_shared_draw_counts_the_scores_that_are_there() -> None:
    """Z is N times the mean of e^s over the scores; hidden rows are no scores."""
    objective = CMC(negatives=11, temperature=0.2, dim=8, shared=True)
    edge = agreeing(objective, torch.arange(6), 0.5, codes=CODES)
    edge.state = {"log_z": torch.full((2,), math.nan, dtype=torch.float64)}
    found = objective.loss(edge).state["log_z"]
    edge.generator.manual_seed(9)
    scores = objective.scores(edge, 6)[0]  # the second direction draws again
    wanted = math.log(float(scores[scores.isfinite()].exp().mean()) * SAMPLES)
    assert found[0].item() == pytest.approx(wanted, rel=1e-12)


def test_a_queue_carries_the_groups_of_its_keys() -> None:
    queue = KeyQueue(5, 2, grouped=True)
    queue.update(torch.ones(3, 2), torch.arange(3), torch.tensor([7, 7, 8]))
    assert queue.filled_groups().tolist() == [7, 7, 8]
    queue.update(torch.ones(7, 2), torch.arange(7), torch.arange(7))
    assert sorted(queue.filled_groups().tolist()) == [2, 3, 4, 5, 6]
    assert queue.filled_groups().tolist() == queue.filled_ids().tolist()
