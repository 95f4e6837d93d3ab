"""Reading a run folder as plain values."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from multiview.commands.compare import compare_runs
from multiview.errors import MultiviewError
from multiview.measure import Score, to_json
from multiview.runs import Run, read

SCORE = {"width": 8, "dim": 8, "knn": 0.5, "balanced": 0.6, "c": 1.0, "converged": True, "train": 40, "val": 8}
SCORE |= {"test": 20, "classes": 4, "majority": 0.3}
ROWS = [Score(features=name, view="L", linear=linear, **SCORE) for name, linear in (("trained", 0.9), ("raw", 0.4))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder with two records of metrics, two checkpoints and an evaluation."""
    from multiview.train.checkpoint import save

    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("data: scenes\ntrain:\n  epochs: 2\n")
    (run / "environment.json").write_text(json.dumps({"recipe": {"name": "any"}, "data": {"samples": 52}}))
    records = [{"step": 1, "loss": 2.0, "loss/a-b": 2.0, "std/a": 0.5}, {"step": 2, "loss": 1.5, "loss/a-b": 1.5}]
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    (run / "evaluation.json").write_text(to_json(ROWS))
    for step in (1, 2):
        save(run / "checkpoints", step, {}, {}, keep=2)
    return run


def test_a_run_is_read_as_plain_values(folder: Path) -> None:
    run = read(folder)
    assert run.config == {"data": "scenes", "train": {"epochs": 2}}
    assert run.environment["recipe"] == {"name": "any"}
    assert [record["loss"] for record in run.metrics] == [2.0, 1.5]
    assert run.health == {"a-b": {"loss": 1.5}, "a": {"std": 0.5}}
    assert run.evaluation is not None
    assert {(row.measure, row.weights, row.value) for row in run.evaluation} >= {("linear", "trained", 0.9)}
    assert run.checkpoints == (1, 2)


def test_a_run_is_read_without_torch_and_numpy(folder: Path) -> None:
    program = (
        "import sys, multiview.runs; run = multiview.runs.read(sys.argv[1]); assert run.checkpoints and run.evaluation;"
        "print([name for name in ('torch', 'numpy', 'h5py', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_cut_last_line_and_a_damaged_checkpoint_are_left_out(folder: Path) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "lo')
    (folder / "checkpoints/step-00000002/state.json").write_text("{}")
    (folder / "checkpoints/step-new").mkdir()
    run = read(folder)
    assert [record["step"] for record in run.metrics] == [1, 2]
    assert run.checkpoints == (1,)


def test_a_run_that_only_began_is_read(folder: Path) -> None:
    shutil.rmtree(folder / "checkpoints")
    (folder / "metrics.jsonl").unlink()
    (folder / "evaluation.json").unlink()
    assert read(folder) == Run(
        folder=folder, config=read(folder).config, environment=read(folder).environment, metrics=(), evaluation=None
    )
    assert read(folder).checkpoints == ()


@pytest.mark.parametrize("file", ["environment.json", "config.yaml"])
def test_another_folder_is_refused(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(MultiviewError, match=f"is no run folder: its {file} cannot be read: .* Type the folder that"):
        read(folder)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("metrics.jsonl", "{]\n", r"metrics\.jsonl is damaged .* remove the line"),
        ("evaluation.json", "{}", r"evaluation\.json: these are not evaluation scores .* multiview evaluate RUN"),
        ("segmentation.json", "{}", r"segmentation\.json: these are not evaluation scores"),
    ],
)
def test_a_damaged_file_is_named(folder: Path, file: str, text: str, message: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(MultiviewError, match=message):
        read(folder)


def test_runs_are_compared(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "other"))
    compare_runs([folder, other])
    assert "The encoders learned in 2 of 2 runs." in capsys.readouterr().out
    (other / "evaluation.json").unlink()
    with pytest.raises(MultiviewError, match=r"other has no evaluation\.json; run `multiview evaluate"):
        compare_runs([folder, other])
