"""A network on the present rows: its outputs, batch norm statistics and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from multiview.masked_forward import masked_forward


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)).double()


def run(net: nn.Sequential, x: torch.Tensor, present: torch.Tensor | None, groups: int = 1) -> torch.Tensor:
    return masked_forward(lambda rows: {"z": net(rows)}, x, present, [net], groups)["z"]


def batch(rows: int) -> torch.Tensor:
    return torch.randn(rows, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_absent_rows_reach_nothing() -> None:
    x, present = batch(6), torch.tensor([True, False, True, True, False, True])
    ours, alone = network(), network()
    x[~present] = float("nan")
    z = run(ours, x, present)
    assert torch.equal(z[present], alone(x[present]))
    assert (z[~present] == 0).all()
    assert torch.equal(ours[1].running_mean, alone[1].running_mean)
    z.sum().backward()
    alone(x[present]).sum().backward()
    for p, q in zip(ours.parameters(), alone.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad)


@pytest.mark.parametrize("rows", [0, 1])
def test_fewer_than_two_rows_use_running_statistics_and_leave_them(rows: int) -> None:
    net, present = network(), torch.arange(5) < rows
    net(batch(9))
    before = {name: value.clone() for name, value in net[1].named_buffers()}
    z = run(net, batch(5), present)
    assert net[1].training
    for name, value in net[1].named_buffers():
        assert torch.equal(value, before[name])
    assert torch.equal(z[:rows], net.eval()(batch(5)[:rows]))
    (z * 2).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    if rows == 0:
        assert (z == 0).all()
        assert all((p.grad == 0).all() for p in net.parameters())


@pytest.mark.parametrize("groups", [2, 3])
def test_groups_are_normalised_apart_and_share_the_momentum(groups: int) -> None:
    net, x = network(), batch(12)
    start = net[1].running_mean.clone()
    z = run(net, x, None, groups)
    parts = [network() for _ in range(groups)]
    assert torch.equal(z, torch.cat([part(rows) for part, rows in zip(parts, x.tensor_split(groups), strict=True)]))
    means = torch.stack([(part[1].running_mean - start * 0.9) / 0.1 for part in parts])
    assert torch.allclose(net[1].running_mean, 0.9 * start + 0.1 * means.mean(0))
    assert net[1].momentum == 0.1


def test_groups_are_cut_before_rows_are_left_out() -> None:
    """So that a process with four groups sees the groups that four processes would see."""
    net, x = network(), batch(8)
    present = torch.tensor([True, True, False, False, True, False, True, True])
    z = run(net, x, present, groups=2)
    first, second = network(), network()
    assert torch.equal(z[:2], first(x[:2]))
    assert torch.equal(z[[4, 6, 7]], second(x[[4, 6, 7]]))
