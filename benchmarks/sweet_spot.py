"""How much two views of a picture share, and what their encoders know: is there a sweet spot?

python benchmarks/sweet_spot.py scenes:1000                      5 seeds, 300 steps
python benchmarks/sweet_spot.py FOLDER --only 0 1 --steps 100    pictures of your own with labels

After "What makes for good views" (arXiv:2005.10243): patches of a picture at growing distance, and
luminance against chroma in several colour spaces. SimCLR across the views, one setting for all.
The shared information is the bound of InfoNCE on test pictures, in nats: log of the number of
candidates, minus the loss. Patches share an encoder, and the linear probe reads its features of
the whole picture; of a colour space it reads those of both encoders. All features are reduced to
one width. Every run is kept in OUT/results.jsonl and not made again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _intervals import interval
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

import multiview as mv
from multiview.data.load.dataset import Samples
from multiview.data.load.open_data import open_data
from multiview.measure.embeddings import collected, embed
from multiview.measure.linear import linear_probe
from multiview.measure.untrained import untrained_model
from multiview.model import MultiviewModel
from multiview.plugins import load
from multiview.settings import t_interval

SIDE, PATCH, BATCH, DIM, WIDTH = 64, 24, 128, 128, 0.5
"""Pixels of a picture and of a patch, samples per step, width of the probe and of the encoders."""
DISTANCES = (0, 8, 16, 24, 32, 40)
"""Pixels between two patches, in both directions; from 24 on they do not overlap."""
CONTRAST = mv.SimCLR(temperature=0.1, negatives="cross")
SPACES = {
    "Lab": ("L", "ab"),
    "Luv": ("luv_l", "luv_uv"),
    "YDbDr": ("ydbdr_y", "ydbdr_dbdr"),
    "YUV": ("yuv_y", "yuv_uv"),
    "XYZ": ("xyz_y", "xyz_xz"),
    "HSV": ("hsv_v", "hsv_hs"),
}
RGB = "RGB"
"""Red against green and blue, which are no views by name."""


def of_rgb(
    crop: mv.Crop, take: tuple[int, ...] | None = None, convert: Callable[[Tensor], Tensor] | None = None
) -> mv.View:
    """Channels of a picture, normalised to [-1, 1]."""
    count = len(take or (0, 1, 2))
    channels = mv.Channels("rgb", count=count, unit="sRGB", low=0.0, high=1.0)
    mean = (0.5,) * count
    return mv.View(modality="image", channels=channels, crop=crop, convert=convert, take=take, mean=mean, std=mean)


def corner(x: Tensor, end: bool) -> Tensor:
    """The patch at the upper left, or at the lower right, of x (n, 3, H, W)."""
    return x[..., -PATCH:, -PATCH:] if end else x[..., :PATCH, :PATCH]


def patches(distance: int) -> mv.Setup:
    """Two patches of a picture at a random place, `distance` pixels apart, by one encoder."""
    side = PATCH + distance
    crop = mv.Crop(size=side, scale=((side / SIDE) ** 2,) * 2, ratio=(1.0, 1.0))
    views = {name: of_rgb(crop, convert=partial(corner, end=name == "far")) for name in ("near", "far")}
    encoders = {"near": mv.make_encoder("convnet", 3, width=WIDTH), "far": "near"}
    return mv.Setup(views, encoders, mv.ContrastGraph.full(views, CONTRAST))


def colours(space: str) -> mv.Setup:
    """Luminance against chroma of one crop, each with its encoder."""
    crop = mv.Crop(size=32, scale=(0.7, 1.0))
    if space == RGB:
        views = {"r": of_rgb(crop, (0,)), "gb": of_rgb(crop, (1, 2))}
    else:
        views = {name: load("views", name)(crop) for name in SPACES[space]}
    encoders = {name: mv.make_encoder("convnet", view.channels.count, width=WIDTH) for name, view in views.items()}
    return mv.Setup(views, encoders, mv.ContrastGraph.full(views, CONTRAST))


VARIANTS: dict[str, Callable[[], mv.Setup]] = {
    **{f"patches, {distance} px apart": partial(patches, distance) for distance in DISTANCES},
    **{f"{name}, luminance and chroma": partial(colours, name) for name in SPACES},
    "RGB, R and GB": partial(colours, RGB),
}


def trained(variant: str, seed: int, store: mv.Store, steps: int) -> mv.Trained:
    """A run of a variant."""
    torch.manual_seed(seed)
    quiet = {"knn_every": 0, "save_every": 10**4, "save_minutes": 0.0, "log_every": 100}
    optimizer = mv.Optimizer(name="adamw", lr=1e-3, warmup=1)
    train = mv.Train(steps=steps, batch=BATCH, optimizer=optimizer, workers=0, threads=1, **quiet)
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/run"
        return mv.fit(VARIANTS[variant](), data=str(store.path), seed=seed, out=out, train=train, evaluate=False)


def shared_nats(run: mv.Trained) -> float:
    """The bound of InfoNCE on the test split, with random crops: mean of both directions."""
    (edge,) = run.setup.graph.edges
    samples = Samples(run.store, "test", run.setup.views, train=True)
    count = min(BATCH, len(samples))
    head = edge.objective.needs()[0].projector
    run.model.eval()

    def embeddings(_: Any, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: run.model.projector(name, head)(h) for name, h in run.model.features(views).items()}

    whole = np.arange(len(samples) // count * count)
    found, _ = collected(samples, run.setup.views, embeddings, torch.device("cpu"), whole)
    return bound(*(torch.from_numpy(z).view(-1, count, z.shape[1]) for z in found.values()))


def bound(a: Tensor, b: Tensor) -> float:
    """log(n) minus the loss of finding a's row in b and b's in a; both (batches, n, dim)."""
    count = a.shape[1]
    scores, own = a @ b.mT / CONTRAST.temperature, torch.arange(count).repeat(len(a))
    losses = [cross_entropy(each.reshape(-1, count), own) for each in (scores, scores.mT)]
    return math.log(count) - float(sum(losses)) / 2


def probed(model: MultiviewModel | None, setup: mv.Setup, store: mv.Store) -> float:
    """The linear probe on the test split, in percent; None = of the values themselves."""
    train, test = (labelled(model, setup, store, split) for split in ("train", "test"))
    return 100 * linear_probe(train, None, test, dim=min(DIM, train[0].shape[1])).accuracy


def labelled(
    model: MultiviewModel | None, setup: mv.Setup, store: mv.Store, split: str
) -> tuple[np.ndarray, np.ndarray]:
    """Features side by side, and classes, of the samples of a split that have one."""
    patch = "near" in setup.views
    views = {"near": of_rgb(mv.Crop(size=SIDE))} if patch else setup.views
    if model is not None:
        model.eval()

    def extract(seen: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if model is None:
            return {name: adaptive_avg_pool2d(x, 16).flatten(1) for name, x in seen.items()}
        return {name: model.encoder(name)(x) for name, x in seen.items()}

    found = embed(store, split, views, extract, torch.device("cpu"))
    known = found.labels >= 0
    return np.concatenate(list(found.features.values()), 1)[known], found.labels[known]


def measured(given: argparse.Namespace, store: mv.Store, file: Path) -> list[dict[str, Any]]:
    """All results; those that are in the file are not made again."""
    results = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    there = {(row["variant"], row["seed"]) for row in results}
    for seed in given.only:
        for variant in given.variants or VARIANTS:
            if (variant, seed) not in there:
                results.append(row_of(variant, seed, store, given.steps))
                with file.open("a") as out:
                    out.write(json.dumps(results[-1]) + "\n")
                print(json.dumps(results[-1]), flush=True)
    return results


def row_of(variant: str, seed: int, store: mv.Store, steps: int) -> dict[str, Any]:
    """Trains a variant; what its views share, and its probe with controls."""
    run = trained(variant, seed, store, steps)
    untrained = untrained_model(run, torch.device("cpu"))
    models = {"probe": run.model, "random": untrained, "raw": None}
    scores = {name: probed(model, run.setup, store) for name, model in models.items()}
    return {"variant": variant, "seed": seed, "steps": steps, "nats": shared_nats(run), **scores}


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Means and 95 % intervals over the seeds, a row per variant."""
    names = ("views", "shared information, nats", "probe, %", "random", "raw", "over random weights", "seeds")
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for variant in VARIANTS:
        rows = [row for row in results if row["variant"] == variant]
        if rows:
            cells = [interval([row["nats"] for row in rows], 2), interval([row["probe"] for row in rows])]
            cells += [f"{np.mean([row[name] for row in rows]):.1f}" for name in ("random", "raw")]
            cells += [interval([row["probe"] - row["random"] for row in rows]), str(len(rows))]
            lines.append(f"| {variant} | {' | '.join(cells)} |")
    return "\n".join(lines)


