"""What is measured while a run goes on: first the untrained weights, then what training lost."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from goldens import command

import multiview as mv
from multiview.graphs import Graph
from multiview.jsonlines import read_lines
from multiview.measure import online
from multiview.measure.labelled_splits import watched_splits
from multiview.measure.online import FALLEN, Watch, fallen_text, watched_note
from multiview.recipes.cmc_lab import CmcLab
from multiview.recipes.graph import GraphRecipe
from multiview.train.duration import amount, shortest
from multiview.train.runfolder import HEALTH
from multiview.train.shared_crops import shared_crop_notes, views_of_one_place

SHORT = ["--train.batch", "16", "--train.threads", "1", "--train.workers", "0", "--evaluate", "false"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two series of 60 samples without labels, and a run of 6 steps on them."""
    path = tmp_path_factory.mktemp("online")
    random = np.random.default_rng(0)
    walks = random.standard_normal((60, 2, 3, 24)).cumsum(3).astype(np.float32)
    split = np.array(["train"] * 40 + ["test"] * 20)
    np.savez(path / "walks.npz", ankle=walks[:, 0], hip=walks[:, 0] + walks[:, 1] / 9, split=split)
    words = ["--data", str(path / "walks.npz"), "--cache", str(path / "cache"), "--steps", "6", *SHORT]
    assert command("train", "auto", *words, "--out", str(path / "run")) == 0
    return path


def lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "run/metrics.jsonl").read_text("utf8").splitlines()]


def test_a_run_measures_its_untrained_weights_first(folder: Path) -> None:
    first, *others = lines(folder)
    assert first["step"] == 0
    assert 0 <= first["recall/ankle-hip"] <= 1
    assert [line["step"] for line in others if "recall/ankle-hip" in line] == [6]


def test_auto_writes_the_kinds_that_it_found(folder: Path) -> None:
    config = (folder / "run/config.yaml").read_text("utf8")
    assert "seriesconv" in config
    assert "masked: 0.1" in config


class Counted:
    """A store of which only the number of samples of each split is asked."""

    def __init__(self, **counts: int) -> None:
        self.split_names, self.count, self.manifest = tuple(counts), counts.__getitem__, self
        self.splits = counts


@pytest.mark.parametrize(
    ("counts", "first", "note"),
    [
        ({"train": 65, "val": 3, "test": 7}, "test", "the validation split holds 3 samples, fewer than 10. They show"),
        ({"train": 65, "val": 10, "test": 700}, "val", ""),
        ({"train": 65, "val": 3, "test": 2}, "val", ""),
        ({"train": 65, "val": 3}, "val", ""),
        ({"train": 65, "val": 0, "test": 7}, "test", "the validation split holds no samples"),
        ({"train": 65, "test": 7}, "test", "the test samples are measured while the run trains"),
        ({"train": 65}, "train", "They show how well it fits its data."),
    ],
)
def test_a_run_is_watched_on_validation_samples_and_other_splits_are_named(
    counts: dict[str, int], first: str, note: str
) -> None:
    store: Any = Counted(**counts)
    assert watched_splits(store)[0] == first
    said = watched_note(store, first)
    assert note in said
    assert bool(said) == (first != "val")
    assert set(watched_splits(store, ("val",))) <= {"val", "train"}
    assert "test" in counts or "test" not in watched_splits(store)


