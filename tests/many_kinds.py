"""A store with every kind of values, with absent ones, and untrained models of its views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

import multiview as mv
from multiview.data.modality import ANY, Modality
from multiview.data.source import Plan, Row
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.encoder import Encoder
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.setup import with_statistics

MODALITIES = (
    Modality(name="image", kind="image", dtype="uint8", shape=(12, 12, 3), unit="sRGB"),
    Modality(name="depth", kind="depth", dtype="float32", shape=(12, 12), unit="m"),
    Modality(name="audio", kind="audio", dtype="int16", shape=(ANY,), unit="full scale", rate=8000.0),
    Modality(name="series", kind="series", dtype="float32", shape=(9, 3), unit="g", rate=10.0),
    Modality(name="table", kind="table", dtype="float32", shape=(4,), unit="", names=("a", "b", "c", "d")),
    Modality(name="text", kind="text", dtype="uint8", shape=(12,), unit="UTF-8"),
)
OPTIONS = {"series": {"channels": 3}, "table": {"columns": 4}, "logmel": {"bands": 8, "window": 0.016}}
ENCODERS = {
    "rgb": "convnet",
    "depth": "resnet18",
    "waveform": "waveconv",
    "logmel": "convnet",
    "series": "resnet1d",
    "table": "mlp",
    "text": "text",
}


@dataclass(frozen=True)
class Many:
    """Random values; every third sample has no depth, and every fourth no text."""

    count: int = 30
    names: tuple[str, ...] = ("image", "depth", "audio", "series", "table", "text")

    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        splits = ["train"] * 20 + ["test"] * (self.count - 20)
        rows = [
            Row(f"s{n}", label="ab"[n % 2], split=splits[n], factors={"size": n / 2} if n % 2 else {})
            for n in range(self.count)
        ]
        return Plan(rows, tuple(each for each in MODALITIES if each.name in self.names), self.read)

    def read(self, number: int) -> Mapping[str, np.ndarray]:
        rng = np.random.default_rng(number)
        sample = {
            "image": rng.integers(0, 256, (12, 12, 3), dtype="uint8"),
            "depth": rng.uniform(0, 9, (12, 12)).astype("float32"),
            "audio": rng.integers(-9000, 9000, 900 + 10 * number).astype("int16"),
            "series": rng.normal(size=(9, 3)).astype("float32"),
            "table": rng.normal(size=4).astype("float32"),
            "text": np.frombuffer(f"text {number}".encode().ljust(12, b"\0"), "uint8"),
        }
        absent = [name for name, every in (("depth", 3), ("text", 4)) if number % every == 0]
        return {name: value for name, value in sample.items() if name in self.names and name not in absent}


@dataclass(frozen=True)
class Leaky(Many):
    """Sample 21 is almost sample 20, and 22 is exactly 2; the groups of eight cross the splits."""

    def plan(self, root: Path | None) -> Plan:
        plan = super().plan(root)
        groups = [{"place": f"p{n // 8}"} if n != 29 else {} for n in range(self.count)]
        return replace(plan, rows=[replace(row, groups=g) for row, g in zip(plan.rows, groups, strict=True)])

    def read(self, number: int) -> Mapping[str, np.ndarray]:
        if number == 22:
            return super().read(2)
        if number != 21:
            return super().read(number)
        sample = dict(super().read(20))
        return sample | {"image": np.clip(sample["image"].astype(int) + 1, 0, 255).astype("uint8")}


def make(out: Path, source: object = None) -> Store:
    return Store.open(preprocess(source or Many(), None, out).out)  # type: ignore[arg-type]


def view(name: str, crop: mv.Crop | None = None) -> mv.View:
    return mv.make_view(name, crop or mv.Crop(size=10, seconds=0.1), **OPTIONS.get(name, {}))


def trained_of(
    store: Store,
    views: Mapping[str, mv.View],
    encoders: Mapping[str, Encoder | str],
    graph: mv.ContrastGraph | None = None,
    folder: Path | None = None,
) -> mv.Trained:
    """A run of no steps: random weights, and the statistics of the store."""
    graph = graph or mv.ContrastGraph.full(views, mv.CMC())
    setup = mv.Setup(views, encoders, graph)
    setup = with_statistics(setup, store, Situation(samples=20, per_rank=4, ranks=1))
    torch.manual_seed(1)
    model = MultiviewModel(setup.encoders, setup.graph).eval()
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_(0, 0.1)
    return mv.Trained(setup, model, store, folder=folder)


def encoder(view_name: str, value: mv.View) -> Encoder:
    return mv.make_encoder(ENCODERS[view_name], value.channels.count, width=0.25, seed=3)


def of_names(store: Store, *names: str) -> mv.Trained:
    """A run of these views, each with an encoder of its own."""
    views = {name: view(name) for name in names}
    return trained_of(store, views, {name: encoder(name, value) for name, value in views.items()})
