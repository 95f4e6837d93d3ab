"""What a type checker and `fit` say to a user's script."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import multiview as mv

USER = Path(__file__).with_name("typed_user.py")
START = """
import multiview as mv

views = {name: mv.views.rgb(mv.Crop(name=name, size=16)) for name in ("one", "two")}
encoders: dict[str, mv.Encoder | str] = {"one": mv.make_encoder("convnet", 3, width=0.25), "two": "one"}
setup = mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.SimCLR()))
"""
GOOD = """
trained: mv.Trained = mv.fit(setup, data="scenes:40", train=mv.Train(steps=1), evaluate=False)
again: mv.Trained = mv.load("runs/lab")
objectives: list[mv.Objective] = [mv.CMC(), mv.MoCo(), mv.BarlowTwins(), mv.SigLIP()]
"""
BAD = {
    "mv.nothing": "attr-defined",
    "mv.views.nothing": "attr-defined",
    "mv.encoders.nothing": "attr-defined",
    "mv.fit(setup, epoch=3)": "call-arg",
    "mv.fit(setup, data=3)": "arg-type",
    "mv.fit(setup, train={'epochs': 3})": "arg-type",
    "mv.Train(epoch=3)": "call-arg",
    "mv.fit({})": "arg-type",
}


def test_the_typed_script_touches_every_public_name() -> None:
    text = USER.read_text("utf8")
    assert [name for name in mv.__all__ if not re.search(rf"\bmv\.{name}\b", text)] == []


@pytest.mark.slow
def test_mypy_strict_passes_a_good_script_and_names_every_mistake(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(START + GOOD + "".join(f"{line}\n" for line in BAD))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(tmp_path)]
    text = subprocess.run([*command, str(script), str(USER)], capture_output=True, text=True, check=False).stdout
    assert "typed_user.py" not in text, text
    first = (START + GOOD).count("\n") + 1
    found = re.findall(r"script\.py:(\d+): error: .*\[([\w-]+)\]", text)
    assert dict(found) == {str(first + number): code for number, code in enumerate(BAD.values())}, text


def setup() -> mv.Setup:
    views = {name: mv.views.rgb(mv.Crop(name=name, size=16)) for name in ("one", "two")}
    encoders: dict[str, mv.Encoder | str] = {"one": mv.make_encoder("convnet", 3, width=0.25), "two": "one"}
    return mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.SimCLR()))


class Numbers(torch.utils.data.Dataset[int]):
    """Ten numbers."""

    def __len__(self) -> int:
        return 10


@pytest.mark.parametrize("data", [torch.zeros(3), np.zeros(3), None, 3])
def test_data_without_names_is_refused_in_one_sentence(data: Any) -> None:
    with pytest.raises(mv.MultiviewError, match=rf"^data is a {type(data).__name__}; give a dict of arrays or"):
        mv.fit(setup(), data=data)


@pytest.mark.parametrize("data", [Numbers(), {"image": [1]}, torch.zeros(3), None, 3])
def test_a_recipe_takes_no_data_in_memory(data: Any) -> None:
    with pytest.raises(mv.MultiviewError, match=rf"^data is a {type(data).__name__}; give the path of a store or"):
        mv.Recipe(data=data)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "'epoch' is not an option of fit"),
        ({"epochs": 3}, r"It is an option of training: fit\(setup, train=mv.Train\(epochs=...\)\)"),
        ({"lr": 3}, r"mv.Optimizer\(lr=...\)"),
        ({"train": {"epochs": 3}}, r"^train is a dict; give mv.Train\("),
        ({"seed": "3"}, r"^seed is '3'; give a whole number"),
        ({"out": 3}, r"^out is a int; give the path of a folder"),
        ({"cache": None}, r"^cache is a NoneType; give the path"),
    ],
)
def test_options_of_another_type_are_refused_in_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(mv.MultiviewError, match=message):
        mv.fit(setup(), **options)


def test_another_thing_than_a_setup_is_refused() -> None:
    with pytest.raises(mv.MultiviewError, match=r"^setup is a dict; give mv.Setup\(views, encoders, graph\)"):
        mv.fit({})  # type: ignore[arg-type]


def test_a_path_is_as_good_as_its_text(tmp_path: Path) -> None:
    recipe = mv.Recipe(data=tmp_path, out=tmp_path / "run")  # type: ignore[arg-type]
    assert (recipe.data, recipe.out) == (str(tmp_path), str(tmp_path / "run"))
