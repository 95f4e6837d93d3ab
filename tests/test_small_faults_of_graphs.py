"""Options of a graph that would change nothing are named, and what a plan must show is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from goldens import command

import multiview as mv
from multiview.errors import MultiviewError
from multiview.graphs.facts import weight_text
from multiview.graphs.words import split_words
from multiview.recipes.graph import GraphRecipe
from multiview.tuning import notes, without_effect

GRAPH = """data: scenes:40
views:
  L: {width: 0.25, size: 16, train: frozen, lr_scale: 0.5, weight_decay: 0.1}
  ab: {width: 0.25, size: 16, lr_scale: 0.5, dim: 32}
edges:
  - L - ab: {objective: simclr, weight: 2, schedule: {weight: [0, 1], until: 0.2, shape: cosine}}
"""


def test_a_plan_shows_schedules_widths_and_options_without_effect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    file = tmp_path / "g.yaml"
    file.write_text(GRAPH)
    assert command("train", str(file), "--plan") == 0
    text = capsys.readouterr().out
    assert "2 x 0 .. 1 until 0.2 of the run (cosine)" in text
    assert "dim=32" in text
    assert "Note: view 'L': lr_scale and weight_decay have no effect" in text
    assert "view 'ab': lr_scale" not in text


def test_options_of_an_encoder_that_does_not_learn_have_no_effect() -> None:
    assert without_effect(mv.Tuning(train="frozen", lr_scale=0.5, layer_decay=0.5)) == ["lr_scale", "layer_decay"]
    assert without_effect(mv.Tuning(train="heads", weight_decay=0.0)) == ["weight_decay"]
    for train in ("full", "lora", "last 2 blocks"):
        assert without_effect(mv.Tuning(train=train, lr_scale=0.5)) == []
    assert notes({"a": mv.Tuning(train="frozen"), "b": mv.Tuning(lr_scale=2.0)}) == []


def test_the_weight_of_an_edge_in_words() -> None:
    edge = mv.Edge("L", "ab", mv.SimCLR())
    assert weight_text(edge) == "1"
    scheduled = mv.Edge("L", "ab", mv.SimCLR(), schedule=mv.Schedule(weight=(1.0, 0.5), until=10))
    assert weight_text(scheduled) == "1 x 1 .. 0.5 until epoch 10 (linear)"


def graph(view: int | None, edge: mv.CMC | None, top: mv.CMC | None = None) -> mv.Graph:
    views = {"L": mv.GraphView(dim=view, encoder_options={"width": 0.25}), "ab": mv.GraphView()}
    return mv.Graph(views=views, edges=(mv.GraphEdge(("L", "ab"), edge),), objective=top)


def test_the_width_of_a_view_wins_over_the_top_and_contradicts_no_edge() -> None:
    for wanted in (graph(64, None, mv.CMC(dim=32)), graph(64, mv.CMC(dim=64)), graph(64, mv.CMC())):
        assert wanted.setup().graph.edges[0].objective.dim == 64
    assert graph(None, mv.CMC(dim=32)).setup().graph.edges[0].objective.dim == 32
    with pytest.raises(MultiviewError, match="edge L-ab: dim is 32, and dim of its view 'L' is 64; leave out one"):
        graph(64, mv.CMC(dim=32)).setup()


@pytest.mark.parametrize("words", ["--resume g.yaml", "--seed 3 g.yaml", "--plan g.yaml", "--sync_bn g.yaml --resume"])
def test_a_graph_file_is_found_behind_options(words: str) -> None:
    from multiview.options import flags_of

    assert ("", "g.yaml") in list(split_words(words.split(), flags_of(GraphRecipe)))


def test_the_value_of_an_option_is_no_graph_file(tmp_path: Path) -> None:
    from multiview.options import flags_of

    assert list(split_words(["--data", "scans.yaml"], flags_of(GraphRecipe))) == [
        ("--data", None),
        ("scans.yaml", None),
    ]


def test_resume_before_the_file_of_a_graph_names_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "g.yaml"
    file.write_text(GRAPH)
    assert command("train", "graph", "--resume", str(file)) == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--edges", "photo-depth: simclr"], ["--topology", "core:depth"]])
def test_a_misspelt_view_is_named_in_place_of_the_edge_that_lacks_it(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("train", "graph", "--data", "scenes:40", "--views", "photo=rgb,dpeth", *words) == 2
    said = capsys.readouterr().err
    assert "--views: view 'dpeth': 'dpeth' is not a view" in said
    assert "Did you mean 'depth'?" in said


def test_an_edge_that_names_no_view_of_a_right_graph_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", "scenes:40", "--views", "photo=rgb,depth", "--edges", "photo-dpeth: simclr"]
    assert command("train", "graph", *words) == 2
    assert "edge photo-dpeth: 'dpeth' is not a view of this graph" in capsys.readouterr().err
