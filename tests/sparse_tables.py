"""Tables of which few rows have a label or the second view, and an untrained run on them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

import multiview as mv
from multiview.data.modality import Modality
from multiview.data.source import Plan, Row
from multiview.data.store.reading import Store
from multiview.data.write.preprocess import preprocess
from multiview.distributed import joined
from multiview.measure.evaluate import evaluate
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.setup import with_statistics
from multiview.trained import Trained

MODALITIES = tuple(Modality(name=name, kind="table", dtype="float32", shape=(3,), unit="") for name in ("one", "two"))


@dataclass(frozen=True)
class Sparse:
    """Tables of which few rows have a label. labels: split -> every how manieth row has one."""

    labels: Mapping[str, int]
    counts: Mapping[str, int] = field(default_factory=lambda: {"train": 400, "val": 40, "test": 40})
    two_every: int = 1

    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        places = [(split, i) for split in self.labels for i in range(self.counts[split])]
        rows = [Row(f"{split}{i}", label=self._label(split, i), split=split) for split, i in places]
        return Plan(rows, MODALITIES, self.read)

    def _label(self, split: str, i: int) -> str | None:
        every = self.labels[split]
        return "ab"[i // every % 2] if every and i % every == 0 else None

    def read(self, number: int) -> dict[str, np.ndarray]:
        values = np.random.default_rng(number).normal(size=3).astype("float32")
        return {"one": values, "two": values} if number % self.two_every == 0 else {"one": values}


def sparse(folder: Path, two_every: int = 1, shared: bool = False, **labels: int) -> Trained:
    """An untrained run on at most 400 train, 40 val and 40 test rows; both views hold equal values.

    shared: both views use one encoder, so that each finds the other.
    """
    if not folder.exists():
        preprocess(Sparse(labels, two_every=two_every), None, folder)
    store = Store.open(folder)
    views = {name: mv.make_view("table", mv.Crop(), modality=name, columns=3) for name in ("one", "two")}
    torch.manual_seed(0)
    encoders = {name: mv.make_encoder("mlp", 3) for name in views}
    if shared:
        views["two"] = mv.make_view("table", mv.Crop(), modality="two", columns=3)
    graph = mv.ContrastGraph.full(views, mv.SimCLR())
    setup = mv.Setup(views, {**encoders, "two": "one"} if shared else encoders, graph)
    setup = with_statistics(setup, store, Situation(400, 16))
    return Trained(setup, MultiviewModel(setup.encoders, setup.graph), store)


if __name__ == "__main__":  # FOLDER RANK PROCESSES: evaluates on several processes, the first one prints the rows
    with joined(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[1]) / "meeting"):
        rows = evaluate(sparse(Path(sys.argv[1]) / "store"))
        if sys.argv[2] == "0":
            print("rows", json.dumps([asdict(row) for row in rows]))
