"""What is measured while a run goes on: first the untrained weights, then what training lost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from goldens import command

from multiview.graphs import Graph
from multiview.jsonlines import read_lines
from multiview.measure import online
from multiview.measure.online import FALLEN, Watch, fallen_text
from multiview.train.duration import amount, shortest
from multiview.train.runfolder import HEALTH
from multiview.train.shared_crops import shared_crop_notes

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
    assert [line["step"] for line in others if "recall/ankle-hip" in line] == [2, 4, 6]


def test_auto_writes_the_kinds_that_it_found(folder: Path) -> None:
    config = (folder / "run/config.yaml").read_text("utf8")
    assert "seriesconv" in config
    assert "masked: 0.1" in config


def watch_of(file: Path | None) -> Watch:
    """A watch that sees L fall."""
    watch = Watch(trained=None, device=None, file=file)  # type: ignore[arg-type]
    watch.untrained = {"knn/L": 0.5, "knn/ab": 0.4}
    watch._measured = lambda _: {"knn/L": 0.46, "knn/ab": 0.41}  # type: ignore[method-assign]
    return watch


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
    again._measured = lambda _: {"knn/L": 0.5}  # type: ignore[method-assign]
    again.start()
    again._measured = lambda _: {"knn/L": 0.1}  # type: ignore[method-assign]
    assert again.look(70, 100) == ({"knn/L": 0.1}, "")
    assert len(read_lines(file, "")) == 1


def test_other_processes_say_and_write_nothing_more() -> None:
    assert "kNN of L" in watch_of(None).look(50, 100)[1]
    assert "R@1 of a-b 1.0 % (untrained 9.0 %)." in fallen_text({"recall/a-b": (0.09, 0.01)})


def test_edges_whose_crop_gives_the_pairs_away_are_named() -> None:
    text = "views: {photo: {view: rgb, width: 0.1}, depth: {width: 0.1}}\nedges:\n- photo - depth: "
    shared, own = (Graph.from_yaml(text + edge).setup() for edge in ("simclr", "{objective: simclr, crop: own}"))
    (note,) = shared_crop_notes(shared)
    assert note.startswith("edge photo-depth: SimCLR takes its negatives from the batch, and both views have one")
    assert note.endswith("Write `crop: own` for this edge in a graph file.")
    assert shared_crop_notes(own) == shared_crop_notes(Graph.from_yaml(text + "cmc").setup()) == []


def test_edges_of_one_objective_share_one_note() -> None:
    text = "views: {photo: {view: rgb, width: 0.1}, depth: {width: 0.1}, L: {width: 0.1}}\ntopology: full"
    (note,) = shared_crop_notes(Graph.from_yaml(text).setup())
    assert note.startswith("edges photo-depth, photo-L, depth-L: SimCLR takes")
    assert note.endswith("Write `crop: own` for each of these edges in a graph file.")


def test_a_short_pass_that_was_interrupted_is_timed_again() -> None:
    times = iter([0.9, 0.6, 0.6, 0.01, 1.2, 0.001])
    assert shortest(lambda: next(times)) == 0.01
    assert next(times) == 0.001
    times = iter([5.0, 2.0, 1.0])
    assert shortest(lambda: next(times)) == 2.0


@pytest.mark.parametrize(("seconds", "text"), [(99, "99 seconds"), (240, "4 minutes"), (9000, "2.5 hours")])
def test_a_duration_in_words(seconds: float, text: str) -> None:
    assert amount(seconds) == text
