"""Symile against the paper, written by hand in float64."""

from __future__ import annotations

import math

import many_views_by_hand
import pytest
import torch
from edges import DIM, agreeing, assert_same, edge_of, inputs_of, unit

from multiview.objectives import Side, Symile
from multiview.ops.multilinear import mixed_orders


def orders_of(edge, present: torch.Tensor) -> list[list[int]]:
    numbers = edge.draws.uniform("order", len(edge.sides))
    rows = [row for row in range(len(numbers)) if present[row]]
    return [sorted(rows, key=lambda row: numbers[row, view].item()) for view in range(len(edge.sides))]


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("views", [3, 4])
@pytest.mark.parametrize("learn", [True, False])
def test_it_equals_the_paper(rows: int, views: int, learn: bool) -> None:
    objective = Symile(temperature=0.05, learn_temperature=learn, dim=DIM)
    sides = tuple(Side(z=unit(rows, seed)) for seed in range(views))
    edge = edge_of(objective, sides, torch.arange(rows) * 3)
    temperature = edge.scalars["log_temperature"].exp() if learn else 0.05
    expected = many_views_by_hand.symile([side.z for side in sides], orders_of(edge, edge.present), temperature)
    assert_same(objective.loss(edge), expected, inputs_of(edge))


def test_the_orders_are_of_the_samples_and_not_of_the_rows() -> None:
    numbers = torch.rand(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    present = torch.tensor([True, True, False, True, True, False])
    orders = mixed_orders(numbers, present)
    assert orders.shape == (3, 4)
    assert all(sorted(order.tolist()) == [0, 1, 3, 4] for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) > 1
    turned = torch.tensor([4, 2, 0, 5, 1, 3])
    assert torch.equal(turned[mixed_orders(numbers[turned], present[turned])], orders)


def test_what_tells_nothing_apart_costs_the_logarithm_of_the_batch() -> None:
    z = unit(1, 0).expand(8, DIM)
    out = Symile().loss(edge_of(Symile(), (Side(z=z),) * 3, torch.arange(8)))
    assert out.loss.item() == pytest.approx(math.log(8))


def test_what_is_found_is_logged() -> None:
    objective = Symile(dim=DIM)
    low, high = (objective.loss(agreeing(objective, torch.arange(12), x)).log["found"].item() for x in (0.0, 1.0))
    assert low < 0.5 < high
