"""What the campaign damages: pictures, sounds, a table, a store of each, and a finished run."""

from __future__ import annotations

import json
import random
import shutil
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = ("--batch", "8", "--size", "16", "--width", "0.25", "--threads", "1", "--workers", "0", "--log_every", "1")
SMALL += ("--knn_every", "0")
STEPS = 6


@dataclass(frozen=True)
class Ground:
    """Folders with undamaged things of every kind that the program reads."""

    root: Path

    @property
    def photos(self) -> Path:
        """A class tree of PNG and JPEG files, with `labels.csv`."""
        return self.root / "photos"

    @property
    def sounds(self) -> Path:
        """A class tree of WAV files."""
        return self.root / "sounds"

    @property
    def table(self) -> Path:
        """A CSV manifest with files, numbers and texts."""
        return self.root / "photos" / "table.csv"

    @property
    def store(self) -> Path:
        """Pictures of one size, as pixels, in three shards."""
        return self.root / "store"

    @property
    def mixed(self) -> Path:
        """A store with encoded pictures, numbers and texts."""
        return self.root / "mixed"

    @property
    def run(self) -> Path:
        """A finished and evaluated run on `store`."""
        return self.root / "run"


def train_words(data: Path, out: Path, steps: int = STEPS, *more: str) -> list[str]:
    """Words of a small training run that saves a checkpoint every second step."""
    words = ["train", "cmc_lab", "--data", str(data), "--out", str(out), *SMALL]
    return [*words, "--steps", str(steps), "--epochs", str(steps), "--save_every", "2", *more]


def made(root: Path) -> Ground:
    """Makes everything below `root`."""
    from multiview.cli import run

    ground = Ground(root)
    _pictures(ground.photos)
    _sounds(ground.sounds)
    (ground.table).write_text(_table(ground.photos))
    assert (
        run(["preprocess", "folder", str(ground.photos), str(ground.store), "--size", "24", "--shard_rows", "20"]) == 0
    )
    assert run(["preprocess", "manifest", str(ground.table), str(ground.mixed), "--shard_rows", "20"]) == 0
    _train(ground)
    return ground


def copied(source: Path, target: Path) -> Path:
    """A fresh copy of a folder."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def files_of(folder: Path) -> list[Path]:
    """The files below a folder, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _train(ground: Ground) -> None:
    from multiview.launch import exit_code
    from multiview.plugins import load

    words = train_words(ground.store, ground.run)[2:]
    assert exit_code(load("recipes", "cmc_lab"), words) == 0


def _pictures(folder: Path) -> None:
    draw = np.random.default_rng(0)
    rows = ["id,label,split"]
    for number in range(60):
        kind = ("disc", "ring", "bar")[number % 3]
        name = f"{kind}/{number:03}.{'jpg' if number % 2 else 'png'}"
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        small = draw.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(small).resize((28, 26)).save(file)
        rows.append(f"{name.rsplit('.', 1)[0]},{kind},{('train', 'train', 'train', 'val', 'test')[number // 3 % 5]}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def _sounds(folder: Path) -> None:
    draw = np.random.default_rng(1)
    for number in range(12):
        file = folder / ("low", "high")[number % 2] / f"{number:02}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(file), "wb") as out:
            out.setparams((1, 2, 8000, 0, "NONE", ""))
            out.writeframes(draw.integers(-9000, 9000, 1600 + 100 * number, np.int16).tobytes())


def _table(folder: Path) -> str:
    draw = random.Random(2)
    rows = ["image,height,weight,text,label,split"]
    for number, file in enumerate(sorted(folder.rglob("*.png"))):
        numbers = f"{draw.random():.3f},{draw.random():.3f}"
        split = ("train", "train", "val", "test")[number % 4]
        rows.append(f"{file.relative_to(folder)},{numbers},picture {number},{file.parent.name},{split}")
    return "\n".join(rows) + "\n"


def write_json(file: Path, value: object) -> None:
    """Writes a value as JSON."""
    file.write_text(json.dumps(value, indent=1))
