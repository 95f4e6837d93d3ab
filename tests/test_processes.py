"""Two processes train one run and stop together; one process may resume the run of two."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from small_runs import ROOT, losses, on_two_processes, run

import multiview as mv
from multiview.data.load.sampler import Batches
from multiview.measure import from_json
from multiview.train import processes
from multiview.train.checkpoint import newest
from multiview.train.processes import start

ENVIRONMENT = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}


def test_processes_that_do_not_know_of_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        mv.MultiviewError, match="ACCELERATE_USE_CPU=true accelerate launch --multi_gpu --num_processes 2"
    ):
        start(mv.Train(), "recipes/x.py")


def test_threads_are_those_of_the_user_and_not_those_of_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "available_cores", lambda: 8)
    for name in ("OMP_NUM_THREADS", "ACCELERATE_MIXED_PRECISION", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert processes._usual_threads(2) == 4
    assert processes._usual_threads(16) == 1
    for asked, threads in (("3", 3), ("0", 4), ("4,2", 4)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert processes._usual_threads(2) == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert processes._usual_threads(2) == 4, "accelerate launch sets OMP_NUM_THREADS=1 by itself"


def launched(words: list[str]) -> str:
    """What the processes of a launcher write to standard error."""
    done = subprocess.run(words, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def unlaunched(words: list[str]) -> str:
    """The same of two processes that have what the launcher gives them, without its start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    place |= ENVIRONMENT | {"ACCELERATE_MIXED_PRECISION": "no"}
    ranks = [place | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(words, env=env, **options) for env in ranks]
    said = [process.communicate(timeout=240)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    return "".join(said)


def without_launcher(warm: list[str], data: Path, out: Path, *words: str) -> list[str]:
    """What each of two processes runs that `unlaunched` starts."""
    command = on_two_processes("mixed", data, out, *words)
    return [*warm, *command[command.index(str(ROOT / "recipes/mixed.py")) :]]


def test_two_processes_have_the_losses_of_one(warm: list[str], scenes: Path, tmp_path: Path) -> None:
    """With sync_bn. Without it each batch norm sees half the batch: the losses differ by 2 %."""
    two, one = tmp_path / "two", tmp_path / "one"
    unlaunched(without_launcher(warm, scenes, two, "--sync_bn", "true"))
    assert run("mixed", scenes, one, "--sync_bn", "true") == 0
    ours, theirs = ([_losses_in(line) for line in losses(out)] for out in (two, one))
    assert theirs[-1].keys() == {"loss", "loss/L-ab", "loss/L-depth", "loss/L-normal", "loss/depth-normal"}
    assert len(ours) == len(theirs) == 6
    for a, b in zip(ours, theirs, strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-5)


def _losses_in(line: dict) -> dict[str, float]:
    return {name: value for name, value in line.items() if name.startswith("loss") and value is not None}


@pytest.mark.parametrize("start", [unlaunched, pytest.param(launched, marks=pytest.mark.slow)])
def test_two_processes_write_one_run_and_its_scores(
    start: Callable[[list[str]], str], warm: list[str], scenes: Path, tmp_path: Path
) -> None:
    two, words = tmp_path / "two", ("--evaluate", "true")
    command = on_two_processes("mixed", scenes, two, *words)
    said = start(without_launcher(warm, scenes, two, *words) if start is unlaunched else command)
    assert "Warning" not in said
    assert [line["step"] for line in losses(two)] == [1, 2, 3, 4, 5, 6]
    together = from_json((two / "evaluation.json").read_text())
    alone = mv.load(two).evaluate()
    assert [(row.features, row.view, row.knn, row.linear) for row in together] == [
        (row.features, row.view, row.knn, row.linear) for row in alone
    ]


@pytest.mark.slow
def test_two_processes_stop_together_and_one_process_resumes(scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    stopped_at(on_two_processes("moco", scenes, out, "--steps", "5000"), out, 3, one_worker, signal.SIGUSR1)
    command = on_two_processes("moco", scenes, out, "--steps", "5000", "--resume")
    before = newest(out / "checkpoints").state["step"]
    stopped_at(command, out, before + 2, launcher, signal.SIGTERM)
    step = newest(out / "checkpoints").state["step"]
    assert losses(out)[-1]["step"] == step > before
    assert run("moco", scenes, out, "--resume", "--steps", str(step + 3)) == 0
    assert [line["step"] for line in losses(out)] == list(range(1, step + 4))
    assert queue_ids(out) == newest_samples(step + 3)


@pytest.mark.slow
def test_training_stops_when_its_launcher_has_ended(scenes: Path, tmp_path: Path) -> None:
    """SIGTERM ends a single-process `accelerate launch` but not the process that trains."""
    out = tmp_path / "run"
    command = [*on_two_processes("moco", scenes, out, "--steps", "5000")]
    command[command.index("2")] = "1"
    command.remove("--multi_gpu")
    stopped_at(command, out, 2, launcher, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while not list((out / "checkpoints").glob("step-*")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert newest(out / "checkpoints").state["step"] == losses(out)[-1]["step"] < 5000


def stopped_at(command: list[str], out: Path, step: int, whom, number: int) -> None:
    """Starts a run, sends the signal when it has logged `step`, and waits for its end."""
    with subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.DEVNULL) as running:
        deadline = time.monotonic() + 180
        while not (out / "metrics.jsonl").exists() or losses(out)[-1:] == [] or losses(out)[-1]["step"] < step:
            assert running.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(whom(running.pid), number)
        running.wait(timeout=120)
    assert running.returncode != 0


def launcher(pid: int) -> int:
    return pid


def one_worker(pid: int) -> int:
    """The process of rank 1, which gets the signal and tells rank 0."""
    ranks = {child.environ().get("RANK"): child.pid for child in psutil.Process(pid).children(recursive=True)}
    return ranks["1"]


def queue_ids(out: Path) -> list[int]:
    """Samples in the queue, oldest first."""
    memory = newest(out / "checkpoints").tensors["memory"]
    ids, pointer = (next(x for name, x in memory.items() if name.endswith(f".{end}")) for end in ("ids", "pointer"))
    return torch.roll(ids, -int(pointer)).tolist()


def newest_samples(steps: int) -> list[int]:
    """The last 56 of the samples that one process would have seen in so many steps."""
    batches = Batches(56, 16, 0)
    seen = [i for step in range(steps) for i in next(batches.for_epoch(*divmod(step, 3))).tolist()]
    return seen[-56:]


TWO_MACHINES = """
import json, os, sys
from pathlib import Path

import torch

from multiview.launch import main
from multiview.recipes.cmc_lab import CmcLab as Recipe
from multiview.train import loop

rank, step = int(os.environ["RANK"]), loop.contrast_step
seeded = torch.manual_seed
torch.manual_seed = lambda seed: seeded(seed + rank)  # another machine, other random numbers

def noted(parts, *others, **named):
    before = [float(x.double().abs().sum()) for x in parts.model.parameters()]
    with open(f"weights-{rank}.jsonl", "a") as file:
        print(json.dumps(before), file=file)
    return step(parts, *others, **named)

loop.contrast_step = noted
main(Recipe, [*sys.argv[1:], "--out", str(Path(f"machine-{rank}") / "run")])
"""


@pytest.mark.slow
def test_two_machines_with_folders_of_their_own_train_the_same_weights(scenes: Path, tmp_path: Path) -> None:
    """The weights before each step are equal, although both machines draw other random numbers."""
    script = tmp_path / "train.py"
    script.write_text(TWO_MACHINES)
    words = on_two_processes("cmc_lab", scenes, tmp_path, "--steps", "3")
    del words[words.index("--out") : words.index("--out") + 2]
    words[next(i for i, word in enumerate(words) if word.endswith("cmc_lab.py"))] = str(script)
    done = subprocess.run(
        words, env=ENVIRONMENT, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    first, second = ((tmp_path / f"weights-{rank}.jsonl").read_text().splitlines() for rank in (0, 1))
    assert len(first) == 3
    assert first == second
    assert len(set(first)) > 1, "the weights are trained"
    assert (tmp_path / "machine-0" / "run" / "checkpoints").is_dir()
    assert not (tmp_path / "machine-1" / "run" / "checkpoints").exists()
