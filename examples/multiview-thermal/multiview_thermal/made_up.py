"""Writes a small data set of warm discs and rings: `python -m multiview_thermal.made_up FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 48


def write(folder: Path, per_class: int = 60) -> None:
    """Writes `(visible|thermal)/(disc|ring)/NUMBER.png`; some samples have no thermal picture."""
    rng = np.random.default_rng(0)
    for kind in ("disc", "ring"):
        for camera in ("visible", "thermal"):
            (folder / camera / kind).mkdir(parents=True)
        for number in range(per_class):
            shape = _shape(kind, rng)
            ground, colour = rng.uniform(30, 225, (2, 3))
            pixels = ground + (colour - ground) * shape[..., None] + rng.normal(0, 8, (SIDE, SIDE, 3))
            Image.fromarray(pixels.clip(0, 255).astype("uint8")).save(folder / "visible" / kind / f"{number:03}.png")
            kelvin = 293 + rng.uniform(8, 30) * shape + rng.normal(0, 0.5, (SIDE, SIDE))
            if number % 7:
                stored = (kelvin * 100).astype("uint16")
                Image.fromarray(stored).save(folder / "thermal" / kind / f"{number:03}.png")


def _shape(kind: str, rng: np.random.Generator) -> np.ndarray:
    """How much of each pixel one shape at a random place covers: (SIDE, SIDE) in [0, 1]."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - rng.uniform(0.4, 0.6, (2, 1, 1))
    radius, size = np.hypot(x, y), rng.uniform(0.2, 0.35)
    return np.clip((size - radius if kind == "disc" else 0.07 - abs(radius - size)) * 20 + 0.5, 0, 1)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
