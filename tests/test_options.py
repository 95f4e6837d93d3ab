"""What the command line says to words that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

from multiview import cli, plugins
from multiview.errors import MultiviewError, suggestion
from multiview.options import parse


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epoch", "3"], "there is no option 'epoch'. Did you mean 'epochs'? --help lists them all."),
        (["--train.optimizer.nme", "sgd"], "no option 'train.optimizer.nme'. Did you mean 'train.optimizer.name'?"),
        (["--objective.temprature", "1"], "Did you mean 'objective.temperature'?"),
        (["--name", "adamm"], "--train.optimizer.name: 'adamm' is none of sgd, adamw, lars. Did you mean 'adamw'?"),
        (["--epochs", "ten"], "--train.epochs: expected a whole number. Given: ten"),
        (["--lr", "fast"], "--train.optimizer.lr: expected a number. Given: fast"),
    ],
)
def test_an_option_that_does_not_fit(words: list[str], message: str) -> None:
    with pytest.raises(MultiviewError) as error:
        parse(plugins.load("recipes", "cmc_lab"), words, prog="cmc_lab")
    assert message in str(error.value)


def test_an_unknown_key_of_a_file_is_named(tmp_path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("train:\n  epoch: 3\n")
    with pytest.raises(MultiviewError, match="epoch"):
        parse(plugins.load("recipes", "cmc_lab"), ["--config", str(config)], prog="cmc_lab")


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(MultiviewError, match=r"INPUT, OUT must be given; --help shows how"):
        cli.run(["preprocess", "folder"])


@pytest.mark.parametrize("command", [[], ["preprocess"], ["train"], ["compare"]])
def test_a_command_that_says_too_little_shows_its_usage(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(command) == 2
    assert capsys.readouterr().out.startswith("usage: multiview")
    assert cli.run([*command, "--help"]) == 0


@pytest.mark.parametrize(
    ("given", "known", "nearest"),
    [
        ("resnet19", ["resnet18", "resnet1d", "resnet101"], "resnet18"),
        ("stage5", ["pool", "stage1", "stage4"], "stage4"),
        ("resnet10", ["resnet101", "resnet10t", "resnet18"], "resnet10t"),
        ("LAB", ["lab", "L"], "lab"),
    ],
)
def test_the_nearest_name_is_suggested(given: str, known: list[str], nearest: str) -> None:
    assert suggestion(given, known) == f" Did you mean '{nearest}'?"


def test_one_word_for_a_list_is_told_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(MultiviewError, match=r"--views: expected a list, in brackets: \[rgb\]\. Given: rgb$"):
        cli.run(["inspect", str(tmp_path), "--views", "rgb"])
