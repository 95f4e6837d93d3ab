"""Measures what encoding a frozen view once saves: seconds per epoch before and after.

python benchmarks/frozen.py [--data scenes:2000] [--encoder timm:resnet18] [--epochs 3] [--size 64]

A new depth encoder (convnet) is aligned with a frozen encoder of pictures (CMC). Once the encoder
of pictures is computed at each step (`train: heads`, whose weights do not learn either), once its
features are read (`train: frozen`). Seconds per epoch come from the steps in metrics.jsonl. The
whole command is printed too; the second `frozen` finds the features of the first. The features in
the file beside the store must equal to the bit those that the loaded run computes anew, and the
frozen encoder must end with the weights and running statistics of its start. The exit code is 1
otherwise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

BATCH = 64


def main() -> int:
    """Trains both runs, and compares."""
    options = parsed()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        steps = {how: train(work, how, options) for how in ("heads", "frozen", "frozen")}
        print(f"computed at each step / read: {steps['heads'] / steps['frozen']:.1f}")
        equal, same = features_equal(work / "frozen"), weights_same(work / "frozen")
    print(f"features in the file and computed anew: {'equal to the bit' if equal else 'DIFFERENT'}")
    print(f"weights and statistics of the frozen encoder: {'unchanged to the bit' if same else 'CHANGED'}")
    return 0 if equal and same else 1


def parsed() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="scenes:2000", help="pictures with depth, as for --data of training")
    parser.add_argument("--encoder", default="timm:resnet18", help="of the pictures")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="pixels of the crops")
    parser.add_argument("--cache", default="data", help="where the store of --data is kept")
    return parser.parse_args()


def train(work: Path, how: str, options: argparse.Namespace) -> float:
    """Trains one run; prints and returns its seconds per epoch."""
    out = work / how
    views = f"--views={{photo: {{view: rgb, encoder: '{options.encoder}', train: {how}}}, depth: {{view: depth}}}}"
    words = [views, "--edges=photo-depth: cmc", "--data", options.data, "--cache", options.cache, "--out", str(out)]
    words += ["--overwrite", "--evaluate", "false", "--crop.size", str(options.size), "--train.batch", str(BATCH)]
    words += ["--train.epochs", str(options.epochs), "--train.knn_every", "0", "--train.log_every", "4"]
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "multiview.cli", "train", "graph", *words], check=True, stdout=subprocess.DEVNULL
    )
    whole = time.perf_counter() - start
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rate = median(line["samples_per_second"] for line in lines if line["step"] > 1)
    samples = lines[-1]["step"] * BATCH / options.epochs
    print(
        f"train: {how}: {samples / rate:.2f} s per epoch of {samples:,.0f} samples; whole command {whole:.1f} s",
        flush=True,
    )
    return samples / rate


def features_equal(run: Path) -> bool:
    """Whether the kept features equal those that the loaded run computes, in every bit."""
    import numpy as np

    import multiview as mv

    trained = mv.load(run)
    (file,) = sorted(Path(f"{trained.store.path}.features").glob("photo-*.features"), key=lambda x: x.stat().st_mtime)[
        -1:
    ]
    computed = trained.embed("train").features["photo"]
    return np.load(file)[:, :-1].tobytes() == np.ascontiguousarray(computed, np.float32).tobytes()


def weights_same(run: Path) -> bool:
    """Whether the frozen encoder of the run is that of its start."""
    import multiview as mv

    trained = mv.load(run)
    start, end = trained.setup.encoders["photo"].state_dict(), trained.model.encoder("photo").state_dict()
    return start.keys() == end.keys() and all(bool((start[name] == end[name]).all()) for name in start)


if __name__ == "__main__":
    sys.exit(main())
