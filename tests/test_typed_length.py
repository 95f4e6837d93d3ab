"""A typed number of steps or epochs is the length of the run, whatever the usual one is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import multiview as mv
from multiview import config
from multiview.launch import parse_named
from multiview.runs import read
from multiview.train.schedule import length_note, planned_steps
from multiview.typed_length import with_typed_length


def _train(*words: str, name: str = "simclr") -> mv.Train:
    return parse_named(name, words, prog="multiview train").train


@pytest.mark.parametrize("name", ["simclr", "cmc_lab", "moco", "stl10_lab", "graph"])
def test_typed_steps_replace_the_epochs_of_a_recipe(name: str) -> None:
    more = ("--views=L,ab", "--edges=L-ab") if name == "graph" else ()
    for words in (("--train.steps", "60"), ("--train.steps=60",), ("--steps", "60")):
        assert planned_steps(_train(*words, *more, name=name), per_epoch=1) == 60
    assert planned_steps(_train(*more, "--train.steps=null", name=name), per_epoch=1) > 1


def test_steps_of_auto_are_its_budget() -> None:
    assert _train("--train.steps", "60", name="auto").epochs is None


def test_typed_epochs_replace_the_steps_of_a_file(tmp_path: Path) -> None:
    graph = tmp_path / "graph.yaml"
    graph.write_text("views: [L, ab]\nedges: [L - ab]\ntrain: {steps: 500}\n")
    assert planned_steps(_train(name=str(graph)), per_epoch=1) == 500
    file = tmp_path / "config.yaml"
    file.write_text("train: {steps: 60}\n")
    assert planned_steps(_train("--config", str(file)), per_epoch=1) == 60
    file.write_text("train: {steps: 60, epochs: 5}\n")
    assert planned_steps(_train("--config", str(file)), per_epoch=2) == 10
    assert planned_steps(_train("--config", str(file), "--train.epochs", "7"), per_epoch=100) == 700
    assert planned_steps(_train("--config", str(file), "--train.steps", "90"), per_epoch=2) == 90


@pytest.mark.parametrize(
    ("words", "steps", "said"),
    [
        (
            ("--train.epochs", "3", "--train.steps", "60"),
            30,
            "train.epochs 3 (30 steps) end the run before train.steps 60",
        ),
        (("--train.epochs", "30", "--train.steps", "60"), 60, "train.steps 60 end the run before train.epochs 30"),
        (("--train.epochs", "6", "--train.steps", "60"), 60, None),
        (("--train.steps", "60"), 60, None),
        (("--train.epochs", "3"), 30, None),
        ((), 2_000, "200 epochs, because 44 would be 440 steps"),
    ],
)
def test_of_both_the_shorter_one_wins_and_is_said(words: Sequence[str], steps: int, said: str | None) -> None:
    train = _train(*words)
    assert planned_steps(train, per_epoch=10) == steps
    note = length_note(train, per_epoch=10)
    assert (note is None) == (said is None)
    assert said is None or said in str(note)


def test_usual_epochs_are_44_and_at_least_2000_steps() -> None:
    usual = _train()
    assert (usual.epochs, planned_steps(usual, per_epoch=7), planned_steps(usual, per_epoch=500)) == (
        "auto",
        2_002,
        22_000,
    )
    assert usual.with_epochs(500) == replace(usual, epochs=44)
    assert length_note(usual, per_epoch=500) is None
    small = usual.with_epochs(7)  # 286 epochs, 6.5 times 44
    assert (small.epochs, small.knn_every, small.save_every) == (286, 7 * usual.knn_every, 7 * usual.save_every)
    named = replace(usual, knn_every=1, save_every=3).with_epochs(7)
    assert (named.knn_every, named.save_every) == (1, 3)
    assert _train("--epochs", "auto", "--steps", "30").epochs == "auto", "both typed: the shorter one ends the run"
    assert mv.Train(epochs=3).with_epochs(7) == mv.Train(epochs=3)


def test_a_run_records_the_epochs_that_were_chosen_and_goes_on_with_them(
    tmp_path: Path, scenes: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from multiview import cli

    monkeypatch.setattr(config, "USUAL_EPOCHS", 2)
    monkeypatch.setattr(config, "LEAST_STEPS", 6)
    words = ["train", "simclr", "--data", str(scenes), "--size", "8", "--width", "0.1", "--evaluate", "false"]
    words += ["--batch", "28", "--knn_every", "0", "--out", str(tmp_path / "run")]
    assert cli.run(words) == 0
    assert "3 epochs, because" in capsys.readouterr().out
    assert read(tmp_path / "run").config["train"]["epochs"] == 3
    monkeypatch.setattr(config, "LEAST_STEPS", 60)  # as a later version might choose
    assert cli.run([*words, "--resume"]) == 0
    assert read(tmp_path / "run").config["train"]["epochs"] == 3
    assert max(each["step"] for each in read(tmp_path / "run").metrics) == 6


def test_steps_alone_are_the_length_in_python() -> None:
    assert planned_steps(mv.Train(steps=900), per_epoch=1) == 900
    assert planned_steps(mv.Train(), per_epoch=2) == 400
    with pytest.raises(mv.MultiviewError, match="epochs is 0; give 1 or more, auto, or null"):
        mv.Train(epochs=0)
    with pytest.raises(mv.MultiviewError, match="epochs is many; give 1 or more, auto, or null"):
        mv.Train(epochs="many")  # type: ignore[arg-type]
    with pytest.raises(mv.MultiviewError, match="steps is 0; give 1 or more"):
        mv.Train(steps=0)


def test_words_without_a_length_stay() -> None:
    assert with_typed_length(["--data", "steps"]) == ["--data", "steps"]
    assert with_typed_length(["--config", "missing.yaml"]) == ["--config", "missing.yaml"]


def test_the_plan_and_the_run_have_the_typed_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from multiview import cli

    words = ["train", "simclr", "--data", "scenes:40", "--cache", str(tmp_path), "--width", "0.125", "--size", "16"]
    assert cli.run([*words, "--train.steps", "60", "--plan"]) == 0
    assert "60 (1 per epoch)" in capsys.readouterr().out
