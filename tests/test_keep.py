"""`--keep best:MEASURE`: the best checkpoint of the validation split is the result of the run."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from small_runs import losses, run, signal_in_step

import multiview as mv
from multiview.errors import MultiviewError
from multiview.train.best import FOLDER, result_folder
from multiview.train.checkpoint import newest

WORDS = ("--knn_every", "1", "--keep", "best:retrieval")


def measured(out: Path) -> dict[int, float]:
    """Step -> the mean R@1 of all pairs of views."""
    found = {}
    for line in losses(out):
        values = [value for name, value in line.items() if name.startswith("retrieval/")]
        if values:
            found[line["step"]] = sum(values) / len(values)
    return found


@pytest.fixture(scope="module")
def whole(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("keep") / "whole"
    assert run("cmc_lab", scenes, out, *WORDS) == 0
    return out


def test_the_best_checkpoint_is_the_result(whole: Path) -> None:
    values = measured(whole)
    assert list(values) == [3, 6]
    best = max(values, key=lambda step: values[step])  # of equal values the first
    saved = newest(result_folder(whole))
    assert result_folder(whole) == whole / FOLDER
    assert (saved.state["step"], saved.state["best"]) == (best, {"measure": "retrieval", "value": values[best]})
    assert len(list((whole / FOLDER).iterdir())) == 1
    trained = mv.load(whole)
    assert trained.steps == best
    assert trained.notes == ()
    assert all(torch.equal(x, saved.tensors["model"][name]) for name, x in trained.model.state_dict().items())


@pytest.mark.parametrize("step", [3, 4])
def test_it_survives_stop_and_resume(step: int, whole: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with signal_in_step(step):
        assert run("cmc_lab", scenes, out, *WORDS) == 128 + signal.SIGINT
    assert run("cmc_lab", scenes, out, *WORDS, "--resume") == 0
    assert measured(out) == measured(whole)
    ours, theirs = (newest(result_folder(folder)) for folder in (out, whole))
    assert ours.state["step"] == theirs.state["step"]
    assert all(torch.equal(x, theirs.tensors["model"][name]) for name, x in ours.tensors["model"].items())


def test_last_is_the_default_and_ignores_the_best(whole: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("cmc_lab", scenes, out, "--keep", "last") == 0
    assert result_folder(out) == out / "checkpoints"
    assert not (out / FOLDER).exists()


@pytest.mark.parametrize(
    ("keep", "every", "words"),
    [
        ("best", 1, "keep is 'best'; give 1 or more newest checkpoints, last, best:retrieval"),
        ("best:loss", 1, "keep is 'best:loss'"),
        (0, 1, "keep is 0"),
        ("best:knn", 0, "--keep best:knn needs measurements in training"),
    ],
)
def test_mistakes(keep: int | str, every: int, words: str) -> None:
    with pytest.raises(MultiviewError, match=words):
        mv.Train(keep=keep, knn_every=every)


def test_an_unmeasured_name_is_a_mistake(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cmc_lab", scenes, tmp_path / "run", "--knn_every", "1", "--keep", "best:retrieval/L") == 2
    assert "retrieval/L -> ab" in " ".join(capsys.readouterr().err.split())
