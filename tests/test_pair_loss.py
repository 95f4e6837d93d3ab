"""`PairLoss` in a plain loop: the numbers of our own loop, processes, resuming, mistakes."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from plain_loops import NAMES, TRACES, Whole, child, optimiser, ours, plain, saved, start
from safetensors.torch import load_file
from torch import Tensor

import multiview as mv
from multiview.check.parity import TOLERANCE, WORLDS, Difference, differences, spread
from multiview.plugins import installed, load


@pytest.mark.parametrize("missing", [False, True], ids=["all views", "views missing"])
@pytest.mark.parametrize("name", NAMES)
def test_twenty_steps_equal_our_own(name: str, missing: bool) -> None:
    begin = start(name, missing=missing)
    losses, _, memories = ours(begin)
    whole = Whole(begin)
    found = list(plain(begin, whole, optimiser(whole)))
    assert len(found) == len(losses) == 20
    assert len(set(losses)) > (5 if missing else 19)
    assert found == (pytest.approx(losses, rel=1e-11, abs=1e-13) if missing else losses)
    expected = {**memories.stores.state_dict(prefix="stores."), **memories.states.state_dict(prefix="states.")}
    kept = whole.pair.memories.state_dict()
    assert kept.keys() == expected.keys()
    for key, x in expected.items():
        assert torch.allclose(kept[key].double(), x.double(), rtol=1e-9, atol=1e-12, equal_nan=True), key


def test_every_installed_objective_is_among_the_cases() -> None:
    from objective_cases import CASES

    tried = {type(CASES[name].small) for name in NAMES}
    ours = [p for p in installed("objectives") if p.target.startswith("multiview.objectives.")]
    assert {kind for p in ours if not (kind := load("objectives", p.name)).fuses} <= tried


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], list[Difference]]:
    folder = tmp_path_factory.mktemp("traces")
    for count in WORLDS:
        spread(child, count, count, folder)
    return {
        (name, missing): differences(
            {n: [load_file(saved(folder, name, missing, n, number)) for number in range(n)] for n in WORLDS}
        )
        for name, missing in TRACES
    }


@pytest.mark.parametrize(("name", "missing"), TRACES)
def test_two_and_four_processes_equal_one(
    name: str, missing: bool, apart: dict[tuple[str, bool], list[Difference]]
) -> None:
    found = apart[name, missing]
    assert {d.world for d in found} == {2, 4}
    assert {d.kind for d in found} >= {"loss", "parameter"}
    assert [d for d in found if d.value > TOLERANCE] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_loop_goes_on_from_its_state_dict_bit_for_bit(name: str) -> None:
    begin = start(name, steps=8)
    whole = Whole(begin)
    sgd = optimiser(whole)
    first = list(plain(begin, whole, sgd, at=slice(0, 4)))
    file = io.BytesIO()
    torch.save({"whole": whole.state_dict(), "sgd": sgd.state_dict()}, file)
    expected = first + list(plain(begin, whole, sgd, at=slice(4, 8)))

    again = Whole(begin)
    other = optimiser(again)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    again.load_state_dict(state["whole"])
    other.load_state_dict(state["sgd"])
    assert list(plain(begin, again, other, at=slice(4, 8))) == expected[4:]
    for key, x in whole.state_dict().items():
        assert torch.equal(x, again.state_dict()[key]), key


def rows(seed: int, n: int = 4, dim: int = 8) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed)).requires_grad_()


INDEX = torch.tensor([3, 0, 14, 7])


def cmc(**named: Any) -> mv.PairLoss:
    return mv.PairLoss(mv.CMC(negatives=5), samples=20, dim=8, **named)


def banks(pair: mv.PairLoss) -> list[Tensor]:
    return [x.clone() for key, x in pair.state_dict().items() if key.endswith(".rows")]


def test_only_update_writes_and_only_once() -> None:
    pair = cmc()
    before = banks(pair)
    pair(rows(0), rows(1), INDEX)
    assert all(torch.equal(x, y) for x, y in zip(banks(pair), before, strict=True))
    pair.update()
    written = banks(pair)
    for x, y in zip(written, before, strict=True):
        changed = (x != y).any(1)
        assert sorted(changed.nonzero()[:, 0].tolist()) == sorted(INDEX.tolist())
    pair.update()
    assert all(torch.equal(x, y) for x, y in zip(banks(pair), written, strict=True))


def test_several_calls_before_one_update_are_all_written() -> None:
    one, two = cmc(accumulate=2), cmc()
    for at in (slice(0, 2), slice(2, 4)):
        one(rows(0)[at], rows(1)[at], INDEX[at])
        two(rows(0)[at], rows(1)[at], INDEX[at])
        two.update()
    one.update()
    assert all(torch.equal(x, y) for x, y in zip(banks(one), banks(two), strict=True))
    assert one.calls == two.calls == 2


def test_a_forgotten_update_is_said_and_a_batch_can_be_skipped() -> None:
    pair = cmc()
    pair(rows(0), rows(1), INDEX)
    with pytest.raises(mv.MultiviewError, match=r"was called 1 time without pair.update\(\); call it after every opt"):
        pair(rows(0), rows(1), INDEX)
    before = banks(pair)
    pair.skip()
    pair.update()
    assert all(torch.equal(x, y) for x, y in zip(banks(pair), before, strict=True))
    assert pair(rows(0), rows(1), INDEX).isfinite()


def test_an_objective_that_keeps_nothing_needs_no_update() -> None:
    pair = mv.PairLoss(mv.VICReg(), dim=8)
    assert [pair(rows(0), rows(1)).item() for _ in range(3)] == [
        pytest.approx(mv.losses.vicreg(rows(0), rows(1)).item())
    ] * 3


@pytest.mark.parametrize("how", ["eval", "no_grad"])
def test_a_look_leaves_no_trace(how: str) -> None:
    """Looking at the loss of held-out samples changes neither the memory nor later draws."""
    pair, untouched = cmc(), cmc()
    for _ in range(3):
        if how == "eval":
            pair.eval()
            pair(rows(2), rows(3), INDEX)
            pair.train()
        else:
            with torch.no_grad():
                pair(rows(2), rows(3), INDEX)
    assert pair(rows(0), rows(1), INDEX).item() == untouched(rows(0), rows(1), INDEX).item()


def test_each_step_draws_other_negatives() -> None:
    pair = cmc(accumulate=9)
    assert len({pair(rows(0), rows(1), INDEX).item() for _ in range(5)}) == 5


def test_a_learned_temperature_is_a_parameter_and_update_keeps_it_in_bounds() -> None:
    pair = mv.PairLoss(mv.SimCLR(learn_temperature=True, temperature=0.2), dim=8)
    ((name, log_t),) = pair.named_parameters()
    assert name.endswith("log_temperature")
    pair(rows(0), rows(1)).backward()
    assert log_t.grad is not None
    assert log_t.grad != 0
    with torch.no_grad():
        log_t.fill_(3.0)
    pair.update()
    assert log_t.item() == 0.0  # T = 1


def test_predictors_learn_and_shared_means_one() -> None:
    two, one = (mv.PairLoss(mv.SimSiam(predictor=6), dim=8, shared=shared) for shared in (False, True))
    count = {pair: sum(p.numel() for p in pair.parameters()) for pair in (one, two)}
    assert count[two] == 2 * count[one] > 0
    one(rows(0), rows(1)).backward()
    assert all(p.grad is not None for p in one.parameters())


@pytest.mark.parametrize("objective", [mv.CMC(negatives=5), mv.SimCLR(), mv.VICReg(), mv.BYOL(hidden=6)])
def test_under_autocast_the_loss_is_float32(objective: mv.Objective) -> None:
    pair = mv.PairLoss(objective, samples=20, dim=8)
    keys = (rows(2), rows(3)) if isinstance(objective, mv.BYOL) else None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = pair(rows(0).bfloat16(), rows(1).bfloat16(), INDEX, keys=keys)
    loss.backward()
    pair.update()
    assert loss.dtype == torch.float32
    assert loss.isfinite()


def test_a_queue_without_an_index_knows_no_older_keys() -> None:
    """With the index, the key of the same sample one step earlier is no negative."""
    found = {}
    for given in (None, INDEX):
        pair = mv.PairLoss(mv.MoCo(queue=4), dim=8)
        for _ in range(2):
            loss = pair(rows(0), rows(1), given, keys=(rows(0), rows(1)))
            pair.update()
        found[given is None] = loss.item()
    assert found[True] > 0.1
    assert found[False] < found[True]


def test_a_one_way_objective_reads_one_view_and_the_keys_of_the_other() -> None:
    pair = mv.PairLoss(mv.MoCo(queue=8, symmetric=False), dim=8)
    losses = []
    for seed in range(2):
        losses.append(pair(rows(seed), None, index=INDEX + seed, keys=(None, rows(seed + 5))).item())
        pair.update()
    assert losses[0] == 0 < losses[1]


def test_a_key_encoder_follows_and_keeps_its_count() -> None:
    torch.manual_seed(0)
    encoder = torch.nn.Linear(3, 2)
    keys = mv.KeyEncoder(encoder, momentum=0.9, steps=4)
    before = encoder.weight.detach().clone()
    with torch.no_grad():
        encoder.weight.add_(1.0)
    keys.update()
    m = keys.momentum(1 / 4)
    assert 0.9 < m < 1
    (own, _) = keys.parameters()
    assert torch.allclose(own, before + (1 - m))
    assert not own.requires_grad
    again = mv.KeyEncoder(encoder, momentum=0.9, steps=4)
    again.load_state_dict(copy.deepcopy(keys.state_dict()))
    assert again.updates == 1
    with torch.no_grad():
        encoder.weight.add_(1.0)
    for each in (keys, again):
        each.update()
    assert torch.equal(next(keys.parameters()), next(again.parameters()))
    assert {name for name, _ in keys.named_parameters()} == {"encoder.weight", "encoder.bias"}


Z = torch.ones(4, 8)
MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "samples": (lambda: mv.PairLoss(mv.CMC()), r"^CMC keeps one row per training sample; say how many: .*samples=len"),
    "few samples": (
        lambda: mv.PairLoss(mv.CMC(negatives=9), samples=5),
        "9 negatives asked for, but the data has only 4",
    ),
    "a class": (lambda: mv.PairLoss(mv.CMC, samples=5), "the objective is .*; give an objective such as mv.CMC()"),  # type: ignore[arg-type]
    "dim": (lambda: cmc()(Z[:, :5], Z, INDEX), r"z_a has 5 numbers per row, but the loss is made for 8; .* dim=5"),
    "dim of the original": (lambda: mv.PairLoss(mv.CMC.original(), samples=20000, dim=8), "embeddings of 128 numbers"),
    "rows": (lambda: cmc()(Z, Z[:3], INDEX), r"z_b has shape \(3, 8\) and z_a \(4, 8\)"),
    "index outside": (lambda: cmc()(Z, Z, INDEX + 10), r"index holds 10\.\.24, but the training data has 20 samples"),
    "index below": (lambda: cmc()(Z, Z, INDEX - 1), r"index holds -1\.\.13"),
    "index of floats": (lambda: cmc()(Z, Z, INDEX.float()), r"index is float32 \(4,\); give whole numbers \(4,\)"),
    "no index": (lambda: cmc()(Z, Z), "looks up the memory or group of each sample; give"),
    "one tensor": (lambda: cmc()(Z), r"takes 2 embeddings and the index, pair\(z_a, z_b, index\), not 1 tensor\."),
    "no embedding": (lambda: cmc()(Z, None, INDEX), "z_b is a NoneType; give a tensor of embeddings"),
    "keys": (
        lambda: mv.PairLoss(mv.BYOL(hidden=4), dim=8)(Z, Z),
        r"reads k_a, the output of a key encoder such as mv.KeyEncoder; give keys=\(k_a, k_b\)",
    ),
    "one-way keys": (
        lambda: mv.PairLoss(mv.MoCo(queue=4, symmetric=False), dim=8)(Z, Z),
        r"reads k_b, .*; give keys=\(None, k_b\)",
    ),
    "one key": (lambda: mv.PairLoss(mv.BYOL(hidden=4), dim=8)(Z, Z, keys=[Z]), "keys holds 1 tensor.*; give one per"),
    "three views": (lambda: mv.PairLoss(mv.SimCLR(), views=3), "SimCLR contrasts 2 views, not 3; make one PairLoss"),
    "views": (lambda: mv.PairLoss(mv.Symile(), views=1), "views is 1; give Symile 3 to"),
    "fuses": (lambda: mv.PairLoss(mv.CoMM()), "CoMM reads fused embeddings"),
    "two views": (lambda: mv.PairLoss(mv.Symile(), views=2), "views is 2; give Symile 3 to"),
    "keyword": (lambda: cmc()(Z, Z, INDEX, presnt=Z[:, 0]), "'presnt' is not a keyword of PairLoss.*'present'"),
    "groups of another length": (lambda: cmc(groups=[0, 1]), "groups holds 2 values for 20 samples; give one per"),
    "one group": (lambda: cmc(groups=[0] * 20), "holds one group only"),
    "a group per call": (lambda: cmc()(Z, Z, INDEX, group=INDEX), "keeps earlier samples; give all groups once"),
    "no index of groups": (lambda: mv.PairLoss(mv.SimCLR(), dim=8, groups=range(9))(Z, Z), "looks up the memory or gr"),
    "accumulate": (lambda: cmc(accumulate=0), "accumulate is 0; give a number above 0"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_sentence(name: str) -> None:
    act, message = MISTAKES[name]
    with pytest.raises(mv.MultiviewError, match=message):
        act()


def test_a_refused_call_leaves_no_trace() -> None:
    pair, untouched = cmc(), cmc()
    with pytest.raises(mv.MultiviewError):
        pair(Z, Z, INDEX + 10)
    assert pair(rows(0), rows(1), INDEX).item() == untouched(rows(0), rows(1), INDEX).item()


GROUPED = {
    "CMC": mv.CMC(negatives=200),
    "MoCo": mv.MoCo(queue=40),
    "SimCLR": mv.SimCLR(),
    "SigLIP": mv.SigLIP(bias=-1.0),
}


@pytest.mark.parametrize("name", GROUPED)
def test_samples_of_one_group_are_no_negatives(name: str) -> None:
    """Two groups; all that is remembered or in the batch of the own group must not count."""
    groups = ["left", "right"] * 200
    pair = mv.PairLoss(GROUPED[name], dim=8, groups=groups)
    assert pair.samples == 400
    others = torch.tensor([1, 3, 5, 7])
    for index, seed in ((others, 0), (others - 1, 5)):
        keys = (rows(seed + 2), rows(seed + 3)) if name == "MoCo" else None
        loss = pair(rows(seed), rows(seed + 1), index, keys=keys)
        pair.update()
    assert loss.isfinite()
    if name in ("SimCLR", "SigLIP"):
        plain = mv.PairLoss(GROUPED[name], dim=8)
        same = plain(rows(5), rows(6), group=torch.tensor([0, 0, 0, 0]))
        plain.update()
        assert loss.item() == same.item() != plain(rows(5), rows(6)).item()
        mixed = mv.losses.nt_xent(rows(5), rows(6), group=torch.tensor([0, 0, 1, 1]))
        assert mixed.item() < mv.losses.nt_xent(rows(5), rows(6)).item()


def test_groups_are_those_of_our_own_memories() -> None:
    begin = start("CMC", steps=1)
    pair = mv.PairLoss(begin.objective, dim=5, groups=torch.arange(24) // 3)
    assert pair.memories.groups is not None
    assert pair.memories.groups.codes.tolist() == [k // 3 for k in range(24)]


def test_further_numbers_per_row_reach_the_objective() -> None:
    """`pair` can be given what an objective can read: any further tensor of an edge."""
    from multiview.losses.inputs import EXTRAS

    assert "group" in EXTRAS
    pair = mv.PairLoss(mv.VICReg(), dim=8)
    for name in EXTRAS:
        assert pair(rows(0), rows(1), **{name: torch.zeros(4, dtype=torch.int64)}).isfinite()
        with pytest.raises(mv.MultiviewError, match=f"{name} is .*; give a tensor with 4 rows"):
            pair(rows(0), rows(1), **{name: torch.zeros(3)})
