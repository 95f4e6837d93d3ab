"""Every way of scoring against a memory bank equals a plain gather with autograd, in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import normalize

from multiview.ops import bank_scores
from multiview.ops.bank_scores import Scorer, in_reading_order, own_negatives, shared_negatives
from multiview.ops.bank_terms import bank_terms, log_sums
from multiview.ops.nce import nce, softmax
from multiview.ops.negatives import draw_negatives, draw_shared

DIM = 8
LOG_Z = torch.tensor(3.2, dtype=torch.float64)


def made(rows: int, size: int, count: int, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    """z / T, bank rows, own rows, own rows with `count` drawn ones."""
    generator = torch.Generator().manual_seed(rows + size)
    z = (normalize(torch.randn(rows, DIM, dtype=torch.float64, generator=generator), dim=1) / 0.2).requires_grad_()
    bank = torch.rand(size, DIM, dtype=torch.float64, generator=generator).sub(0.5).to(dtype)
    index = torch.randperm(size, generator=generator)[:rows]
    return z, bank, index, draw_negatives(index, count, size, generator=generator, exclude=False)


def plain(z: torch.Tensor, bank: torch.Tensor, drawn: torch.Tensor, hidden: torch.Tensor | None, rule: str, size: int):
    """The gather of B x (K + 1) x D and autograd: terms and log sums."""
    scores = torch.einsum("bkd,bd->bk", bank[drawn.long()].to(z.dtype), z)
    if hidden is not None:
        scores = scores.masked_fill(hidden, -math.inf)
    if rule == "softmax":
        return -torch.log_softmax(scores, dim=1)[:, 0], scores.logsumexp(1)
    ratio = torch.exp(scores - LOG_Z) / ((drawn.shape[1] - 1) / size)
    terms = -torch.log(ratio[:, 0] / (1 + ratio[:, 0])) + torch.log1p(ratio[:, 1:]).sum(1)
    return terms, scores.logsumexp(1)


def ours(z: torch.Tensor, scorer: Scorer, rule: str, count: int, size: int):
    return bank_terms(z, scorer, softmax if rule == "softmax" else nce(LOG_Z, count, size))


def assert_equal_with_gradients(z: torch.Tensor, found, expected: tuple[torch.Tensor, torch.Tensor], tolerance: float):
    weights = torch.linspace(0.5, 1.5, len(z), dtype=z.dtype)  # rows must not be mixed up in the backward pass
    assert torch.allclose(found.loss, expected[0], rtol=tolerance, atol=tolerance)
    assert torch.allclose(found.log_sum, expected[1], rtol=tolerance, atol=tolerance)
    gradients = [torch.autograd.grad((terms * weights).sum(), z)[0] for terms in (found.loss, expected[0])]
    assert torch.allclose(*gradients, rtol=tolerance, atol=tolerance)


@pytest.fixture(params=["one block", "several blocks"])
def blocks(request, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "several blocks":
        monkeypatch.setattr(bank_scores, "CACHED_FLOATS", 2 * 12 * DIM)
        monkeypatch.setattr(bank_scores, "SCORED", 4 * 12)
        monkeypatch.setattr(bank_scores, "DENSE_FLOATS", 2 * 40)


@pytest.mark.parametrize("rule", ["nce", "softmax"])
@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("size", [40, 400])  # the product with the whole bank, and gathering
def test_own_negatives_equal_the_gather(blocks: None, rule: str, rows: int, size: int) -> None:
    z, bank, _, drawn = made(rows, size, 11)
    scorer = own_negatives(bank, drawn)
    assert_equal_with_gradients(z, ours(z, scorer, rule, 11, size), plain(z, bank, drawn, None, rule, size), 1e-12)
    assert torch.allclose(log_sums(z, scorer), plain(z, bank, drawn, None, rule, size)[1], rtol=1e-12)


@pytest.mark.parametrize("rule", ["nce", "softmax"])
def test_a_bank_larger_than_the_cache_is_read_part_by_part(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_scores, "CACHED_FLOATS", 10 * DIM)
    z, bank, _, drawn = made(7, 70, 12)
    drawn = in_reading_order(drawn, 70)
    assert bank_scores._columns(bank, drawn) < 13
    assert (drawn[:, 2:] >= drawn[:, 1:-1]).all()
    found, expected = ours(z, own_negatives(bank, drawn), rule, 12, 70), plain(z, bank, drawn, None, rule, 70)
    assert_equal_with_gradients(z, found, expected, 1e-12)


@pytest.mark.parametrize("rule", ["nce", "softmax"])
@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("exclude", [True, False])
def test_shared_negatives_equal_the_gather(blocks: None, rule: str, rows: int, exclude: bool) -> None:
    z, bank, index, _ = made(rows, 12, 30)
    shared = draw_shared(30, 12, generator=torch.Generator().manual_seed(5))
    drawn = torch.cat([index[:, None], shared.expand(rows, -1)], dim=1)
    hidden = (drawn == index[:, None]) & (torch.arange(31) > 0)
    assert hidden.any()
    scorer = shared_negatives(bank, index, shared, exclude=exclude)
    expected = plain(z, bank, drawn, hidden if exclude else None, rule, 12)
    assert_equal_with_gradients(z, ours(z, scorer, rule, 30, 12), expected, 1e-12)


@pytest.mark.parametrize("way", ["dense", "gathered", "shared"])
def test_a_bfloat16_bank_is_rounded_and_the_scores_are_not(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bank_scores, "CONVERTED_ROWS", 16)
    size = 400 if way == "gathered" else 40
    z, bank, index, drawn = made(7, size, 11, torch.bfloat16)
    if way == "shared":
        drawn = torch.cat([index[:, None], drawn[:1, 1:].expand(7, -1)], dim=1)
        scorer = shared_negatives(bank, index, drawn[0, 1:], exclude=False)
    else:
        scorer = own_negatives(bank, drawn)
    assert bank.dtype == torch.bfloat16
    assert_equal_with_gradients(
        z, ours(z, scorer, "softmax", 11, size), plain(z, bank, drawn, None, "softmax", size), 1e-12
    )


@pytest.mark.parametrize("rule", ["nce", "softmax"])
@pytest.mark.parametrize("size", [40, 400])
def test_gradcheck(rule: str, size: int) -> None:
    z, bank, _, drawn = made(3, size, 11)
    assert torch.autograd.gradcheck(lambda z: ours(z, own_negatives(bank, drawn), rule, 11, size).loss, z)


def test_positive_and_rank_are_those_of_the_scores() -> None:
    z, bank, _, drawn = made(7, 400, 11)
    found = ours(z, own_negatives(bank, drawn), "nce", 11, 400)
    scores = torch.einsum("bkd,bd->bk", bank[drawn.long()], z)
    assert torch.allclose(found.positive, scores.softmax(1)[:, 0])
    assert found.rank.tolist() == [1 + sum(s > row[0] for s in row[1:]) for row in scores.tolist()]
    assert not any(x.requires_grad for x in found[1:])


@pytest.mark.parametrize("temperature", [1e-3, 1e-2, 0.07, 10.0])
@pytest.mark.parametrize("rule", ["nce", "softmax"])
def test_nothing_overflows_in_float32(temperature: float, rule: str) -> None:
    """Scores reach +-1000; every term and gradient is what float64 finds."""
    z, bank, _, drawn = made(7, 400, 11)
    bank, z = normalize(bank, dim=1), z.detach() * 0.2
    bank[drawn[0, 0]], bank[drawn[1, 0]] = z[0], -z[1]  # cosines of 1 and of -1
    results = []
    for dtype in (torch.float64, torch.float32):
        q = (z.to(dtype) / temperature).requires_grad_()
        found = ours(q, own_negatives(bank.to(dtype), drawn), rule, 11, 400)
        results.append((found.loss.double(), torch.autograd.grad(found.loss.sum(), q)[0].double()))
    for exact, found in zip(*results, strict=True):
        assert torch.isfinite(found).all()
        assert torch.allclose(found, exact, rtol=1e-3, atol=2e-4)


def test_the_bank_may_change_before_the_backward_pass() -> None:
    z, bank, _, drawn = made(5, 400, 11)
    found = ours(z, own_negatives(bank, drawn), "nce", 11, 400)
    before = torch.autograd.grad(found.loss.sum(), z, retain_graph=True)[0]
    bank.zero_()
    assert torch.equal(torch.autograd.grad(found.loss.sum(), z)[0], before)


def test_negatives_never_meet_themselves_and_are_uniform() -> None:
    index = torch.tensor([0, 4, 9])
    drawn = draw_negatives(index, 30000, 10, generator=torch.Generator().manual_seed(0), exclude=True)
    assert (drawn[:, 0] == index).all()
    assert not (drawn[:, 1:] == index[:, None]).any()
    for row, own in zip(drawn[:, 1:], index.tolist(), strict=True):
        shares = torch.bincount(row, minlength=10) / 30000
        others = [shares[i].item() for i in range(10) if i != own]
        assert others == pytest.approx([1 / 9] * 9, abs=0.008)


@pytest.mark.parametrize("draw", ["own", "shared"])
def test_draws_repeat_with_the_seed_and_take_every_row(draw: str) -> None:
    def rows(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        if draw == "shared":
            return draw_shared(300, 10, generator=generator)
        return draw_negatives(torch.arange(2), 300, 10, generator=generator, exclude=False)[:, 1:]

    assert torch.equal(rows(1), rows(1))
    assert not torch.equal(rows(1), rows(2))
    assert rows(1).unique().tolist() == list(range(10))
