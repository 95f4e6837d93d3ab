"""SigLIP against the paper, written by hand in float64."""

from __future__ import annotations

import math

import by_hand
import pytest
import torch
from edges import DIM, assert_same, edge_of, inputs_of, unit

from multiview.objectives import Side, SigLIP


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_it_equals_the_paper(rows: int) -> None:
    objective = SigLIP(temperature=0.2, bias=-3.0, dim=DIM)
    edge = edge_of(objective, (Side(z=unit(rows, 1)), Side(z=unit(rows, 2))), torch.arange(rows))
    t = torch.exp(-edge.scalars["log_temperature"])
    assert_same(objective.loss(edge), by_hand.siglip(edge.a.z, edge.b.z, t, edge.scalars["bias"]), inputs_of(edge))


@pytest.mark.parametrize("held", [1, 7, 20])
def test_rows_in_chunks_give_the_same(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    edge = edge_of(SigLIP(), (Side(z=unit(7, 1)), Side(z=unit(7, 2))), torch.arange(7))
    whole = SigLIP().loss(edge)
    monkeypatch.setattr("multiview.ops.pair_sigmoid.HELD_FLOATS", held)
    chunks = SigLIP().loss(edge)
    assert_same(chunks, whole.loss, inputs_of(edge))
    assert chunks.log["found"] == whole.log["found"]


def test_the_paper_starts_at_t_10_and_bias_minus_10() -> None:
    scalars = SigLIP().scalars()
    assert math.exp(-scalars["log_temperature"].start) == pytest.approx(10)
    assert scalars["bias"].start == -10


def test_orthogonal_views_have_the_closed_form() -> None:
    """All cosines are 0: a row pays log(1 + e^-b) for its own pair, log(1 + e^b) for each other."""
    a, b = torch.eye(4, dtype=torch.float64).repeat(2, 1)[:3, :2], torch.eye(4, dtype=torch.float64)[:3, 2:]
    objective = SigLIP(bias=-2.0)
    out = objective.loss(edge_of(objective, (Side(z=a), Side(z=0 * b)), torch.arange(3)))
    assert out.loss.item() == pytest.approx(math.log1p(math.exp(2)) + 2 * math.log1p(math.exp(-2)))


def test_what_is_found_is_logged() -> None:
    z = torch.eye(DIM, dtype=torch.float64)
    for other, share in ((z, 1.0), (z.roll(1, 0), 0.0)):
        out = SigLIP().loss(edge_of(SigLIP(), (Side(z=z), Side(z=other)), torch.arange(DIM)))
        assert out.log["found"].item() == share
        assert (out.log["bias"].item(), out.log["temperature"].item()) == (-10, pytest.approx(0.1))
