"""The sets of `make evidence`: unpacked from archives, drawn, or made by the toolkit."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLOURS = 8
EACH = 80
SIDE = 32


def data_of(entry: Mapping[str, Any], name: str, work: Path, sets: Path | None) -> str | None:
    """What to give --data, with the store made; None where the archive is missing."""
    if "spec" in entry:
        return str(entry["spec"])
    store, raw = work / "stores" / name, work / "sets"
    if (store / "manifest.json").is_file() or not _raw(entry, raw, sets):
        return str(store) if store.exists() else None
    source, path, *options = entry["prepare"]
    words = ["preprocess", source, str(raw / path), str(store), *options]
    subprocess.run([sys.executable, "-m", "multiview.cli", *words], check=True, stdout=subprocess.DEVNULL)
    return str(store)


def _raw(entry: Mapping[str, Any], raw: Path, sets: Path | None) -> bool:
    """Writes the raw files of a set; False where the archive is missing."""
    raw.mkdir(parents=True, exist_ok=True)
    if "make" in entry:
        MAKERS[entry["make"]](raw / entry["make"])
        return True
    archive = sets / entry["archive"] if sets else None
    if archive is None or not archive.is_file():
        return False
    with tarfile.open(archive) as tar:
        tar.extractall(raw, filter="data")
    if "labels" in entry:
        _without(raw / entry["prepare"][1], entry["labels"])
    return True


def _without(file: Path, name: str) -> None:
    """Takes one array out of an .npz file."""
    with np.load(file) as arrays:
        kept = {key: arrays[key] for key in arrays.files if key != name}
    np.savez(file, **kept)


def coloured_shapes(folder: Path) -> None:
    """Discs, squares and bars at any place and brightness; the class is the hue."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    for number in range(COLOURS * EACH):
        colour = number % COLOURS
        out = folder / f"hue{colour}"
        out.mkdir(parents=True, exist_ok=True)
        Image.fromarray(_picture(generator, colour, x, y)).save(out / f"{number:04d}.png")


def _picture(generator: np.random.Generator, colour: int, x: Any, y: Any) -> Any:
    across, down = generator.uniform(10, SIDE - 10, 2)
    size, value, grey = generator.uniform(5, 9), generator.uniform(150, 255), generator.uniform(40, 200)
    far = {
        0: np.hypot(x - across, y - down),
        1: np.maximum(abs(x - across), abs(y - down)),
        2: np.maximum(abs(x - across) / 2, 1.5 * abs(y - down)),
    }[int(generator.integers(3))]
    hue = (colour + generator.uniform(-0.3, 0.3)) / COLOURS * 6
    wheel = np.array([abs(hue - 3) - 1, 2 - abs(hue - 2), 2 - abs(hue - 4)]).clip(0, 1)
    picture = np.where((far < size)[..., None], value * (0.25 + 0.75 * wheel), grey)
    return (picture + generator.normal(0, 8, picture.shape)).clip(0, 255).astype(np.uint8)


MAKERS = {"coloured_shapes": coloured_shapes}
