"""Compares whole SimCLR runs with lightly: pictures a second, from a folder and from a store.

python benchmarks/lightly_speed.py [--pictures 2000] [--sizes 32 96] [--rounds 3]

Both train torchvision's resnet18 with the same pictures (JPEG, 128 px), crops, colour changes,
batch, optimiser, epochs and threads, each in a process of its own, from the start of the program to
its end; nothing is evaluated. Lightly reads the folder by PyTorch's DataLoader: with every number
of workers that is asked for (0 and 1 by default) first, and then, in turns with ours, with the
fastest. Ours reads the folder, which includes writing its store, and reads a store that is there.
Needs lightly: pip install lightly.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

SIDE = 128
"""Side of the pictures; a crop of 96 px is a good part of one."""
STRENGTH = {"brightness": 0.8, "contrast": 0.8, "saturation": 0.8, "hue": 0.2, "grey": 0.2, "blur": 0.0}
"""Colour changes of both: the defaults of lightly, without blur."""


@dataclass(frozen=True)
class Job:
    """One size of crops, and how long it is trained."""

    pictures: Path
    size: int
    epochs: int
    batch: int
    threads: int


def main() -> int:
    """Runs both in turns and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 96])
    parser.add_argument("--seconds", type=float, default=40, help="of the wall time of a run of lightly, about")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1], help="of lightly's DataLoader")
    parser.add_argument(
        "--lightly", nargs=5, metavar=("FOLDER", "SIZE", "EPOCHS", "BATCH", "WORKERS"), help=argparse.SUPPRESS
    )
    given = parser.parse_args()
    if find_spec("lightly") is None:
        print("lightly is not installed: pip install lightly", file=sys.stderr)
        return 2
    if given.lightly:
        folder, *numbers = given.lightly
        by_lightly(Path(folder), *map(int, numbers), threads=given.threads)
        return 0
    table = Table(
        "crops",
        "data",
        "epochs",
        "ours, pictures/s",
        "lightly, pictures/s",
        "ratio of medians (each round)",
        "CPU s, ours / lightly",
    )
    with tempfile.TemporaryDirectory() as place:
        draw(Path(place) / "photos" / "all", given.pictures)
        for size in given.sizes:
            compared(Path(place), size, given, table)
    Console(width=140).print(table)
    return 0


def draw(folder: Path, count: int) -> None:
    """Writes JPEG files of coloured noise of several scales."""
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(0)
    for i in range(count):
        coarse = Image.fromarray(numbers.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        fine = numbers.integers(0, 40, (SIDE, SIDE, 3))
        Image.fromarray(np.clip(np.asarray(coarse) + fine, 0, 255).astype(np.uint8)).save(
            folder / f"{i:05}.jpg", quality=90
        )


def compared(place: Path, size: int, given: argparse.Namespace, table: Table) -> None:
    """Adds the rows of one size of crops."""
    photos = place / "photos"
    once = {n: seconds_of(lightly_words(Job(photos, size, 1, given.batch, given.threads), n))[0] for n in given.workers}
    workers = min(once, key=lambda n: once[n])
    print(
        f"{size} px: one epoch of lightly takes {', '.join(f'{s:.1f} s with {n} workers' for n, s in once.items())}",
        flush=True,
    )
    job = Job(photos, size, max(1, round(given.seconds / once[workers])), given.batch, given.threads)
    store = place / "store"
    if not store.exists():
        subprocess.run([*ours(), "preprocess", "folder", str(photos), str(store)], check=True, capture_output=True)
    commands = {
        "lightly": lambda _: lightly_words(job, workers),
        "folder": lambda n: our_words(job, photos, place / f"{size}-folder-{n}"),
        "store": lambda n: our_words(job, store, place / f"{size}-store-{n}"),
    }
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for n in range(given.rounds):
        for name, make in commands.items():
            took[name].append(seconds_of(make(n)))
    seen = given.pictures // given.batch * given.batch * job.epochs
    for name in ("folder", "store"):
        ratios = [theirs[0] / mine[0] for mine, theirs in zip(took[name], took["lightly"], strict=True)]
        mine, theirs = (statistics.median(wall for wall, _ in took[each]) for each in (name, "lightly"))
        cpu = " / ".join(f"{statistics.median(c for _, c in took[each]):.0f}" for each in (name, "lightly"))
        table.add_row(
            f"{size} px",
            name,
            str(job.epochs),
            f"{seen / mine:.0f}",
            f"{seen / theirs:.0f} ({workers} workers)",
            f"{theirs / mine:.2f} ({', '.join(f'{r:.2f}' for r in ratios)})",
            cpu,
        )


def ours() -> list[str]:
    """The command of the toolkit."""
    return [sys.executable, "-m", "multiview"]


def our_words(job: Job, data: Path, out: Path) -> list[str]:
    """Our run: SimCLR with the crops and colours of lightly; a folder is prepared anew."""
    colours = [f"--augment.{name}={value}" for name, value in STRENGTH.items()]
    return [
        *ours(), "train", "simclr", f"--data={data}", f"--out={out}", f"--cache={out}-cache", "--evaluate=false",
        "--encoder=resnet18", f"--size={job.size}", "--min_scale=0.08", f"--train.epochs={job.epochs}",
        f"--train.batch={job.batch}", f"--train.threads={job.threads}", "--train.knn_every=0",
        "--objective.temperature=0.5", *colours,
    ]  # fmt: skip


def lightly_words(job: Job, workers: int) -> list[str]:
    """Lightly's run: this file, in a process of its own."""
    numbers = (job.size, job.epochs, job.batch, workers)
    return [sys.executable, __file__, f"--threads={job.threads}", "--lightly", str(job.pictures), *map(str, numbers)]


def seconds_of(words: Sequence[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a program; its output is shown where it fails."""
    began, before = time.monotonic(), os.times()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout}\n{done.stderr}")
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - began, cpu


def by_lightly(folder: Path, size: int, epochs: int, batch: int, workers: int, *, threads: int) -> None:
    """SimCLR as in the example of lightly, on a folder of pictures, with AdamW as in ours."""
    import torch
    import torchvision
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    torch.set_num_threads(threads)
    backbone = torch.nn.Sequential(*list(torchvision.models.resnet18().children())[:-1], torch.nn.Flatten())
    model = torch.nn.Sequential(backbone, SimCLRProjectionHead(512, 512, 128))
    transform = SimCLRTransform(
        input_size=size,
        cj_bright=STRENGTH["brightness"],
        cj_contrast=STRENGTH["contrast"],
        cj_sat=STRENGTH["saturation"],
        cj_hue=STRENGTH["hue"],
        random_gray_scale=STRENGTH["grey"],
        gaussian_blur=STRENGTH["blur"],
    )
    dataset = LightlyDataset(str(folder), transform=transform)
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    criterion, optimiser = NTXentLoss(), torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for (first, second), *_rest in loader:
            loss = criterion(model(first), model(second))
            loss.backward()
            optimiser.step()
            optimiser.zero_grad()


if __name__ == "__main__":
    sys.exit(main())
