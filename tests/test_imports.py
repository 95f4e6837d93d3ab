"""The import direction, the floors of the house, and the imports that must stay light."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from imports import module_of, offences, python_files
from rooms import FLOORS, arrows, circle, lines_of_rooms, sources, upward

from multiview import cli
from multiview.plugins import installed

ROOT = Path(__file__).parents[1]
OURS = ("multiview", "views", "encoders", "recipes")
OTHERS = ("tests", "benchmarks", "docs", "examples")

HEAVY = ("torch", "torchvision", "torchaudio", "kornia", "timm", "sklearn", "scipy", "skimage", "accelerate")
LIGHT = (
    "multiview",
    "multiview.catalogue",
    "multiview.check",
    "multiview.check.recipe",
    "multiview.cli",
    "multiview.errors",
    "multiview.graph",
    "multiview.graphs",
    "multiview.graphs.words",
    "multiview.launch",
    "multiview.objectives",
    "multiview.options",
    "multiview.plugins",
    "multiview.recipe",
    "multiview.config",
    "multiview.report.page",
    "multiview.runs",
    "multiview.tuning",
    "multiview.view",
    "multiview.data.store.manifest",
    "multiview.data.modality",
    "multiview.data.write.preprocess",
    "multiview.data.source",
    "multiview.data.store.reading",
    "multiview.recipes.cmc_lab",
    "multiview.recipes.cmc_rgbd",
    "multiview.recipes.graph",
    "multiview.recipes.image_sound",
    "multiview.recipes.mixed",
    "multiview.recipes.comm",
    "multiview.recipes.moco",
    "multiview.recipes.simclr",
    "multiview.recipes.simsiam",
    *(f"multiview.data.sources.{path.stem}" for path in sorted((ROOT / "multiview/data/sources").glob("[!_]*.py"))),
)
COMMANDS = (
    "--help",
    "list",
    *(f"{command.name} --help" for command in cli.COMMANDS),
    *(f"preprocess {source.name} --help" for source in installed("sources")),
    "train cmc_lab --help",
    "train mixed --help",
    "study auto --help",
    "graph auto --help",
    *(f"check {subject} --help" for subject in ("parity", "source", "view", "encoder", "objective", "device")),
)


def test_recipes_import_views_and_encoders_and_those_import_the_core_alone() -> None:
    files = [file for folder in (*OURS, *OTHERS) for file in python_files(ROOT / folder)]
    assert {file.relative_to(ROOT).parts[0] for file in files} >= set(OURS)
    found = [text for file in files for text in offences(file.read_text("utf8"), file.relative_to(ROOT))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("multiview/model.py", "from multiview.views import Lab"),
        ("multiview/model.py", "import multiview.encoders.resnet as r"),
        ("multiview/model.py", "from multiview import views"),
        ("multiview/model.py", "from . import encoders"),
        ("multiview/model.py", "from .recipes.moco import MoCoRecipe"),
        ("multiview/data/store.py", "from ..views.lab import Lab"),
        ("multiview/data/__init__.py", "from ..views import Lab"),
        ("multiview/model.py", "def f():\n    from multiview.views.lab import Lab"),
        ("multiview/model.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import multiview.views"),
        ("multiview/model.py", "import importlib\nimportlib.import_module('multiview.encoders.resnet')"),
        ("multiview/model.py", "import multiview as mv\nx = mv.views.Lab"),
        ("multiview/model.py", "import multiview.errors\nx = multiview.encoders"),
        ("views/lab.py", "from multiview.encoders import resnet18"),
        ("views/lab.py", "import multiview.recipes.moco"),
        ("encoders/resnet.py", "from multiview.views import Lab"),
        ("encoders/resnet.py", "from ..views.lab import Lab"),
        ("encoders/resnet.py", "from multiview.recipes import moco"),
        ("recipes/moco.py", "from views import Lab"),
        ("views/lab.py", "import views.colour"),
        ("tests/test_lab.py", "from encoders.resnet import resnet18"),
        ("examples/plugin/plugin.py", "import recipes"),
    ],
)
def test_a_wrong_import_is_found(file: str, source: str) -> None:
    found = offences(source, Path(file))
    assert len(found) == 1
    assert found[0].startswith(f"{file}:{source.count(chr(10)) + 1}: ")


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("recipes/moco.py", "from multiview.views import Lab\nfrom multiview.encoders import resnet18"),
        ("recipes/moco.py", "import multiview as mv\nx = mv.views.Lab"),
        ("views/lab.py", "from multiview.views.colour import rgb\nfrom . import colour\nfrom ..view import View"),
        ("encoders/resnet.py", "from multiview.encoder import Encoder\nfrom .convnet import convnet"),
        ("multiview/model.py", "from multiview.view import View\nfrom .viewlayer import ViewLayer\nimport multiview"),
        ("tests/test_lab.py", "from multiview.views import Lab\nimport multiview.encoders"),
    ],
)
def test_a_right_import_is_left_alone(file: str, source: str) -> None:
    assert offences(source, Path(file)) == []


def test_the_import_name_of_a_file() -> None:
    names = {"views/lab.py": "multiview.views.lab", "multiview/data/__init__.py": "multiview.data"}
    assert {file: module_of(Path(file)) for file in names} == names


HOUSE = sources(ROOT)


def test_no_two_rooms_import_each_other() -> None:
    assert circle(arrows(HOUSE)) == []


def test_every_room_stands_on_a_floor_and_imports_only_from_there_and_below() -> None:
    standing = [room for rooms in FLOORS for room in rooms]
    assert sorted(standing) == sorted(lines_of_rooms(HOUSE))
    assert upward(arrows(HOUSE)) == []


def test_the_floors_of_the_page_are_those_of_the_test() -> None:
    rows = re.findall(r"^\| (\d) \| (.*?) \|", (ROOT / "docs/design.md").read_text("utf8"), flags=re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(len(FLOORS)))[::-1]
    for number, text in rows:
        rooms = [room.rstrip("/") for room in re.findall(r"`(.*?)`", text)]
        assert rooms
        assert set(rooms) <= set(FLOORS[int(number)]), number


def test_no_room_holds_more_than_a_fifth_of_the_lines() -> None:
    lines = lines_of_rooms(HOUSE)
    assert max(lines.values()) <= sum(lines.values()) / 5


def test_a_circle_is_found() -> None:
    files = {
        Path("multiview/model.py"): "def f():\n    from multiview.graph import Edge",
        Path("multiview/graph.py"): "from .memory import bank",
        Path("multiview/memory/__init__.py"): "",
        Path("multiview/memory/bank.py"): "X = 'multiview.model:Model'",
    }
    assert sorted(circle(arrows(files))) == [
        "multiview/graph.py:1 imports multiview.memory.bank",
        "multiview/memory/bank.py:1 imports multiview.model",
        "multiview/model.py:2 imports multiview.graph.Edge",
    ]
    files[Path("multiview/graph.py")] = "if TYPE_CHECKING:\n    from .memory import bank"
    assert circle(arrows(files)) == []


def test_an_arrow_up_is_found() -> None:
    files = {Path("multiview/graph.py"): "import multiview.run", Path("multiview/run.py"): "import multiview.graph"}
    assert upward(arrows(files)) == ["multiview/graph.py:1 imports multiview.run"]


# One interpreter takes all steps, because an interpreter needs a second to start.
WATCH = """
import runpy, sys
def step(name, action):
    before = set(sys.modules)
    try:
        action()
    except SystemExit as end:
        assert not end.code, f"{name}: exit code {end.code}"
    for package in sorted(set(HEAVY) & set(sys.modules) - before):
        print("HEAVY", name, "imports", package)
