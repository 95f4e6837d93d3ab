"""A small source of noise with absent, broken and equal samples, and its store."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from multiview.data.modality import ANY, Modality
from multiview.data.source import BadSample, Plan, Row
from multiview.data.write.finish import Report
from multiview.data.write.preprocess import preprocess

KINDS = (
    Modality(name="image", kind="image", dtype="uint8", shape=(6, 6, 3), unit="sRGB"),
    Modality(name="sound", kind="audio", dtype="int16", shape=(ANY,), unit="", rate=100),
)


@dataclass(frozen=True)
class Toy:
    """Noise with absent samples; every 25th equals the 20th before it. `fatal` ends its process."""

    count: int = 60
    bad: int = 17
    fatal: int = -1

    needs_input: ClassVar[bool] = False

    def plan(self, root: Path | None) -> Plan:
        rows = [
            Row(f"s{n}", label="ab"[n % 2], split=("train", "test")[n % 3 > 1], factors={"group": n // 6})
            for n in range(self.count)
        ]
        return Plan(rows, KINDS, self.read)

    def read(self, number: int) -> Mapping[str, np.ndarray]:
        if number == self.fatal:
            os._exit(9)
        if number % self.bad == 1:
            raise BadSample(f"toy-{number}: broken")
        content = number - 20 if number and number % 25 == 0 else number
        rng = np.random.default_rng(content)
        image = rng.integers(0, 256, (6, 6, 3), dtype="uint8")
        sound = rng.integers(-99, 99, 20 + content, dtype="int16")
        return {"image": image, "sound": sound} if content % 7 else {"image": image}


def make(out: Path, source: object = None, **options: object) -> Report:
    return preprocess(source or Toy(), None, out, name="toy", **{"shard_rows": 8, "max_bad": 0.2, **options})  # type: ignore[arg-type]


def hashes(out: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def undivided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "store"
    make(out)
    return out
