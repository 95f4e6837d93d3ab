"""Records the goldens: `python tests/golden/record.py [names] [losses] [shards] [clips] [run]`.

By hand only. A golden says what the program did before. Record it again only when a commit means to
change numbers, bytes or names, in that commit, whose message says why. When a change of structure
breaks a golden, the change is wrong.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import golden_losses
import golden_names
import golden_run
import golden_shards
import h5py
from goldens import machine, write


def record_names(folder: Path) -> None:
    """names.json."""
    parts = ("public", "entry_points", "commands", "options", "recipe_fields", "modules")
    write("names", {part: getattr(golden_names, part)() for part in parts})


def record_losses(folder: Path) -> None:
    """losses.json."""
    golden_losses.write_data(folder)
    found = {recipe: golden_losses.losses(recipe, folder) for recipe in golden_losses.RECIPES}
    write("losses", {"machine": machine(), "recipes": found})


def record_shards(folder: Path) -> None:
    """shards.json."""
    golden_shards.write_inputs(folder)
    found = {case: golden_shards.written(case, folder) for case in golden_shards.CASES}
    write("shards", {"machine": machine(), "hdf5": h5py.version.hdf5_version, "cases": found})


def record_clips(folder: Path) -> None:
    """clips/, the input of the source `video`."""
    golden_run.record_clips()


def record_run(folder: Path) -> None:
    """store/, run/, embeddings.npz and run.json."""
    golden_run.record(folder)
    write("run", {"machine": machine(), "scores": golden_run.scores(golden_run.RUN)})


PARTS = {
    "run": record_run,
    "clips": record_clips,
    "names": record_names,
    "losses": record_losses,
    "shards": record_shards,
}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[part](Path(folder))
