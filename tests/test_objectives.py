"""The laws that every objective keeps; each one's own arithmetic is tested beside its name (test_cmc.py, test_moco.py, ...)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from edges import DIM, agreeing, inputs_of

from multiview import plugins
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
DRAWN_BY_POSITION = ("CMC", "CMC-softmax", "CMC-shared")


def test_every_installed_objective_is_here() -> None:
    ours = {p.name: p for p in plugins.installed("objectives") if p.origin == "multiview-cmc"}
    assert {plugins.load("objectives", name) for name in ours} == {type(objective) for objective in KINDS.values()}


@every_objective
def test_agreement_is_better(objective: Objective) -> None:
    losses = [objective.loss(agreeing(objective, torch.arange(8), x)).loss.item() for x in (0.0, 0.5, 1.0)]
    assert losses[0] > losses[1] > losses[2]


@every_objective
def test_the_gradient_is_that_of_the_loss(objective: Objective) -> None:
    edge = agreeing(objective, torch.arange(5), 0.5)
    read = [
        x
        for x in inputs_of(edge)
        if torch.autograd.grad(objective.loss(edge).loss, x, allow_unused=True)[0] is not None
    ]
    assert read
    assert torch.autograd.gradcheck(lambda *_: _again(objective, edge), read)


def _again(objective: Objective, edge) -> torch.Tensor:
    edge.generator.manual_seed(9)
    return objective.loss(edge).loss


@pytest.mark.parametrize("objective", [KINDS[n] for n in KINDS if n not in DRAWN_BY_POSITION])
def test_the_order_of_the_batch_means_nothing(objective: Objective) -> None:
    """CMC draws its negatives by position and is left out; its draw is tested in test_cmc.py."""
    turned = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    a, b = (objective.loss(agreeing(objective, rows, 0.5)).loss for rows in (torch.arange(8), turned))
    assert a.item() == pytest.approx(b.item(), rel=1e-10)


@every_objective
def test_absent_rows_take_no_part(objective: Objective) -> None:
    """Neither in the loss, nor in what is logged and remembered, nor in the gradient. They stand last, as draws by position want it."""
    present = torch.arange(8) < 5
    edge, alone = agreeing(objective, torch.arange(8), 0.5, present), agreeing(objective, torch.arange(5), 0.5)
    with torch.no_grad():
        for side in edge.sides:
            for x in (side.z, side.p, side.key):
                x[~present] = 0.0
    found, expected = objective.loss(edge), objective.loss(alone)
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=1e-10)
    for ours, theirs in ((found.log, expected.log), (found.state, expected.state)):
        assert ours.keys() == theirs.keys()
        for name, value in ours.items():
            assert torch.allclose(value.double(), theirs[name].double(), rtol=1e-6), name
    found.loss.backward()
    for x in inputs_of(edge):
        assert x.grad is None or x.ndim == 0 or (x.grad[~present] == 0).all()


@every_objective
def test_without_a_present_row_there_is_no_loss_and_a_gradient_of_zero(objective: Objective) -> None:
    """Of zero and not of None: every process must have a gradient for every parameter."""
    whole, edge = (
        agreeing(objective, torch.arange(4), 0.5, present) for present in (None, torch.zeros(4, dtype=torch.bool))
    )
    out = objective.loss(edge)
    assert out.loss.item() == 0
    out.loss.backward()
    objective.loss(whole).loss.backward()
    for x, y in zip(inputs_of(edge), inputs_of(whole), strict=True):
        assert (x.grad is None) == (y.grad is None)
        assert x.grad is None or (x.grad == 0).all()
    for value in (*out.state.values(), *out.log.values()):
        assert not torch.isinf(value).any()


TEMPERATURES = {
    f"{name} at {t}": replace(objective, temperature=t)
    for name, objective in KINDS.items()
    if hasattr(objective, "temperature")
    for t in ((0.01, 1.0) if "log_temperature" in objective.scalars() else (1e-3, 0.01, 1.0, 100.0))
}


@pytest.mark.parametrize("objective", TEMPERATURES.values(), ids=TEMPERATURES)
def test_float32_is_finite_at_any_temperature(objective: Objective) -> None:
    edge = agreeing(objective, torch.arange(7), 1.0)
    for side in edge.sides:
        side.z, side.key = side.z.detach().float().requires_grad_(), side.key.float()
        side.memory = side.memory and side.memory.float()
    edge.scalars = {name: value.detach().float().requires_grad_() for name, value in edge.scalars.items()}
    edge.state = {name: value.float() for name, value in edge.state.items()}
    loss = objective.loss(edge).loss
    loss.backward()
    assert math.isfinite(loss.item())
    grads = [x.grad for x in inputs_of(edge) if x.grad is not None]
    assert grads
    assert all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@every_objective
def test_a_loss_of_half_precision_embeddings_is_float32(objective: Objective, dtype: torch.dtype) -> None:
    edge = agreeing(objective, torch.arange(6), 0.5)
    for side in edge.sides:
        side.z, side.p, side.key = (x.detach().to(dtype) for x in (side.z, side.p, side.key))
        side.memory = side.memory and side.memory.float()
    edge.scalars = {name: value.detach().float() for name, value in edge.scalars.items()}
    edge.state = {name: value.float() for name, value in edge.state.items()}
    assert objective.loss(edge).loss.dtype == torch.float32


@pytest.mark.parametrize("make", [SimCLR, SimSiam, SigLIP, BYOL, VICReg, Symile])
def test_an_objective_within_the_batch_needs_two_samples_a_process(make: type[Objective]) -> None:
    with pytest.raises(
        MultiviewError, match=f"{make.__name__} contrasts .* 4 processes would see 1 a step; give --batch 8 or more"
    ):
        make().fitted(Situation(samples=50, per_rank=1, ranks=4))
    assert make().fitted(Situation(samples=50, per_rank=2, ranks=4)) == make()


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
            lambda: MoCo(split_bn=8).fitted(Situation(samples=50, per_rank=8, ranks=2)),
            "a process sees 8 samples a step and each group needs two; give split_bn 4 or less, or --batch 32 or more",
        ),
    ],
)
def test_what_cannot_work_is_said(make, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        make()