"""


def heavy(steps: dict[str, str], folder: Path) -> list[str]:
    """The heavy packages that each step (name: code) imports first, in a fresh interpreter."""
    lines = [f"step({name!r}, lambda: {code})" for name, code in steps.items()]
    program = "\n".join([f"HEAVY = {HEAVY}", WATCH, *lines])
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("HEAVY ") for line in done.stdout.splitlines() if line.startswith("HEAVY ")]


def test_what_the_command_line_imports_is_light(tmp_path: Path) -> None:
    assert heavy({module: f"__import__({module!r})" for module in LIGHT}, tmp_path) == []


def test_help_of_every_command_is_light(tmp_path: Path) -> None:
    run = "__import__('multiview.cli').cli.main"
    assert heavy({f"multiview {words}": f"{run}({words.split()})" for words in COMMANDS}, tmp_path) == []


def test_help_of_every_recipe_is_light(tmp_path: Path) -> None:
    recipes = [path for path in python_files(ROOT / "recipes") if path.stem != "__init__"]
    assert recipes
    run = "(sys.argv.__setitem__(slice(None), [{0!r}, '--help']), runpy.run_path({0!r}, run_name='__main__'))"
    assert heavy({path.name: run.format(str(path)) for path in recipes}, tmp_path) == []


FIRST_STEPS = """
import contextlib, io, sys
import numpy as np
import multiview as mv
from multiview.plugins import load
pictures = {"image": np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8), "split": ["train"] * 40}
for encoder, name in (("convnet", "adamw"), ("resnet18", "sgd")):
    train = mv.Train(epochs=1, batch=20, optimizer=mv.Optimizer(name=name, lr=1e-3), knn_every=0)
    setup = load("recipes", "cmc_lab")(encoder=encoder, size=8, width=0.25).build()
    with contextlib.redirect_stdout(io.StringIO()):
        mv.fit(setup, data=pictures, train=train, out=name, evaluate=False)
print(*(name for name in ("torchvision", "torch._dynamo", "torch.distributed.tensor", "sympy") if name in sys.modules))
"""


def test_the_first_steps_of_a_run_import_nothing_that_costs_seconds(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FIRST_STEPS], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_a_heavy_import_is_found_and_the_step_is_named(tmp_path: Path) -> None:
    (tmp_path / "scipy.py").write_text("")
    (tmp_path / "sly.py").write_text("import scipy")
    assert heavy({"json": "__import__('json')", "sly": "__import__('sly')"}, tmp_path) == ["sly imports scipy"]
