"""VICReg against the paper, written by hand in float64."""

from __future__ import annotations

import by_hand
import pytest
import torch
from edges import DIM, assert_same, edge_of, inputs_of, normal

from multiview.objectives import Side, VICReg
from multiview.ops.moments import covariance


def views(rows: int, scale: float) -> tuple[Side, Side]:
    return tuple(Side(z=(scale * normal(rows, seed)).requires_grad_()) for seed in (1, 2))


@pytest.mark.parametrize("rows", [2, 7])
@pytest.mark.parametrize("weights", [(25.0, 25.0, 1.0), (1.0, 2.0, 3.0), (0.0, 0.0, 1.0)])
@pytest.mark.parametrize("scale", [0.3, 1.2])
def test_it_equals_the_paper(rows: int, weights: tuple[float, float, float], scale: float) -> None:
    objective = VICReg(invariance=weights[0], variance=weights[1], covariance=weights[2], dim=DIM)
    edge = edge_of(objective, views(rows, scale), torch.arange(rows))
    assert_same(objective.loss(edge), by_hand.vicreg(edge.a.z, edge.b.z, *weights), inputs_of(edge))


def test_of_one_row_the_views_agree_and_that_is_all() -> None:
    objective = VICReg(dim=DIM)
    edge = edge_of(objective, views(1, 1.0), torch.arange(1))
    expected = 25 * (edge.a.z - edge.b.z).square().mean()
    assert_same(objective.loss(edge), expected, inputs_of(edge))


def test_collapsed_embeddings_pay_the_whole_hinge_and_still_have_a_gradient() -> None:
    z = torch.ones(6, DIM, dtype=torch.float64)
    out = VICReg().loss(edge_of(VICReg(), (Side(z=z), Side(z=z)), torch.arange(6)))
    assert out.loss.item() == pytest.approx(25 * 2 * (1 - 0.01))
    nearly = (z + 1e-3 * normal(6, 3)).requires_grad_()
    VICReg().loss(edge_of(VICReg(), (Side(z=nearly), Side(z=nearly)), torch.arange(6))).loss.backward()
    assert torch.isfinite(nearly.grad).all()
    assert nearly.grad.abs().max() > 0.01


def test_covariance_is_that_of_torch_over_the_present_rows() -> None:
    z, present = normal(9, 4), torch.arange(9) % 3 > 0
    assert torch.allclose(covariance(z, present), torch.cov(z[present].T))
    assert (covariance(z, torch.arange(9) < 1) == 0).all()


def test_the_projector_is_the_papers_and_not_on_the_sphere() -> None:
    head = VICReg(dim=8192).needs().projector
    assert (head.layers, head.hidden, head.norm, head.bias, head.norm_out, head.unit) == (
        3,
        8192,
        True,
        False,
        False,
        False,
    )
