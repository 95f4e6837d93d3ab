"""The recipe `auto` on a store: options replace what is chosen, and the run keeps the choice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from goldens import command
from small_runs import assert_same_end

from multiview.data.load.open_data import open_data
from multiview.data.store.reading import Store
from multiview.errors import MultiviewError
from multiview.graphs.held import holdings_of
from multiview.launch import parse_recipe
from multiview.recipe_origin import recipe_of
from multiview.recipes.auto import Auto
from multiview.recipes.graph import GraphRecipe


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with pictures, a table with a constant column, labels, and a number of each row."""
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (80, 16, 16, 3), np.uint8)
    table = np.concatenate([rng.normal(size=(80, 3)), np.ones((80, 1))], axis=1).astype(np.float32)
    classes, grey = rng.integers(0, 2, 80), np.repeat(pictures[..., :1], 3, axis=3)
    file = tmp_path_factory.mktemp("auto") / "things.npz"
    np.savez(file, image=pictures, sketch=grey, numbers=table, kind=classes, row=np.arange(80), y=classes)
    return file


@pytest.fixture(scope="module")
def store(arrays: Path) -> Store:
    return open_data(str(arrays), arrays.parent / "cache", say=lambda text: None)


def test_what_a_store_holds_is_measured(store: Store) -> None:
    found = {each.name: each for each in holdings_of(store).held}
    assert (found["image"].coloured, found["sketch"].coloured) == (True, False)
    assert (found["numbers"].width, found["numbers"].changing) == (4, (0, 1, 2))
    assert (found["kind"].role, found["row"].role, found["numbers"].role) == ("label", "id", "")
    assert found["image"].side == 16


def recipe_for(store: Store, *words: str) -> GraphRecipe:
    recipe, _ = parse_recipe(Auto, [f"--data={store.path}", *words], "auto").for_data(store)
    assert type(recipe) is GraphRecipe
    return recipe


OPTIONS: dict[str, tuple[list[str], Callable[[GraphRecipe], object], object]] = {
    "steps": (["--train.steps", "7"], lambda each: (each.train.steps, each.train.batch), (7, 32)),
    "the usual value": (["--batch", "128"], lambda each: each.train.batch, 128),
    "a part of the optimiser": (
        ["--lr=0.5"],
        lambda each: (each.train.optimizer.lr, each.train.optimizer.name),
        (0.5, "adamw"),
    ),
    "size": (["--crop.size", "12"], lambda each: (each.crop.size, each.crop.scale), (12, (0.7, 1.0))),
    "one key of a view": (["--views.image.size", "8"], lambda each: each.graph.views["image"].size, 8),
    "views": (
        ["--views", "L,numbers=table:numbers:columns=4"],
        lambda each: [edge.label for edge in each.graph.edges],
        ["L-numbers"],
    ),
    "edges": (["--edges", "image-numbers: moco"], lambda each: [edge.label for edge in each.graph.edges], None),
    "encoders": (
        ["--encoders", "numbers=mlp:width=0.5"],
        lambda each: each.graph.views["numbers"].encoder_options,
        {"width": 0.5},
    ),
    "topology": (["--topology", "chain"], lambda each: len(each.graph.edges), 2),
    "objective": (
        ["--objective", "vicreg"],
        lambda each: (type(each.graph.objective).__name__, {edge.objective for edge in each.graph.edges}),
        ("VICReg", {None}),
    ),
    "an option of one edge": (
        ["--edges.image-sketch.weight", "3"],
        lambda each: each.graph.edges[0].weight,
        3,
    ),
}


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "edges"])
def test_the_options_of_a_graph_replace_what_is_chosen(name: str, store: Store) -> None:
    words, read, expected = OPTIONS[name]
    assert read(recipe_for(store, *words)) == expected


def test_edges_of_the_user_must_name_all_views(store: Store) -> None:
    with pytest.raises(MultiviewError, match="sketch"):
        recipe_for(store, *OPTIONS["edges"][0])
    words = ("--views", "image=rgb:image,sketch=grey:sketch", "--edges", "image-sketch: moco")
    assert [type(edge.objective).__name__ for edge in recipe_for(store, *words).graph.edges] == ["MoCo"]


def test_options_in_python_replace_what_is_chosen(store: Store) -> None:
    import multiview as mv

    recipe, lines = Auto(data=str(store.path), train=mv.Train(steps=5), given=("train.batch",)).for_data(store)
    assert (recipe.train.steps, recipe.train.batch, recipe.train.optimizer.name) == (5, 128, "adamw")
    assert any(line.startswith("row") and "looks like an id" in line for line in lines)


def test_without_data_there_is_no_graph() -> None:
    with pytest.raises(MultiviewError, match="when it has read the data"):
        Auto().build()


TINY = ("--train.workers=0", "--train.threads=1", "--train.knn_every=0", "--evaluate=false", "--train.save_every=1")


