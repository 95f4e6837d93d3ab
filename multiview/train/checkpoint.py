"""Checkpoints that are whole or not there: safetensors and JSON in a folder, hashed, written beside and renamed. Nothing is unpickled."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from multiview.errors import MultiviewError
from multiview.files import sha256, sync

SCHEMA = 1
MANIFEST = "manifest.json"
STATE = "state.json"

Tensors = Mapping[str, Mapping[str, Tensor]]
"""File name -> named tensors."""


class Checkpoint(NamedTuple):
    """What a whole checkpoint held: tensors by file, the rest of the state, and a sentence for each newer one that was refused."""

    path: Path
    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    refused: list[str]


def save(folder: Path, step: int, tensors: Tensors, state: Mapping[str, Any], keep: int) -> Path:
    """Writes `folder/step-00000012`, and only then removes all but the newest `keep`.

    state: what JSON can hold. The folder gets its name by a rename after every file was synced, so a kill at any moment leaves either a
    whole checkpoint or none under that name. Raises MultiviewError when the disk does not take it; the older ones are then untouched.
    """
    final = folder / f"step-{step:08d}"
    if _is_whole(final):  # a run that was stopped again before its first step: the step's state is the same
        return final
    draft = folder / f".{final.name}.{os.getpid()}"
    try:
        _sweep(folder)
        draft.mkdir(parents=True)
        _write(draft, tensors, {"schema": SCHEMA, "step": step, **state})
        _discard(final)
        draft.rename(final)
        sync(folder)
    except (OSError, SafetensorError) as cause:
        shutil.rmtree(draft, ignore_errors=True)
        raise MultiviewError(
            f"the checkpoint of step {step} could not be written: {cause}. Earlier checkpoints in {folder} are as they were: make room, "
            "and go on with --resume."
        ) from cause
    # One with a later step was refused when the run was resumed: it is not among those that are kept, or all whole ones might go for it.
    for old in [path for path in _newest_first(folder) if path.name <= final.name][keep:]:
        _discard(old)
    return final


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """(tensors by file, state) of one checkpoint; raises MultiviewError unless it holds exactly the files of its manifest, unaltered."""
    hashes = _manifest(path)
    held = {file.name for file in path.iterdir()} - {MANIFEST}
    for name in sorted(held | set(hashes)):
        fault = _fault(path / name, hashes.get(name))
        if fault:
            raise MultiviewError(f"checkpoint {path} is not whole: {name} {fault}.")
    try:
        state = json.loads((path / STATE).read_text(encoding="utf-8"))
        tensors = {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}
        schema = int(state["schema"])
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as cause:
        raise MultiviewError(f"checkpoint {path} is not whole: {cause}.") from cause
    if schema > SCHEMA:
        raise MultiviewError(
            f"checkpoint {path} has schema {schema}, this version reads up to {SCHEMA}: update multiview-cmc."
        )
    return tensors, state


def newest(folder: Path) -> Checkpoint:
    """The newest whole checkpoint. Raises MultiviewError, with what is wrong with each, when none is whole."""
    refused: list[str] = []
    for path in _newest_first(folder):
        try:
            return Checkpoint(path, *load(path), refused)
        except MultiviewError as error:
            refused.append(f"{error} Using the one before.")
    raise MultiviewError(
        f"there is no whole checkpoint in {folder}; start again with --overwrite. " + " ".join(refused)
    )


def any_saved(folder: Path) -> bool:
    """Whether a checkpoint, whole or not, has its name in `folder`."""
    return bool(_newest_first(folder))


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """An optimiser's state as named tensors and plain groups."""
    state = optimiser.state_dict()
    tensors = {
        f"{number}/{name}": value if isinstance(value, Tensor) else torch.tensor(value)
        for number, slots in state["state"].items()
        for name, value in slots.items()
        if value is not None
    }
    return tensors, [
        {k: list(v) if isinstance(v, tuple) else v for k, v in group.items()} for group in state["param_groups"]
    ]


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[dict[str, Any]]
) -> None:
    """The reverse of `optimiser_tensors`."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        number, name = key.split("/", 1)
        state.setdefault(int(number), {})[name] = value
    was = optimiser.state_dict()["param_groups"]
    kinds = [
        {k: tuple(v) if isinstance(w.get(k), tuple) else v for k, v in g.items()}
        for g, w in zip(groups, was, strict=True)
    ]
    optimiser.load_state_dict({"state": state, "param_groups": kinds})


def _write(draft: Path, tensors: Tensors, state: Mapping[str, Any]) -> None:
    for name, named in tensors.items():
        # A copy of each: safetensors refuses tensors that share memory, as those of a shared encoder may.
        copies = {key: value.detach().cpu().contiguous().clone() for key, value in named.items()}
        save_file(copies, draft / f"{name}.safetensors")
    (draft / STATE).write_text(json.dumps(state, indent=1), encoding="utf-8")
    hashes = {path.name: sha256(path) for path in sorted(draft.iterdir())}
    (draft / MANIFEST).write_text(json.dumps(hashes, indent=1), encoding="utf-8")
    for path in [*draft.iterdir(), draft]:
        sync(path)


def _manifest(path: Path) -> dict[str, str]:
    try:
        hashes = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MultiviewError(f"checkpoint {path} is not whole: its {MANIFEST} cannot be read ({error}).") from error
    if not isinstance(hashes, dict) or STATE not in hashes:
        raise MultiviewError(f"checkpoint {path} is not whole: its {MANIFEST} does not list {STATE}.")
    return hashes


def _fault(file: Path, expected: str | None) -> str | None:
    """What is wrong with one file of a checkpoint, in words."""
    if expected is None:
        return "does not belong to it"
    if not file.is_file():
        return "is missing"
    return None if sha256(file) == expected else "is altered"


def _is_whole(path: Path) -> bool:
    try:
        load(path)
    except (MultiviewError, OSError):
        return False
    return True


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"), reverse=True)


def _discard(path: Path) -> None:
    """Removes a checkpoint that may be there: its name first, so that a kill leaves no half of it under the name."""
    if path.exists():
        gone = path.with_name(f".{path.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Removes what a killed run left half written or half removed."""
    for draft in folder.glob(".step-*"):
        shutil.rmtree(draft, ignore_errors=True)
