"""A run that is killed at thirty random moments (kill -9) ends like an undisturbed run."""

from __future__ import annotations

import multiprocessing
import random
import signal
import sys
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from small_runs import assert_same_end, assert_same_losses, losses, run

KILLS = 30
STEPS = 600
SAVE_EVERY = ["--save_every", "2", "--steps", str(STEPS), "--epochs", str(STEPS)]


def train(data: Path, out: Path, resume: bool) -> None:
    """Starts or continues the run in its own process."""
    sys.exit(run("cmc_lab", data, out, *SAVE_EVERY, *(["--resume"] if resume else [])))


def started(data: Path, out: Path) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["multiview.run", "multiview.recipes.cmc_lab"])
    process = context.Process(target=train, args=(data, out, (out / "config.yaml").exists()))
    process.start()
    return process


def logged(out: Path) -> int:
    """The number of lines of metrics, complete or not."""
    file = out / "metrics.jsonl"
    return len(file.read_bytes().splitlines()) if file.exists() else 0


def wait_for_a_moment(chance: random.Random, process: BaseProcess, out: Path) -> None:
    """Waits for some steps and a random moment; one time in five, for less than a second."""
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0, 1))
        return
    goal = logged(out) + chance.randrange(1, 25)
    while logged(out) < goal and process.is_alive():
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.03))


@pytest.mark.slow
def test_a_run_killed_thirty_times_ends_as_if_it_had_not_been(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, broken, chance, saving = tmp_path / "whole", tmp_path / "broken", random.Random(0), 0
    for _ in range(KILLS):
        process = started(scenes, broken)
        wait_for_a_moment(chance, process, broken)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL, "the run ended before it could be killed: give it more STEPS"
        saving += any((broken / "checkpoints").glob(".step-*"))
    last = started(scenes, broken)
    last.join()
    assert last.exitcode == 0
    assert run("cmc_lab", scenes, whole, *SAVE_EVERY) == 0
    assert losses(broken)[-1]["step"] == STEPS
    assert_same_end(broken, whole)
    assert_same_losses(broken, whole)
    with capsys.disabled():
        print(f"\n{KILLS} kills, {saving} of them while a checkpoint was written: bit-identical to the unbroken run")
