"""Cheap mistakes are found before the data is prepared, and messages name what really exists."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

import multiview as mv
from multiview import cli, plugins
from multiview.commands.runs import Evaluate, evaluate
from multiview.data.load.open_data import open_data
from multiview.errors import MultiviewError, near_path
from multiview.launch import parse_recipe, start
from multiview.recipe_origin import launch_target, origin_of, short_name
from multiview.recipes.cmc_lab import CmcLab
from multiview.writable import refuse_unwritable

SMALL = ["--data", "scenes:40", "--size", "16", "--width", "0.25", "--threads", "1"]


def _occupied(folder: Path) -> list[str]:
    (folder / "occupied").mkdir()
    (folder / "occupied" / "thesis.tex").touch()
    return ["--out", "occupied"]


def _file(folder: Path, name: str, *words: str) -> list[str]:
    (folder / name).touch()
    return list(words)


MISTAKES = {
    "out is not empty": (_occupied, "occupied is not empty"),
    "overwrite no run": (lambda f: [*_occupied(f), "--overwrite"], "is no run folder"),
    "resume without out": (lambda f: ["--resume"], "there is nothing to resume: give the run folder with --out"),
    "resume no run": (lambda f: ["--resume", "--out", "none"], "--out none holds no run"),
    "out is a file": (lambda f: _file(f, "a", "--out", "a"), "a is a file"),
    "out below a file": (lambda f: _file(f, "a", "--out", "a/b/c"), "a is a file, so that the folder a/b/c cannot"),
    "runs is a file": (lambda f: _file(f, "runs"), "runs is a file, so that"),
    "data is a file": (lambda f: _file(f, "data"), "data is a file, .*--cache"),
    "batch of one": (lambda f: ["--batch", "1"], "batch norm, which needs two samples"),
    "unknown encoder": (lambda f: ["--encoder", "resnet19"], "resnet19"),
    "micro-batch of one": (lambda f: ["--micro_batch", "1"], r"micro_batch is 1: .* parts of 1 sample each"),
}


@pytest.mark.parametrize("plan", ["true", "false"])
@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("categ", r"'categ' is not a column of this data; available: .*label"),
        ("labl", r"Did you mean 'label'\?"),
        ("missing.csv:x", r"missing\.csv"),
        ("label:number", r"label"),
    ],
)
def test_a_wrong_target_is_found_before_the_training(
    target: str, message: str, plan: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [*SMALL, "--steps", "1", "--plan", plan, "--out", "run", "--target", target]
    with pytest.raises(MultiviewError, match=message):
        start(parse_recipe(CmcLab, given))
    assert not Path("run/metrics.jsonl").exists()


@pytest.mark.parametrize("name", MISTAKES)
def test_a_cheap_mistake_is_found_before_the_data(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words, message = MISTAKES[name]
    given = [*SMALL, *words(tmp_path)]
    with pytest.raises(MultiviewError, match=message):
        start(parse_recipe(CmcLab, given))
    assert not (tmp_path / "data").is_dir(), "no data was prepared"


@pytest.mark.parametrize("place", ["locked", "locked/run", "locked/a/b"])
def test_a_folder_without_rights_is_refused(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked")
    with pytest.raises(MultiviewError, match=r"locked may not be written by this user, so that .*; give another --out"):
        refuse_unwritable(tmp_path / place, "give another --out")


class OfNotebook(mv.Recipe):
    """A recipe without a file."""


@pytest.mark.parametrize("module", ["__main__", "ipykernel_cell"])
def test_a_recipe_of_a_notebook_has_no_origin(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OfNotebook, "__module__", module)
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    assert origin_of(OfNotebook) is None
    assert short_name(OfNotebook) == "of_notebook"
    assert launch_target(OfNotebook) == "SCRIPT.py"


@pytest.mark.parametrize("name", [plugin.name for plugin in plugins.installed("recipes")])
def test_the_launch_command_names_a_module_that_exists(name: str) -> None:
    target = launch_target(plugins.load("recipes", name))
    if target.startswith("-m multiview.recipes."):
        assert (Path(__file__).parents[1] / "recipes" / f"{target.rpartition('.')[2]}.py").is_file()
    else:
        assert target == f"-m multiview.cli train {name}"


def test_the_launch_command_of_a_script_is_its_file() -> None:
    assert launch_target(OfNotebook) == str(Path(__file__).resolve())


@pytest.mark.parametrize("words", [["train", "--help"], ["train", "cmc_lab", "--help"]])
def test_help_names_the_launch_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(SystemExit):
        cli.run(words)
    text = " ".join(capsys.readouterr().out.split())
    assert "accelerate launch -m multiview.recipes." in text


@pytest.mark.slow
def test_a_recipe_starts_as_a_module_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "multiview.recipes.cmc_lab", *SMALL, "--steps", "1", "--batch", "8"]
    done = subprocess.run([*command, "--evaluate", "false", "--knn_every", "0"], cwd=tmp_path, check=False)
    assert done.returncode == 0
    assert (tmp_path / "runs" / "cmc_lab-001" / "config.yaml").is_file()


@pytest.mark.parametrize("options", [{"dim": 8}, {"subsets": True}])
def test_segment_refuses_options_that_it_does_not_use(options: dict[str, int]) -> None:
    (name,) = options
    with pytest.raises(MultiviewError, match=rf"--{name} has no effect; leave out"):
        evaluate(Evaluate(run="runs/none", segment="mask", layer="stage3", **options))  # type: ignore[arg-type]


WITHOUT_TORCH = """
import sys
from multiview.cli import COMMANDS, run
from multiview.commandline import _imported
from multiview.errors import MultiviewError
from multiview.options import parse

for command in COMMANDS:
    if command.options and command.name != "doctor":  # doctor looks at torch
        try:
            parse(_imported(command.options), ["--nonsense"], prog=command.name)
        except MultiviewError:
            assert "torch" not in sys.modules, command.name
        else:
            raise AssertionError(command.name)
for words in (["train", "auto"], ["train", "cmc_lab"]):
    try:
        run([*words, "--data", "photoz"])
    except MultiviewError as error:
        assert str(error).endswith("Did you mean 'photos'?"), error
        assert "torch" not in sys.modules, words
    else:
        raise AssertionError(words)
for given, words in (("photoz", "Did you mean 'photos'?"), ("report.html", "no source reads the file report.html")):
    try:
        run(["embed", "photos", given, "out.npz"])
    except MultiviewError as error:
        assert words in str(error), error
        assert "torch" not in sys.modules, given
    else:
        raise AssertionError(given)
"""


def test_a_wrong_option_or_path_is_told_before_torch_is_imported(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "report.html").write_text("<html>")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("photoz", "photos"),
        ("Photos", "photos"),
        ("data/clip", "data/clips"),
        ("dta/clips", "data"),
        ("data/clips/train.csc", "data/clips/train.csv"),
        ("nothing_like_it", None),
        ("nowhere/photos", None),
    ],
)
def test_a_path_that_is_nearly_right_is_named(
    given: str, near: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "data/clips").mkdir(parents=True)
    (tmp_path / "data/clips/train.csv").touch()
    (tmp_path / ".photoz").mkdir()
    if given == "Photos" and Path(given).exists():
        pytest.skip("this disk does not tell them apart")
    said = near_path(given)
    assert said == ("" if near is None else f" Did you mean '{near}'?")
    with pytest.raises(MultiviewError, match=re.escape(f"{given} does not exist; give the path of a store")) as told:
        open_data(given, tmp_path / "cache")
    assert str(told.value).endswith(said or "or `scenes`.")
