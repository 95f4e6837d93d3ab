"""The run folder: claimed before anything is written, described so that the same run can be started again."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from multiview import moved
from multiview.errors import MultiviewError
from multiview.files import replace_text
from multiview.options import to_dict, to_yaml
from multiview.recipe import Recipe

__getattr__ = moved.names_of("train.runfolder")

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
HEALTH = "health.jsonl"
NOT_OF_THE_RUN = ("out", "resume", "overwrite", "plan", "evaluate", "cache")
"""Options that may differ from one start of a run to the next without making it another run."""
PACKAGES = ("multiview-cmc", "torch", "torchvision", "torchaudio", "kornia", "timm", "accelerate", "h5py", "numpy")


def claim(recipe: Recipe, name: str) -> Path:
    """The folder that this run may write: a new one, the one to resume, or an emptied one.

    Raises MultiviewError when the folder holds something and neither --resume nor --overwrite was given, when there is nothing to resume,
    and when --overwrite would remove what is no run of ours.
    """
    out = Path(recipe.out) if recipe.out else _next_free(Path("runs"), name)
    filled = out.exists() and (not out.is_dir() or any(out.iterdir()))
    if recipe.resume:
        if not (out / CONFIG).is_file():
            hint = f"--out {out} holds no run" if recipe.out else "say which run with --out"
            raise MultiviewError(f"there is nothing to resume: {hint}. Leave --resume out to start a new run.")
        return out
    if filled and not recipe.overwrite:
        raise MultiviewError(
            f"{out} is not empty. Continue it with --resume, replace it with --overwrite, or give another --out."
        )
    if filled:
        if not (out / CONFIG).is_file():
            raise MultiviewError(
                f"{out} is no run folder (it has no {CONFIG}), so --overwrite leaves it alone; give another --out."
            )
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    return out


def describe(out: Path, recipe: Recipe, origin: dict[str, str] | None, data: dict[str, Any]) -> None:
    """Writes the resolved config and environment.json: versions, git commit, the recipe's origin, the data's manifest hash."""
    replace_text(out / CONFIG, to_yaml(recipe))
    environment = {
        "recipe": origin,
        "data": data,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {package: _version(package) for package in PACKAGES},
        "git": _git_commit(),
        "command": sys.argv,
    }
    replace_text(out / ENVIRONMENT, json.dumps(environment, indent=1))


def changed_options(out: Path, recipe: Recipe) -> list[str]:
    """`train.epochs 2 -> 3` for each option that differs from those that the run in `out` was last started with."""
    try:
        before = _flat(yaml.safe_load((out / CONFIG).read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, AttributeError):
        return []
    now = _flat(to_dict(recipe))
    names = [name for name in now if name not in NOT_OF_THE_RUN and now[name] != before.get(name, now[name])]
    return [f"{name} {before[name]} -> {now[name]}" for name in names]


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in options.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def _next_free(parent: Path, name: str) -> Path:
    taken = [path.name.rsplit("-", 1)[-1] for path in parent.glob(f"{name}-*")]
    newest = max((int(number) for number in taken if number.isdigit()), default=0)
    return parent / f"{name}-{newest + 1:03d}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
