"""The losses as functions: against the papers by hand, with absent rows, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import by_hand
import many_views_by_hand
import pytest
import torch
from edges import normal, unit
from torch import Tensor
from torch.nn.functional import normalize

import multiview as mv
from multiview.counter_rng import Draws

ROWS, DIM, BANK = 6, 8, 11
T = 0.2


def orders(seed: int) -> list[list[int]]:
    numbers = Draws(seed, 0, torch.arange(ROWS).numpy(), "symile").uniform("order", 3).float()
    return [torch.argsort(numbers[:, view]).tolist() for view in range(3)]


def table(seed: int, rows: int = BANK) -> Tensor:
    return unit(rows, seed).detach()


def drawn() -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.cat([torch.arange(ROWS)[:, None], torch.randint(BANK, (ROWS, 4), generator=generator)], dim=1)


def queue() -> list[tuple[int, Tensor]]:
    return list(zip([0, 7, 3, 9], table(9, 4), strict=True))


def mocked(q: Tensor, k: Tensor, own: bool) -> Tensor:
    samples, keys = zip(*queue(), strict=True)
    named = {"index": torch.arange(ROWS), "queue_index": torch.tensor(samples)} if own else {}
    return mv.losses.moco(q, k, torch.stack(keys), T, **named)


# The function, the same by hand, and the number of tensors.
FUNCTIONS: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor], int]] = {
    "nt_xent": (lambda a, b: mv.losses.nt_xent(a, b, T), lambda a, b: by_hand.nt_xent(a, b, T), 2),
    "info_nce": (lambda a, b: mv.losses.info_nce(a, b, T), lambda a, b: by_hand.info_nce(a, b, T), 2),
    "siglip": (
        lambda a, b: mv.losses.siglip(a, b, T, -2.0),
        lambda a, b: by_hand.siglip(a, b, torch.tensor(1 / T), torch.tensor(-2.0)),
        2,
    ),
    "vicreg": (
        lambda a, b: mv.losses.vicreg(a, b, 2.0, 3.0, 0.5),
        lambda a, b: by_hand.vicreg(a, b, 2.0, 3.0, 0.5),
        2,
    ),
    "barlow_twins": (lambda a, b: mv.losses.barlow_twins(a, b, 0.1), lambda a, b: by_hand.barlow_twins(a, b, 0.1), 2),
    "simsiam": (mv.losses.simsiam, lambda pa, pb, za, zb: by_hand.simsiam(pa, za, pb, zb), 4),
    "byol": (mv.losses.byol, lambda pa, pb, ka, kb: by_hand.byol(pa, ka.detach(), pb, kb.detach()), 4),
    "symile": (
        lambda *views: mv.losses.symile(*views, temperature=T, seed=4),
        lambda *views: many_views_by_hand.symile(list(views), orders(4), T),
        3,
    ),
    "moco": (
        lambda q, k: mocked(q, k, own=False),
        lambda q, k: by_hand.moco(q, k.detach(), queue(), None, T),
        2,
    ),
    "moco, own keys left out": (
        lambda q, k: mocked(q, k, own=True),
        lambda q, k: by_hand.moco(q, k.detach(), queue(), list(range(ROWS)), T),
        2,
    ),
    "cmc": (
        lambda z: mv.losses.cmc(z, table(3), drawn(), T, z_constant=2.5),
        lambda z: by_hand.cmc_nce(z, table(3), drawn(), T, 2.5),
        1,
    ),
    "cmc, Z of the batch": (
        lambda z: mv.losses.cmc(z, table(3), drawn(), T),
        lambda z: by_hand.cmc_nce(z, table(3), drawn(), T, by_hand.cmc_z(z, table(3), drawn(), T)),
        1,
    ),
    "cmc, softmax": (
        lambda z: mv.losses.cmc(z, table(3), drawn(), T, variant="softmax"),
        lambda z: by_hand.cmc_softmax(z, table(3), drawn(), T),
        1,
    ),
}
RAW = ("vicreg", "barlow_twins")


def given(name: str) -> list[Tensor]:
    """Embeddings that are not of length 1."""
    return [normal(ROWS, seed).mul(1 + seed).requires_grad_() for seed in range(FUNCTIONS[name][2])]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_value_and_gradient_are_those_of_the_paper(name: str) -> None:
    ours, paper, _ = FUNCTIONS[name]
    tensors = given(name)
    found, expected = ours(*tensors), paper(*(x if name in RAW else normalize(x, dim=1) for x in tensors))
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    gradients = [torch.autograd.grad(loss, tensors, allow_unused=True) for loss in (found, expected)]
    for f, e, x in zip(*gradients, tensors, strict=True):
        zero = torch.zeros_like(x)
        assert torch.allclose(zero if f is None else f, zero if e is None else e, rtol=1e-9, atol=1e-13)


IN_BATCH = ["nt_xent", "info_nce", "siglip", "vicreg", "barlow_twins", "simsiam", "byol", "symile"]


def called(name: str, tensors: list[Tensor], present: object) -> Tensor:
    named = {"seed": 1} if name == "symile" else {}
    return getattr(mv.losses, name)(*tensors, present=present, **named)


@pytest.mark.parametrize("name", IN_BATCH)
def test_absent_rows_are_not_read(name: str) -> None:
    """They may be anything: here they are NaN in one view."""
    tensors = [x.detach() for x in given(name)]
    views = 3 if name == "symile" else 2
    here = torch.arange(ROWS) < 4
    expected = called(name, [x[:4] for x in tensors], None)
    for x in tensors:
        x[4] = torch.nan
        x[5] = torch.inf
        x.requires_grad_()
    one_view = [here, *[torch.ones(ROWS, dtype=torch.bool)] * (views - 1)]
    for present in (here, [here] * views):
        found = called(name, tensors, present)
        assert found.item() == pytest.approx(expected.item(), rel=1e-12)
        found.backward()
        for x in tensors:
            assert x.grad is None or (x.grad[4:] == 0).all()
    clean = [torch.where(here[:, None], x.detach(), 1.0) for x in tensors]
    assert called(name, clean, one_view).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("name", ["moco", "cmc"])
def test_rows_that_are_absent_for_a_memory_do_not_count(name: str) -> None:
    here = torch.arange(ROWS) < 4
    z, k = normal(ROWS, 0), normal(ROWS, 1)
    if name == "moco":
        found, expected = (
            mv.losses.moco(q, key, table(9), T, present=present)
            for q, key, present in ((z, k, here), (z[:4], k[:4], None))
        )
    else:
        found, expected = (
            mv.losses.cmc(x, table(3), rows, T, present=present)
            for x, rows, present in ((z, drawn(), here), (z[:4], drawn()[:4], None))
        )
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("name", ["nt_xent", "info_nce", "siglip", "symile"])
def test_a_temperature_that_is_a_tensor_learns(name: str) -> None:
    tensors = [unit(ROWS, seed).detach() for seed in range(3 if name == "symile" else 2)]
    named = {"seed": 1} if name == "symile" else {}
    learned = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    loss = getattr(mv.losses, name)
    (grad,) = torch.autograd.grad(loss(*tensors, temperature=learned, **named), learned)
    step = 1e-6
    ends = [loss(*tensors, temperature=0.3 + sign * step, **named).item() for sign in (1, -1)]
    assert grad.item() == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


@pytest.mark.parametrize("name", IN_BATCH)
def test_under_autocast_the_loss_is_float32(name: str) -> None:
    tensors = [x.detach().float() for x in given(name)]
    expected = called(name, tensors, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = called(name, tensors, None)
    assert found.dtype == torch.float32
    assert found.item() == expected.item()


def test_symile_without_a_seed_follows_the_generator_of_torch_and_others_do_not_touch_it() -> None:
    tensors = [unit(ROWS, seed).detach() for seed in range(3)]
    losses = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        losses.append(mv.losses.symile(*tensors).item())
    assert losses[0] == losses[1] != losses[2]
    before = torch.get_rng_state()
    mv.losses.nt_xent(tensors[0], tensors[1])
    assert torch.equal(before, torch.get_rng_state())


GOOD = torch.ones(4, 3)
MISTAKES: dict[str, tuple[Callable[[], Tensor], str]] = {
    "rows": (lambda: mv.losses.nt_xent(GOOD, GOOD[:3]), r"nt_xent: b has shape \(3, 3\) and a \(4, 3\); row i of each"),
    "width": (lambda: mv.losses.vicreg(GOOD, torch.ones(4, 2)), r"vicreg: b has shape \(4, 2\) and a \(4, 3\)"),
    "whole numbers": (lambda: mv.losses.nt_xent(GOOD, GOOD.long()), r"nt_xent: b is int64 \(4, 3\); give a tensor of"),
    "a list": (lambda: mv.losses.siglip([1.0], GOOD), r"siglip: a is a list; give a tensor of embeddings"),  # type: ignore[arg-type]
    "three dimensions": (lambda: mv.losses.simsiam(GOOD, GOOD, GOOD, GOOD[None]), r"simsiam: z_b is float32 \(1, 4, 3"),
    "two views": (lambda: mv.losses.symile(GOOD, GOOD), "symile: 2 views given; give embeddings of three"),
    "temperature": (
        lambda: mv.losses.info_nce(GOOD, GOOD, 0.0),
        "^info_nce: temperature is 0.0; give a number",
    ),
    "temperature of nt_xent": (lambda: mv.losses.nt_xent(GOOD, GOOD, -1), "^nt_xent: temperature is -1; give a number"),
    "temperature of symile": (
        lambda: mv.losses.symile(GOOD, GOOD, GOOD, temperature=-1),
        "^symile: temperature is -1; give a number",
    ),
    "temperature of moco": (lambda: mv.losses.moco(GOOD, GOOD, GOOD, temperature=-1), "^moco: temperature is -1"),
    "weight of vicreg": (lambda: mv.losses.vicreg(GOOD, GOOD, variance=-1), "^vicreg: variance is -1; give"),
    "weight of barlow_twins": (lambda: mv.losses.barlow_twins(GOOD, GOOD, -1), "^barlow_twins: redundancy is -1; give"),
    "temperature of siglip": (lambda: mv.losses.siglip(GOOD, GOOD, -1.0), "siglip: temperature is -1.0"),
    "present": (lambda: mv.losses.nt_xent(GOOD, GOOD, present=GOOD[:, 0]), r"present is float32 \(4,\); give a bool"),
    "three masks": (
        lambda: mv.losses.nt_xent(GOOD, GOOD, present=[GOOD[:, 0] > 0] * 3),
        "present holds 3 masks; give one mask, or one for each of 2 views",
    ),
    "a typing mistake": (lambda: mv.losses.info_nce(GOOD, GOOD, temprature=0.1), "Did you mean 'temperature'?"),
    "an unknown keyword": (
        lambda: mv.losses.nt_xent(GOOD, GOOD, presnt=GOOD[:, 0] > 0),
        "'presnt'.*Did you mean 'pres",
    ),
    "queue": (lambda: mv.losses.moco(GOOD, GOOD, torch.ones(5, 2)), r"moco: the queue has shape \(5, 2\)"),
    "one index": (lambda: mv.losses.moco(GOOD, GOOD, GOOD, index=torch.arange(4)), "give both index and queue_index"),
    "drawn": (lambda: mv.losses.cmc(GOOD, GOOD, GOOD), r"cmc: drawn is .*; give whole numbers \(4, 1 \+ K\)"),
    "drawn outside": (
        lambda: mv.losses.cmc(GOOD, GOOD, torch.full((4, 3), 4)),
        r"cmc: drawn holds 4\.\.4, but the bank has 4 rows",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence(name: str) -> None:
    act, message = MISTAKES[name]
    with pytest.raises(mv.MultiviewError, match=message):
        act()


def test_rows_of_draw_negatives_fit() -> None:
    index = torch.tensor([3, 0, 9, 3, 5, 1])
    generator = torch.Generator().manual_seed(0)
    rows = mv.losses.draw_negatives(index, 40, BANK, generator=generator, exclude=True)
    assert torch.equal(rows[:, 0].long(), index)
    assert not (rows[:, 1:] == rows[:, :1]).any()
    assert mv.losses.cmc(unit(ROWS, 0), table(3), rows).isfinite()
