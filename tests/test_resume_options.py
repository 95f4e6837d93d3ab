"""A resumed run takes options from the command, state from the checkpoint, on the same samples."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import run

import multiview as mv
from multiview.config import Train
from multiview.data.load.dataset import Samples
from multiview.data.load.identity import Identity, identity_of, ids_digest
from multiview.data.sources.arrays import Arrays
from multiview.data.write.preprocess import preprocess
from multiview.encoders.mlp import mlp
from multiview.launch import parse_recipe
from multiview.model import MultiviewModel
from multiview.objectives import SigLIP, SimSiam
from multiview.recipe_origin import recipe_of
from multiview.recipes.cmc_lab import CmcLab
from multiview.train import checkpoint
from multiview.train.finite import MOST_OVERFLOWS, Overflows
from multiview.train.optimiser import make_optimiser
from multiview.train.resumable import check_resumable, optimiser_kind, refuse_earlier_end
from multiview.train.runfolder import changed_options

NAMES = ("sgd", "adamw", "lars")


def model(objective: mv.Objective | None = None) -> MultiviewModel:
    torch.manual_seed(0)
    graph = mv.ContrastGraph.full(("a", "b"), objective or SimSiam(dim=8, predictor=4))
    return MultiviewModel({"a": mlp(3, width=0.1), "b": "a"}, graph)


def stepped(config: mv.Optimizer, on: MultiviewModel) -> torch.optim.Optimizer:
    """An optimiser of the model after one step with gradients of 0.01, 0.02, ... by parameter."""
    optimiser = make_optimiser(config, on, 8)
    for number, p in enumerate(on.parameters(), start=1):
        p.grad = torch.full_like(p, 0.01 * number)
    optimiser.step()
    return optimiser


def restored(before: mv.Optimizer, now: mv.Optimizer, *, older: bool = False) -> tuple[dict, dict, list[dict]]:
    """State by parameter before and after a resume with other options, and the groups after it."""
    first, second = model(), model()
    saved, optimiser = stepped(before, first), make_optimiser(now, second, 8)
    tensors, groups = checkpoint.optimiser_tensors(saved)
    names = checkpoint.parameter_names(saved, first)
    later = checkpoint.parameter_names(optimiser, second)
    checkpoint.restore_optimiser(optimiser, tensors, groups, None if older else names, later)
    found = []
    for one, of in ((saved, first), (optimiser, second)):
        found.append({name: one.state[p] for name, p in of.named_parameters()})
    return found[0], found[1], optimiser.param_groups


def agree(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(
        slots.keys() == other[name].keys() and all(torch.equal(x, other[name][slot]) for slot, x in slots.items())
        for name, slots in one.items()
    )


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_options_come_from_the_command_and_state_from_the_checkpoint(name: str, older: bool) -> None:
    now = mv.Optimizer(name=name, lr=0.5, momentum=0.3, weight_decay=0.2)
    before, after, groups = restored(mv.Optimizer(name=name), now, older=older)
    assert agree(before, after)
    assert all(group["lr"] == 0.5 and group.get("momentum", 0.3) == 0.3 for group in groups)
    assert {group["weight_decay"] for group in groups} == ({0.2} if name == "sgd" else {0.2, 0.0})


@pytest.mark.parametrize("name", NAMES)
def test_state_follows_its_parameter_when_the_groups_change(name: str) -> None:
    before, after, _ = restored(mv.Optimizer(name=name), mv.Optimizer(name=name, fix_predictor_lr=False))
    assert agree(before, after)


def test_an_older_checkpoint_is_refused_when_the_groups_change() -> None:
    with pytest.raises(ValueError, match="other parameter groups"):
        restored(mv.Optimizer(), mv.Optimizer(fix_predictor_lr=False), older=True)


def test_other_trained_parameters_are_refused() -> None:
    whole, part = model(), model()
    next(part.parameters()).requires_grad_(False)
    saved, optimiser = stepped(mv.Optimizer(), whole), make_optimiser(mv.Optimizer(), part, 8)
    names = checkpoint.parameter_names(saved, whole), checkpoint.parameter_names(optimiser, part)
    with pytest.raises(ValueError, match="other parameters are trained: encoders"):
        checkpoint.restore_optimiser(optimiser, *checkpoint.optimiser_tensors(saved), *names)


@pytest.mark.parametrize("name", NAMES)
def test_the_optimiser_of_an_older_checkpoint_is_known_by_its_groups(name: str) -> None:
    _, groups = checkpoint.optimiser_tensors(stepped(mv.Optimizer(name=name), model()))
    assert optimiser_kind({"groups": json.loads(json.dumps(groups))}) == name


def test_weight_decay_of_the_command_is_used_and_recorded(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("cmc_lab", scenes, out, "--steps", "2") == 0
    assert run("cmc_lab", scenes, out, "--resume", "--steps", "3", "--weight_decay", "0.5", "--lr", "0.01") == 0
    _, _, state, _ = checkpoint.newest(out / "checkpoints")
    assert {group["weight_decay"] for group in state["groups"]} == {0.5, 0.0}
    assert "weight_decay: 0.5" in (out / "config.yaml").read_text()


def test_a_changed_start_of_a_learned_temperature_is_said(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, words = tmp_path / "run", ["--objective", "SigLIP"]
    assert run("cmc_lab", scenes, out, "--steps", "1", *words) == 0
    assert run("cmc_lab", scenes, out, "--resume", "--steps", "2", "--objective.temperature", "0.5") == 0
    assert "log_temperature is learned and continues from the checkpoint" in capsys.readouterr().out


STATE = {"step": 6, "samples": 10, "batch": 4, "groups": [{"momentum": 0.9}]}
SAMPLES = Identity(10, "a", "b")


@pytest.mark.parametrize(("accumulate", "fits"), [(1, True), (2, True), (3, True), (6, True), (4, False), (5, False)])
def test_a_changed_accumulate_must_fit_the_step_of_the_checkpoint(accumulate: int, fits: bool) -> None:
    train = Train(accumulate=accumulate)
    if fits:
        check_resumable(STATE, SAMPLES, 4, train)
    else:
        with pytest.raises(mv.MultiviewError, match="give --accumulate 1 or 2 or 3 or 6"):
            check_resumable(STATE, SAMPLES, 4, train)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"ids": "other", "contents": "b"}, "ids or their order differ"),
        ({"ids": "a", "contents": "other"}, "same ids, but other contents"),
        ({"samples": 9}, "trained on 9 samples and the data now has 10"),
    ],
)
def test_other_samples_are_refused_and_both_ways_out_are_said(facts: dict, message: str) -> None:
    with pytest.raises(mv.MultiviewError, match=message) as caught:
        check_resumable(STATE | facts, SAMPLES, 4, Train())
    assert "--data" in str(caught.value)
    assert "new run" in str(caught.value)


def test_an_older_checkpoint_is_compared_by_count_and_that_is_said() -> None:
    assert "only their number was compared" in check_resumable(STATE, SAMPLES, 4, Train())[0]
    assert check_resumable(STATE | {"ids": "a", "contents": "b"}, SAMPLES, 4, Train()) == []


def test_the_digest_of_ids_knows_order_and_borders() -> None:
    lists = [["a", "b"], ["b", "a"], ["ab"], ["a", "b", ""], ["", "ab"], ["ä", "b"], ["a\udcff", "b"]]
    assert len({ids_digest(ids) for ids in lists}) == len(lists)


def stored(values: np.ndarray, out: Path) -> Identity:
    np.savez(out.with_suffix(".npz"), x=values.astype("float32"), label=np.arange(len(values)) % 2)
    preprocess(Arrays(), out.with_suffix(".npz"), out)
    view = mv.View(modality="x", channels=mv.Channels("x", values.shape[1], "1", 0.0, 1.0), crop=mv.Crop())
    return identity_of(Samples(mv.Store.open(out), None, {"x": view}, train=True))


@pytest.mark.parametrize("change", ["other", "shifted", "scaled"])
def test_data_sets_with_equal_ids_differ_by_their_contents(change: str, tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((40, 3))
    others = {"other": 1 - values, "shifted": np.roll(values, -1, axis=0), "scaled": values * 255}
    one, same, other = (
        stored(x, tmp_path / name) for name, x in (("one", values), ("same", values), ("other", others[change]))
    )
    assert one == same
    assert (one.ids, one.count) == (other.ids, other.count)
    assert one.contents != other.contents


def test_one_picture_taken_away_and_one_added_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(20):
        noise = np.random.default_rng(number).integers(0, 255, (16, 16, 3)).astype("uint8")
        Image.fromarray(noise).save(folder / f"{number:02d}.png")
    out, data = tmp_path / "run", Path(f"folder:{folder}")
    words = ["--batch", "4", "--keep", "1"]
    assert run("cmc_lab", data, out, "--steps", "1", *words) == 0
    shutil.move(folder / "03.png", folder / "99.png")
    assert run("cmc_lab", data, out, "--resume", "--steps", "2", *words) == 2
    assert "ids or their order differ" in capsys.readouterr().err


def moves_of(config: mv.Optimizer) -> dict[str, torch.Tensor]:
    """How far the first step moves each parameter."""
    on = model(SigLIP(dim=8))
    before = {name: p.detach().clone() for name, p in on.named_parameters()}
    stepped(config, on)
    return {name: p.detach() - before[name] for name, p in on.named_parameters()}


def test_lars_without_weight_decay_still_adapts_its_rate() -> None:
    moves = {decay: moves_of(mv.Optimizer(name="lars", lr=0.1, weight_decay=decay)) for decay in (0.0, 1e-12)}
    for name, move in moves[0.0].items():
        torch.testing.assert_close(move, moves[1e-12][name])
    plain = moves_of(mv.Optimizer(name="sgd", lr=0.1, weight_decay=0.0))
    matrix = next(name for name, move in plain.items() if move.ndim > 1)
    assert not torch.allclose(moves[0.0][matrix], plain[matrix], rtol=0.1)


def test_gradients_that_never_become_finite_end_an_fp16_run() -> None:
    overflows = Overflows()
    for step in range(1, MOST_OVERFLOWS):
        overflows.add(True, step)
    overflows.add(False, MOST_OVERFLOWS)
    for step in range(1, MOST_OVERFLOWS):
        overflows.add(True, step)
    with pytest.raises(mv.MultiviewError, match=r"step 99: .* not finite in float16 .* --precision bf16"):
        overflows.add(True, 99)


def test_an_end_before_the_checkpoint_is_refused(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run("cmc_lab", scenes, out, "--steps", "4") == 0
    for words in (["--steps", "3"], ["--steps", "3", "--plan"], ["--epochs", "0"]):
        assert run("cmc_lab", scenes, out, "--resume", *words) == 2
    assert run("cmc_lab", scenes, out, "--resume", "--steps", "3") == 2
    assert "the run has already trained 4 steps, and --epochs and --steps ask for 3 in all" in capsys.readouterr().err
    assert run("cmc_lab", scenes, out, "--resume", "--steps", "4") == 0  # the end itself: measured again


@pytest.mark.parametrize(("step", "steps"), [(5, 4), (1, 0)])
def test_the_sentence_on_an_early_end_says_what_to_type(step: int, steps: int) -> None:
    refuse_earlier_end(step, step, 3)
    refuse_earlier_end(step, step + 1, 3)
    with pytest.raises(mv.MultiviewError, match=rf"Give --steps {step} to measure .*an epoch has 3"):
        refuse_earlier_end(step, steps, 3)


def test_a_path_of_another_spelling_is_no_changed_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "config.yaml").write_text("data: photos\nseed: 0\n")
    same, other = (mv.Recipe(data=data, seed=1) for data in (str(tmp_path / "photos"), str(tmp_path)))
    assert changed_options(tmp_path, same) == ["seed 0 -> 1"]
    assert f"data photos -> {tmp_path}" in changed_options(tmp_path, other)


def test_a_run_that_did_not_note_how_its_bank_draws_draws_for_each_sample(tmp_path: Path) -> None:
    (tmp_path / "environment.json").write_text(json.dumps({"recipe": {"name": "cmc_lab"}}))
    noted = {"negatives": 16, "z_momentum": 0.99}
    for more, draw in (({}, "sample"), ({"draw": "step"}, "step")):
        (tmp_path / "config.yaml").write_text(json.dumps({"data": "scenes", "objective": noted | more}))
        recipe = recipe_of(tmp_path)
        assert isinstance(recipe, CmcLab) and isinstance(recipe.objective, mv.CMC)
        assert (recipe.objective.draw, recipe.objective.negatives) == (draw, 16)
        resumed = parse_recipe(CmcLab, ["--resume", "--out", str(tmp_path)])
        assert isinstance(resumed.objective, mv.CMC) and resumed.objective.draw == draw
