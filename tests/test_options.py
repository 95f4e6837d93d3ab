"""Options on the command line and in YAML, and the errors about wrong options."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import multiview as mv
from multiview import cli, plugins
from multiview.errors import MultiviewError, suggestion
from multiview.launch import parse_recipe
from multiview.options import parse, to_yaml


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epoch", "3"], "there is no option 'epoch'. Did you mean 'epochs'? `cmc_lab --help` lists all options."),
        (["--train.optimizer.nme", "sgd"], "no option 'train.optimizer.nme'. Did you mean 'train.optimizer.name'?"),
        (["--train.lr", "1"], "no option 'train.lr'. Did you mean 'train.optimizer.lr'?"),
        (["--objective.temprature", "1"], "Did you mean 'objective.temperature'?"),
        (["--batch_size", "3"], "there is no option 'batch_size'. Did you mean 'batch'?"),
        (["--crop", "32"], "there is no option 'crop'. Did you mean 'size'?"),
        (["--train.optimizer", "7"], "or the options one by one, such as --train.optimizer."),
        (["--name", "adamm"], "--train.optimizer.name: 'adamm' is none of sgd, adamw, lars. Did you mean 'adamw'?"),
        (["--epochs", "ten"], "--train.epochs: expected a whole number or auto or null. Given: ten"),
        (["--steps", "1.5"], "--train.steps: expected a whole number or null. Given: 1.5"),
        (["--negatives", "x"], "--objective.negatives: expected a whole number or null. Given: x"),
        (["--objective.z", "x"], "--objective.z: expected one of ema, first-batch or a number. Given: x"),
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
    with pytest.raises(MultiviewError, match=r"INPUT, OUT are missing; type `multiview preprocess folder INPUT OUT "):
        cli.run(["preprocess", "folder"])


def test_data_in_the_place_of_a_recipe_or_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Path("table.csv").touch()
    with pytest.raises(MultiviewError, match=r"It is a file: type `multiview preprocess SOURCE table\.csv OUT`\.$"):
        cli.run(["preprocess", "table.csv", "stores/x"])


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


def chosen(recipe: str, *words: str) -> mv.Recipe:
    return parse(plugins.load("recipes", recipe), words, prog=recipe)


OPEN = [name for name in (each.name for each in plugins.installed("recipes")) if name != "mixed"]


def fits() -> list[object]:
    """Recipe and objective: some of every recipe and of every objective, all when slow."""
    kinds = [each.name for each in plugins.installed("objectives")]
    return [
        pytest.param(recipe, kind, marks=() if quick else (pytest.mark.slow,), id=f"{kind}-{recipe}")
        for row, recipe in enumerate(OPEN)
        for column, kind in enumerate(kinds)
        for quick in [recipe == "cmc_rgbd" or column % len(OPEN) == row or row % len(kinds) == column]
    ]


@pytest.mark.parametrize(("recipe", "kind"), fits())
def test_every_objective_fits_every_recipe_and_comes_back_from_its_config(
    recipe: str, kind: str, tmp_path: Path
) -> None:
    made = chosen(recipe, "--objective", kind)
    assert type(made.objective) is plugins.load("objectives", kind)
    (tmp_path / "config.yaml").write_text(to_yaml(made))
    assert chosen(recipe, "--config", str(tmp_path / "config.yaml")) == made


@pytest.mark.parametrize(
    ("words", "objective"),
    [
        ([], mv.CMC(variant="softmax", temperature=0.1, draw="auto", start="encoded")),
        (["--objective.temperature", "0.2"], mv.CMC(variant="softmax", temperature=0.2, draw="auto", start="encoded")),
        (["--objective", "SigLIP", "--objective.temperature", "0.2"], mv.SigLIP(temperature=0.2)),
        (["--objective=siglip", "--bias", "-3"], mv.SigLIP(bias=-3.0)),
        (["--hidden", "9", "--objective", "multiview-cmc/byol"], mv.BYOL(hidden=9)),
        (["--kind", "simclr", "--learn_temperature", "--plan"], mv.SimCLR(learn_temperature=True)),
        (["--objective", "cmc"], mv.CMC(variant="softmax", temperature=0.1, draw="auto", start="encoded")),
    ],
)
def test_an_objective_is_chosen_by_name_with_its_own_options(words: list[str], objective: mv.Objective) -> None:
    assert chosen("cmc_rgbd", *words).objective == objective


def test_words_after_a_config_file_replace_its_values(tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("objective:\n  kind: siglip\n  temperature: 0.3\n")
    assert chosen("cmc_rgbd", "--config", str(config)).objective == mv.SigLIP(temperature=0.3)
    assert chosen("cmc_rgbd", "--config", str(config), "--bias", "-2").objective == mv.SigLIP(temperature=0.3, bias=-2)
    assert chosen("cmc_rgbd", "--config", str(config), "--objective", "simclr").objective == mv.SimCLR(temperature=0.3)
    config.write_text("temperature: 0.3\n")
    assert chosen("cmc_rgbd", "--objective", "siglip", "--objective", str(config)).objective == mv.SigLIP(
        temperature=0.3
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--objective", "siglib"], r"'siglib' is not an objective\. Did you mean 'siglip'\?"),
        (["--objective", "siglip", "--negatives", "4"], "there is no option 'negatives'"),
        (["--objective", "symile", "--temperature", "0"], "temperature is 0"),
    ],
)
def test_a_kind_or_option_that_does_not_fit_is_an_error(words: list[str], message: str) -> None:
    with pytest.raises(MultiviewError, match=message):
        chosen("cmc_rgbd", *words)


def test_help_shows_the_options_of_the_kind(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        chosen("cmc_rgbd", "--objective", "siglip", "--help")
    text = capsys.readouterr().out
    assert "--objective.bias" in text
    assert "--objective.negatives" not in text
    kinds = ", ".join(plugin.name for plugin in plugins.installed("objectives"))
    assert f"--objective KIND {kinds}"[:40] in " ".join(text.split())


def test_an_unregistered_objective_of_a_config_file_is_refused(tmp_path: Path) -> None:
    class Mine(mv.SimCLR):
        """One of a notebook."""

    (tmp_path / "config.yaml").write_text(to_yaml(plugins.load("recipes", "cmc_rgbd")(objective=Mine())))
    with pytest.raises(MultiviewError, match=r"Mine' is not an objective; "):
        chosen("cmc_rgbd", "--config", str(tmp_path / "config.yaml"))


def test_a_resumed_run_has_the_options_of_its_own_objective(tmp_path: Path) -> None:
    recipe = plugins.load("recipes", "cmc_rgbd")
    (tmp_path / "config.yaml").write_text(to_yaml(chosen("cmc_rgbd", "--objective", "siglip", "--seed", "3")))
    continued = parse_recipe(recipe, ["--resume", "--out", str(tmp_path), "--bias", "-2"])
    assert continued == recipe(objective=mv.SigLIP(bias=-2.0), seed=3, resume=True, out=str(tmp_path))
    assert parse_recipe(recipe, [f"--out={tmp_path}", "--resume=true", "--bias", "-2"]) == continued
    assert parse_recipe(recipe, ["--resume", "false", "--out", str(tmp_path)]).objective == recipe().objective


def test_an_option_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "moco.yaml").write_text("objective:\n  kind: moco\n  momentum: 0.99\n")
    with pytest.raises(
        MultiviewError, match=r"no option 'momentum' in that place; --train.optimizer.momentum is another"
    ):
        chosen("simclr", "--config", str(tmp_path / "moco.yaml"), "--objective", "simclr")


def test_a_kind_inside_a_mapping_is_refused() -> None:
    with pytest.raises(
        MultiviewError, match="options of the kind 'siglip' without the name of the kind; type --objective siglip"
    ):
        chosen("simclr", "--objective", "{kind: siglip}")


def test_a_recipe_with_an_objective_of_its_own_file_starts_and_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    spec = importlib.util.spec_from_file_location("own", tmp_path / "own.py")
    own = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "own", own)
    spec.loader.exec_module(own)
    assert parse(own.Mine, ["--objective.temperature", "0.4"], prog="own").objective == own.MyLoss(temperature=0.4)
    assert parse(own.Mine, ["--objective.kind", "__main__:MyLoss"], prog="own").objective == own.MyLoss(temperature=0.3)


OWN = """
from dataclasses import dataclass
import multiview as mv

@dataclass(frozen=True, kw_only=True)
class MyLoss(mv.SimCLR):
    \"\"\"Mine.\"\"\"

@dataclass(frozen=True, kw_only=True)
class Mine(mv.Recipe):
    \"\"\"Mine.\"\"\"
    objective: mv.Objective = MyLoss(temperature=0.3)
"""
