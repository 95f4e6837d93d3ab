"""SimSiam and BYOL, which predict the other view, against the papers written by hand in float64."""

from __future__ import annotations

import by_hand
import pytest
import torch
from edges import assert_same, edge_of, unit
from torch import nn
from torch.nn.functional import normalize

from multiview.memory.key_encoder import KeyEncoder
from multiview.objectives import BYOL, Keys, Side, SimSiam


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_simsiam_equals_the_paper(rows: int) -> None:
    za, zb, qa, qb = (unit(rows, seed) for seed in (1, 2, 3, 4))
    pa, pb = normalize(qa, dim=1), normalize(qb, dim=1)
    edge = edge_of(SimSiam(), (Side(z=za, p=pa), Side(z=zb, p=pb)), torch.arange(rows))
    assert_same(SimSiam().loss(edge), by_hand.simsiam(qa, za, qb, zb), [za, zb, qa, qb])


def test_simsiam_stops_the_gradient_of_what_is_predicted() -> None:
    za, zb, pa, pb = (unit(5, seed) for seed in (1, 2, 3, 4))
    SimSiam().loss(edge_of(SimSiam(), (Side(z=za, p=pa), Side(z=zb, p=pb)), torch.arange(5))).loss.backward()
    assert za.grad is None
    assert zb.grad is None
    assert pa.grad is not None


@pytest.mark.parametrize("rows", [1, 2, 7])
def test_byol_equals_the_paper(rows: int) -> None:
    qa, qb, ka, kb = (unit(rows, seed) for seed in (1, 2, 3, 4))
    pa, pb = normalize(qa, dim=1), normalize(qb, dim=1)
    edge = edge_of(BYOL(), (Side(p=pa, key=ka.detach()), Side(p=pb, key=kb.detach())), torch.arange(rows))
    assert_same(BYOL().loss(edge), by_hand.byol(qa, ka.detach(), qb, kb.detach()), [qa, qb])


@pytest.mark.parametrize(("sign", "loss"), [(1.0, -1.0), (-1.0, 1.0)])
def test_simsiam_lies_between_agreement_and_contradiction(sign: float, loss: float) -> None:
    z = unit(6, 1)
    side = Side(z=sign * z, p=z)
    assert SimSiam().loss(edge_of(SimSiam(), (side, side), torch.arange(6))).loss.item() == pytest.approx(loss)


@pytest.mark.parametrize(("sign", "loss"), [(1.0, 0.0), (-1.0, 8.0)])
def test_byol_lies_between_agreement_and_contradiction(sign: float, loss: float) -> None:
    z = unit(6, 1)
    side = Side(p=z, key=sign * z.detach())
    assert BYOL().loss(edge_of(BYOL(), (side, side), torch.arange(6))).loss.item() == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("rise", [True, False])
def test_the_momentum_of_byol_rises_along_the_papers_cosine(rise: bool) -> None:
    query, head = nn.Linear(3, 4), nn.Linear(4, 2)
    keys = KeyEncoder(query, head, Keys(momentum=0.9, rise=rise))
    assert (BYOL().needs().keys, BYOL(rise=False).needs().keys.rise) == (Keys(momentum=0.996, rise=True), False)
    for step in (0, 3, 10):
        start = keys.encoder.weight.clone()
        with torch.no_grad():
            query.weight += 1
        keys.follow(query, head, step / 10)
        m = by_hand.byol_momentum(0.9, step, 10) if rise else 0.9
        assert torch.allclose(keys.encoder.weight, m * start + (1 - m) * query.weight, atol=1e-6)


@pytest.mark.parametrize("objective", [SimSiam(dim=64), BYOL(dim=64)])
def test_spread_is_one_over_root_d_on_the_sphere_and_zero_in_collapse(objective) -> None:
    z = normalize(torch.randn(4000, 64, generator=torch.Generator().manual_seed(0)), dim=1)
    for z_now, expected in ((z, 1 / 8), (z[:1].expand(4000, 64), 0.0)):
        side = Side(z=z_now, p=z_now, key=z_now)
        out = objective.loss(edge_of(objective, (side, side), torch.arange(4000)))
        assert out.log["spread"].item() == pytest.approx(expected, abs=1e-3)


def test_the_heads_are_the_papers() -> None:
    needs = SimSiam().needs()[0]
    p, q = needs.projector, needs.predictor
    assert (p.dim, p.layers, p.norm, p.norm_out, p.unit) == (2048, 3, True, True, True)
    assert (q.dim, q.layers, q.hidden, q.norm, q.norm_out, q.constant_rate) == (2048, 2, 512, True, False, True)
    needs = BYOL().needs()
    assert needs.projector == needs.predictor
    assert (needs.projector.dim, needs.projector.hidden, needs.projector.norm) == (256, 4096, True)
