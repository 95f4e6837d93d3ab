"""`multiview graph` draws files, runs and recipes; graph runs resume, compare and launch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from goldens import command
from small_runs import ROOT, two_processes

from multiview.files import size_text
from multiview.graphs.facts import facts_of
from multiview.graphs.picture import svg_of
from multiview.launch import parse_recipe
from multiview.model import MultiviewModel
from multiview.recipes.graph import GraphRecipe

TINY = "encoder: {name: convnet, width: 0.1}"
GRAPH = f"""
crop: {{size: 16}}
views: {{L: {{{TINY}}}, ab: {{{TINY}}}, depth: {{{TINY}}}}}
edges:
  - L - ab: {{objective: cmc, dim: 16, negatives: 8}}
  - L - depth: {{objective: cmc, dim: 16, negatives: 8, momentum: 0.9}}
  - ab - depth: {{objective: moco, dim: 16, queue: 24}}
  - ab - depth: {{objective: vicreg, dim: 16, hidden: 16}}
  - L - depth: {{objective: moco, dim: 16, queue: 32}}
train: {{steps: 2, batch: 16, knn_every: 0, threads: 1, workers: 0}}
"""


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    file = tmp_path / "graph.yaml"
    file.write_text(GRAPH)
    return file


def refused(capsys: pytest.CaptureFixture, *words: str) -> str:
    """The message of a command that is a mistake."""
    assert command(*words) == 2
    return " ".join(capsys.readouterr().err.split())


def drawn(capsys: pytest.CaptureFixture, *words: str) -> str:
    """What `multiview graph` prints, with single spaces."""
    assert command("graph", *words) == 0
    return " ".join(capsys.readouterr().out.split())


def test_a_file_is_drawn_in_the_terminal(graph: Path, capsys: pytest.CaptureFixture) -> None:
    text = drawn(capsys, str(graph))
    assert [title for title in ("Views", "Encoders", "Edges") if title in text] == ["Views", "Encoders", "Edges"]
    assert "L image 1 channel, CIE L* (1, 16, 16) crop" in text
    assert "depend on the data" in text


def test_banks_and_queues_that_differ_are_all_shown(graph: Path, scenes: Path, capsys: pytest.CaptureFixture) -> None:
    text = drawn(capsys, str(graph))
    for words in ("bank of L, momentum 0.5", "bank of L, momentum 0.9", "queue of depth, 24", "queue of depth, 32"):
        assert words in text
    assert command("train", str(graph), "--data", str(scenes), "--plan") == 0
    plan = capsys.readouterr().out
    for name in ("L/linear_16/bank0p5", "L/linear_16/bank0p9", "depth/linear_16/queue24", "depth/linear_16/queue32"):
        assert name in plan


def test_with_data_shapes_and_bytes_are_exact(graph: Path, scenes: Path, capsys: pytest.CaptureFixture) -> None:
    text = drawn(capsys, str(graph), "--data", str(scenes))
    assert "depend on the data" not in text
    assert f"bank of ab, momentum 0.5, {size_text(56 * 16 * 4)}" in text


def test_a_recipe_is_drawn_by_its_name(capsys: pytest.CaptureFixture) -> None:
    text = drawn(capsys, "cmc_rgbd", "--topology", "core", "--width", "0.1")
    assert "L-normal CMC" in text
    assert "ab-depth" not in text


HOSTILE = "\"</text><script>alert('1')</script>&\\e[31m\""


def test_hostile_names_are_escaped_in_the_picture(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(f"views: {{L: {{modality: {HOSTILE}, {TINY}}}, ab: {{crop: {HOSTILE}, {TINY}}}}}\n")
    out = tmp_path / "graph.svg"
    assert "\x1b[31m" not in drawn(capsys, str(file), "--svg", str(out))
    tree = ElementTree.fromstring(out.read_text("utf8"))
    assert {element.tag.rpartition("}")[2] for element in tree.iter()} == {"svg", "style", "rect", "text", "path"}
    texts = [element.text or "" for element in tree.iter() if element.tag.endswith("text")]
    assert any("</text><script>" in text for text in texts)


def test_the_picture_has_a_box_for_each_part_and_a_line_for_each_end(graph: Path) -> None:
    setup = parse_recipe(GraphRecipe, [str(graph)]).build()
    tree = ElementTree.fromstring(svg_of(facts_of(setup, MultiviewModel(setup.encoders, setup.graph))))
    kinds = [element.get("class") for element in tree.iter()]
    assert (kinds.count("box"), kinds.count("way"), kinds.count("edge")) == (3 + 3 + 5, 3, 10)
    texts = [element.text for element in tree.iter() if element.tag.endswith("text")]
    assert {"convnet of L", "convnet of ab", "convnet of depth", "L – ab"} <= set(texts)


def test_a_picture_that_cannot_be_written_is_a_mistake(
    graph: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    text = refused(capsys, "graph", str(graph), "--svg", str(tmp_path / "none" / "graph.svg"))
    assert "cannot be written" in text
    assert "give another --svg" in text
    assert "--svg needs a value" in refused(capsys, "graph", str(graph), "--svg")


@pytest.mark.usefixtures("rough_probes")
def test_runs_of_a_graph_are_drawn_and_compared(
    graph: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    runs = [str(tmp_path / name) for name in ("one", "two")]
    for seed, out in enumerate(runs):
        assert command("train", str(graph), "--data", str(scenes), "--out", out, "--seed", str(seed)) == 0
    text = drawn(capsys, runs[0])
    assert "L-ab CMC" in text
    assert "depend on the data" not in text
    text = refused(capsys, "graph", runs[0], "--data", str(scenes))
    assert "is a run, whose graph has no further options; leave out --data" in text
    assert command("compare", *runs) == 0
    assert "mean" in capsys.readouterr().out


def test_a_file_behind_the_options_is_named_in_a_sentence(graph: Path, capsys: pytest.CaptureFixture) -> None:
    text = refused(capsys, "train", "--resume", str(graph), "--out", "run")
    assert f"--resume stands where the recipe belongs, which is the first word; type `multiview train {graph}" in text
    assert text.endswith("--resume --out run`.")


@pytest.mark.slow
def test_a_graph_file_is_launched_on_two_processes(graph: Path, scenes: Path, tmp_path: Path) -> None:
    words = [str(ROOT / "recipes/graph.py"), str(graph), "--data", str(scenes), "--out", str(tmp_path / "run")]
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    subprocess.run([*two_processes(), *words, "--evaluate", "false"], check=True, env=environment, timeout=300)
    assert (tmp_path / "run" / "metrics.jsonl").is_file()


@pytest.mark.parametrize(
    ("train", "words", "found"),
    [
        ("", [], ("adamw", 0.001)),
        ("train: {epochs: 2}", ["--train.optimizer.schedule", "constant"], ("adamw", 0.001)),
        ("train: {optimizer: {lr: 0.05}}", [], ("sgd", 0.05)),
        ("", ["--lr", "0.05"], ("sgd", 0.05)),
        ("", ["--train.optimizer.lr", "0.0003"], ("adamw", 0.0003)),
        ("train: {optimizer: {lr: 0.0003}}", [], ("adamw", 0.0003)),
        ("train: {optimizer: {lr: 0.002, name: adamw}}", [], ("adamw", 0.002)),
        ("", ["--train.optimizer.name=sgd"], ("sgd", 0.03)),
        ("", ["--optimizer.name", "sgd"], ("sgd", 0.03)),
        ("train: {optimizer: {name: lars}}", ["--lr=0.2"], ("lars", 0.2)),
    ],
)
def test_a_graph_trains_with_adamw_unless_it_says_otherwise(
    train: str, words: list[str], found: tuple[str, float], tmp_path: Path
) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(f"views: {{L: L, ab: ab}}\nedges: [L - ab: cmc]\n{train}\n")
    optimiser = parse_recipe(GraphRecipe, [str(file), *words]).train.optimizer
    assert (optimiser.name, optimiser.lr) == found
