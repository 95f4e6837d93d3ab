"""Negatives from a counter, and a memory bank whose rows are shared out over processes."""

from __future__ import annotations

import math
from pathlib import Path

import by_hand
import numpy as np
import pytest
import torch
from small_runs import assert_same_end, assert_same_losses, run, signal_in_step
from torch.nn.functional import normalize

import multiview as mv
from multiview.check.parity import process, spread
from multiview.counter_rng import Draws, bits, key_of
from multiview.distributed import gather, rank, world
from multiview.errors import MultiviewError
from multiview.memory.bank import MemoryBank
from multiview.memory.memories import Memories
from multiview.memory.split_bank import SplitBank
from multiview.objectives import CMC, EdgeInput, Side, Situation
from multiview.ops import counter, split_scores
from multiview.ops.negatives import GroupRows, draw_negatives, draw_other_groups, draw_shared
from multiview.train import bank_files
from multiview.train.checkpoint import save

DIM, SAMPLES, ROWS, T = 8, 1000, 64, 0.2
INDEX = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(5))[:ROWS]
KEY = Draws(0, 1, INDEX.numpy(), "edge").key("negatives")
WAYS: dict[str, dict] = {
    "nce": {"negatives": 128},
    "softmax": {"negatives": 128, "variant": "softmax", "exclude": False},
    "step": {"negatives": 640, "variant": "softmax", "draw": "step"},
    "dense": {"negatives": 1280},
    "step-nce": {"negatives": 640, "draw": "step", "exclude": False},
}


def rows(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, DIM, dtype=torch.float64, generator=generator), dim=1)


def split_bank(values: torch.Tensor, name: str) -> SplitBank:
    """A split bank that holds `values` (SAMPLES, DIM)."""
    bank = SplitBank(SAMPLES, DIM, 0.5, 0, name).double()
    for number in bank.own.numbers:
        bank.of(number).copy_(values[number::64])
    return bank


def edge_of(objective: CMC, part: slice = slice(None)) -> EdgeInput:
    """The rows `part` of an edge of ROWS samples, with the banks that this process has."""
    state = {name: torch.tensor(x, dtype=torch.float64) for name, x in objective.initial_state().items()}
    z = [rows(ROWS, seed)[part].clone().requires_grad_() for seed in (1, 2)]
    sides = [Side(z=x, memory=split_bank(rows(SAMPLES, 3 + i), "ab"[i])) for i, x in enumerate(z)]
    index = INDEX[part]
    draws = Draws(0, 1, index.numpy(), "edge")
    return EdgeInput(tuple(sides), index, torch.ones(len(index), dtype=torch.bool), state, draws=draws)


def test_the_counter_has_the_bits_of_the_draws_on_the_cpu() -> None:
    samples = np.array([0, 1, 77, 10**9, 2**40])
    found = counter.words(counter.starts(key_of(3, 7, "x"), torch.from_numpy(samples)), torch.arange(9))
    expected = bits(3, 7, "x", samples, 9)
    assert (found.numpy().view(np.uint64) == expected).all()
    assert int(expected[2, 4]) == by_hand.counter_word(key_of(3, 7, "x"), 77, 4)


@pytest.mark.parametrize("size", [1, 7, 2**24, 2**31 - 1, 2**31, 2**32 + 5, 2**62 + 3])
def test_a_number_below_a_size_is_the_high_half_of_the_product(size: int) -> None:
    samples = torch.tensor([0, 5, 2**35])
    words = bits(1, 2, "y", samples.numpy(), 30)
    expected = [[int(u) * size >> 64 for u in row] for row in words]
    start = counter.starts(key_of(1, 2, "y"), samples)
    assert counter.below(start, torch.arange(30), size, size).tolist() == expected
    assert counter.below(start, torch.arange(30), torch.full((3,), size), size).tolist() == expected


