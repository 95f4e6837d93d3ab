"""Draws the pictures of docs/views.md: every view of one generated scene.

python docs/make_view_pictures.py
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from multiview.batch import Batch
from multiview.counter_rng import Draws
from multiview.data.inspect import pictures
from multiview.data.sources.scenes import Scenes
from multiview.view import Crop, make_view
from multiview.viewlayer import ViewLayer
from multiview.views.sound import SpecAugment
from multiview.views.surface import points

OUT = Path(__file__).parent / "views"
TILE, LINE, GAP = 112, 14, 6
SPACES = {
    "lab": "L ab",
    "luv": "l uv",
    "xyz": "y xz",
    "hsv": "v hs",
    "hed": "h ed",
    "yuv": "y uv",
    "yiq": "y iq",
    "ycbcr": "y cbcr",
    "ydbdr": "y dbdr",
    "ypbpr": "y pbpr",
}
Tile = tuple[str, np.ndarray]


def scene(number: int) -> dict[str, np.ndarray]:
    """One of the embedded scenes at the size of a tile."""
    return Scenes(count=64, size=TILE, seed=0).plan().read(number)


def batch() -> Batch:
    """One sample of every kind of modality: a scene, and signals made from it."""
    seen, behind = scene(28), scene(13)
    image, depth = (torch.from_numpy(np.ascontiguousarray(seen[name])) for name in ("image", "depth"))
    moving = [
        np.where(np.roll(seen["mask"] == 1, t, 1)[..., None], np.roll(seen["image"], t, 1), behind["image"])
        for t in range(4)
    ]
    bands = torch.cat([image.movedim(2, 0) / 255, depth[None] / 5])
    time = torch.arange(200) / 200
    text = "Two views of one thing · zwei Ansichten".encode()
    return Batch(
        {
            "crop": {
                "image": image.movedim(2, 0)[None],
                "depth": depth[None, None],
                "normal": torch.from_numpy(seen["normal"].astype("float32")).movedim(2, 0)[None],
                "mask": torch.from_numpy(seen["mask"].astype("int64"))[None, None],
                "audio": torch.from_numpy(seen["audio"])[None, None],
                "video": torch.from_numpy(np.stack(moving)).permute(3, 0, 1, 2)[None],
                "bands": bands[None],
                "series": torch.stack([(12 * time).sin(), (40 * time).sin() * time])[None].float(),
                "table": torch.linspace(-1, 1, 12).cos()[None] * torch.tensor([1.0, 0.4] * 6),
                "points": points(depth[None, None], 50.0)[..., torch.from_numpy(seen["mask"]) == 1][..., ::3],
                "text": torch.tensor([list(text)]),
            }
        },
        torch.zeros(1, dtype=torch.int64),
        {},
    )


def natural(name: str, augmented: bool = False, **options: Any) -> tuple[np.ndarray, float, float]:
    """The view `name` of the sample, in its unit, and its declared or actual range."""
    view = replace(make_view(name, Crop(), **options), mean=(0.0,), std=(1.0,), missing=None)
    draws = Draws(2, 0, np.zeros(1, np.int64)) if augmented else None
    x = ViewLayer({name: view})(batch(), draws)[name][0].numpy()
    low, high = view.channels.low, view.channels.high
    return (x, low, high) if math.isfinite(high) else (x, float(x.min()), float(x.max()))


def planes(name: str, label: str = "", ramp: bool = False, **options: Any) -> list[Tile]:
    """One tile per channel of a view (c, h, w), in grey or in colours."""
    x, low, high = natural(name, **options)
    draw = pictures.ramp if ramp else lambda plane, low, high: pictures.of_planes(plane[None], low, high)
    counted = [""] if len(x) == 1 else [f" {number}" for number in range(len(x))]
    return [((label or name) + which, draw(plane, low, high)) for plane, which in zip(x, counted, strict=True)]


def sheet(name: str, rows: Sequence[Sequence[Tile]]) -> None:
    """Rows of captioned tiles as docs/views/NAME.png."""
    width, height = TILE + GAP, TILE + LINE + GAP
    out = Image.new("RGB", (max(map(len, rows)) * width + GAP, len(rows) * height + GAP), "white")
    pen, font = ImageDraw.Draw(out), ImageFont.load_default(11)
    for down, row in enumerate(rows):
        for along, (caption, picture) in enumerate(row):
            corner = (GAP + along * width, GAP + down * height)
            pen.text(corner, caption, fill="black", font=font)
            tile = Image.fromarray(picture).resize((TILE, TILE), Image.Resampling.NEAREST)
            out.paste(tile, (corner[0], corner[1] + LINE))
    OUT.mkdir(exist_ok=True)
    out.save(OUT / f"{name}.png", optimize=True)


def colour() -> None:
    """The picture, its grey, and the channels of every colour space."""
    image, _, _ = natural("rgb")
    first: list[list[Tile]] = [[("rgb", pictures.of_planes(image, 0, 1)), *planes("grey")]]
    sheet("colour", first + [spread(name) for name in SPACES])


def spread(space: str) -> list[Tile]:
    """The luminance and chroma views of a space, each channel over its range in the picture."""
    light, rest = SPACES[space].split()
    names = (light, rest) if space == "lab" else (f"{space}_{light}", f"{space}_{rest}")
    tiles: list[Tile] = []
    for name in names:
        x, _, _ = natural(name)
        tiles += [
            (f"{name} {n}" if len(x) > 1 else name, pictures.of_planes(p[None], p.min(), p.max() + 1e-9))
            for n, p in enumerate(x)
        ]
    return tiles


def surface() -> None:
    """Depth and views computed from depth, normals, edges, labels."""
    far = {"depth": (2.0, 8.0), "inverse_depth": (0.1, 0.5), "log_depth": (0.7, 2.1)}
    scales: list[Tile] = [(name, pictures.ramp(natural(name)[0][0], *span)) for name, span in far.items()]
    directions: list[Tile] = [
        (name, pictures.of_planes(natural(name, **options)[0], -1, 1))
        for name, options in (("normal", {}), ("depth_normal", {"fov": 50.0}))
    ]
    shares = planes("hha", ramp=True, fov=50.0)
    sheet(
        "surface",
        [
            [*scales, *planes("depth_mask")],
            [*directions, *planes("edges"), *planes("canny")],
            [*shares],
            planes("semantic", classes=2),
        ],
    )


def sound() -> None:
    """The waveform, its spectrogram, and the spectrogram under SpecAugment."""
    wave = pictures.waveform(natural("waveform")[0][0])
    plain, masked = natural("logmel"), natural("logmel", augmented=True, mask=SpecAugment(bands=6, frames=5))
    low, high = plain[0].min(), plain[0].max()
    spectra: list[Tile] = [
        (label, pictures.ramp(x[0, ::-1], low, high))
        for label, x in (("logmel", plain[0]), ("with SpecAugment", masked[0]))
    ]
    sheet("sound", [[("waveform", wave), *spectra]])


def motion() -> None:
    """Frames of a clip, their difference, and the speed of motion."""
    clip, change, speed = natural("video")[0], natural("frame_difference")[0][0], natural("flow")[0][0]
    frames: list[Tile] = [(f"video, frame {t}", pictures.of_planes(clip[:, t], 0, 1)) for t in (0, 3)]
    sheet(
        "motion",
        [
            [
                *frames,
                ("frame_difference", pictures.of_planes(change[:1], -0.5, 0.5)),
                ("flow", pictures.ramp(speed[0], 0, 2)),
            ]
        ],
    )


def numbers() -> None:
    """Bands, a series, a table, a cloud and a text."""
    series, table, cloud = natural("series", channels=2)[0], natural("table", columns=12)[0], natural("points")[0]
    bytes_, _, _ = natural("text")
    plot = np.zeros((TILE, TILE), "float32")
    across, up = (((cloud[axis] + 1) / 2 * (TILE - 1)).astype(int) for axis in (0, 1))
    plot[TILE - 1 - up, across] = (cloud[2] + 1) / 2
    tiles: list[Tile] = [
        ("series", np.concatenate([pictures.waveform(each, TILE // 2, TILE) for each in series])),
        ("table", pictures.bars(table, -1, 1)),
        ("points", pictures.ramp(plot, 0, 1, plot > 0)),
        ("text", pictures.bars(bytes_, 0, 255)),
    ]
    sheet("numbers", [planes("bands", bands=4), tiles])


if __name__ == "__main__":
    for draw in (colour, surface, sound, motion, numbers):
        draw()
