"""A mistake in a graph ends in one sentence with its place, and in exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from goldens import command
from safetensors.torch import save_file

TWO = "views: {L: , ab: }\n"
THREE = "views: {L: , ab: , depth: }\n"
BAD: dict[str, tuple[str, int | None, tuple[str, ...]]] = {
    "empty file": ("", 1, ("a graph file is a mapping", "empty")),
    "a list": ("- L\n- ab\n", 1, ("a graph file is a mapping", "a list")),
    "a text": ("L and ab\n", 1, ("a graph file is a mapping",)),
    "tab": ("views:\n\tL: \n", 2, ("a tab", "spaces")),
    "tab within": ("views:\n  L: \n  ab:\t- x: 1\n", 3, ("no YAML",)),
    "duplicate view": ("views:\n  L: \n  ab: \n  L: \n", 4, ("'L' occurs twice", "line 2")),
    "duplicate key": (f"{TWO}seed: 1\nseed: 2\n", 3, ("'seed' occurs twice",)),
    "anchor bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nviews: *b\n", 1, ("anchors",)),
    "alias": ("views:\n  L: {size: 8}\n  ab: *nothing\n", 3, ("aliases",)),
    "tag": ("views: !!python/object:os.system {}\n", 1, ("tags",)),
    "two documents": (f"{TWO}---\n{TWO}", 2, ("several documents",)),
    "unclosed": ("views: {L: , ab:\n", None, ("no YAML",)),
    "a second colon": (f"{TWO}topology: core: L\n", 2, ("quotes",)),
    "nested too deeply": (f"views: {'[' * 40}{']' * 40}\n", 1, ("levels deep",)),
    "a list as a key": ("? [L, ab]\n: 1\n", 1, ("a mapping or a list", "name")),
    "unknown key at the top": ("view: {L: }\n", 1, ("'view' is not a key of a graph file", "'views'")),
    "unknown option of training": (f"{TWO}train: {{epoch: 3}}\n", 2, ("epoch", "epochs")),
    "wrong kind of an option": (f"{TWO}train:\n  batch: ten\n", 3, ("a whole number", "ten")),
    "value out of range": (f"{TWO}train:\n  epochs: 0\n", 3, ("epochs is 0", "1 or more")),
    "no views": ("seed: 1\n", None, ("no graph to train", "--views")),
    "views are null": ("views:\n", 1, ("no views",)),
    "views are a number": ("views: 3\n", 1, ("views is 3", "mapping")),
    "a view is a number": ("views:\n  L: 3\n  ab: \n", 2, ("view 'L' is 3",)),
    "bad name of a view": ("views:\n  left-eye: {view: rgb}\n", 2, ("'left-eye'", "underscores")),
    "unknown view": ("views:\n  L: \n  labb: \n", 3, ("'labb' is not a view", "'lab'")),
    "unknown registered view": ("views:\n  L: \n  x: {view: depht}\n", 3, ("'depht'", "'depth'")),
    "unknown encoder": ("views:\n  L: {encoder: resnet19}\n  ab: \n", 2, ("'resnet19'", "'resnet18'")),
    "timm without a model": ("views:\n  L: {encoder: timm}\n  ab: \n", 2, ("timm:MODEL",)),
    "unknown option of a view": ("views:\n  L: {sise: 3}\n  ab: \n", 2, ("'sise'", "'size'")),
    "option of another view": ("views:\n  L: {bands: 3}\n  ab: \n", 2, ("'bands'",)),
    "unknown option of an encoder": (
        "views:\n  L: {encoder: {name: convnet, widht: 2}}\n  ab: \n",
        2,
        ("'widht'", "'width'"),
    ),
    "an option of both": (
        "views:\n  flow: {encoder: mlp, std: 1, depth: 3}\n  video: {encoder: flow}\n",
        3,
        ("'flow' is not an encoder",),
    ),
    "kind of an option of a view": (
        "views:\n  l: {view: logmel, bands: many}\n  ab: \n",
        2,
        ("bands is 'many'", "whole"),
    ),
    "table without columns": ("views:\n  a: {view: table}\n  ab: \n", 2, ("columns",)),
    "size of a wrong kind": ("views:\n  L: {size: big}\n  ab: \n", 2, ("size is 'big'", "whole number")),
    "size out of range": ("views:\n  L: {size: 0}\n  ab: \n", 2, ("size is 0",)),
    "scale out of range": ("views:\n  L: {scale: [0.5, 2]}\n  ab: \n", 2, ("scale",)),
    "unknown option of the crop": (f"{TWO}crop: {{sice: 3}}\n", 2, ("sice", "size")),
    "crop is a number": (f"{TWO}crop: 32\n", 2, ("crop is 32",)),
    "unknown augmentation": ("views:\n  L: {augment: simclar}\n  ab: \n", 2, ("'simclar'", "'simclr'")),
    "unknown option of augment": ("views:\n  L: {augment: {hu: 0.1}}\n  ab: \n", 2, ("hu", "hue")),
    "train of an encoder": ("views:\n  L: {train: frozn}\n  ab: \n", 2, ("frozn", "'frozen'")),
    "lr_scale": ("views:\n  L: {lr_scale: -1}\n  ab: \n", 2, ("lr_scale is -1",)),
    "last no blocks": ("views:\n  L: {train: last 0 blocks}\n  ab: \n", 2, ("last N blocks",)),
    "share of a missing view": ("views:\n  L: \n  ab: {share: LL}\n", 3, ("'LL' is not a view", "'L'")),
    "share in a circle": ("views:\n  L: {share: ab}\n  ab: {share: L}\n", 2, ("circle", "L -> ab -> L")),
    "share with an encoder": ("views:\n  L: \n  ab: {share: L, encoder: convnet}\n", 3, ("shares the encoder of 'L'",)),
    "share of other channels": ("views:\n  L: \n  ab: {share: L}\n", 3, ("2 channels", "1 channel")),
    "unknown objective": (f"{TWO}edges:\n  - L - ab: cmcc\n", 3, ("'cmcc'", "'cmc'")),
    "unknown objective of the graph": (f"{TWO}objective: cmcc\n", 2, ("'cmcc'", "'cmc'")),
    "unknown option of an objective": (
        f"{TWO}edges:\n  - L - ab: {{objective: cmc, temprature: 1}}\n",
        3,
        ("temperature",),
    ),
    "option of another objective": (
        f"{TWO}edges:\n  - L - ab: {{objective: simclr, queue: 8}}\n",
        3,
        ("queue", "moco"),
    ),
    "kind of an option of an objective": (
        f"{TWO}edges:\n  - L - ab:\n      objective: cmc\n      dim: wide\n",
        5,
        ("dim is 'wide'", "whole number"),
    ),
    "range of an option of an objective": (
        f"{TWO}edges:\n  - L - ab: {{objective: cmc, temperature: 0}}\n",
        3,
        ("temperature",),
    ),
    "edge to nothing": (f"{TWO}edges:\n  - L - depht: cmc\n", 3, ("'depht' is not a view of this graph",)),
    "edge of one view": (f"{TWO}edges:\n  - L: cmc\n  - L - ab\n", 3, ("joins 1 view",)),
    "edge that is a number": (f"{TWO}edges:\n  - 3\n", 3, ("an edge is 3",)),
    "edges are a number": (f"{TWO}edges: 3\n", 2, ("edges is 3",)),
    "edge with options beside it": (f"{TWO}edges:\n  - L - ab:\n    weight: 2\n", 3, ("indent",)),
    "edge twice": (f"{TWO}edges:\n  - L - ab: cmc\n  - ab - L: cmc\n", 4, ("occurs twice",)),
    "self edge twice": (f"{TWO}edges:\n  - L - L: cmc\n  - L - L: cmc\n  - L - ab\n", 4, ("occurs twice",)),
    "view without an edge": (f"{THREE}edges:\n  - L - ab: cmc\n", 1, ("'depth' is in no edge",)),
    "hyperedge with an objective of pairs": (
        f"{THREE}edges:\n  - L - ab - depth: cmc\n",
        3,
        ("CMC contrasts two views",),
    ),
    "pair with an objective of many": (f"{TWO}edges:\n  - L - ab: symile\n", 3, ("three views or more",)),
    "weight 0": (f"{TWO}edges:\n  - L - ab: {{objective: cmc, weight: 0}}\n", 3, ("weight is 0", "above 0")),
    "weight below 0": (f"{TWO}edges:\n  - L - ab: {{weight: -2}}\n", 3, ("weight is -2",)),
    "weight is a text": (f"{TWO}edges:\n  - L - ab: {{weight: heavy}}\n", 3, ("weight is 'heavy'",)),
    "weight without end": (f"{TWO}edges:\n  - L - ab: {{weight: .inf}}\n", 3, ("weight is inf",)),
    "crop of an edge": (f"{TWO}edges:\n  - L - ab: {{crop: 3}}\n", 3, ("crop is 3",)),
    "schedule of a wrong kind": (f"{TWO}edges:\n  - L - ab: {{schedule: 2}}\n", 3, ("schedule is 2",)),
    "schedule of one weight": (f"{TWO}edges:\n  - L - ab: {{schedule: {{weight: [1]}}}}\n", 3, ("list of 2",)),
    "shape of a schedule": (f"{TWO}edges:\n  - L - ab: {{schedule: {{shape: lineal}}}}\n", 3, ("lineal", "'linear'")),
    "both topology and edges": (f"{TWO}topology: full\nedges:\n  - L - ab\n", 2, ("a topology", "leave out")),
    "unknown topology": (f"{TWO}topology: ful\n", 2, ("'ful'", "'full'")),
    "centre that is missing": (f"{TWO}topology: core:photo\n", 2, ("'photo' is not a view",)),
    "centre of a chain": (f"{TWO}topology: chain:L\n", 2, ("no centre",)),
    "joint with an objective of pairs": (
        f"{THREE}topology: joint\nobjective: cmc\n",
        None,
        ("CMC contrasts two views",),
    ),
    "two widths on an edge": (
        "views:\n  L: {dim: 8}\n  ab: {dim: 16}\n",
        None,
        ("8 of 'L' and 16 of 'ab'", "one width"),
    ),
    "augmentations in a list": ("views:\n  L: {augment: [simclr]}\n  ab: \n", 2, ("augment is a list", "simclr")),
    "size without end": ("views:\n  L: {size: 99999999999}\n  ab: \n", 2, ("size is 99999999999", "at most 32768")),
    "training without options": (f"{TWO}train:\n", 2, ("train is empty", "epochs")),
    "another dim in the edge": (
        "views:\n  L: {dim: 64}\n  ab:\nedges:\n  - L - ab:\n      objective: cmc\n      dim: 32\n",
        5,
        ("edge L-ab: dim is 32, and dim of its view 'L' is 64", "leave out one"),
    ),
    "a view in short form": (
        "views:\n  left: {view: 'rgb:image'}\n  ab: \n",
        2,
        ("'rgb:image' names a view and its modality", "{view: rgb, modality: image}", "`left: rgb:image`"),
    ),
    "dim 0": ("views:\n  L: {dim: 0}\n  ab: \n", 2, ("dim is 0",)),
}
LATER: dict[str, tuple[str, int, tuple[str, ...]]] = {
    "weights that are missing": (
        "views:\n  ab: \n  L: {weights: none.pt}\n",
        3,
        ("view 'L': there is no file none.pt",),
    ),
    "a run that is missing": (
        "views:\n  ab: \n  L:\n    size: 8\n    weights: runs/none:ab\n",
        5,
        ("view 'L'", "runs/none"),
    ),
    "too many blocks": ("views:\n  ab: \n  L: {train: last 99 blocks}\n", 3, ("view 'L'", "last 4 blocks")),
    "width 0 of an encoder": ("views:\n  ab: \n  L:\n    size: 8\n    width: 0\n", 5, ("view 'L'", "width")),
    "unknown model of timm": ("views:\n  ab: \n  L: {encoder: 'timm:resnet99'}\n", 3, ("view 'L'", "'resnet99'")),
    "encoder of other axes": ("views:\n  ab: \n  L: {encoder: mlp}\n", 3, ("view 'L': this MLP", "use an encoder")),
    "modality that is missing": ("views:\n  ab: \n  L: {modality: photo}\n", 3, ("view 'L' reads 'photo'",)),
    "table under another name": ("views:\n  ab: \n  t: {view: table, columns: 3}\n", 3, ("view 't' reads 'table'",)),
    "more negatives than samples": (
        f"{TWO}edges:\n  - L - ab: {{objective: cmc, negatives: 9999}}\n",
        3,
        ("edge L-ab", "9999"),
    ),
    "matryoshka wider than the embedding": (
        f"{TWO}objective:\n  name: simclr\n  matryoshka: [16, 999]\n",
        4,
        ("matryoshka is (16, 999)",),
    ),
}
WORDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "unknown view in an option": ("--views.phota.size 8", ("--views.phota.size", "'phota'")),
    "unknown option of a view in an option": ("--views.L.sice 8", ("--views.L.sice", "'size'")),
    "unknown edge in an option": ("--edges.L-depth.weight 2", ("--edges.L-depth.weight", "'L-depth' is not an edge")),
    "wrong weight in an option": ("--edges.L-ab.weight 0", ("--edges.L-ab.weight", "weight is 0")),
    "encoder of an unknown view": ("--encoders x=convnet", ("--encoders", "'x' is not a view")),
    "encoder of no view": ("--encoders convnet", ("VIEW=ENCODER",)),
    "unknown encoder in an option": ("--encoders L=convnat", ("--encoders", "'convnet'")),
    "a view twice": ("--views L,ab,L", ("'L' occurs twice",)),
    "width of no view": ("--width 0.25", ("--width", "--views.photo.width")),
    "option without a value": ("--views", ("--views needs a value",)),
    "unknown topology in an option": ("--topology ful", ("--topology", "'full'")),
    "unknown objective in an option": ("--objective cmcc", ("--objective", "'cmc'")),
    "edges that are no YAML": ("--edges {L-ab", ("--edges", "no YAML")),
    "a second file that is missing": ("--config none.yaml", ("none.yaml", "no such file")),
}


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The message of a command that ends with exit code 2."""
    assert command("train", *words, "--plan") == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("case", BAD)
