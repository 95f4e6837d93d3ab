"""SimCLR against the papers, written by hand in float64."""

from __future__ import annotations

import math

import by_hand
import pytest
import torch
from edges import DIM, assert_same, edge_of, inputs_of, unit

from multiview.objectives import Side, SimCLR


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("negatives", ["both", "cross"])
@pytest.mark.parametrize("learn", [False, True])
def test_it_equals_the_paper(rows: int, negatives: str, learn: bool) -> None:
    objective = SimCLR(temperature=0.3, learn_temperature=learn, negatives=negatives, dim=DIM)
    edge = edge_of(objective, (Side(z=unit(rows, 1)), Side(z=unit(rows, 2))), torch.arange(rows))
    temperature = edge.scalars["log_temperature"].exp() if learn else torch.tensor(0.3, dtype=torch.float64)
    paper = by_hand.nt_xent if negatives == "both" else by_hand.info_nce
    out = objective.loss(edge)
    assert_same(out, paper(edge.a.z, edge.b.z, temperature), inputs_of(edge))
    assert ("temperature" in out.log) == learn
    if learn:
        assert out.log["temperature"].item() == pytest.approx(0.3)


@pytest.mark.parametrize(("negatives", "others"), [("both", 14), ("cross", 7)])
def test_what_tells_nothing_apart_costs_the_logarithm_of_the_choices(negatives: str, others: int) -> None:
    z = unit(1, 0).expand(8, DIM)
    objective = SimCLR(negatives=negatives, dim=DIM)
    out = objective.loss(edge_of(objective, (Side(z=z), Side(z=z)), torch.arange(8)))
    assert out.loss.item() == pytest.approx(math.log(1 + others))


def test_opposite_samples_that_agree_have_the_closed_form() -> None:
    """Two samples at +e and -e: cosine 1 with the partner, -1 with both views of the other."""
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    out = SimCLR(temperature=0.5).loss(edge_of(SimCLR(), (Side(z=z), Side(z=z)), torch.arange(2)))
    assert out.loss.item() == pytest.approx(math.log(1 + 2 * math.exp(-2 / 0.5)))