def claim(results: Sequence[Mapping[str, Any]]) -> str:
    """Whether the best distance lies between both ends, clearly above each of them."""
    names = [name for name in VARIANTS if name.startswith("patches")]
    by = {name: {row["seed"]: row["probe"] for row in results if row["variant"] == name} for name in names}
    if len(by[names[0]]) < 2 or any(found.keys() != by[names[0]].keys() for found in by.values()):
        return "claim about the distance of patches: runs are missing"
    best = max(names, key=lambda name: np.mean(list(by[name].values())))
    over = {
        end: t_interval([by[best][seed] - by[end][seed] for seed in by[end]]) for end in {names[0], names[-1]} - {best}
    }
    holds = len(over) == 2 and all(margin.low > 0 for margin in over.values())
    said = [
        f"{margin.points:+.1f} [{margin.low:.1f}, {margin.high:.1f}] over {end}" for end, margin in sorted(over.items())
    ]
    return f"{'PASS' if holds else 'FAIL'}: patches at a middle distance teach most; best: {best}, {'; '.join(said)}"


def main(argv: Sequence[str]) -> int:
    """Trains what is missing, prints the table and the claim; 1 when it fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a store or folder of pictures with labels, or scenes:N")
    parser.add_argument("--only", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, help="train these alone")
    parser.add_argument("--out", type=Path, default=Path("runs/sweet_spot"))
    given = parser.parse_args(argv)
    torch.set_num_threads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    results = measured(given, open_data(given.data, given.out / "data"), given.out / "results.jsonl")
    said = claim(results)
    print(table(results), said, sep="\n")
    return int(said.startswith("FAIL"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
