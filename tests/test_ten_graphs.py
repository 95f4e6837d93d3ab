"""Ten graphs of ten shapes: each trains, resumes to the bit, and two processes equal one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from goldens import command
from PIL import Image
from small_runs import assert_same_end

from multiview.check.parity import TOLERANCE, Trace, differences, traces
from multiview.check.recipe import trial_of
from multiview.launch import parse_recipe
from multiview.recipe import Recipe
from multiview.recipes.graph import GraphRecipe
from multiview.train.checkpoint import newest

SMALL = "crop: {size: 16, scale: [0.5, 1.0], seconds: 0.2}\n"
RUN = (
    "train: {steps: 4, batch: 16, knn_every: 0, threads: 1, workers: 0, log_every: 1, save_every: 1}\nevaluate: false\n"
)
TINY = "encoder: {name: convnet, width: 0.1}"
TABLES = ", ".join(f"t{i}: {{view: table, modality: t{i}, columns: {i + 2}, width: 0.1}}" for i in range(12))
GRAPHS = {
    "seven views of four kinds": f"""
views:
  photo: {{view: rgb, {TINY}}}
  ab: {{{TINY}}}
  grey: {{{TINY}}}
  depth: {{{TINY}}}
  normal: {{{TINY}}}
  logmel: {{{TINY}, size: 24}}
  waveform: {{width: 0.1}}
topology: core:photo
objective: {{name: cmc, dim: 16, negatives: 8}}
""",
    "a chain": f"""
views: {{L: {{{TINY}}}, ab: {{{TINY}}}, depth: {{{TINY}}}, normal: {{{TINY}}}}}
topology: chain
objective: {{name: simclr, dim: 16}}
""",
    "a star round a frozen timm model": f"""
views:
  photo: {{view: rgb, encoder: "timm:resnet18", train: frozen, size: 32}}
  ab: {{{TINY}}}
  depth: {{{TINY}}}
edges: [photo - ab: {{objective: cmc, dim: 16, negatives: 8}}, photo - depth: {{objective: simclr, dim: 16}}]
""",
    "two objectives between the same two views": f"""
views: {{L: {{{TINY}}}, ab: {{{TINY}}}}}
edges:
  - L - ab: {{objective: cmc, dim: 16, negatives: 8}}
  - L - ab: {{objective: moco, dim: 16, queue: 24, weight: 0.5, shuffle_bn: false}}
""",
    "self and cross edges": f"""
views: {{photo: {{view: rgb, augment: small, {TINY}}}, depth: {{{TINY}}}}}
edges:
  - photo - photo: {{objective: simclr, dim: 16}}
  - depth - depth: {{objective: byol, dim: 16, hidden: 16}}
  - photo - depth: {{objective: cmc, dim: 16, negatives: 8, crop: own}}
""",
    "a hyperedge and pairs": f"""
views: {{L: {{{TINY}}}, ab: {{{TINY}}}, depth: {{{TINY}}}}}
edges:
  - L - ab - depth: {{objective: symile, dim: 16}}
  - L - ab: {{objective: siglip, dim: 16, schedule: {{weight: [0.1, 1], until: 0.5, shape: cosine}}}}
""",
    "shared encoders": f"""
views:
  one: {{view: rgb, crop: one, {TINY}}}
  two: {{view: rgb, crop: two, share: one}}
  three: {{view: rgb, crop: three, share: two, augment: moco_v2}}
topology: full
objective: {{name: moco, dim: 16, queue: 24, shuffle_bn: false}}
""",
    "holes in every view": f"""
views:
  left: {{view: rgb, modality: left, {TINY}}}
  right: {{view: rgb, modality: right, {TINY}}}
  third: {{view: grey, modality: third, {TINY}}}