def test_a_run_is_one_of_a_graph_and_resumes_to_the_bit(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["train", "auto", f"--data={store.path}", *TINY, "--train.optimizer.schedule=constant"]
    assert command(*data, f"--out={tmp_path / 'whole'}", "--train.steps=6") == 0
    assert command(*data, f"--out={tmp_path / 'parts'}", "--train.steps=3") == 0
    kept = recipe_of(tmp_path / "parts")
    assert type(kept) is GraphRecipe
    monkeypatch.setattr("multiview.graphs.auto.choose", None)  # later rules would choose otherwise
    monkeypatch.setattr("multiview.graphs.auto_words.choose", None)
    assert command("train", "auto", f"--out={tmp_path / 'parts'}", "--resume", "--train.steps=6") == 0
    assert recipe_of(tmp_path / "parts").graph == kept.graph  # type: ignore[attr-defined]
    assert_same_end(tmp_path / "parts", tmp_path / "whole")
    capsys.readouterr()


def test_plan_prints_a_graph_file(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("train", "auto", f"--data={store.path}", "--plan", "--train.threads=1") == 0
    said = capsys.readouterr().out.partition("The graph file:\n")[2].partition("\nViews\n")[0]
    of_file = of_text(said, tmp_path)
    assert of_file.graph == recipe_for(store).graph
    assert of_file.train.batch == 32
    assert (of_file.seed, of_file.weights) == (0, None)


def of_text(text: str, folder: Path) -> GraphRecipe:
    (folder / "graph.yaml").write_text(text)
    recipe = parse_recipe(GraphRecipe, [str(folder / "graph.yaml")], "graph")
    assert isinstance(recipe, GraphRecipe)
    return recipe


def test_the_printed_file_repeats_first_weights_and_seed(store: Store, tmp_path: Path) -> None:
    """Without them, the saved file would start from random weights without a word."""
    auto = parse_recipe(Auto, [f"--data={store.path}", "--weights=L=a.pth", "--seed=7", "--plan"], "auto")
    assert isinstance(auto, Auto)
    said = "\n".join(auto.for_data(store)[1]).partition("The graph file:\n")[2]
    of_file = of_text(said, tmp_path)
    assert (of_file.weights, of_file.seed) == ("L=a.pth", 7)


@pytest.mark.parametrize("weights", ["a.pth", "photo=a.pth,depth=b.pth"])
def test_a_graph_takes_the_weights_of_the_recipe(weights: str) -> None:
    words = ["--views", "photo=rgb,depth", "--edges", "photo-depth: cmc", "--weights", weights]
    recipe = parse_recipe(GraphRecipe, words, "graph")
    assert recipe.weights == weights


def test_a_series_without_a_rate_needs_no_preprocessing(tmp_path: Path) -> None:
    imu = np.random.default_rng(0).normal(size=(40, 3, 30)).astype(np.float32)
    np.savez(tmp_path / "walk.npz", accelerometer=imu, gyroscope=imu[::-1])
    said: list[str] = []
    opened = open_data(str(tmp_path / "walk.npz"), tmp_path / "cache", say=said.append)
    assert {(each.kind, each.shape, each.rate) for each in opened.manifest.modalities} == {("series", (30, 3), 1.0)}
    assert any("one step of a series counts as one second" in line for line in said)
    gyroscope = recipe_for(opened).graph.views["gyroscope"]
    assert (gyroscope.share, gyroscope.encoder, gyroscope.encoder_options) == (None, "seriesconv", {"frames": 32})


def test_folders_of_the_samples_of_a_csv_are_views(tmp_path: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for artist in ("anna", "bert", "carl"):
        (tmp_path / "art" / artist).mkdir(parents=True)
        for number in range(20):
            Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)).save(
                tmp_path / "art" / artist / f"{number}.png"
            )
    rows = "".join(f"{number},{'train' if number < 15 else 'test'}\n" for number in range(20))
    (tmp_path / "art" / "labels.csv").write_text(f"id,split\n{rows}")
    opened = open_data(str(tmp_path / "art"), tmp_path / "cache", say=lambda text: None)
    assert (opened.manifest.splits["train"], len(opened)) == (15, 20)
    graph = recipe_for(opened).graph
    assert [view.share for view in graph.views.values()] == [None, "anna", "anna"]
    assert {edge.crop for edge in graph.edges} == {"own"}


def test_the_report_says_what_runs(store: Store) -> None:
    words = [f"--data={store.path}", "--train.batch=16", "--steps=3", "--crop.size=12"]
    _, lines = parse_recipe(Auto, words, "auto").for_data(store)
    assert any(line.startswith("budget") and "batch 16" in line and ": 3 steps" in line for line in lines)
    assert any(line.startswith("crop") and "12 px" in line and "named by you" in line for line in lines)
