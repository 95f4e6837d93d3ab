"""Trains `auto`, and a recipe by hand, on folders of real data, and prints one table of results.

python benchmarks/auto_on_data.py DATA_DIR [--sets vowels gait] [--seeds 0 1 2] [--steps 2000]

DATA_DIR holds the unpacked data sets. Every run is a command of the command line, in a process of
its own. A run that has been evaluated is not made again, so that a stopped call goes on. With
--table the script only prints the table of the runs that are there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AUTO = "auto"
COLUMNS = (
    *(("R@1", weights) for weights in ("trained", "random", "ridge", "cca")),
    *(("probe", weights) for weights in ("trained", "random", "raw")),
)
"""Of the table: measure and weights."""


@dataclass(frozen=True)
class Data:
    """A data set: its path below DATA_DIR, and the words of the recipe that was made by hand."""

    path: str
    recipe: tuple[str, ...] = ()
    pictures: bool = False


SETS = {
    "vowels": Data("series_real/japanese_vowels.npz"),
    "gait": Data("series_real/gait.npz"),
    "motions": Data("series_real/basic_motions.npz"),
    "mfeat6": Data("mfeat6/mfeat6.npz", ("six_tables",)),
    "prompts5": Data("prompts5"),
    "letters": Data("letters_multi"),
    "letter_pairs": Data("letter_pairs", ("spoken_letters",)),  # a store, see docs/results.md
    "clipart": Data("clipart", ("cmc_lab", "--epochs", "60"), pictures=True),
    "furniture": Data(
        "furniture_rgbdn", ("cmc_rgbd", "--views", "[L, ab, depth, normal]", "--epochs", "15"), pictures=True
    ),
    "scenes": Data("scenes", ("cmc_rgbd",), pictures=True),
    "stereo": Data("stereo_real"),
}


def main(words: Sequence[str] | None = None) -> None:
    """Trains what is missing, then prints the table."""
    options = parsed(words)
    for name in options.sets:
        for seed in options.seeds:
            for recipe in recipes_of(name, options):
                out = options.out / name / f"{recipe}-{seed}"
                if not options.table and not (out / "evaluation.json").is_file():
                    train(name, recipe, seed, out, options)
    print(table(options.out, options.sets))


def parsed(words: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="folder with the unpacked data sets")
    parser.add_argument("--out", type=Path, default=Path("runs/auto_on_data"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="of every run; its own choice when left out")
    parser.add_argument("--size", type=int, help="pixels of the crops of pictures; its own choice when left out")
    parser.add_argument("--scenes", type=int, help="number of scenes; the usual number when left out")
    parser.add_argument("--threads", type=int, default=0, help="of every run; 0 = all cores")
    parser.add_argument("--only", choices=(AUTO, "recipe"), help="leave out the other of both")
    parser.add_argument("--table", action="store_true", help="train nothing")
    return parser.parse_args(words)


def recipes_of(name: str, options: argparse.Namespace) -> list[str]:
    """auto, and the recipe by hand when there is one."""
    own = SETS[name].recipe[:1]
    return [each for each in (AUTO, *own) if options.only is None or (each == AUTO) == (options.only == AUTO)]


def path_of(name: str, root: Path, scenes: int | None) -> str:
    """What `--data` gets; archives that hold one folder of their own name may be unpacked twice."""
    path = SETS[name].path
    first = path.partition("/")[0]
    if path == "scenes":
        return f"scenes:{scenes}" if scenes else path
    return str(root / path if (root / path).exists() else root / first / path)


def train(name: str, recipe: str, seed: int, out: Path, options: argparse.Namespace) -> None:
    """One run, with its output and its time beside it."""
    words = [AUTO] if recipe == AUTO else list(SETS[name].recipe)
    words += [
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


def table(root: Path, names: Iterable[str]) -> str:
    """A table in Markdown: one row per set and graph, with the values of all seeds, in %."""
    heads = [f"{measure} {weights}" for measure, weights in COLUMNS]
    heads = ["data", "graph", *heads, "steps", "seeds", "CPU min"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name in names:
        for recipe in dict.fromkeys((AUTO, *SETS[name].recipe[:1])):
            runs = sorted(root.glob(f"{name}/{recipe}-*/evaluation.json"))
            lines += [row_of(name, recipe, [run.parent for run in runs])] if runs else []
    return "\n".join(lines)


def row_of(name: str, recipe: str, runs: Sequence[Path]) -> str:
    """The row of one set and graph."""
    found = [measures(json.loads((run / "evaluation.json").read_text())["rows"]) for run in runs]
    cells = [text_of([each.get(column) for each in found]) for column in COLUMNS]
    steps = dict.fromkeys(str(steps_of(run)) for run in runs)
    minutes = statistics.mean(json.loads(run.with_suffix(".time.json").read_text())["cpu"] for run in runs) / 60
    return f"| {name} | {recipe} | {' | '.join(cells)} | {' / '.join(steps)} | {len(runs)} | {minutes:.1f} |"


def steps_of(run: Path) -> int:
    """The last step of a run."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return max(json.loads(line).get("step", 0) for line in lines)


def measures(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """(measure, weights) -> %: probe of all views together, mean R@1 over all ordered pairs."""
    groups = {row["group"] for row in rows if row["measure"] == "linear"}
    whole = "concat" if "concat" in groups else next(iter(sorted(groups)), "")
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["measure"] == "linear" and row["group"] == whole:
            found.setdefault(("probe", row["weights"]), []).append(row["value"])
        elif row["measure"] == "retrieval_recall_1" and row["split"] == "test":
            found.setdefault(("R@1", row["weights"]), []).append(row["value"])
    return {key: 100 * statistics.mean(values) for key, values in found.items()}


def text_of(values: Sequence[float | None]) -> str:
    """`82.1 / 83.0 / 81.7`, once when all are equal."""
    known = [f"{value:.1f}" for value in values if value is not None]
    return known[0] if len(set(known)) == 1 else " / ".join(known) or "-"


if __name__ == "__main__":
    main()
