"""Runs that are killed (kill -9) at chosen moments and continued end like undisturbed runs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import run
from torture.ends import differences

KILLS = 25


@pytest.mark.slow
def test_runs_that_are_killed_end_as_if_they_had_not_been(capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-m", "torture.aimed", "--kills", str(KILLS), "--seed", "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"\n{KILLS} kills -9: " in done.stdout
    assert int(re.findall(r"(\d+) in saves", done.stdout)[0]) > 0
    assert int(re.findall(r"(\d+) runs reached their end", done.stdout)[0]) > 0
    assert done.stdout.endswith(": 0 differences\n")
    with capsys.disabled():
        print("\n" + done.stdout)


@pytest.fixture(scope="module")
def ended(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps."""
    out = tmp_path_factory.mktemp("ended") / "run"
    assert run("cmc_lab", scenes, out, "--steps", "2") == 0
    return out


def other_loss(copy: Path) -> None:
    lines = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    lines[-1]["loss"] += 1e-15
    (copy / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def other_step(copy: Path) -> None:
    lines = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join(lines[:-1]))


def other_warning(copy: Path) -> None:
    (copy / "health.jsonl").write_text('{"step": 1}\n')


def other_evaluation(copy: Path) -> None:
    (copy / "evaluation.json").write_text("{}")


@pytest.mark.parametrize("change", [other_loss, other_step, other_warning, other_evaluation])
def test_a_difference_is_found(change: Callable[[Path], None], ended: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(ended, tmp_path / "copy")
    assert differences(copy, ended) == []
    change(copy)
    assert len(differences(copy, ended)) == 1


def test_another_run_is_found(ended: Path, scenes: Path, tmp_path: Path) -> None:
    assert run("cmc_lab", scenes, tmp_path / "other", "--steps", "2", "--seed", "1") == 0
    found = differences(tmp_path / "other", ended)
    assert any(text.startswith("model: ") for text in found)
    assert any(text.startswith("memory: ") for text in found)
    assert any(text.startswith("metrics.jsonl: step 1: ") for text in found)
