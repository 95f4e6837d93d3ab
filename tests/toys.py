"""A source of numbered noise, and stores made from it."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from multiview.data.modality import Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.data.write.finish import Report
from multiview.data.write.preprocess import preprocess

IMAGE = Modality(name="image", kind="image", dtype="uint8", shape=(8, 8, 3), unit="sRGB")


@dataclass(frozen=True)
class Toy:
    """Numbered noise. bad: every `bad`-th sample cannot be read. slow: seconds per sample."""

    count: int = 60
    bad: int = 0
    seed: int = 0

    needs_input: ClassVar[bool] = False
    slow: ClassVar[float] = 0.0

    def plan(self, root: Path | None) -> Plan:
        rows = [Row(f"{number}", label="ab"[number % 2], split="train") for number in range(self.count)]
        return Plan(rows, (IMAGE,), self.read, notes=("toys are numbered.",))

    def read(self, number: int) -> Mapping[str, np.ndarray]:
        time.sleep(self.slow)
        if self.bad and number % self.bad == 0:
            raise BadSample(f"toy-{number}.png: broken")
        return {"image": np.random.default_rng((self.seed, number)).integers(0, 256, (8, 8, 3), dtype="uint8")}


def make(out: Path, source: object = None, **options: object) -> Report:
    return preprocess(source or Toy(), None, out, **{"shard_rows": 10, **options})  # type: ignore[arg-type]


def hashes(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}
