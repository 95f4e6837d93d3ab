"""A run from its recipe to its results, on a store of small scenes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from small_runs import losses, run

import multiview as mv
from multiview import plugins
from multiview.errors import MultiviewError
from multiview.launch import exit_code
from multiview.measure import from_json

ROOT = Path(__file__).parents[1]


@pytest.mark.usefixtures("rough_probes")
def test_a_run_is_evaluated_loaded_and_compared(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run("cmc_lab", scenes, out, "--evaluate", "true") == 0
    output = capsys.readouterr().out
    assert f'trained = mv.load("{out}")' in output
    assert "random" in output
    trained = mv.load(out)
    test = trained.embed("test")
    assert test.features["L"].shape == (16, trained.encoder("L").features)
    written = from_json((out / "evaluation.json").read_text())
    assert {(row.features, row.view) for row in written} >= {("trained", "concat"), ("raw pixels", "L")}
    environment = json.loads((out / "environment.json").read_text())
    assert environment["recipe"] == {"name": "cmc_lab"}
    assert environment["data"]["manifest"] == trained.store.manifest.hash


def test_the_written_config_starts_the_same_run_again(scenes: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("mixed", scenes, first, "--lr", "0.002") == 0
    config = ["--config", str(first / "config.yaml"), "--out", str(second)]
    assert exit_code(plugins.load("recipes", "mixed"), config) == 0
    assert [line["loss"] for line in losses(first)] == [line["loss"] for line in losses(second)]


def test_fit_with_shared_encoders_in_bf16(scenes: Path, tmp_path: Path) -> None:
    crop = mv.Crop(size=16)
    views = {name: mv.make_view("rgb", crop.named(name)) for name in ("one", "two")}
    encoders = {"one": mv.make_encoder("convnet", 3, width=0.25), "two": "one"}
    setup = mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.SimCLR()))
    train = mv.Train(epochs=1, batch=16, precision="bf16", channels_last=True, clip=1.0, knn_every=0)
    trained = mv.fit(setup, data=str(scenes), out=str(tmp_path / "run"), train=train, evaluate=False)
    assert trained.steps == 3
    assert trained.encoder("one") is trained.encoder("two")


def test_asymmetric_moco_needs_a_shared_encoder(scenes: Path, tmp_path: Path) -> None:
    crop = mv.Crop(size=16)
    views = {name: mv.make_view(name, crop) for name in ("L", "ab")}
    encoders = {name: mv.make_encoder("convnet", view.channels.count, width=0.25) for name, view in views.items()}
    setup = mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.MoCo(symmetric=False)))
    with pytest.raises(MultiviewError, match="no edge trains the encoder or projector of view 'ab'"):
        mv.fit(setup, data=str(scenes), out=str(tmp_path / "run"))


def test_the_plan_says_what_would_run_and_writes_nothing(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("mixed", scenes, tmp_path / "run", "--plan") == 0
    output = capsys.readouterr().out
    for words in ("(16, 1, 16, 16)", "MoCo(queue=56", " kB", "6 (3 per epoch), 16 samples per step", "KeyEncoder"):
        assert words in output
    assert not (tmp_path / "run").exists()


def test_a_batch_larger_than_the_data_is_reduced_and_said_so(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cmc_lab", scenes, tmp_path / "run", "--batch", "1000", "--steps", "1") == 0
    assert "data has 56 samples, batch is 1000: using 56" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--resume"], "there is nothing to resume"),
        (["--resume", "--overwrite"], "give only one of the two options"),
        (["--batch", "1", "--recipe", "simclr"], "there is no option 'recipe'"),
        (["--encoder", "resnet19"], "Did you mean 'resnet18'"),
        (["--negatives", "5000"], "give negatives 55 or fewer"),
        (["--data", "/nowhere"], "/nowhere does not exist"),
        (["--epochs", "0"], "epochs is 0"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    words: list[str], message: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cmc_lab", scenes, tmp_path / "run", *words) == 2
    output = capsys.readouterr().err
    assert message in output
    assert "Traceback" not in output
    assert not (tmp_path / "run").exists()


def test_a_batch_of_one_is_refused_by_in_batch_objectives(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("simclr", scenes, tmp_path / "run", "--batch", "1") == 2
    assert "--batch 2 or more" in capsys.readouterr().err


def test_a_batch_of_one_is_refused_with_batch_norm(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cmc_lab", scenes, tmp_path / "run", "--batch", "1") == 2
    assert "batch norm, which needs two samples" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "fitting"), [(["--micro-batch", "1"], 2), (["--batch", "3", "--micro-batch", "2"], 3)]
)
def test_a_micro_batch_of_one_sample_is_refused_with_batch_norm(
    words: list[str], fitting: int, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("cmc_lab", scenes, tmp_path / "run", *words) == 2
    assert f"at least 2 samples in every micro-batch. Give --micro_batch {fitting} or more" in capsys.readouterr().err


def test_under_accelerate_a_mistake_explains_the_traceback_that_follows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setattr(sys, "argv", ["recipes/cmc_lab.py"])
    assert exit_code(plugins.load("recipes", "cmc_lab"), ["--epoch", "3"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "error: there is no option 'epoch'. Did you mean 'epochs'? `cmc_lab.py --help` lists all options.",
        "(The lines that accelerate prints below say only that the recipe stopped.)",
    ]


def test_an_existing_run_is_refused_with_resume_and_overwrite_as_remedies(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    assert run("cmc_lab", scenes, out) == 2
    output = capsys.readouterr().err
    assert "--resume" in output
    assert "--overwrite" in output
    assert run("cmc_lab", scenes, out, "--overwrite") == 2
    assert (out / "thesis.tex").read_text() == "mine"


def test_processes_that_do_not_know_of_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from multiview.train.processes import start as begin

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MultiviewError, match="ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2"):
        begin(mv.Train(), "recipes/x.py")


def test_a_run_without_a_recipe_offers_mv_load(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setup = plugins.load("recipes", "cmc_lab")(width=0.25, size=16).build()
    schedule = mv.Train(steps=1, batch=16, knn_every=0)
    trained = mv.fit(setup, data=str(scenes), out=str(tmp_path / "run"), evaluate=False, train=schedule)
    output = capsys.readouterr().out
    assert trained.steps == 1
    assert 'mv.load("' in " ".join(output.split())
    again = mv.fit(setup, data=str(scenes), out=str(tmp_path / "run"), evaluate=False, train=schedule, resume=True)
    weights = again.encoder("L").state_dict()
    assert all(torch.equal(weights[name], value) for name, value in trained.encoder("L").state_dict().items())


def test_a_script_without_a_main_guard_prepares_data_with_several_processes(tmp_path: Path) -> None:
    """Worker processes import the script; starting the recipe again there would never end."""
    (tmp_path / "photos" / "class").mkdir(parents=True)
    for number in range(1001):  # two shards
        picture = Image.new("RGB", (8, 8), (number % 256, number // 256, 0))
        picture.save(tmp_path / f"photos/class/{number}.png")
    recipe = (ROOT / "recipes/cmc_lab.py").read_text().replace('if __name__ == "__main__":\n    ', "")
    (tmp_path / "unguarded.py").write_text(recipe)
    words = [sys.executable, "unguarded.py", "--data", "photos", "--plan", "true", "--batch", "16"]
    process = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    assert "1,001 samples in 2 shards" in process.stdout


def test_a_recipe_without_build_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(mv.Recipe, ["--plan"]) == 2
    assert (
        "the recipe Recipe does not say what it trains; give it `def build(self) -> mv.Setup`"
        in capsys.readouterr().err
    )
