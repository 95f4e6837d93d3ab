"""Takes the model folder of a run to a new virtual environment, without data and run.

There the features must have the bits of the run. Then every view is written in every format and
compared. Start it with the Python of an environment that has multiview installed:

    python benchmarks/fresh_environment.py                     # trains a small run by itself
    python benchmarks/fresh_environment.py --run runs/photos   # a run of yours, which stays
    python benchmarks/fresh_environment.py --full              # pip installs the dependencies too

Without --full, the new environment reads the dependencies of this one, but not its multiview.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
MOST = 64
"""Samples that are compared."""

EXPECT = """
import sys, numpy as np, multiview as mv
trained = mv.load(sys.argv[1])
split = "test" if "test" in trained.store.split_names else trained.store.split_names[-1]
names = {view.modality for view in trained.setup.views.values()}
rows = [r for r in trained.store.rows(split) if all(trained.store.present(n)[r] for n in names)][: int(sys.argv[3])]
values = {f"in/{name}": trained.store.read(np.array(rows), name) for name in names}
found = mv.load(sys.argv[1] + "/model").embed(trained.store.path, split=split)
known = trained.embed(split)
for view in trained.setup.views:
    assert np.array_equal(found[view][known.present[view]], known.features[view][known.present[view]]), view
place = {row: n for n, row in enumerate(trained.store.rows(split))}
out = {f"out/{view}": found[view][[place[r] for r in rows]] for view in trained.setup.views}
np.savez(sys.argv[2], **values, **out)
print(f"{len(rows)} samples of the split {split}; all views of {len(found)} samples equal those of the run")
"""

CHECK = """
import sys, numpy as np, multiview as mv
from pathlib import Path
print("multiview of", Path(mv.__file__).parent)
model, known = mv.load(sys.argv[1]), np.load(sys.argv[2], allow_pickle=False)
for view in model.views:
    h = model[view](known["in/" + model.part(view).modality.name]).numpy()
    expected = known["out/" + view]
    same = np.array_equal(h, expected)
    gap = 0.0 if same else float(np.abs(h - expected).max())
    print(f"{view:12} features of {len(h)} samples: {'equal to the bit' if same else f'largest difference {gap:.1e}'}")
for view in model.views:
    for to in ("onnx", "torch-export", "timm", "hf"):
        try:
            done = mv.export_view(model, view, to)
            print(f"{view:12} {to:13} largest difference {'; '.join(map(str, done.differences))}", flush=True)
        except mv.MultiviewError as refused:
            print(f"{view:12} {to:13} refused: {refused}", flush=True)
"""


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--run", help="a run with a model folder, and its data")
    parser.add_argument("--encoder", default="timm:resnet10t", help="of the small run")
    parser.add_argument("--full", action="store_true", help="pip installs all dependencies")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        run = Path(given.run).absolute() if given.run else small_run(root / "training", given.encoder)
        (root / "away").mkdir()
        started([sys.executable, "-c", EXPECT, str(run), str(root / "known.npz"), str(MOST)], run.parent.parent)
        shutil.copytree(run / "model", root / "away" / "a model")
        if not given.run:
            shutil.rmtree(root / "training")
            print("deleted the data and the run")
        python = fresh_python(root, given.full)
        started([str(python), "-c", CHECK, str(root / "away" / "a model"), str(root / "known.npz")], root / "away")


def small_run(folder: Path, encoder: str) -> Path:
    """Trains a few steps on generated scenes."""
    folder.mkdir()
    words = ["--data", "scenes:120", "--encoder", encoder, "--steps", "6", "--batch", "16", "--evaluate", "false"]
    started([sys.executable, "-m", "multiview.cli", "train", "cmc_rgbd", *words, "--out", "runs/small"], folder)
    return folder / "runs" / "small"


def fresh_python(root: Path, full: bool) -> Path:
    """The Python of a new environment into which the wheel of this checkout was installed."""
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    copy = root / "source"
    kept = shutil.ignore_patterns(".*", "runs", "stores", "build", "*.egg-info", "tests")
    shutil.copytree(PROJECT, copy, ignore=kept, symlinks=True)
    started([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(root / "wheels"), str(copy)], root)
    started([sys.executable, "-m", "venv", *([] if full else ["--without-pip"]), str(root / "venv")], root)
    python = root / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    wheel = next((root / "wheels").glob("*.whl"))
    if full:
        started([str(python), "-m", "pip", "install", "-q", f"{wheel}[onnx]"], root)
        return python
    place = subprocess.check_output([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"])
    packages = Path(place.decode().strip())
    started([*pip, "install", "--no-deps", "--target", str(packages), str(wheel)], root)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def started(command: list[str], folder: Path) -> None:
    """Runs a command in a folder and shows what it prints; ends here when it fails."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=env, check=False)
    if done.returncode:
        sys.exit(f"failed with exit code {done.returncode}: {' '.join(command[:4])} ...")


if __name__ == "__main__":
    main()
