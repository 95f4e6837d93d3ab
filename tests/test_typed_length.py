"""A typed number of steps or epochs is the length of the run, whatever the usual one is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

import multiview as mv
from multiview.launch import parse_named
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
    config = tmp_path / "config.yaml"
    config.write_text("train: {steps: 60}\n")
    assert planned_steps(_train("--config", str(config)), per_epoch=1) == 60
    config.write_text("train: {steps: 60, epochs: 5}\n")
    assert planned_steps(_train("--config", str(config)), per_epoch=2) == 10
    assert planned_steps(_train("--config", str(config), "--train.epochs", "7"), per_epoch=100) == 700
    assert planned_steps(_train("--config", str(config), "--train.steps", "90"), per_epoch=2) == 90


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
        ((), 440, None),
    ],
)
def test_of_both_the_shorter_one_wins_and_is_said(words: Sequence[str], steps: int, said: str | None) -> None:
    train = _train(*words)
    assert planned_steps(train, per_epoch=10) == steps
    note = length_note(train, per_epoch=10)
    assert (note is None) == (said is None)
    assert said is None or said in str(note)


def test_steps_alone_are_the_length_in_python() -> None:
    assert planned_steps(mv.Train(steps=900), per_epoch=1) == 900
    assert planned_steps(mv.Train(), per_epoch=2) == 400
    with pytest.raises(mv.MultiviewError, match="epochs is 0; give 1 or more"):
        mv.Train(epochs=0)


def test_words_without_a_length_stay() -> None:
    assert with_typed_length(["--data", "steps"]) == ["--data", "steps"]
    assert with_typed_length(["--config", "missing.yaml"]) == ["--config", "missing.yaml"]


def test_the_plan_and_the_run_have_the_typed_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from multiview import cli

    words = ["train", "simclr", "--data", "scenes:40", "--cache", str(tmp_path), "--width", "0.125", "--size", "16"]
    assert cli.run([*words, "--train.steps", "60", "--plan"]) == 0
    assert "60 (1 per epoch)" in capsys.readouterr().out