def test_a_bad_graph_is_one_sentence_with_its_line(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text, line, wanted = BAD[case]
    Path("graph.yaml").write_text(text)
    message = said(["graph.yaml", "--data", "scenes:40"], capsys)
    assert [part for part in wanted if part not in message] == [], message
    if line is not None:
        assert message.startswith(f"error: graph.yaml:{line}: "), message


@pytest.mark.parametrize("case", LATER)
def test_a_mistake_that_is_found_with_the_data_has_its_line_too(
    case: str, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    text, line, wanted = LATER[case]
    Path("graph.yaml").write_text(text)
    message = said(["graph.yaml", "--data", str(scenes)], capsys)
    assert message.startswith(f"error: graph.yaml:{line}: "), message
    assert [part for part in wanted if part not in message] == [], message


@pytest.mark.parametrize("case", WORDS)
def test_a_bad_option_is_one_sentence_with_its_name(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("graph.yaml").write_text(TWO)
    words, wanted = WORDS[case]
    message = said(["graph.yaml", *words.split()], capsys)
    assert [part for part in wanted if part not in message] == [], message


@pytest.mark.parametrize(
    ("more", "option"),
    [
        (("--encoders", "L=convnet", "--views.L.weights", "own/other.safetensors"), "--views.L.weights"),
        (("--views.L.weights", "own/other.safetensors", "--encoders", "L=convnet"), "--views.L.weights"),
        (("--views.L.weights", "none.pt", "--encoders", "L=convnet"), "--views.L.weights"),
        (
            ("--views.L.width", "0.25", "--views.L.train", "last 99 blocks", "--encoders", "L=convnet"),
            "--views.L.train",
        ),
        (("--encoders", "L=timm:resnet99", "--views.L.train", "frozen"), "--encoders"),
    ],
)
def test_a_mistake_in_one_option_of_a_view_names_that_option(
    more: tuple[str, ...],
    option: str,
    scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("own").mkdir()
    save_file({"stem.weight": torch.zeros(2, 1, 3, 3), "other": torch.zeros(2)}, "own/other.safetensors")
    message = said(["graph", "--views", "L,ab", *more, "--data", str(scenes)], capsys)
    assert message.startswith(f"error: {option}: "), message


def test_a_file_that_is_not_utf8_or_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("graph.yaml").write_bytes(b"views:\n  caf\xe9: \n")
    assert "graph.yaml:2: this is not UTF-8" in said(["graph.yaml"], capsys)
    Path("graph.yaml").write_text("# " + "x" * (2 << 20))
    assert "more than" in said(["graph.yaml"], capsys)
    assert "no such file" in said(["none.yaml"], capsys)


def test_there_are_many_bad_graphs() -> None:
    assert len(BAD) + len(WORDS) >= 40
