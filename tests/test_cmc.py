"""CMC against the paper and the original code, written by hand in float64."""

from __future__ import annotations

import math
from dataclasses import replace

import by_hand
import pytest
import torch
from torch.nn.functional import normalize

from multiview.errors import MultiviewError
from multiview.memory.bank import MemoryBank
from multiview.objectives import CMC, EdgeInput, EdgeOutput, Side, Situation
from multiview.objectives.cmc import ORIGINAL
from multiview.ops.negatives import draw_negatives, draw_shared
from multiview.options import parse
from multiview.recipes.cmc_lab import CmcLab

DIM, SAMPLES, T = 8, 23, 0.2


def unit(rows: int, seed: int) -> torch.Tensor:
    z = torch.randn(rows, DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return normalize(z, dim=1).requires_grad_()


def bank(seed: int) -> MemoryBank:
    return MemoryBank(SAMPLES, DIM, 0.5, torch.Generator().manual_seed(seed)).double()


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(9)


def made(objective: CMC, rows: int, log_z: list[float] | None = None) -> EdgeInput:
    """An edge of `rows` samples, with a state as `objective` starts from or as given."""
    start = {"log_z": log_z} if log_z else objective.initial_state()
    state = {name: torch.tensor(value, dtype=torch.float64) for name, value in start.items()}
    sides = Side(z=unit(rows, 1), memory=bank(3)), Side(z=unit(rows, 2), memory=bank(4))
    index = torch.arange(rows) * 3 % SAMPLES
    present = torch.ones(rows, dtype=torch.bool)
    return EdgeInput(sides, index=index, present=present, state=state, generator=seeded())


def directions(edge: EdgeInput) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Queries, and the bank rows that they are scored against."""
    return [(edge.a.z, edge.b.memory.rows), (edge.b.z, edge.a.memory.rows)]


def assert_same(out: EdgeOutput, expected: torch.Tensor, edge: EdgeInput) -> None:
    assert out.loss.item() == pytest.approx(expected.item(), rel=1e-12)
    gradients = [torch.autograd.grad(loss, [edge.a.z, edge.b.z]) for loss in (out.loss, expected)]
    for found, wanted in zip(*gradients, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize("z", ["ema", "first-batch", 40.0])
def test_nce_equals_the_paper(rows: int, exclude: bool, z: str | float) -> None:
    objective = CMC(negatives=11, temperature=T, dim=DIM, exclude=exclude, z=z)
    edge = made(objective, rows)
    drawn = draw_negatives(edge.index, 11, SAMPLES, generator=seeded(), exclude=exclude)
    out = objective.loss(edge)
    expected = torch.zeros((), dtype=torch.float64)
    for direction, (query, memory) in enumerate(directions(edge)):
        constant = z if not isinstance(z, str) else by_hand.cmc_z(query, memory, drawn, T)
        expected = expected + by_hand.cmc_nce(query, memory, drawn, T, constant)
        assert out.state["log_z"][direction].exp().item() == pytest.approx(constant, rel=1e-12)
    assert_same(out, expected, edge)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("exclude", [True, False])
def test_softmax_equals_the_paper(rows: int, exclude: bool) -> None:
    objective = CMC(negatives=11, temperature=T, dim=DIM, variant="softmax", exclude=exclude)
    edge = made(objective, rows)
    drawn = draw_negatives(edge.index, 11, SAMPLES, generator=seeded(), exclude=exclude)
    expected = sum(by_hand.cmc_softmax(query, memory, drawn, T) for query, memory in directions(edge))
    out = objective.loss(edge)
    assert out.state == {}
    assert_same(out, expected, edge)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize("variant", ["nce", "softmax"])
def test_negatives_shared_by_the_batch_equal_the_paper(rows: int, exclude: bool, variant: str) -> None:
    objective = CMC(negatives=31, temperature=T, dim=DIM, variant=variant, z=40.0, exclude=exclude, shared=True)
    edge = made(objective, rows)
    shared = draw_shared(31, SAMPLES, generator=seeded())
    assert torch.isin(shared, edge.index).any()
    expected = torch.zeros((), dtype=torch.float64)
    for query, memory in directions(edge):
        scores = by_hand.shown(query, memory, edge.index, shared, T, exclude)
        softmax = variant == "softmax"
        expected = expected + (
            by_hand.cmc_shared_softmax(scores) if softmax else by_hand.cmc_shared_nce(scores, 31, SAMPLES, 40.0)
        )
    assert_same(objective.loss(edge), expected, edge)


@pytest.mark.parametrize("rows", [1, 2, 7])
@pytest.mark.parametrize("exclude", [True, False])
@pytest.mark.parametrize("variant", ["nce", "softmax"])
def test_all_others_equal_the_paper_with_every_row_once(rows: int, exclude: bool, variant: str) -> None:
    objective = CMC(temperature=T, dim=DIM, variant=variant, z=40.0, exclude=exclude, draw="all")
    edge, count = made(objective, rows), SAMPLES - exclude
    expected = torch.zeros((), dtype=torch.float64)
    for query, memory in directions(edge):
        scores = by_hand.shown(query, memory, edge.index, torch.arange(SAMPLES), T, exclude)
        assert all(len(row) == 1 + count for row in scores)
        expected = expected + (
            by_hand.cmc_shared_nce(scores, count, SAMPLES, 40.0)
            if variant == "nce"
            else by_hand.cmc_shared_softmax(scores)
        )
    before = edge.generator.get_state()
    assert_same(objective.loss(edge), expected, edge)
    assert edge.generator.get_state().equal(before), "nothing was drawn"


def test_the_first_z_of_all_others_is_the_mean_of_their_scores() -> None:
    edge = made(objective := CMC(temperature=T, dim=DIM, draw="all"), 5)
    found = objective.loss(edge).state["log_z"].exp()
    for direction, (query, memory) in enumerate(directions(edge)):
        scores = by_hand.shown(query, memory, edge.index, torch.arange(SAMPLES), T, exclude=True)
        wanted = SAMPLES * sum(sum(row) for row in scores) / sum(map(len, scores))
        assert found[direction].item() == pytest.approx(wanted.item(), rel=1e-12)


def test_all_others_agree_with_many_draws_of_them() -> None:
    """The mean of the loss of a drawn set per sample tends to a value near that of all others."""
    whole = CMC(temperature=1.0, dim=DIM, variant="softmax", draw="all")
    drawn = CMC(temperature=1.0, dim=DIM, variant="softmax", negatives=20_000)
    share = math.log(20_001 / SAMPLES)
    assert drawn.loss(made(drawn, 7)).loss.item() / 2 - share == pytest.approx(
        whole.loss(made(whole, 7)).loss.item() / 2, abs=0.05
    )


@pytest.mark.parametrize("draw", ["all", "step"])
def test_a_bfloat16_bank_gives_the_scores_within_the_stated_error(draw: str) -> None:
    objective = CMC(temperature=0.07, dim=DIM, variant="softmax", draw=draw, negatives=None if draw == "all" else 11)
    exact, rounded = made(objective, 7), made(objective, 7)
    for side in (*exact.sides, *rounded.sides):
        side.z, side.memory = side.z.detach().float(), side.memory.float()
        side.memory.rows = normalize(side.memory.rows, dim=1)
    for side in rounded.sides:
        side.memory.rows = side.memory.rows.bfloat16()
    for one, other in zip(objective.scores(exact, 7), objective.scores(rounded, 7), strict=True):
        seen = one.isfinite()
        assert seen.equal(other.isfinite())
        assert 0 < (one - other)[seen].abs().max() <= 0.004 / 0.07


DRAWS = {
    "step": (CMC(negatives=11, draw="step"), 100, ("step", 11)),
    "step of all": (CMC(draw="step"), 100, ("all", 99)),
    "step of as many as there are": (CMC(draw="step", negatives=99), 100, ("all", 99)),
    "all": (CMC(draw="all"), 100, ("all", 99)),
    "all and the own row": (CMC(draw="all", exclude=False), 100, ("all", 100)),
    "auto, few": (CMC(draw="auto"), 16_384, ("all", 16_383)),
    "auto, many": (CMC(draw="auto"), 16_385, ("step", 4096)),
    "auto, K given": (CMC(draw="auto", negatives=50), 100, ("step", 50)),
    "sample": (CMC(), 100, ("sample", 99)),
    "the former name": (CMC(shared=True), 100, ("step", 99)),
    "the original": (CMC.original(), 20_000, ("sample", 16_384)),
}


@pytest.mark.parametrize(("objective", "samples", "wanted"), DRAWS.values(), ids=DRAWS)
def test_the_draw_is_chosen_by_the_number_of_samples(objective: CMC, samples: int, wanted: tuple[str, int]) -> None:
    situation = Situation(samples=samples, per_rank=8)
    found = objective.resolved(situation)
    assert (found.draw, found.negatives) == wanted
    assert found.resolved(situation) == found


def test_all_others_with_another_number_of_negatives_are_refused() -> None:
    with pytest.raises(MultiviewError, match=r"draw=all takes all 99 other samples, but negatives is 50; leave"):
        CMC(draw="all", negatives=50).resolved(Situation(samples=100, per_rank=8))


@pytest.mark.parametrize("keep", [0.99, 0.5, 0.0])
def test_z_moves_towards_the_batch_after_it_was_used(keep: float) -> None:
    objective = CMC(negatives=11, temperature=T, dim=DIM, z_momentum=keep)
    edge = made(objective, 5, [math.log(30.0), math.log(50.0)])
    drawn = draw_negatives(edge.index, 11, SAMPLES, generator=seeded(), exclude=True)
    out = objective.loss(edge)
    expected = torch.zeros((), dtype=torch.float64)
    for direction, ((query, memory), z) in enumerate(zip(directions(edge), (30.0, 50.0), strict=True)):
        batch = by_hand.cmc_z(query, memory, drawn, T)
        assert out.state["log_z"][direction].exp().item() == pytest.approx(keep * z + (1 - keep) * batch, rel=1e-12)
        expected = expected + by_hand.cmc_nce(query, memory, drawn, T, z)
    assert_same(out, expected, edge)


def test_the_preset_is_the_original_to_the_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps on given indices, with own rows and repeated samples."""
    objective = CMC(seed_defaults=True, negatives=11)
    edge = made(objective, 6)
    memories, constants = [edge.a.memory.rows.clone(), edge.b.memory.rows.clone()], [None, None]
    for step in range(3):
        y = torch.tensor([4, 0, 9, 4, 22, 7]) - step % 2 * torch.tensor([0, 0, 0, 1, 2, 3])
        idx = torch.cat([y[:, None], torch.randint(SAMPLES, (6, 11), generator=torch.Generator().manual_seed(step))], 1)
        idx[1, 3] = y[1]
        monkeypatch.setattr("multiview.ops.negatives.draw_negatives", lambda *_, given=idx, **__: given)
        sides = replace(edge.a, z=unit(6, 10 + step)), replace(edge.b, z=unit(6, 20 + step))
        edge = replace(edge, index=y, sides=sides)
        out = objective.loss(edge)
        expected, memories, constants = by_hand.cmc_original(edge.a.z, edge.b.z, memories, y, idx, constants)
        assert_same(out, expected, edge)
        assert out.state["log_z"].exp().tolist() == pytest.approx(constants, rel=1e-12)
        edge = replace(edge, state=out.state)
        for side, after in zip((edge.a, edge.b), memories, strict=True):
            side.memory.update(side.z.detach(), y)
            assert torch.allclose(side.memory.rows, after, rtol=1e-12, atol=1e-15)


def test_the_preset_has_the_original_numbers_in_python_and_on_the_command_line() -> None:
    original = CMC.original()
    assert original == CMC(seed_defaults=True)
    assert original == CMC(**ORIGINAL, negatives=16384, seed_defaults=True)
    assert (original.negatives, original.temperature, original.momentum, original.z) == (
        16384,
        0.07,
        0.5,
        "first-batch",
    )
    assert not original.exclude
    words = ["--seed-defaults", "--negatives", "2000"]
    assert parse(CmcLab, words, prog="cmc_lab").objective == CMC(seed_defaults=True, negatives=2000)


def test_the_closed_forms_at_the_start() -> None:
    """Uniform rows, D = 128, T = .07: Z / N = exp(1 / (2 D T^2)) = 2.219.

    NCE is about ln K + 1 + 1 / (2 D T^2), softmax about ln(K + 1).
    """
    generator = torch.Generator().manual_seed(0)
    rows = MemoryBank(2000, 128, 0.5, generator)
    z = normalize(torch.randn(256, 128, generator=generator), dim=1)
    sides = Side(z=z, memory=rows), Side(z=z.flip(0), memory=rows)
    start = {"log_z": torch.tensor([math.nan, math.nan])}
    present = torch.ones(256, dtype=torch.bool)
    edge = EdgeInput(sides, torch.arange(256), present, start, generator=generator)
    out = CMC(negatives=1024).loss(edge)
    excess = 1 / (2 * 128 * 0.07**2)
    assert (out.state["log_z"].exp() / 2000).tolist() == pytest.approx([math.exp(excess)] * 2, rel=0.02)
    assert math.exp(excess) == pytest.approx(2.219, abs=1e-3)
    assert out.loss.item() / 2 == pytest.approx(math.log(1024) + 1 + excess, rel=0.05)
    flat = CMC(negatives=1024, temperature=10.0, variant="softmax").loss(edge)
    assert flat.loss.item() / 2 == pytest.approx(math.log(1025), rel=1e-3)
    assert flat.log["rank"].item() == pytest.approx(513, rel=0.1)


@pytest.mark.parametrize("temperature", [1e-3, 1e-2, 10.0])
@pytest.mark.parametrize("variant", ["nce", "softmax"])
@pytest.mark.parametrize("shared", [True, False])
def test_it_is_finite_at_any_temperature_in_float32_and_half_precision(
    temperature: float, variant: str, shared: bool
) -> None:
    objective = CMC(negatives=11, temperature=temperature, dim=DIM, variant=variant, shared=shared)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        edge = made(objective, 7)
        edge.state = {name: value.float() for name, value in edge.state.items()}
        for side in (edge.a, edge.b):
            side.z = side.z.detach().to(dtype).requires_grad_()
            side.memory = side.memory.float()
        out = objective.loss(edge)
        out.loss.backward()
        assert out.loss.dtype == torch.float32
        assert math.isfinite(out.loss.item())
        assert edge.a.z.grad.dtype == dtype
        if temperature > 1e-3:
            assert torch.isfinite(edge.a.z.grad).all()


@pytest.mark.parametrize("variant", ["nce", "softmax"])
@pytest.mark.parametrize("shared", [True, False])
def test_rows_that_miss_a_view_take_no_part(variant: str, shared: bool) -> None:
    objective = CMC(negatives=11, temperature=T, dim=DIM, variant=variant, shared=shared)
    whole = made(objective, 7)
    whole.present = torch.tensor([True, True, True, True, False, False, False])
    out = objective.loss(whole)
    out.loss.backward()
    part = made(objective, 4)  # the first rows of the draw are the same
    alone = objective.loss(part)
    assert out.loss.item() == pytest.approx(alone.loss.item(), rel=1e-12)
    assert out.log["rank"].item() == pytest.approx(alone.log["rank"].item(), rel=1e-12)
    for name, value in alone.state.items():
        assert out.state[name].tolist() == pytest.approx(value.tolist(), rel=1e-12)
    assert (whole.a.z.grad[4:] == 0).all()


@pytest.mark.parametrize("z", ["ema", "first-batch", 40.0])
def test_a_first_batch_without_a_pair_leaves_z_open(z: str | float) -> None:
    objective = CMC(negatives=11, temperature=T, dim=DIM, z=z)
    edge = made(objective, 4)
    edge.present = torch.zeros(4, dtype=torch.bool)
    out = objective.loss(edge)
    out.loss.backward()
    assert out.loss.item() == 0
    assert (edge.a.z.grad == 0).all()
    assert out.state["log_z"].isnan().all() == isinstance(z, str)


def test_a_bfloat16_bank_is_half_the_size_and_near() -> None:
    rounded = MemoryBank(SAMPLES, DIM, 0.5, torch.Generator().manual_seed(3), torch.bfloat16)
    exact = bank(3)
    assert rounded.rows.nbytes == SAMPLES * DIM * 2
    z, index = unit(5, 1).detach().float(), torch.arange(5)
    for memory in (rounded, exact):
        memory.update(z, index)
    assert torch.allclose(rounded.rows.double(), exact.rows, rtol=2**-7, atol=1e-3)
    assert CMC(bank_dtype="bfloat16").needs()[0].memory.dtype == "bfloat16"


@pytest.mark.parametrize("index", [[-1, 3], [3, SAMPLES]])
def test_an_index_outside_the_bank_is_refused_before_scoring(index: list[int]) -> None:
    edge = made(CMC(), 2)
    edge.index = torch.tensor(index)
    with pytest.raises(
        MultiviewError, match=f"sample index {index[0]}..{index[1]} is outside the memory bank of 23 rows"
    ):
        CMC(negatives=11, dim=DIM).loss(edge)


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (CMC(negatives=50), "only 49 other samples to draw from; give negatives 49 or fewer"),
        (CMC(negatives=51, exclude=False), "only 50 samples to draw from; give negatives 50 or fewer"),
        (CMC(negatives=50, shared=True), "give negatives 49 or fewer"),
        (CMC.original(), "16384 negatives asked for"),
    ],
)
def test_more_negatives_than_samples_are_refused(objective: CMC, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        objective.resolved(Situation(samples=50, per_rank=8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 0}, "temperature is 0; give a number above 0"),
        ({"negatives": 0}, "negatives is 0"),
        ({"momentum": 1.0}, "momentum is 1.0; give a number that is at least 0 and less than 1"),
        ({"z": -3.0}, "z is -3.0"),
        ({"z_momentum": 1.0}, "z_momentum is 1.0"),
    ],
)
def test_what_cannot_work_is_said(options: dict, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        CMC(**options)


def test_one_sample_is_too_few() -> None:
    with pytest.raises(MultiviewError, match="needs two training samples or more; the data has 1"):
        CMC().resolved(Situation(samples=1, per_rank=1))
