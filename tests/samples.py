"""Small artificial data for the README (`photos`, `scans`) and for every other source."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile
from clips import write_clip
from PIL import Image
from published import write_cifar10, write_cifar100, write_fashion, write_nyu, write_stl10

KINDS = ("disc", "ring", "stripes")
SIDE = 72


def write_photos(folder: Path, each: int = 40) -> None:
    """`folder/KIND/NUMBER.jpg` in random colours."""
    rng = np.random.default_rng(0)
    for kind in KINDS:
        (folder / kind).mkdir(parents=True)
        for number in range(each):
            Image.fromarray(coloured(shape_of(kind, rng), rng)).save(folder / kind / f"{number:03}.jpg")


def write_scans(folder: Path, each: int = 40) -> None:
    """`folder/rgb|depth|normal/ID.png` (depth in millimetres), and `labels.csv`."""
    rng = np.random.default_rng(1)
    for name in ("rgb", "depth", "normal"):
        (folder / name).mkdir(parents=True)
    rows = []
    for kind in KINDS:
        for number in range(each):
            name = f"{kind}{number:03}"
            shape = shape_of(kind, rng)
            Image.fromarray(coloured(shape, rng)).save(folder / "rgb" / f"{name}.png")
            Image.fromarray((2500 - 1000 * shape).astype(np.uint16)).save(folder / "depth" / f"{name}.png")
            Image.fromarray(normals(shape)).save(folder / "normal" / f"{name}.png")
            rows.append((name, kind, "train" if number % 10 < 7 else "val" if number % 10 < 8 else "test"))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("id", "class", "split"), *rows])


def shape_of(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Heights in [0, 1] (SIDE, SIDE) of one shape at a random place."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - rng.uniform(0.4, 0.6, (2, 1, 1))
    radius, size = np.hypot(x, y), rng.uniform(0.2, 0.35)
    edge = {"disc": size - radius, "ring": 0.07 - abs(radius - size), "stripes": np.sin(x * 6 / size) / 20}[kind]
    return np.clip(edge * 20 + 0.5, 0, 1)


def coloured(shape: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The shape in a random colour on another colour, with noise: uint8 (SIDE, SIDE, 3)."""
    ground, colour = rng.uniform(30, 225, (2, 3))
    pixels = ground + (colour - ground) * shape[..., None] + rng.normal(0, 8, (SIDE, SIDE, 3))
    return np.clip(pixels, 0, 255).astype(np.uint8)


def normals(shape: np.ndarray) -> np.ndarray:
    """Surface normals: uint8 (SIDE, SIDE, 3), value / 127.5 - 1, x right, y up, z to the viewer."""
    down, right = np.gradient(shape * 4)
    vectors = np.stack([-right, down, np.ones_like(shape)], -1)
    unit = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.round((unit + 1) * 127.5).astype(np.uint8)


def write_for_every_source(folder: Path) -> None:
    """Writes `calls`, `clips`, `rig` (stereo), `survey` (manifest), `digits.npz`, and more."""
    rng = np.random.default_rng(2)
    for kind, pitch in (("low", 200), ("high", 900)):
        (folder / "calls" / kind).mkdir(parents=True)
        for number in range(3):
            wave = np.sin(np.arange(4000 + 400 * number) * pitch / 8000 * 6.28)
            soundfile.write(folder / "calls" / kind / f"{number}.wav", wave / 2, 8000)
        write_clip(folder / "clips" / kind / "1.mp4")
    _write_rig(folder / "rig", rng)
    _write_survey(folder, rng)
    _write_walks(folder / "walks", rng)
    tables = {"fou": rng.normal(size=(20, 76)), "mor": rng.normal(size=(20, 6)), "y": np.arange(20) % 10}
    np.savez(folder / "digits.npz", **tables)
    for write in (write_cifar10, write_cifar100, write_stl10, write_nyu):
        write(folder)
    write_fashion(folder / "torchvision")


def _write_rig(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir()
    for name in ("bike", "plant"):
        for side in ("left", "right"):
            Image.fromarray(coloured(shape_of("disc", rng), rng)).save(folder / f"{name}_{side}.png")
        disparity = rng.integers(64 * 20, 64 * 90, (SIDE, SIDE)).astype(np.uint16)
        disparity[:, :4] = 0
        Image.fromarray(disparity).save(folder / f"{name}_disp.png")


def _write_walks(folder: Path, rng: np.random.Generator) -> None:
    """Recordings of two sensors in CSV files."""
    for sensor in ("acc", "gyr"):
        (folder / sensor).mkdir(parents=True)
        for number in range(3):
            values = np.column_stack([np.arange(300) / 50, rng.normal(size=(300, 3))])
            file = folder / sensor / f"walk{number}.csv"
            np.savetxt(file, values, "%.3f", ",", header="time,x,y,z", comments="")


def _write_survey(folder: Path, rng: np.random.Generator) -> None:
    """`survey/manifest.csv` with columns of files and numbers, and with empty cells."""
    (folder / "survey" / "files").mkdir(parents=True)
    lines = ["id,class,split,photo,call,f1,f2,caption"]
    for number in range(6):
        kind = KINDS[number % 2]
        Image.fromarray(coloured(shape_of(kind, rng), rng)).save(folder / "survey" / "files" / f"{number}.jpg")
        soundfile.write(folder / "survey" / "files" / f"{number}.wav", rng.normal(0, 0.1, 800), 8000)
        call = f"files/{number}.wav" if number != 2 else ""
        split = "test" if number > 3 else "train"
        lines.append(f"s{number},{kind},{split},files/{number}.jpg,{call},{number / 3},{-number},a {kind}")
    (folder / "survey" / "manifest.csv").write_text("\n".join(lines))
