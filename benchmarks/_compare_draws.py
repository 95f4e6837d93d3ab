"""Trains CMC with each way to draw negatives, with several seeds, and compares the runs.

make bench-draws                                   the first 1,000 scenes, 5 seeds
make bench-draws ARGS="--data STORE --steps 600"   your own data

Every draw of one seed starts from the same weights and sees the same crops, so `multiview compare`
tests the draws in pairs of seeds. A run that is already there is not trained again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

DRAWS = ("sample", "step", "all")


def trained(given: argparse.Namespace, data: str, draw: str, seed: int) -> str:
    """The folder of one run, which is trained and evaluated unless it is there."""
    out = Path(given.out) / Path(data).name.replace(":", "-") / draw / f"seed-{seed}"
    if not (out / "evaluation.json").is_file():
        words = ["train", given.recipe, "--data", data, "--seed", str(seed), "--out", str(out), "--overwrite"]
        words += ["--draw", draw, "--steps", str(given.steps), "--knn_every", "0"]
        # `all` takes every other row; the same number is drawn for the others.
        words += [] if draw == "all" or given.negatives is None else ["--negatives", str(given.negatives)]
        subprocess.run([sys.executable, "-m", "multiview.cli", *words], check=True, stdout=subprocess.DEVNULL)
    return str(out)


def main(argv: Sequence[str]) -> int:
    """Trains what is missing, and prints one comparison per data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["scenes:1000"], help="stores, or scenes:COUNT")
    parser.add_argument("--recipe", default="cmc_lab")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--negatives", type=int, help="K of sample and step (default: the recipe's)")
    parser.add_argument("--out", default="runs/draws")
    given = parser.parse_args(argv)
    for data in given.data:
        runs = [trained(given, data, draw, seed) for seed in range(given.seeds) for draw in DRAWS]
        subprocess.run([sys.executable, "-m", "multiview.cli", "compare", *runs], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
