"""Small runs of recipes, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import torch

from multiview import plugins
from multiview.distributed import free_port
from multiview.launch import exit_code
from multiview.train import loop
from multiview.train.checkpoint import newest
from multiview.train.step import Parts

ROOT = Path(__file__).parents[1]
RECIPES = ("cmc_lab", "cmc_rgbd", "moco", "simclr", "simsiam", "mixed")
FAST = ["--batch", "16", "--steps", "6", "--size", "16", "--log_every", "1", "--knn_every", "0", "--width", "0.25"]
FAST += ["--threads", "1", "--evaluate", "false"]


def run(recipe: str, data: Path, out: Path, *words: str) -> int:
    """Trains a recipe for six steps, three per epoch, in this process; returns the exit code."""
    return exit_code(plugins.load("recipes", recipe), ["--data", str(data), "--out", str(out), *FAST, *words])


def two_processes() -> list[str]:
    """The command that launches what follows it on two processes."""
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    return [*launch, "--main_process_port", str(free_port())]  # older versions of accelerate wait at port 0


def on_two_processes(recipe: str, data: Path, out: Path, *words: str) -> list[str]:
    """The command that trains the same run on two processes."""
    script = str(ROOT / f"recipes/{recipe}.py")
    return [*two_processes(), script, "--data", str(data), "--out", str(out), *FAST, *words]


def losses(out: Path) -> list[dict]:
    """The lines of metrics.jsonl."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@contextmanager
def before_step(step: int, act: Callable[[Parts], None]) -> Iterator[None]:
    """Calls `act(parts)` when the given step of a run that is trained in the block begins."""
    original = loop.contrast_step

    def seen(parts, batch, now, *others, **named):
        if now == step:
            act(parts)
        return original(parts, batch, now, *others, **named)

    loop.contrast_step = seen
    try:
        yield
    finally:
        loop.contrast_step = original


def signal_in_step(step: int, number: int = signal.SIGINT) -> AbstractContextManager[None]:
    """Sends this process a signal in the given step of the run that is trained in the block."""
    return before_step(step, lambda _: os.kill(os.getpid(), number))


def assert_same_end(one: Path, other: Path) -> None:
    """The newest checkpoints of two runs agree in every bit."""
    _, ours, state, _ = newest(one / "checkpoints")
    _, theirs, expected, _ = newest(other / "checkpoints")
    assert state == expected
    assert ours.keys() == theirs.keys() == {"memory", "model", "optimiser"}
    for file, tensors in theirs.items():
        assert tensors.keys() == ours[file].keys()
        for name, value in tensors.items():
            assert torch.equal(value, ours[file][name]), f"{file}: {name}"


def assert_same_losses(one: Path, other: Path) -> None:
    """Both runs logged every step once, with the same losses in every bit."""
    first, second = losses(one), losses(other)
    assert [line["step"] for line in first] == [line["step"] for line in second] == list(range(1, len(first) + 1))
    names = [name for name in first[-1] if name.startswith("loss")]
    assert names
    assert [[line.get(name) for name in names] for line in first] == [
        [line.get(name) for name in names] for line in second
    ]
