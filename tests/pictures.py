"""Small pictures on disk for the tests of sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from multiview.data.source import Plan


def noise(seed: int, height: int = 6, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype="uint8")


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)  # type: ignore[arg-type]
    return path


def rows(plan: Plan) -> dict[str, tuple[str | None, str | None]]:
    return {row.id: (row.label, row.split) for row in plan.rows}


def write_pets(folder: Path) -> Path:
    """Twelve pictures in two class folders with difficult names."""
    root = folder / "my pets ✓"
    for number in range(12):
        save(root / ("cats" if number % 2 else "Hunde, groß") / "2024 é" / f"n {number}.PNG", noise(number))
    return root


def write_list(pets: Path) -> Path:
    """A table of five of the cats beside them."""
    lines = ["id,kind,split", *(f"cats/2024 é/n {n},k{n % 3},{'valid' if n > 6 else 'train'}" for n in (1, 3, 5, 7, 9))]
    (pets / "labels.csv").write_text("\n".join(lines), encoding="utf-8-sig")
    return pets


def write_aligned(folder: Path) -> Path:
    """Six samples with colour, depth, normals and masks, and their table."""
    root = folder / "rgbd"
    for number in range(6):
        depth = np.random.default_rng(number).integers(0, 5000, (6, 6)).astype("uint16")
        save(root / "rgb" / f"s{number}.png", noise(number))
        save(root / "depth" / f"s{number}.png", depth)
        save(root / "normals" / f"s{number}.png", noise(number + 100))
        save(root / "mask" / f"s{number}.png", (depth > 2000).astype("uint8"))
    lines = ["id,class,split", *(f"s{number},{('chair', 'other')[number % 2]},train" for number in range(6))]
    (root / "labels.csv").write_text("\n".join(lines))
    (root / "notes").mkdir()
    return root
