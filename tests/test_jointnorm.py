"""Batch norm over all processes, seen from one of two processes that hold the same rows."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import nn

from multiview import jointnorm
from multiview.jointnorm import JOINT, JointBatchNorm, join_norms

CPU = torch.device("cpu")


@pytest.fixture
def twins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process has the same rows."""
    monkeypatch.setattr(jointnorm, "world", lambda: 2)
    for name in ("total", "total_with_gradient"):
        monkeypatch.setattr(jointnorm, name, lambda x: x * 2)


@pytest.mark.usefixtures("twins")
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("make", [nn.BatchNorm1d, nn.BatchNorm2d, BatchNormAct2d])
def test_the_numbers_are_those_of_one_process_with_all_rows(make: type[nn.Module], momentum: float | None) -> None:
    torch.manual_seed(0)
    one = nn.Sequential(make(5, momentum=momentum)).double()
    for p in one.parameters():
        nn.init.normal_(p)
    both = copy.deepcopy(one)
    join_norms(both, CPU)
    assert isinstance(both[0], JointBatchNorm)
    for _ in range(3):
        x = torch.randn(6, 5, *[] if make is nn.BatchNorm1d else [3, 3], dtype=torch.float64)
        torch.testing.assert_close(both(x), one(torch.cat([x, x]))[:6])
    assert both.state_dict().keys() == one.state_dict().keys()
    torch.testing.assert_close(both.state_dict(), one.state_dict())
    torch.testing.assert_close(both.eval()(x), one.eval()(x))


@pytest.mark.usefixtures("twins")
def test_half_precision_is_summed_in_single_precision() -> None:
    x = torch.randn(64, 4).bfloat16() + 100
    out = JointBatchNorm(4)(x)
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out.float(), nn.BatchNorm1d(4)(x.float()), atol=0.02, rtol=0.02)


def test_frozen_norms_stay_frozen_and_weights_stay_the_same_objects() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4), nn.ReLU()))
    weight = model[1][0].weight
    model[1][0].eval()
    join_norms(model, CPU)
    assert model[1][0].weight is weight
    assert not model[1][0].training


def test_a_gpu_keeps_the_activations_of_timms_norms() -> None:
    model = nn.Sequential(BatchNormAct2d(3), nn.BatchNorm2d(3)).eval()
    x = torch.randn(2, 3, 4, 4)
    before = model(x)
    join_norms(model, torch.device("cuda"))
    assert all(isinstance(each, JOINT) for each in model)
    assert torch.equal(model(x), before)