def test_no_row_is_drawn_more_often_than_another() -> None:
    """A table draws low rows of 1e8 too often by 2.4 %: 7 standard deviations of this count."""
    size, count = 100_000_000, 1 << 21
    low = 2**32 % size
    drawn = counter.below(counter.starts(9, torch.arange(128)), torch.arange(count // 128), size, size)
    share = low / size
    assert abs((drawn < low).sum().item() - count * share) < 4 * math.sqrt(count * share * (1 - share))


@pytest.mark.parametrize("exclude", [True, False])
def test_draws_from_the_counter_are_those_by_hand(exclude: bool) -> None:
    found = draw_negatives(INDEX[:5], 20, SAMPLES, generator=None, exclude=exclude, key=KEY)
    assert found[:, 0].tolist() == INDEX[:5].tolist()
    for row, sample in zip(found[:, 1:].tolist(), INDEX[:5].tolist(), strict=True):
        assert row == by_hand.counter_draw(KEY, sample, 20, SAMPLES, exclude)
    shared = draw_shared(20, SAMPLES, generator=None, key=KEY)
    assert shared.tolist() == by_hand.counter_draw(KEY, 0, 20, SAMPLES, exclude=False)


def test_with_groups_the_counter_draws_among_the_other_groups() -> None:
    groups = GroupRows.of(torch.arange(SAMPLES) % 3)
    found = draw_other_groups(INDEX, 50, groups, generator=None, key=KEY)
    assert ((found[:, 1:] % 3) != (INDEX % 3)[:, None]).all()
    assert len(found[:, 1:].unique()) > 0.9 * SAMPLES


def test_above_a_number_of_rows_the_counter_is_used_and_below_the_table_of_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("multiview.objectives.bank_draws.TABLE_ROWS", 99)
    usual, asked = CMC(negatives=50, dim=DIM), CMC(negatives=50, dim=DIM, numbers="counter")
    table = CMC(negatives=50, dim=DIM, numbers="table")
    drawn = {}
    for name, objective, size in (("counter", usual, 100), ("asked", asked, 100), ("table", table, 100)):
        edge = edge_of(objective, slice(4))
        edge.index, edge.generator = torch.arange(4), torch.Generator().manual_seed(3)
        drawn[name] = objective._drawn(edge, torch.zeros(size, DIM)).sort(1).values.tolist()
    assert drawn["counter"] == drawn["asked"] != drawn["table"]
    edge.generator = torch.Generator().manual_seed(3)
    assert usual._drawn(edge, torch.zeros(99, DIM)).shape == (4, 51)
    assert not edge.generator.get_state().equal(torch.Generator().manual_seed(3).get_state()), "the table was drawn"


@pytest.mark.parametrize("way", WAYS)
def test_a_split_bank_on_one_process_equals_the_paper(way: str) -> None:
    objective = CMC(temperature=T, dim=DIM, bank="split", z=40.0, **WAYS[way])
    edge, count, exclude = edge_of(objective), objective.negatives, objective.exclude
    expected = torch.zeros((), dtype=torch.float64)
    shared = torch.tensor(by_hand.split_draw(KEY, 0, count, SAMPLES, exclude=False))
    own = [[i, *by_hand.split_draw(KEY, i, count, SAMPLES, exclude)] for i in INDEX.tolist()]
    for query, values in ((edge.a.z, rows(SAMPLES, 4)), (edge.b.z, rows(SAMPLES, 3))):
        expected = expected + by_paper(objective, query, values, shared, torch.tensor(own))
    found = objective.loss(edge).loss
    assert found.item() == pytest.approx(expected.item(), rel=1e-12)
    gradients = [torch.autograd.grad(loss, [edge.a.z, edge.b.z]) for loss in (found, expected)]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-13)


def by_paper(
    objective: CMC, z: torch.Tensor, values: torch.Tensor, shared: torch.Tensor, own: torch.Tensor
) -> torch.Tensor:
    """One direction with scores of the batch at a time, otherwise as `by_hand` writes it."""
    softmax = objective.variant == "softmax"
    if objective.draw == "step":
        own = torch.cat([INDEX[:, None], shared.expand(len(z), -1)], dim=1)
    scores = torch.einsum("bkd,bd->bk", values[own], z) / T
    if objective.draw == "step" and objective.exclude:
        scores = scores.masked_fill((own == INDEX[:, None]) & (torch.arange(own.shape[1]) > 0), -math.inf)
    if softmax:
        return -torch.log_softmax(scores, dim=1)[:, 0].mean()
    ratio = scores.exp() / 40.0 / (objective.negatives / SAMPLES)
    return (-torch.log(ratio[:, 0] / (1 + ratio[:, 0])) + torch.log1p(ratio[:, 1:]).sum(1)).mean()


def in_process(number: int, count: int, folder: Path, earlier: int | None) -> None:
    """One of `count` processes."""
    with process(number, count, folder):
        found_here(count, folder, earlier)


def found_here(count: int, folder: Path, earlier: int | None) -> None:
    """Losses, gradients, Z, scores, and the banks after an update. earlier: see `kept`."""
    part = slice(ROWS * rank() // world(), ROWS * (rank() + 1) // world())
    found = {}
    for way, options in WAYS.items():
        objective = CMC(temperature=T, dim=DIM, bank="split", **options)
        edge = edge_of(objective, part)
        out = objective.loss(edge)
        gradients = torch.autograd.grad(out.loss, [edge.a.z, edge.b.z])
        own = [gather(x) / world() for x in gradients]
        found[way] = {"exact": own + list(out.state.values()), "loss": gather(out.loss[None]).mean()}
        found[way]["logs"] = [gather(x[None]).mean() for x in out.log.values()]
    found["scores"] = {"exact": [gather(objective.scores(edge, ROWS // world())[0])]}
    memories = Memories(None, graph(), SAMPLES, seed=0)
    bank, _ = memories.split_banks().values()
    bank.update(gather(edge.a.z).float(), gather(edge.index))
    found["bank"] = {"exact": [bank.whole(), memories.whole_state()[f"stores.a/linear_{DIM}/bank0p5_split.rows"]]}
    if rank() == 0:
        torch.save(found, folder / f"found-{count}")
    kept(folder, count, earlier, memories)


def graph() -> mv.ContrastGraph:
    objective = CMC(dim=DIM, bank="split", negatives=128).resolved(Situation(samples=SAMPLES, per_rank=8))
    return mv.ContrastGraph.full(("a", "b"), objective)


def kept(folder: Path, count: int, earlier: int | None, memories: Memories) -> None:
    """Saves the rows. earlier: first reads what so many processes saved: the same rows."""
    whole = {name: bank.whole() for name, bank in memories.split_banks().items()}
    if earlier is not None:
        for bank in memories.split_banks().values():
            bank.rows.zero_()
        bank_files.read(folder / f"kept-{earlier}/step-00000003", memories)
        for name, bank in memories.split_banks().items():
            assert torch.equal(bank.whole(), whole[name]), name
    written = bank_files.write(folder / f"kept-{count}", 3, memories)
    if rank() == 0:
        state, banks = memories.common_state(), sorted(f"banks-{n}-of-{count}.safetensors" for n in range(count))
        path = save(folder / f"kept-{count}", 3, {"memory": state}, {}, 1, banks=written)
        assert sorted(file.name for file in path.glob("banks*")) == banks
    gather(torch.zeros(1))  # no process ends before the checkpoint is whole


def assert_equal_to_the_bit(one: dict[str, dict], several: dict[str, dict]) -> None:
    """Of every sample; only the mean over the batch is summed in another order."""
    for what, expected in one.items():
        for x, y in zip(expected["exact"], several[what]["exact"], strict=True):
            assert torch.equal(x, y), (what, (x - y).abs().max())
        if "loss" in expected:
            assert several[what]["loss"].item() == pytest.approx(expected["loss"].item(), rel=1e-15)
            assert torch.tensor(several[what]["logs"]).allclose(torch.tensor(expected["logs"]), rtol=1e-13)


@pytest.mark.parametrize("counts", [(2,), pytest.param((4, 2), marks=pytest.mark.slow)], ids=["2 to 1", "4 to 2 to 1"])
def test_processes_find_and_resume_what_one_finds_to_the_bit(counts: tuple[int, ...], tmp_path: Path) -> None:
    earlier = None
    for count in counts:
        spread(in_process, count, count, tmp_path, earlier)
        earlier = count
    found_here(1, tmp_path, earlier)
    one = torch.load(tmp_path / "found-1", weights_only=False)
    for count in counts:
        assert_equal_to_the_bit(one, torch.load(tmp_path / f"found-{count}", weights_only=False))


@pytest.mark.slow
def test_a_resumed_run_with_split_banks_equals_an_unbroken_one(tmp_path: Path) -> None:
    words = ["--bank", "split", "--negatives", "128", "--cache", str(tmp_path)]
    one, two = tmp_path / "one", tmp_path / "two"
    assert run("cmc_lab", Path("scenes:200"), one, *words) == 0
    with signal_in_step(3):
        assert run("cmc_lab", Path("scenes:200"), two, *words) == 130
    assert run("cmc_lab", Path("scenes:200"), two, *words, "--resume") == 0
    assert_same_losses(one, two)
    assert_same_end(one, two)
    rows = [(out / "checkpoints/step-00000006/banks-0-of-1.safetensors").read_bytes() for out in (one, two)]
    assert rows[0] == rows[1]
    assert not list(two.glob("checkpoints/.banks*"))


def test_new_rows_are_uniform_and_differ_between_banks() -> None:
    one, other = SplitBank(5000, 128, 0.5, 0, "a").whole(), SplitBank(5000, 128, 0.5, 0, "b").whole()
    bound = (3 / 128) ** 0.5
    assert one.shape == (5000, 128)
    assert one.abs().max().item() <= bound
    assert one.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    assert len(one.unique(dim=0)) == 5000
    assert (one != other).float().mean() > 0.99


def test_an_update_equals_that_of_a_whole_bank() -> None:
    values, index = rows(SAMPLES, 3), torch.tensor([5, 999, 64, 5, 0])
    whole = MemoryBank(SAMPLES, DIM, 0.5, torch.Generator()).double()
    whole.rows.copy_(values)
    split = split_bank(values, "a")
    for bank in (whole, split):
        bank.update(rows(5, 9), index)
    assert torch.equal(split.whole(), whole.rows)
    with pytest.raises(MultiviewError, match="outside the memory bank of 1000 rows"):
        split.update(rows(1, 9), torch.tensor([1000]))


@pytest.mark.parametrize(
    ("dtype", "way"), [(torch.bfloat16, "softmax"), (torch.float16, "softmax"), (torch.bfloat16, "step")]
)
def test_rows_in_half_precision_are_rounded_and_sums_are_not(dtype: torch.dtype, way: str) -> None:
    """Equal to a bank in float64 that holds the rounded rows."""
    results = []
    for stored in (torch.float64, dtype):
        objective = CMC(temperature=T, dim=DIM, bank="split", z=40.0, **WAYS[way])
        edge = edge_of(objective)
        for side in edge.sides:
            side.memory.rows = side.memory.rows.to(dtype).to(stored)
        loss = objective.loss(edge).loss
        results.append([loss, *torch.autograd.grad(loss, [edge.a.z, edge.b.z])])
    for one, other in zip(*results, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-14)


def test_a_bank_that_does_not_fit_is_made_again_for_the_second_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    objective = CMC(temperature=T, dim=DIM, bank="split", negatives=128)
    usual = objective.loss(edge_of(objective)).loss
    monkeypatch.setattr(split_scores, "HELD", 0)
    assert torch.equal(objective.loss(edge_of(objective)).loss, usual)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negatives": 100}, "negatives is 100; give 64 or 128"),
        ({"negatives": 10}, "negatives is 10; give 64"),
        ({"draw": "all"}, "draw is all; give draw=step or draw=sample"),
        ({"numbers": "table"}, "give numbers=auto or counter"),
        ({"hardness": 1.0, "variant": "softmax"}, "are not made for bank=split"),
    ],
)
def test_what_a_split_bank_cannot_do_is_refused(options: dict, message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        CMC(bank="split", **options)


def test_a_split_bank_needs_some_samples_and_no_groups() -> None:
    with pytest.raises(MultiviewError, match="needs 128 training samples or more, and the data has 127"):
        SplitBank(127, DIM, 0.5, 0, "a")
    with pytest.raises(MultiviewError, match="cannot leave out the negatives of a sample's group"):
        Memories(None, graph(), SAMPLES, 0, groups=torch.arange(SAMPLES) // 2)


def test_more_negatives_than_samples_names_what_would_be_right() -> None:
    with pytest.raises(MultiviewError, match=r"only 267 other samples to draw from; give negatives 256 or fewer"):
        CMC(bank="split", negatives=512).resolved(Situation(samples=268, per_rank=8))


def test_open_options_are_chosen_for_a_split_bank() -> None:
    chosen = CMC(bank="split", draw="auto").resolved(Situation(samples=1000, per_rank=8))
    assert (chosen.draw, chosen.negatives) == ("step", 960)
    assert CMC(bank="split").resolved(Situation(samples=10**8, per_rank=8)).negatives == 4096
