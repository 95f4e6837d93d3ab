"""A graph as a value, as YAML and as words of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from goldens import command
from small_runs import assert_same_end

import multiview as mv

WHOLE = """
data: scans
crop: {size: 32, scale: [0.7, 1.0], flip: 0.5, seconds: 1.0}
views:
  photo: {view: rgb, modality: image, encoder: "timm:resnet18", weights: dino.pth, train: frozen}
  depth: {view: depth, encoder: convnet, width: 1.0, lr_scale: 0.5}
  spec:  {view: {name: logmel, bands: 40}, encoder: {name: convnet, width: 0.5}, size: 64}
  left:  {view: waveform, modality: mic_left}
  right: {view: waveform, modality: mic_right, share: left}
  ab:
edges:
  - photo - depth: {objective: cmc, temperature: 0.1, weight: 2, crop: own}
  - left - right: moco
  - depth - depth: simclr
  - photo - depth - left: symile
  - ab - spec: {schedule: {weight: [0, 1], until: 0.2}}
objective: cmc
train: {epochs: 20, batch: 128}
"""
TINY = """
crop: {size: 16}
views:
  photo: {view: rgb, width: 0.25, augment: small}
  depth: {width: 0.25, size: 20}
  ab: {encoder: {name: convnet, width: 0.25}}
edges:
  - photo - depth: {objective: cmc, temperature: 0.1, weight: 2, crop: own, negatives: 16}
  - photo - ab: {objective: moco, schedule: {weight: [0, 1], until: 0.5, shape: cosine}, queue: 32}
  - depth - depth: simclr
  - photo - depth - ab: symile
train: {steps: 6, batch: 16, knn_every: 0, threads: 1, log_every: 1}
evaluate: false
"""


def test_what_is_written_is_read_as_an_equal_graph() -> None:
    graph = mv.Graph.from_yaml(WHOLE)
    assert mv.Graph.from_yaml(graph.to_yaml()) == graph
    assert graph.views["spec"].options == {"bands": 40}
    assert graph.views["depth"].encoder_options == {"width": 1.0}
    assert graph.views["photo"].tuning == mv.Tuning(weights="dino.pth", train="frozen")


def test_a_graph_becomes_a_setup() -> None:
    setup = mv.Graph.from_yaml(WHOLE).setup()
    assert list(setup.views) == ["photo", "depth", "depth_2", "spec", "left", "right", "ab"]
    assert setup.encoders["depth_2"] == "depth"
    assert setup.encoders["right"] == "left"
    edges = setup.graph.named_edges()
    assert list(edges) == ["photo-depth_2", "left-right", "depth-depth_2", "photo-depth-left", "ab-spec"]
    assert [edge.objective.name for edge in edges.values()] == ["CMC", "MoCo", "SimCLR", "Symile", "CMC"]
    assert (edges["photo-depth_2"].weight, edges["photo-depth_2"].objective.temperature) == (2, 0.1)
    assert setup.tuning == {
        "photo": mv.Tuning(weights="dino.pth", train="frozen"),
        "depth": mv.Tuning(lr_scale=0.5),
    }


def test_copies_are_drawn_alone_and_another_size_is_drawn_alike() -> None:
    crops = {name: view.crop for name, view in mv.Graph.from_yaml(WHOLE).setup().views.items()}
    assert crops["depth"] == crops["photo"]
    assert (crops["depth_2"].name, crops["depth_2"].draw) == ("depth_2", None)
    assert (crops["spec"].size, crops["spec"].draw) == (64, "crop")


def test_equal_draws_of_a_view_on_several_edges_are_encoded_once() -> None:
    """CoMM with Cross + Self takes the two crops of each view that CoMM takes anyway."""
    views = {name: mv.GraphView(view="rgb", modality=name, crop=name) for name in ("first", "second")}
    ends = [("first", "second"), ("first", "first"), ("second", "second")]
    pairs = [mv.GraphEdge(each, mv.SimCLR(), crop="own") for each in ends]
    fused = mv.GraphEdge(("first", "second"), mv.CoMM(), crop="own")
    setup = mv.Graph(views=views, edges=(fused, *pairs)).setup()
    assert list(setup.views) == ["first", "first_2", "second", "second_2"]
    names = ("first-second-first_2-second_2", "first-second", "first-first_2", "second-second_2")
    assert setup.graph.names() == names


@pytest.mark.parametrize("crop", ["own", "shared"])
def test_every_side_of_a_fused_edge_has_another_draw(crop: str) -> None:
    """Also where the views would share a crop: then the second ones share another."""
    views = {name: mv.GraphView(view="rgb", modality=name) for name in ("first", "second")}
    setup = mv.Graph(views=views, edges=(mv.GraphEdge(("first", "second"), mv.CoMM(), crop=crop),)).setup()
    draws = [view.crop.name for view in setup.views.values()]
    assert len(setup.views) == 4
    assert len(set(draws)) == (4 if crop == "own" else 2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("graph") / "tiny.yaml"
    file.write_text(TINY)
    return file


def test_a_file_trains_and_its_run_is_loaded(tiny: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert command("train", str(tiny), "--data", str(scenes), "--out", str(out)) == 0
    trained = mv.load(out)
    assert list(trained.setup.graph.named_edges()) == ["photo-depth_2", "photo-ab", "depth-depth_2", "photo-depth-ab"]
    assert mv.Graph.from_yaml(out / "config.yaml").views["photo"].modality == "image"


def test_a_resumed_run_ends_like_an_unbroken_one(tiny: Path, scenes: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    words = ("train", str(tiny), "--data", str(scenes), "--save_every", "1")
    assert command(*words, "--out", str(whole)) == 0
    assert command(*words, "--out", str(broken)) == 0
    newest = sorted((broken / "checkpoints").glob("step-*"))[-1]
    for path in sorted(newest.rglob("*"), reverse=True):
        path.unlink()
    newest.rmdir()
    assert command("train", "graph", "--resume", "--out", str(broken)) == 0
    assert_same_end(whole, broken)
