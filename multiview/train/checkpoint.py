"""Checkpoints that are whole or not there: safetensors and JSON in a folder, hashed, written beside and renamed. Nothing is unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from multiview.errors import MultiviewError

SCHEMA = 1


def save(
    folder: Path, step: int, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any], keep: int
) -> Path:
    """Writes `folder/step-00000012`, and only then removes all but the newest `keep`.

    tensors: file name -> named tensors; state: what JSON can hold. The folder gets its name by a rename after every file was synced, so a
    kill at any moment leaves either a whole checkpoint or none under that name.
    """
    final = folder / f"step-{step:08d}"
    draft = folder / f".{final.name}.{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for name, named in tensors.items():
        save_file(
            {key: value.detach().cpu().contiguous().clone() for key, value in named.items()},
            draft / f"{name}.safetensors",
        )
    (draft / "state.json").write_text(json.dumps({"schema": SCHEMA, "step": step, **state}, indent=1))
    hashes = {path.name: _sha256(path) for path in sorted(draft.iterdir())}
    (draft / "manifest.json").write_text(json.dumps(hashes, indent=1))
    for path in [*draft.iterdir(), draft]:
        _sync(path)
    if final.exists():
        shutil.rmtree(final)
    draft.rename(final)
    _sync(folder)
    _prune(folder, keep)
    return final


def load(path: Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """(tensors by file, state) of one checkpoint; raises MultiviewError when a file is missing or differs from its hash."""
    try:
        hashes = json.loads((path / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise MultiviewError(f"checkpoint {path} is not whole: its manifest.json cannot be read ({error}).") from error
    for name, expected in hashes.items():
        file = path / name
        if not file.is_file() or _sha256(file) != expected:
            raise MultiviewError(
                f"checkpoint {path} is not whole: {name} is {'altered' if file.is_file() else 'missing'}."
            )
    state = json.loads((path / "state.json").read_text())
    if state["schema"] > SCHEMA:
        raise MultiviewError(
            f"checkpoint {path} has schema {state['schema']}, this version reads up to {SCHEMA}: update multiview-cmc."
        )
    return {file.stem: load_file(file) for file in sorted(path.glob("*.safetensors"))}, state


def newest(folder: Path) -> tuple[Path, dict[str, dict[str, Tensor]], dict[str, Any], list[str]]:
    """The newest whole checkpoint (path, tensors, state) and a sentence for each newer one that was refused."""
    refused: list[str] = []
    for path in sorted(folder.glob("step-*"), reverse=True):
        try:
            return path, *load(path), refused
        except MultiviewError as error:
            refused.append(f"{error} Using the one before.")
    raise MultiviewError(
        f"there is no whole checkpoint in {folder}; start again with --overwrite. " + " ".join(refused)
    )


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


def _prune(folder: Path, keep: int) -> None:
    for old in sorted(folder.glob("step-*"), reverse=True)[keep:]:
        shutil.rmtree(old, ignore_errors=True)
    for draft in folder.glob(".step-*"):
        shutil.rmtree(draft, ignore_errors=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