def series(path: Path, splits: dict[str, int], labelled: bool) -> Path:
    """A file of two series in these splits."""
    count = sum(splits.values())
    walks = np.random.default_rng(0).standard_normal((count, 2, 3, 24)).cumsum(3).astype(np.float32)
    names = [name for name, n in splits.items() for _ in range(n)]
    label = {"y": np.arange(count) % 2} if labelled else {}
    np.savez(path / "walks.npz", ankle=walks[:, 0], hip=walks[:, 1], split=np.array(names), **label)
    return path / "walks.npz"


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize(("splits", "word"), [((40, 12, 20), "(val)"), ((40, 3, 7), "(test)")])
def test_the_line_of_a_run_names_the_split(
    labelled: bool, splits: tuple[int, int, int], word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = series(tmp_path, dict(zip(("train", "val", "test"), splits, strict=True)), labelled)
    words = ["--data", str(data), "--cache", str(tmp_path / "cache"), "--steps", "2", *SHORT]
    assert command("train", "auto", *words, "--out", str(tmp_path / "run")) == 0
    said = capsys.readouterr().out
    kind = "kNN" if labelled else "R@1"
    assert f"untrained  {kind} {word}  " in said
    assert ("the test samples are measured while the run trains" in " ".join(said.split())) == (word == "(test)")


def test_test_samples_never_choose_the_best_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = series(tmp_path, {"train": 40, "val": 12, "test": 20}, labelled=True)
    held = dict(np.load(data))
    held["y"] = np.where(held["split"] == "val", 0, held["y"])  # one class: kNN would go to the test samples
    np.savez(data, **held)
    words = ["--data", str(data), "--cache", str(tmp_path / "cache"), "--steps", "2", *SHORT]
    assert command("train", "auto", *words, "--train.keep=best:knn", "--out", str(tmp_path / "run")) == 2
    assert "'knn' is not a measure of the validation split" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run/best").exists()


def watch_of(file: Path | None) -> Watch:
    """A watch that sees L fall."""
    return seeing({"knn/L": (500, 460), "knn/ab": (400, 410)}, 1000, file)


def seeing(right: Mapping[str, tuple[int, int]], count: int, file: Path | None = None) -> Watch:
    """A watch of `count` samples of which so many were right untrained, and are right now."""
    watch = Watch(trained=None, device=None, file=file)  # type: ignore[arg-type]
    hits = [{name: np.arange(count) < each[when] for name, each in right.items()} for when in (0, 1)]
    watch.untrained = hits[0]
    watch._measured = lambda _: hits[1]  # type: ignore[method-assign]
    return watch


@pytest.mark.parametrize(
    ("count", "first", "now", "said"),
    [(11, 11, 10, False), (36, 13, 11, False), (36, 30, 12, True), (1000, 500, 480, False), (1000, 500, 460, True)],
)
def test_a_few_samples_that_are_lost_are_chance(count: int, first: int, now: int, said: bool) -> None:
    assert bool(seeing({"knn/L": (first, now)}, count).look(50, 100)[1]) == said


def test_what_training_lost_is_said_once_and_written_down(tmp_path: Path) -> None:
    file = tmp_path / HEALTH
    watch = watch_of(file)
    assert watch.look(10, 100)[1] == ""
    assert "kNN of L 46.0 % (untrained 50.0 %)." in watch.look(50, 100)[1]
    assert watch.look(60, 100)[1] == ""
    (line,) = read_lines(file, "")
    assert (line["step"], line["symptom"], line["of"]) == (50, FALLEN, "L")
    assert line["text"].startswith("training has lost what the untrained weights had: kNN of L 46.0 %")


def test_a_resumed_run_does_not_say_again_what_it_wrote_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / HEALTH
    watch_of(file).look(50, 100)
    monkeypatch.setattr(online, "untrained_model", lambda *_: None)
    monkeypatch.setattr(online, "replace", lambda value, **_: value)
    again = watch_of(file)
    again._measured = lambda _: {"knn/L": np.arange(100) < 50}  # type: ignore[method-assign]
    again.start()
    again._measured = lambda _: {"knn/L": np.arange(100) < 10}  # type: ignore[method-assign]
    assert again.look(70, 100) == ({"knn/L": 0.1}, "")
    assert len(read_lines(file, "")) == 1


def test_other_processes_say_and_write_nothing_more() -> None:
    assert "kNN of L" in watch_of(None).look(50, 100)[1]
    assert "R@1 of a-b 1.0 % (untrained 9.0 %)." in fallen_text({"recall/a-b": (0.09, 0.01)})


OF_OPTIONS = GraphRecipe(views={"L": {}, "ab": {}})


def test_edges_whose_crop_gives_the_pairs_away_are_named() -> None:
    text = "views: {photo: {view: rgb, width: 0.1}, depth: {width: 0.1}}\nedges:\n- photo - depth: "
    shared, own = (Graph.from_yaml(text + edge).setup() for edge in ("simclr", "{objective: simclr, crop: own}"))
    (note,) = shared_crop_notes(shared, OF_OPTIONS)
    assert note.startswith("edge photo-depth: SimCLR takes its negatives from the batch, and both views have one")
    assert note.endswith("Give --edges.photo-depth.crop own, or write `crop: own` for this edge in a graph file.")
    of_bank = Graph.from_yaml(text + "cmc").setup()
    assert shared_crop_notes(own, OF_OPTIONS) == shared_crop_notes(of_bank, OF_OPTIONS) == []
    assert views_of_one_place(shared) == views_of_one_place(of_bank) == {"photo", "depth"}
    assert views_of_one_place(own) == set()


def test_edges_of_one_objective_share_one_note() -> None:
    text = "views: {photo: {view: rgb, width: 0.1}, depth: {width: 0.1}, L: {width: 0.1}}\ntopology: full"
    (note,) = shared_crop_notes(Graph.from_yaml(text).setup(), OF_OPTIONS)
    assert note.startswith("edges photo-depth, photo-L, depth-L: SimCLR takes")
    assert "--edges.photo-L.crop own --edges.depth-L.crop own, or write" in note
    assert note.endswith("`crop: own` for each of these edges in a graph file.")


def test_what_is_said_about_crops_of_python_is_python_and_works() -> None:
    """The sentence is executed: with what it says, there is nothing left to say."""
    views = {name: mv.GraphView(encoder_options={"width": 0.25}) for name in ("L", "ab")}
    (note,) = shared_crop_notes(mv.Graph(views=views).setup(), mv.Recipe())
    typed = re.search(r"Type mv\.Graph\(\.\.\., (edges=\[.*\])\)\.$", note)
    assert typed, note
    assert "graph file" not in note
    graph = eval(f"mv.Graph(views=views, {typed[1]})", {"mv": mv, "views": views})
    assert shared_crop_notes(graph.setup(), mv.Recipe()) == []


@pytest.mark.parametrize(("recipe", "words"), [(mv.Recipe(), "Give the views"), (CmcLab(), "train graph")])
def test_a_setup_without_a_graph_in_words_is_told_of_crops(recipe: mv.Recipe, words: str) -> None:
    crop = mv.Crop(size=16)
    views = {"L": mv.views.Lab.lightness(crop), "ab": mv.views.Lab.chroma(crop)}
    encoders = {"L": mv.make_encoder("convnet", 1), "ab": mv.make_encoder("convnet", 2)}
    setup = mv.Setup(views, encoders, mv.ContrastGraph.full(views, mv.SimCLR()))
    (note,) = shared_crop_notes(setup, recipe)
    assert words in note
    assert note.endswith("crops of different names: mv.Crop(name='L'), mv.Crop(name='ab').")
    own = {name: replace(view, crop=mv.Crop(size=16, name=name)) for name, view in views.items()}
    assert shared_crop_notes(replace(setup, views=own), recipe) == []


def test_the_option_that_is_named_gives_own_crops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["graph", "--data", "scenes:24", "--cache", str(tmp_path), "--views", "L,ab", "--plan"]
    assert command("train", *words) == 0
    assert "--edges.L-ab.crop own" in " ".join(capsys.readouterr().out.split())
    assert command("train", *words, "--edges.L-ab.crop", "own") == 0
    assert "takes its negatives" not in capsys.readouterr().out


def test_a_short_pass_that_was_interrupted_is_timed_again() -> None:
    times = iter([0.9, 0.6, 0.6, 0.01, 1.2, 0.001])
    assert shortest(lambda: next(times)) == 0.01
    assert next(times) == 0.001
    times = iter([5.0, 2.0, 1.0])
    assert shortest(lambda: next(times)) == 2.0


@pytest.mark.parametrize(("seconds", "text"), [(99, "99 seconds"), (240, "4 minutes"), (9000, "2.5 hours")])
def test_a_duration_in_words(seconds: float, text: str) -> None:
    assert amount(seconds) == text
