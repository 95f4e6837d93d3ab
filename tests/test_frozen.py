"""Frozen parts keep their statistics, and every batch counts once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import multiview as mv
from multiview.memory.key_encoder import KeyEncoder
from multiview.model import MultiviewModel
from multiview.objectives.needs import Keys
from multiview.train.gradcache import _frozen_statistics


def model() -> MultiviewModel:
    torch.manual_seed(0)
    encoders = {name: mv.make_encoder("convnet", 3, width=0.25) for name in ("a", "b")}
    return MultiviewModel(encoders, mv.ContrastGraph.full(encoders, mv.SimSiam(dim=8, predictor=4)))


def statistics(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: x.clone() for name, x in module.named_buffers()}


def first_block(module: nn.Module) -> nn.Module:
    """The first module within that holds a batch norm."""
    return next(m for m in module.children() if any(isinstance(x, nn.BatchNorm2d) for x in m.modules()))


FROZEN: dict[str, Callable[[MultiviewModel], nn.Module]] = {
    "encoder": lambda of: of.encoder("a"),
    "block": lambda of: first_block(of.encoder("a")),
    "norm": lambda of: next(m for m in of.encoder("a").modules() if isinstance(m, nn.BatchNorm2d)),
}


@pytest.mark.parametrize("part", list(FROZEN))
def test_frozen_parts_keep_their_statistics_in_training(part: str) -> None:
    of = model()
    frozen = FROZEN[part](of).requires_grad_(False)
    before, rest = statistics(frozen), statistics(of.encoder("b"))
    of.train()
    of({name: torch.randn(4, 3, 16, 16) for name in "ab"})
    assert before
    assert all(torch.equal(x, statistics(frozen)[name]) for name, x in before.items())
    assert any(not torch.equal(x, statistics(of.encoder("b"))[name]) for name, x in rest.items())
    assert not frozen.training
    assert of.encoder("b").training


def test_unfrozen_parts_train_again() -> None:
    of = model()
    of.encoder("a").requires_grad_(False)
    of.train().encoder("a").requires_grad_(True)
    assert all(module.training for module in of.train().modules())


def test_the_key_encoder_of_a_frozen_encoder_is_frozen_too() -> None:
    of = model()
    keys = KeyEncoder(of.encoder("a").requires_grad_(False), of.encoder("b"), Keys(momentum=0.9))
    assert not any(module.training for module in keys.encoder.modules())
    assert all(module.training for module in keys.projector.modules())


@pytest.mark.parametrize("momentum", [None, 0.1, 0.5])
def test_the_first_pass_of_gradcache_counts_no_batch(momentum: float | None) -> None:
    norm = nn.BatchNorm1d(3, momentum=momentum)
    twice = nn.BatchNorm1d(3, momentum=momentum)
    for batch in torch.randn(5, 8, 3):
        norm(batch)
        with _frozen_statistics(twice):
            twice(batch)
        twice(batch)
    assert all(torch.equal(x, statistics(twice)[name]) for name, x in statistics(norm).items())
