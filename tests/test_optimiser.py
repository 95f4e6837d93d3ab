"""Which parameters have weight decay, and which follow the learning-rate schedule."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

import multiview as mv
from multiview.encoder import Encoder
from multiview.model import MultiviewModel
from multiview.objectives import BYOL, Objective, SigLIP, SimSiam
from multiview.train.optimiser import make_optimiser, set_rate
from multiview.train.unmarked import unmarked


class Tiny(Encoder):
    """(n, 3) -> (n, 4)."""

    axes = ("channels",)

    def __init__(self) -> None:
        super().__init__(3, 4, ("h",))
        self.h = nn.Linear(3, 4)


def model_of(objective: Objective) -> MultiviewModel:
    return MultiviewModel({"x": Tiny(), "y": Tiny()}, mv.ContrastGraph.full(("x", "y"), objective))


def rates(config: mv.Optimizer, objective: Objective) -> dict[str, float]:
    """The learning rate of every parameter when the schedule's factor is 0.1."""
    model = model_of(objective)
    optimiser = make_optimiser(config, model, 256)
    set_rate(optimiser, config.rate(256), 0.1)
    of = {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}
    assert len(of) == len(list(model.parameters()))
    return {name: of[id(p)] for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_only_the_predictor_of_simsiam_keeps_its_learning_rate(name: str) -> None:
    config = mv.Optimizer(name=name, lr=0.5)
    objective = SimSiam(dim=8, predictor=4)
    learning_rates = rates(config, objective)
    assert {rate for p, rate in learning_rates.items() if p.startswith("predictors.")} == {0.5}
    assert {rate for p, rate in learning_rates.items() if not p.startswith("predictors.")} == {0.05}
    assert set(rates(replace(config, fix_predictor_lr=False), objective).values()) == {0.05}
    assert set(rates(config, BYOL(dim=8, hidden=8)).values()) == {0.05}


@pytest.mark.parametrize("name", ["sgd", "adamw", "lars"])
def test_learned_scalars_do_not_decay(name: str) -> None:
    model = model_of(SigLIP(dim=8))
    optimiser = make_optimiser(mv.Optimizer(name=name, weight_decay=0.1), model, 256)
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    of = {p: decays[id(value)] for p, value in model.named_parameters()}
    assert of["scalars.x-y.values.log_temperature"] == of["scalars.x-y.values.bias"] == 0
    assert of["encoders.x.h.weight"] == 0.1
    assert of["encoders.x.h.bias"] == (0.1 if name == "sgd" else 0)


def test_a_learned_temperature_stays_within_its_bounds_and_is_saved() -> None:
    model = model_of(SigLIP(dim=8, temperature=0.02))
    optimiser = make_optimiser(mv.Optimizer(name="sgd", lr=1.0), model, 256)
    value = dict(model.named_parameters())["scalars.x-y.values.log_temperature"]
    for push, bound in ((1e3, 0.01), (-1e3, 1.0), (0.0, 1.0)):
        optimiser.zero_grad()
        (push * model({v: torch.randn(2, 3) for v in "xy"}).scalars["x-y"]["log_temperature"]).backward()
        optimiser.step()
        model.bound()
        assert math.exp(value.item()) == pytest.approx(bound)
    assert model.state_dict()["scalars.x-y.values.log_temperature"] == value


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize(
    ("kind", "options"), [(torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}), (torch.optim.AdamW, {})]
)
def test_an_optimiser_without_marks_for_compilation_gives_the_same_bits(
    kind: type[torch.optim.Optimizer], options: dict[str, float], fused: bool
) -> None:
    start = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    found, states = [], []
    for made in (kind, unmarked(kind)):
        weights = nn.Parameter(start.clone())
        optimiser = made([weights], lr=0.1, fused=fused, **options)  # type: ignore[call-arg]
        for _ in range(3):
            (weights**3).sum().backward()
            optimiser.step()
            optimiser.zero_grad()
        again = made([weights], lr=0.2, fused=fused, **options)  # type: ignore[call-arg]
        again.load_state_dict(optimiser.state_dict())
        assert again.param_groups[0]["lr"] == 0.1
        assert weights.grad is None
        found.append(weights.detach())
        states.append(again.state_dict()["state"][0])
    assert torch.equal(*found)
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items() if value is not None)
    assert unmarked(kind).__name__ == kind.__name__
