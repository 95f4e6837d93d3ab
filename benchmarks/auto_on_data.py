"""Trains `auto` and the recipes that fit on folders of real data, and prints tables of results.

python benchmarks/auto_on_data.py DATA_DIR [--sets vowels gait] [--seeds 0 1 2 3 4] [--steps 2000]

DATA_DIR holds the unpacked data sets. Every run is a command of the command line, in a process of
its own. A run that has been evaluated is not made again, so that a stopped call goes on. With
--table the script only prints the tables of the runs that are there. With --record it also writes
them to docs/evidence/data; `make evidence ARGS=--page` then writes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from _auto_record import record_of, write
from _auto_table import tables

AUTO = "auto"
RECORDS = Path(__file__).parents[1] / "docs/evidence/data"


@dataclass(frozen=True)
class Data:
    """A data set: its path below DATA_DIR, and the recipes that fit it."""

    path: str
    recipes: tuple[str, ...] = ()
    pictures: bool = False


OF_PICTURES = ("cmc_lab", "simclr", "moco", "simsiam")
SETS = {
    "vowels": Data("series_real/japanese_vowels.npz"),
    "gait": Data("series_real/gait.npz"),
    "motions": Data("series_real/basic_motions.npz"),
    "mfeat6": Data("mfeat6/mfeat6.npz", ("six_tables",)),
    "prompts5": Data("prompts5"),
    "letters": Data("letters_multi"),
    "letter_pairs": Data("letter_pairs", ("spoken_letters",)),  # a store, see docs/results.md
    "clipart": Data("clipart", OF_PICTURES, pictures=True),
    "furniture": Data("furniture_rgbdn", ("cmc_rgbd", "mixed", "comm", *OF_PICTURES), pictures=True),
    "scenes": Data("scenes", ("cmc_rgbd", *OF_PICTURES), pictures=True),
    "stereo": Data("stereo_real"),
}


def main(words: Sequence[str] | None = None) -> None:
    """Trains what is missing, prints the tables, and records them for the page of the evidence."""
    options = parsed(words)
    for name in options.sets:
        for seed in options.seeds:
            for recipe in graphs_of(name, options.only):
                out = options.out / name / f"{recipe}-{seed}"
                if not options.table and not (out / "evaluation.json").is_file():
                    train(name, recipe, seed, out, options)
    pairs = [(name, recipe) for name in options.sets for recipe in graphs_of(name)]
    records = [record for pair in pairs if (record := record_of(options.out, *pair))]
    print(tables(records))
    for record in records if options.record else ():
        write(record, RECORDS)


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="folder with the unpacked data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/auto_on_data"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, help="of every run; its own choice when left out")
    parser.add_argument("--size", type=int, help="pixels of the crops of pictures; its own choice when left out")
    parser.add_argument("--scenes", type=int, help="number of scenes; the usual number when left out")
    parser.add_argument("--threads", type=int, default=0, help="of every run; 0 = all cores")
    parser.add_argument("--only", nargs="+", help="train only these of `auto` and the recipes")
    parser.add_argument("--table", action="store_true", help="train nothing")
    parser.add_argument("--record", action="store_true", help="write docs/evidence/data, from which the page is made")
    return parser.parse_args(words)


def graphs_of(name: str, only: Sequence[str] | None = None) -> list[str]:
    """`auto` and the recipes that fit a set; `only` leaves out others."""
    return [each for each in (AUTO, *SETS[name].recipes) if only is None or each in only]


def path_of(name: str, root: Path, scenes: int | None) -> str:
    """What `--data` gets; archives that hold one folder of their own name may be unpacked twice."""
    path = SETS[name].path
    first = path.partition("/")[0]
    if path == "scenes":
        return f"scenes:{scenes}" if scenes else path
    return str(root / path if (root / path).exists() else root / first / path)


def train(name: str, recipe: str, seed: int, out: Path, options: argparse.Namespace) -> None:
    """One run, with its output and its time beside it."""
    words = [
        recipe,
        "--data",
        path_of(name, options.data, options.scenes),
        "--seed",
        str(seed),
        "--out",
        str(out),
        "--overwrite",
    ]
    words += ["--train.threads", str(options.threads)]
    words += ["--train.steps" if recipe != AUTO else "--steps", str(options.steps)] if options.steps else []
    words += (
        ["--crop.size" if recipe == AUTO else "--size", str(options.size)]
        if options.size and SETS[name].pictures
        else []
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    start, before = time.monotonic(), os.times()
    command = [sys.executable, "-m", "multiview.cli", "train", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    after = os.times()
    out.with_suffix(".log").write_text(done.stdout)
    cost = {"wall": time.monotonic() - start, "cpu": after.children_user - before.children_user, "rc": done.returncode}
    out.with_suffix(".time.json").write_text(json.dumps({**cost, "command": " ".join(["multiview", "train", *words])}))
    print(f"{name} {recipe} seed {seed}: {cost['cpu']:.0f} CPU s, exit {done.returncode}", flush=True)
    if done.returncode:
        print("  " + (done.stdout.strip().splitlines() or [""])[-1], flush=True)


if __name__ == "__main__":
    main()
