"""The first losses of every recipe, on small data, in float64.

Every recipe trains by `multiview train RECIPE` with float64 as PyTorch's default type: weights,
embeddings and losses are float64; picture conversions, spectrograms and banks stay float32. Total
losses are read where backward() is called, losses of edges from metrics.jsonl.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from goldens import STORE, command

STEPS = 20
SHORT = ["--steps", str(STEPS), "--batch", "8", "--log_every", "1", "--knn_every", "0", "--threads", "1"]
SHORT += ["--workers", "0", "--evaluate", "false"]
SMALL = ["--size", "14", "--width", "0.1"]
MFEAT = {"fac": 216, "fou": 76, "kar": 64, "mor": 6, "pix": 240, "zer": 47}
STRONG = ["--augment.brightness", "0.8", "--augment.contrast", "0.8", "--augment.saturation", "0.8"]
STRONG += ["--augment.hue", "0.5", "--augment.grey", "0.3"]
"""The colour changes that were the default of three recipes when the losses were recorded."""
OWN = ["--draw", "sample", "--start", "random"]
"""The draw of negatives and first rows that were the defaults of four recipes at the recording."""
ADAMW = ["--train.optimizer.name", "adamw", "--train.optimizer.lr", "0.001", "--train.optimizer.per", "null"]
ADAMW += ["--train.optimizer.weight_decay", "1e-4"]
"""The optimiser that was the default of `simsiam` when the losses were recorded."""
RECIPES: dict[str, tuple[str, list[str]]] = {
    "cmc_lab": ("pictures", [*SMALL, *OWN]),
    "cmc_rgbd": ("pictures", [*SMALL, *OWN]),
    "image_sound": ("sounds", ["--size", "14", "--width", "0.1", "--seconds", "0.2", "--sound_encoder", "null"]),
    "mixed": (
        "pictures",
        [*SMALL, "--cmc.draw", "sample", "--cmc.start", "random", "--simsiam.dim", "32", "--simsiam.predictor", "8"],
    ),
    "moco": ("pictures", [*SMALL, *STRONG, "--queue", "32"]),
    "nyu_rgbd": ("pictures", SMALL),
    "simclr": ("pictures", [*SMALL, *STRONG]),
    "simsiam": ("pictures", [*SMALL, *STRONG, *ADAMW, "--objective.dim", "32", "--predictor", "8"]),
    "six_tables": ("tables", ["--width", "0.1", *OWN]),
    "spoken_letters": ("sounds", ["--width", "0.1", "--seconds", "0.2"]),
    "stl10_lab": ("pictures", [*SMALL, "--encoder", "convnet", "--negatives", "16"]),
}
"""Recipe -> its data, and options that make it quick."""


def losses(recipe: str, folder: Path) -> dict[str, list[float]]:
    """Every step's `total` in float64 and `loss/EDGE` in float32, as metrics.jsonl has them.

    folder: where `write_data` wrote, and where the run is put.
    """
    data = STORE if RECIPES[recipe][0] == "pictures" else folder / RECIPES[recipe][0]
    out = folder / f"run-{recipe}"
    words = ["train", recipe, "--data", str(data), "--out", str(out), *SHORT, *RECIPES[recipe][1]]
    with float64(), watched_losses() as total:
        assert command(*words) == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text("utf8").splitlines()]
    edges = sorted(name for name in lines[-1] if name.startswith("loss/"))
    # While its queue is empty, an edge of MoCo has no loss; it was recorded as 0.
    return {"total": total} | {name: [line.get(name, 0.0) for line in lines] for name in edges}


@contextmanager
def float64() -> Iterator[None]:
    """PyTorch with float64 as its default type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def watched_losses() -> Iterator[list[float]]:
    """The values of all scalars whose gradient PyTorch is asked for, in order."""
    seen: list[float] = []
    original = torch.autograd.backward

    def noting(tensors, *others, **named):
        assert tensors.dtype == torch.float64
        seen.append(tensors.item())
        return original(tensors, *others, **named)

    torch.autograd.backward = noting
    try:
        yield seen
    finally:
        torch.autograd.backward = original


def write_data(folder: Path) -> None:
    """Writes the stores `sounds` and `tables` of random numbers; `pictures` is committed."""
    rng = np.random.default_rng(0)
    facts = {"y": np.arange(40) // 2 % 4, "split": np.array(["train", "train", "train", "test"] * 10)}
    sounds = {name: rng.integers(-9000, 9000, (40, 2000), "int16") for name in ("audio", "first", "second")}
    image = rng.integers(0, 256, (40, 14, 14, 3), "uint8")
    np.savez(folder / "sounds.npz", **facts, **sounds, image=image)
    tables = {name: rng.random((40, width), "float32") for name, width in MFEAT.items()}
    np.savez(folder / "tables.npz", **facts, **tables)
    kinds = "{image: image, 'audio:audio': audio, 'first:audio': first, 'second:audio': second}"
    for name, words in (("sounds", ["--rate", "8000", "--modalities", kinds]), ("tables", [])):
        store = ["preprocess", "arrays", str(folder / f"{name}.npz"), str(folder / name), "--workers", "1"]
        assert command(*store, "--view_statistics", "false", *words) == 0
