"""A run that was stopped and resumed ends like an unbroken run, in every bit."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from small_runs import RECIPES, assert_same_end, assert_same_losses, losses, run, signal_in_step
from torture.ends import differences

import multiview as mv
from multiview.train.schedule import planned_steps


@pytest.mark.parametrize("recipe", RECIPES)
def test_resumed_equals_unbroken_bit_for_bit(recipe: str, scenes: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(recipe, scenes, whole) == 0
    with signal_in_step(4):  # the first of three steps of the second epoch
        assert run(recipe, scenes, broken) == 128 + signal.SIGINT
    assert [line["step"] for line in losses(broken)] == [1, 2, 3, 4]
    assert run(recipe, scenes, broken, "--resume") == 0
    assert_same_end(broken, whole)
    assert_same_losses(broken, whole)


@pytest.fixture(scope="module")
def unbroken(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("unbroken") / "run"
    assert run("mixed", scenes, out) == 0
    return out


@pytest.mark.parametrize(
    "step", [1, 3, pytest.param(2, marks=pytest.mark.slow), pytest.param(5, marks=pytest.mark.slow)]
)
def test_the_step_of_the_stop_does_not_matter(step: int, unbroken: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    with signal_in_step(step, signal.SIGTERM):
        assert run("mixed", scenes, out) == 128 + signal.SIGTERM
    assert run("mixed", scenes, out, "--resume") == 0
    assert_same_end(out, unbroken)
    assert_same_losses(out, unbroken)


@pytest.mark.parametrize("step", [3, pytest.param(4, marks=pytest.mark.slow), 6])
def test_every_epoch_is_measured_once(step: int, scenes: Path, tmp_path: Path) -> None:
    """Epochs end with steps 3 and 6. A run that is stopped there is measured when it goes on.

    Step 0 has the untrained encoders.
    """
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run("cmc_lab", scenes, whole, "--knn_every", "1") == 0
    with signal_in_step(step):
        assert run("cmc_lab", scenes, broken, "--knn_every", "1") == 128 + signal.SIGINT
    for _ in range(2):
        assert run("cmc_lab", scenes, broken, "--knn_every", "1", "--resume") == 0
        measured = [line for line in losses(broken) if "knn/L" in line]
        assert [line["step"] for line in measured] == [0, 3, 6]
        assert measured == [line for line in losses(whole) if "knn/L" in line]


@pytest.mark.parametrize(
    ("recipe", "step"),
    [
        ("cmc_lab", 4),
        ("mixed", 5),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in (("cmc_lab", 5), ("mixed", 4))),
    ],
)
def test_a_line_of_metrics_counts_the_steps_before_the_stop(
    recipe: str, step: int, scenes: Path, tmp_path: Path
) -> None:
    """The second epoch has the steps 4 to 6; the line of step 6 is their mean."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run(recipe, scenes, whole, "--log_every", "6") == 0
    with signal_in_step(step):
        assert run(recipe, scenes, broken, "--log_every", "6") == 128 + signal.SIGINT
    assert run(recipe, scenes, broken, "--log_every", "6", "--resume") == 0
    assert [line["step"] for line in losses(whole)] == [1, 6]
    assert differences(broken, whole) == []


def test_a_run_may_be_stopped_several_times_and_resumed_with_workers(
    unbroken: Path, scenes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    for step, workers in ((2, "1"), (3, "0"), (5, "2")):
        resumed = ["--resume"] if out.exists() else []
        with signal_in_step(step, signal.SIGUSR1):
            assert run("mixed", scenes, out, "--workers", workers, *resumed) == 128 + signal.SIGUSR1
    assert run("mixed", scenes, out, "--resume", "--workers", "0") == 0
    assert_same_end(out, unbroken)


def test_an_accumulation_is_finished_before_the_run_stops(scenes: Path, tmp_path: Path) -> None:
    """The optimiser moves after two batches; an epoch has three batches."""
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run("cmc_lab", scenes, whole, "--accumulate", "2") == 0
    with signal_in_step(3):
        assert run("cmc_lab", scenes, broken, "--accumulate", "2", "--save_every", "1") == 128 + signal.SIGINT
    assert losses(broken)[-1]["step"] == 4
    assert run("cmc_lab", scenes, broken, "--resume") == 0
    assert_same_end(broken, whole)
    assert_same_losses(broken, whole)


@pytest.mark.parametrize(("steps", "accumulate", "planned"), [(7, 2, 6), (None, 4, 28), (3, 1, 3)])
def test_a_run_ends_with_a_whole_accumulation(steps: int | None, accumulate: int, planned: int) -> None:
    assert planned_steps(mv.Train(epochs=10, steps=steps, accumulate=accumulate), per_epoch=3) == planned


def test_a_run_shorter_than_an_accumulation_is_refused() -> None:
    with pytest.raises(mv.MultiviewError, match="the optimiser would never move"):
        planned_steps(mv.Train(steps=1, accumulate=2), per_epoch=3)


def test_a_run_without_a_checkpoint_yet_begins_at_its_first_step(
    unbroken: Path, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.yaml").write_text((unbroken / "config.yaml").read_text())
    assert run("mixed", scenes, out, "--resume") == 0
    assert "has no checkpoint yet: the run begins at its first step" in capsys.readouterr().out
    assert_same_end(out, unbroken)


def test_a_resumed_run_keeps_its_options_and_prints_changed_ones(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from multiview import plugins
    from multiview.launch import exit_code

    out = tmp_path / "run"
    assert run("cmc_lab", scenes, out, "--steps", "3", "--objective.temperature", "0.3") == 0
    recipe = plugins.load("recipes", "cmc_lab")
    assert exit_code(recipe, ["--resume", "--out", str(out), "--steps", "4"]) == 0
    output = capsys.readouterr().out
    assert "resumed with a changed option: train.steps 3 -> 4" in output
    assert f"resumed {out} at step 3 of 4" in output
    config = (out / "config.yaml").read_text()
    assert "temperature: 0.3" in config
    assert [line["step"] for line in losses(out)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--batch", "8"], "trained with a batch of 16 and is resumed with 8"),
        (["--width", "0.5"], "does not fit this run: size mismatch"),
        (["--name", "sgd"], "trained with the optimiser adamw and is resumed with sgd"),
        (["--name", "lars"], "give --train.optimizer.name adamw, or start a new run"),
    ],
)
def test_a_run_is_not_resumed_with_another_model_or_batch(
    words: list[str], message: str, scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run("cmc_lab", scenes, out, "--steps", "1") == 0
    before = {path: path.read_bytes() for path in out.rglob("*.safetensors")}
    config = (out / "config.yaml").read_text()
    assert run("cmc_lab", scenes, out, "--resume", *words) == 2
    assert message in capsys.readouterr().err
    assert before == {path: path.read_bytes() for path in out.rglob("*.safetensors")}
    assert config == (out / "config.yaml").read_text(), "a refused resume records no options"


def test_other_data_is_refused(scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from multiview.data.sources.scenes import Scenes
    from multiview.data.write.preprocess import preprocess

    preprocess(Scenes(count=90, size=32), None, tmp_path / "more")
    assert run("cmc_lab", scenes, tmp_path / "run", "--steps", "1") == 0
    assert run("cmc_lab", tmp_path / "more", tmp_path / "run", "--resume") == 2
    assert "was trained on 56 samples and the data now has 63" in capsys.readouterr().err


def test_a_checkpoint_is_saved_after_save_minutes(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("cmc_lab", scenes, out, "--save_minutes", "0.0000001", "--keep", "9") == 0
    assert [path.name[-1] for path in sorted((out / "checkpoints").iterdir())] == list("123456")
