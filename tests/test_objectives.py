"""The laws that every objective keeps; each one's own arithmetic is tested beside its name (test_cmc.py, test_moco.py, ...)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from edges import DIM, agreeing, inputs_of

from multiview import plugins
from multiview.check.edges import in_precision
from multiview.check.laws import Law, title
from multiview.check.objectives import LAWS
from multiview.errors import MultiviewError
from multiview.objectives import BYOL, CMC, MoCo, Objective, SigLIP, SimCLR, SimSiam, Situation, Symile, VICReg

KINDS = {
    "CMC": CMC(negatives=11, temperature=0.2, dim=DIM),
    "CMC-softmax": CMC(negatives=11, temperature=0.2, dim=DIM, variant="softmax"),
    "CMC-shared": CMC(negatives=11, temperature=0.2, dim=DIM, variant="softmax", shared=True),
    "MoCo": MoCo(queue=12, temperature=0.2, dim=DIM),
    "MoCo-one-way": MoCo(queue=12, temperature=0.2, dim=DIM, symmetric=False, exclude=False),
    "SimCLR": SimCLR(temperature=0.2, dim=DIM),
    "SimCLR-learned": SimCLR(temperature=0.2, learn_temperature=True, dim=DIM),
    "SimCLR-cross": SimCLR(temperature=0.2, dim=DIM, negatives="cross"),
    "SigLIP": SigLIP(bias=-2.0, dim=DIM),
    "SimSiam": SimSiam(dim=DIM),
    "BYOL": BYOL(dim=DIM),
    "VICReg": VICReg(dim=DIM),
    "Symile": Symile(dim=DIM),
    "Symile-fixed": Symile(dim=DIM, learn_temperature=False),
}
every_objective = pytest.mark.parametrize("objective", KINDS.values(), ids=KINDS)


def test_every_installed_objective_is_here() -> None:
    ours = {p.name: p for p in plugins.installed("objectives") if p.origin == "multiview-cmc"}
    assert {plugins.load("objectives", name) for name in ours} == {type(objective) for objective in KINDS.values()}


@every_objective
def test_agreement_is_better(objective: Objective) -> None:
    losses = [objective.loss(agreeing(objective, torch.arange(8), x)).loss.item() for x in (0.0, 0.5, 1.0)]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("law", LAWS, ids=title)
@every_objective
def test_it_keeps_the_law(objective: Objective, law: Law[Objective]) -> None:
    """Those of `multiview check objective`."""
    law(objective)


TEMPERATURES = {
    f"{name} at {t}": replace(objective, temperature=t)
    for name, objective in KINDS.items()
    if hasattr(objective, "temperature")
    for t in ((0.01, 1.0) if "log_temperature" in objective.scalars() else (1e-3, 0.01, 1.0, 100.0))
}


@pytest.mark.parametrize("objective", TEMPERATURES.values(), ids=TEMPERATURES)
def test_float32_is_finite_at_any_temperature(objective: Objective) -> None:
    edge = in_precision(agreeing(objective, torch.arange(7), 1.0), torch.float32)
    loss = objective.loss(edge).loss
    loss.backward()
    assert math.isfinite(loss.item())
    grads = [x.grad for x in inputs_of(edge) if x.grad is not None]
    assert grads
    assert all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.parametrize("make", [SimCLR, SimSiam, SigLIP, BYOL, VICReg, Symile])
def test_an_objective_within_the_batch_needs_two_samples_a_process(make: type[Objective]) -> None:
    with pytest.raises(
        MultiviewError, match=f"{make.__name__} contrasts .* 4 processes would see 1 per step; give --batch 8 or more"
    ):
        make().resolved(Situation(samples=50, per_rank=1, ranks=4))
    assert make().resolved(Situation(samples=50, per_rank=2, ranks=4)) == make()


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
            "a process sees 8 samples per step and each group needs two; give split_bn 4 or less, or --batch 32 or more",
        ),
    ],
)
def test_what_cannot_work_is_said(make, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make()