topology: full
objective: {{name: cmc, dim: 16, negatives: 8}}
""",
    "one view only": f"views: {{photo: {{view: rgb, augment: simclr, dim: 16, {TINY}}}}}\n",
    "twelve tables": f"views: {{{TABLES}}}\ntopology: chain\nobjective: {{name: cmc, dim: 16, negatives: 8}}\n",
}
QUICK = ("two objectives between the same two views", "one view only")
"""The graphs of the quick tests; the others are marked slow."""
JOINED = "batch norm over all processes"
ALL = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in GRAPHS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, scenes: Path) -> Path:
    """The graph files, `scenes`, a table of pictures with holes, and twelve tables."""
    path = tmp_path_factory.mktemp("ten")
    (path / "scenes").symlink_to(scenes)
    rng = np.random.default_rng(0)
    tables = {f"t{i}": rng.normal(size=(48, i + 2)).astype("float32") for i in range(12)}
    np.savez(path / "tables.npz", split=np.array(["train"] * 40 + ["test"] * 8), **tables)
    (path / "holes.csv").write_text("\n".join(["id,split,left,right,third", *_rows(path, rng)]) + "\n")
    for name, text in GRAPHS.items():
        (path / f"{name}.yaml").write_text(SMALL + text + RUN)
    return path


def _rows(path: Path, rng: np.random.Generator) -> Iterator[str]:
    """Rows of a table of pictures; each of the three pictures is missing in some rows."""
    for number in range(40):
        cells = []
        for place, name in enumerate(("left", "right", "third")):
            file = path / f"{name}{number}.png"
            Image.fromarray(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8)).save(file)
            cells.append("" if (number + place) % 5 == 0 else file.name)
        yield ",".join([f"s{number:02d}", "train", *cells])


def words_of(name: str, folder: Path) -> list[str]:
    """The words that train a graph."""
    data = {"holes in every view": "holes.csv", "twelve tables": "tables.npz"}.get(name, "scenes")
    return [str(folder / f"{name}.yaml"), "--data", str(folder / data), "--cache", str(folder / "cache")]


@pytest.mark.parametrize("name", ALL)
def test_a_graph_trains_and_resumes_to_the_bit(name: str, folder: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert command("train", *words_of(name, folder), "--out", str(whole)) == 0
    shutil.copytree(whole, broken)
    shutil.rmtree(sorted((broken / "checkpoints").glob("step-*"))[-1])
    assert command("train", "graph", "--resume", "--out", str(broken)) == 0
    assert_same_end(whole, broken)
    lines = [json.loads(line) for line in (broken / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ALL)
def test_the_plan_says_the_bytes_of_the_memories(name: str, folder: Path, tmp_path: Path) -> None:
    from multiview.train.prepare import prepare

    recipe = recipe_of(name, folder)
    prepared = prepare(recipe)
    assert command("train", *words_of(name, folder), "--out", str(tmp_path / "run"), "--train.steps", "1") == 0
    saved = newest(tmp_path / "run" / "checkpoints").tensors["memory"]
    for store, size in prepared.memories.sizes().items():
        held = {key: x for key, x in saved.items() if key.startswith(f"stores.{store}.")}
        assert size == sum(x.numel() * x.element_size() for x in held.values()) > 0


def recipe_of(name: str, folder: Path) -> Recipe:
    return parse_recipe(GraphRecipe, words_of(name, folder))


@pytest.fixture(scope="module")
def quick(folder: Path) -> dict[str, dict[int, list[Trace]]]:
    joined = parse_recipe(GraphRecipe, [*words_of(QUICK[0], folder), "--train.sync_bn", "true"])
    return found({name: recipe_of(name, folder) for name in QUICK}, joined)


def found(recipes: dict[str, Recipe], joined: Recipe | None = None) -> dict[str, dict[int, list[Trace]]]:
    """What one and two processes train, as in evaluation; `joined` in training."""
    trials = {name: partial(trial_of, each, evaluation=True) for name, each in recipes.items()}
    training = {JOINED: partial(trial_of, joined, evaluation=False)} if joined else {}
    return traces(trials | training, worlds=(1, 2))


@pytest.mark.parametrize("name", [*QUICK, JOINED])
def test_two_processes_train_what_one_would(name: str, quick: dict[str, dict[int, list[Trace]]]) -> None:
    assert [d for d in differences(quick[name]) if d.value > TOLERANCE] == []


@pytest.mark.slow
def test_two_processes_train_what_one_would_for_every_graph(folder: Path) -> None:
    rest = found({name: recipe_of(name, folder) for name in GRAPHS if name not in QUICK})
    assert {name: worst for name, of in rest.items() for worst in differences(of) if worst.value > TOLERANCE} == {}
