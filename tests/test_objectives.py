"""The laws of every objective. Their arithmetic is tested in test_cmc.py, test_moco.py, ..."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from edges import agreeing, assert_same, inputs_of
from objective_cases import CASES
from torch import Tensor

from multiview import plugins
from multiview.check.edges import in_precision
from multiview.check.laws import Law, title
from multiview.check.objectives import LAWS
from multiview.errors import MultiviewError
from multiview.objectives import BYOL, CMC, EdgeInput, MoCo, Objective, SigLIP, SimCLR, Situation, Symile, VICReg
from multiview.objectives.in_batch import InBatch

OBJECTIVES = {name: case.objective for name, case in CASES.items()}
PAPERS = {name: (case.objective, case.paper) for name, case in CASES.items() if case.paper}
IN_BATCH = list(dict.fromkeys(type(x) for x in OBJECTIVES.values() if isinstance(x, InBatch)))
every_objective = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


def test_every_installed_objective_is_among_the_cases() -> None:
    ours = {p.name: p for p in plugins.installed("objectives") if p.origin == "multiview-cmc"}
    assert {plugins.load("objectives", name) for name in ours} == {type(objective) for objective in OBJECTIVES.values()}


@every_objective
def test_agreement_is_better(objective: Objective) -> None:
    losses = [objective.scored(agreeing(objective, torch.arange(8), x)).loss.item() for x in (0.0, 0.5, 1.0)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("rows", [2, 7])
@pytest.mark.parametrize(("objective", "paper"), PAPERS.values(), ids=PAPERS)
def test_it_equals_the_paper(objective: Objective, paper: Callable[[EdgeInput], Tensor], rows: int) -> None:
    edge = agreeing(objective, torch.arange(rows), 0.5)
    assert_same(objective.scored(edge), paper(edge), inputs_of(edge))


@every_objective
def test_one_present_row_is_enough_for_a_finite_loss_and_gradient(objective: Objective) -> None:
    edge = agreeing(objective, torch.arange(4), 0.5, torch.arange(4) == 1)
    out = objective.scored(edge)
    out.loss.backward()
    assert math.isfinite(out.loss.item())
    assert all(x.grad.isfinite().all() for x in inputs_of(edge) if x.grad is not None)


@pytest.mark.parametrize("law", LAWS, ids=title)
@every_objective
def test_it_keeps_the_law(objective: Objective, law: Law[Objective]) -> None:
    """The laws of `multiview check objective`."""
    law(objective)


TEMPERATURES = {
    f"{name} at {t}": replace(objective, temperature=t)
    for name, objective in OBJECTIVES.items()
    if hasattr(objective, "temperature")
    for t in ((0.01, 1.0) if "log_temperature" in objective.scalars() else (1e-3, 0.01, 1.0, 100.0))
}


@pytest.mark.parametrize("objective", TEMPERATURES.values(), ids=TEMPERATURES)
def test_float32_is_finite_at_any_temperature(objective: Objective) -> None:
    edge = in_precision(agreeing(objective, torch.arange(7), 1.0), torch.float32)
    loss = objective.scored(edge).loss
    loss.backward()
    assert math.isfinite(loss.item())
    grads = [x.grad for x in inputs_of(edge) if x.grad is not None]
    assert grads
    assert all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.parametrize("make", IN_BATCH)
def test_an_objective_within_the_batch_needs_two_samples_per_process(make: type[Objective]) -> None:
    with pytest.raises(
        MultiviewError, match=f"{make.__name__} contrasts .* 4 processes would see 1 per step; give --batch 8 or more"
    ):
        make().resolved(Situation(samples=50, per_rank=1, ranks=4))
    resolved = make().resolved(Situation(samples=50, per_rank=2, ranks=4))
    assert all(asked in (None, getattr(resolved, name)) for name, asked in vars(make()).items())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SimCLR(temperature=0), "SimCLR: temperature is 0; give a number above 0"),
        (
            lambda: SimCLR(temperature=2, learn_temperature=True),
            "a learned temperature starts from 0.01 to 1.0, not at 2",
        ),
        (lambda: SigLIP(temperature=0.001), "SigLIP: a learned temperature starts from 0.01"),
        (lambda: Symile(temperature=0.001), "Symile: a learned temperature starts from 0.01"),
        (lambda: Symile(temperature=-1, learn_temperature=False), "Symile: temperature is -1"),
        (lambda: BYOL(momentum=1.0), "BYOL: momentum is 1.0"),
        (lambda: VICReg(variance=-1), "VICReg: variance is -1; give a finite number, 0 or more"),
        (lambda: MoCo(queue=0), "MoCo: queue is 0"),
        (lambda: MoCo(split_bn=0), "MoCo: split_bn is 0"),
        (
            lambda: MoCo(split_bn=8).resolved(Situation(samples=50, per_rank=8, ranks=2)),
            "a process sees 8 samples per step and each group needs two; give split_bn 4 or less, "
            "or --batch 32 or more",
        ),
    ],
)
def test_an_option_that_cannot_work_is_refused(make, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make()


class Former(CMC):
    """A plugin that was written when `resolved` was called `fitted`."""

    def fitted(self, situation: Situation) -> Objective:
        """With half of the negatives."""
        chosen = super().fitted(situation)
        return replace(chosen, negatives=chosen.negatives // 2)


def test_the_former_name_of_resolved_works_for_plugins_and_callers() -> None:
    situation = Situation(samples=101, per_rank=8)
    assert CMC().fitted(situation) == CMC().resolved(situation) == CMC(negatives=100)
    assert Former().resolved(situation).negatives == Former().fitted(situation).negatives == 50


def test_former_names_can_be_imported() -> None:
    from multiview.errors import demand
    from multiview.objectives.base import batch_scores, need_pairs, positive, share, temperature_log, temperature_of

    assert all(map(callable, (demand, batch_scores, need_pairs, positive, share, temperature_log, temperature_of)))
