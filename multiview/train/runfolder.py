"""Claims the run folder, and describes the run in it so that it can be started again."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from multiview import old_import_paths
from multiview.config import Optimizer
from multiview.errors import MultiviewError
from multiview.files import PARTIAL, in_full, replace_text
from multiview.folderlock import NAME as LOCK
from multiview.folderlock import locked
from multiview.options import to_dict, to_yaml
from multiview.parsing import MALFORMED
from multiview.recipe import Recipe
from multiview.writable import refuse_unwritable

__getattr__ = old_import_paths.names_of("train.runfolder")

MALFORMED_YAML: tuple[type[Exception], ...] = (yaml.YAMLError, *MALFORMED)
UNREADABLE: tuple[type[Exception], ...] = (MultiviewError, *MALFORMED_YAML)
CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
CHECKPOINTS = "checkpoints"
METRICS = "metrics.jsonl"
HEALTH = "health.jsonl"
RESUMES = "resumes.jsonl"
"""The steps at which the run was continued."""
COST = "report/cost.json"
"""Seconds and memory of the run."""
NOT_COMPARED = ("out", "resume", "overwrite", "plan", "evaluate", "cache", "cache_size")
"""Options that may change when a run is resumed: training does not depend on them."""
PACKAGES = ("multiview-cmc", "torch", "torchvision", "torchaudio", "kornia", "timm", "accelerate", "h5py", "numpy")


def claim(recipe: Recipe, name: str) -> Path:
    """The folder that this run may write to: a new folder, the run to resume, or one to replace.

    Raises:
        MultiviewError: the folder is not empty and neither --resume nor --overwrite is given, there
            is no run to resume, or --overwrite would remove files that are no run.
    """
    try:
        return _claimed(recipe, Path(recipe.out) if recipe.out else _next_free(Path("runs"), name))
    except OSError as cause:
        given = recipe.out or "runs"
        raise MultiviewError(f"{given} cannot be used: {cause.strerror or cause}; give another --out.") from cause


def _require_resumable(recipe: Recipe, out: Path) -> None:
    if not (out / CONFIG).is_file():
        hint = f"--out {out} holds no run" if recipe.out else "give the run folder with --out"
        raise MultiviewError(f"there is nothing to resume: {hint}. Omit --resume to start a new run.")
    refuse_unwritable(out, "give the run of another folder with --out")


def _claimed(recipe: Recipe, out: Path) -> Path:
    if recipe.resume:
        _require_resumable(recipe, out)
        return out
    refuse_unwritable(out, "give another --out")
    occupied = out.exists() and bool(_content(out))
    if occupied and not recipe.overwrite:
        raise MultiviewError(
            f"{out} is not empty. Continue it with --resume, replace it with --overwrite, or give another --out."
        )
    if occupied and not (out / CONFIG).is_file():
        raise MultiviewError(
            f"{out} is no run folder (it has no {CONFIG}), so --overwrite does not replace it; give another --out."
        )
    return out


def open_folder(recipe: Recipe, name: str, held: ExitStack) -> Path:
    """Claims the folder of this run, makes or empties it, and locks it until `held` ends.

    Raises MultiviewError as `claim` does, and LockedError while another run writes the folder.
    """
    out = _make(recipe, name)
    held.enter_context(locked(out, "another --out"))
    claim(replace(recipe, out=str(out)), name)  # again: another run may have come in between
    for path in _content(out) if recipe.overwrite else out.glob(f"*{PARTIAL}"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    return out


def _make(recipe: Recipe, name: str) -> Path:
    """Makes the folder that `claim` names, with another number if another run just took it."""
    while True:
        out = claim(recipe, name)
        try:
            out.mkdir(parents=True, exist_ok=recipe.out is not None)
        except FileExistsError:
            continue
        except OSError as cause:
            raise MultiviewError(f"{out} cannot be made: {cause}. Give another --out.") from cause
        return out


def _content(out: Path) -> list[Path]:
    """What lies in a run folder, without the files of its lock."""
    return [path for path in out.iterdir() if not path.name.startswith(LOCK)]


def describe(out: Path, recipe: Recipe, origin: dict[str, str] | None, data: dict[str, Any]) -> None:
    """Writes config.yaml and environment.json.

    Args:
        out: the run folder.
        recipe: the options of the run.
        origin: how to find the recipe again, see `recipe_origin.origin_of`.
        data: facts about the data, with the hash of its manifest.
    """
    environment = {
        "recipe": origin,
        "data": data,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {package: _version(package) for package in PACKAGES},
        "git": _git_commit(),
        "command": sys.argv,
    }
    try:
        replace_text(out / CONFIG, to_yaml(recipe))
        replace_text(out / ENVIRONMENT, json.dumps(environment, indent=1))
    except OSError as cause:
        raise MultiviewError(
            f"the run folder {out} cannot be written: {cause}. Make room, or give another --out."
        ) from cause


def changed_options(out: Path, recipe: Recipe) -> list[str]:
    """`train.epochs 2 -> 3` for each option that has changed since the run was last started."""
    try:
        before = _flat(yaml.safe_load((out / CONFIG).read_text(encoding="utf-8")))
    except MALFORMED_YAML:
        return []
    now = _flat(to_dict(recipe))
    names = [name for name in now if name not in NOT_COMPARED and not _alike(before.get(name, now[name]), now[name])]
    return [f"{name} {before[name]} -> {now[name]}" for name in names]


def optimizer_of(folder: Path) -> Optimizer | None:
    """The optimiser that a run recorded; None where nothing says it."""
    try:
        given = yaml.safe_load((folder / CONFIG).read_text("utf8"))["train"]["optimizer"]
        known = {each.name for each in fields(Optimizer)}
        options: Any = {name: tuple(x) if isinstance(x, list) else x for name, x in given.items() if name in known}
        return Optimizer(**options)
    except UNREADABLE:
        return None


def _alike(before: Any, now: Any) -> bool:
    """Whether two values are equal; a relative and an absolute path of one place are."""
    texts = isinstance(before, str) and isinstance(now, str)
    return before == now or (texts and in_full(before) == in_full(now))


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in options.items():
        values |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return values


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
        result = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
